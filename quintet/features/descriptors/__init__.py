"""Definitions of the audio descriptors, one file per family."""
