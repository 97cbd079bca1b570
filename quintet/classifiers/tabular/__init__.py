"""Classifiers of feature tables."""
