"""Metrics, calibration, records and cards."""
