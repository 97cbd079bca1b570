"""Predictions: probabilities keyed by clip id, in and out of files."""
