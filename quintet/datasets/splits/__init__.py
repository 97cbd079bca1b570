"""Splits that keep groups together."""
