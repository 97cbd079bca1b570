"""Predictions for new recordings."""
