"""Signals: files become clips, clips become spectra."""
