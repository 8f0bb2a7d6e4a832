"""Predict emotions while a person speaks."""
