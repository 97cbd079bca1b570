"""Sections about the probabilities: calibration, prediction sets, out-of-class scores."""
