"""Predictions: class probabilities keyed by clip id. Read, write, align and score files of predictions."""
