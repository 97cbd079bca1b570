"""Preparation of members for the fusion: their temperatures, and the members whose view is chosen."""

from __future__ import annotations

import numpy as np

from quintet.ensemble.fusion import LabelledPredictions, Preparation
from quintet.ensemble.fusion_weights import true_probabilities
from quintet.ensemble.model_selection.temperatures import apply_temperatures, fit_temperature
from quintet.ensemble.model_selection.views import choose_views
from quintet.ensemble.support import count_units


def prepare_members(predictions: LabelledPredictions) -> Preparation:
    """Temperatures of members, and the members whose view adds something, learnt from these predictions.

    Args:
        predictions: of clips that the members have not seen.

    Example:
        >>> y = np.repeat(["a", "b"], 30)
        >>> timid = np.where(y[:, None] == ["a", "b"], 0.51, 0.49)
        >>> labelled = LabelledPredictions.from_labels(timid[None], y, members=("svm",), classes=("a", "b"))
        >>> bool(prepare_members(labelled).temperatures[0] < 0.1)
        True
    """
    target, columns = predictions.target, predictions.columns
    stack = predictions.stack
    if target.ndim == 2 and not columns.all():
        stack, target = stack[:, :, columns], target[:, columns]
    n_units = count_units(predictions.groups) if len(target) else 0.0
    temperatures = np.array([fit_temperature(p, target, n_units) for p in stack])
    calibrated = apply_temperatures(stack, temperatures, multilabel=target.ndim == 2)
    chosen = choose_views(true_probabilities(calibrated, target), predictions.members, predictions.groups)
    return Preparation(temperatures, chosen)
