"""Shapley values: exact for trees, linear models and SVMs, and of whole feature families."""
