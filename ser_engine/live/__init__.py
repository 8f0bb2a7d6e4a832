"""Answers while somebody speaks."""
