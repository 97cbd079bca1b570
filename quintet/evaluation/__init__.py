"""Evaluation of probabilities: metrics, intervals, tests and learning curves. No files, no plots."""
