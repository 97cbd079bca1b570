"""Extraction of features from many recordings, resumable and in parallel."""
