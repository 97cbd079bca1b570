"""Ensemble: members fitted out of fold, fused, calibrated, with prediction sets and an out-of-class score."""
