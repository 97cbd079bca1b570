"""Splits of clips into a test part and folds that keep every group whole."""
