"""Corpora, splits, audits and cached features."""
