"""Lengths that file formats state."""
