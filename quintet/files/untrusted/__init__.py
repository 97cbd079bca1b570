"""Readers of files that a stranger may have written: sizes are checked before anything is allocated."""
