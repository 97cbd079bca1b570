"""Loaders of published datasets."""
