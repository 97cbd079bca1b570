"""Compiled engine: the descriptors of a recording in one pass."""
