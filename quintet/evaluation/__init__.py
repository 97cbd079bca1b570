"""Evaluation of probabilities: metrics, intervals, tests and learning curves. Numbers only, no files or plots."""
