"""Classifiers: the members of the ensemble, their registry and their storage."""
