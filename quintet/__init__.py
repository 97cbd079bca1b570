"""Quintet: five players and one sound."""

__version__ = "0.1.0"
