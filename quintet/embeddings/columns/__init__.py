"""Columns of a feature table from pretrained networks: their settings, and their values for a clip."""
