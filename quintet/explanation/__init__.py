"""Explanations of members, of the ensemble and of one track."""
