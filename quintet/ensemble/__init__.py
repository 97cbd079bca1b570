"""Ensemble: members fitted out of fold, fused, calibrated, with prediction sets and an out-of-class score."""

RULE_NAMES = ("mean", "geometric", "weighted", "greedy", "weighted_geometric", "stacked")
"""Names of the rules in `quintet.ensemble.fusion`, for settings, which import none of its libraries."""
