"""Classes, confusions and mistakes at the top of the report, from all clips that were predicted unseen.

They use the held-out part and the out-of-fold predictions: a class has few held-out clips.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.evaluation.percentile_intervals import share_interval
from quintet.model_folder.unseen import Unseen
from quintet.reports.report_data import confusion_counts
from quintet.reports.text import FEW_CLIPS

STRIP_COLUMNS = ["class", "clips", "right", "share", "low", "high", "mistaken_for", "mistaken_clips", "extra"]
"""Columns of `class_strip`."""

MISTAKE_COLUMNS = ["clip_id", "part", "label", "predicted", "confidence", "probability_of_label"]
"""Columns of `all_mistakes`."""


def class_strip(unseen: Unseen) -> pd.DataFrame:
    """Right predictions of each class, the worst first; classes without a clip are left out.

    Classes with fewer than `FEW_CLIPS` clips come last, because what is said about them is anecdotal.

    For label sets, a clip counts for each of its tags. It is right if the tag has a probability of at least
    one half, and `extra` counts the clips that get the tag without having it.

    Args:
        unseen: predictions of n clips.

    Returns:
        Columns `STRIP_COLUMNS`. `low` and `high` are the 95 % interval of the share, by group.
    """
    predictions = unseen.predictions
    truth = predictions.indicator() & predictions.scorable[:, None]
    units = predictions.units
    if predictions.multilabel:
        given = predictions.probabilities >= 0.5
    else:
        predicted = predictions.probabilities.argmax(axis=1)
        given = predicted[:, None] == np.arange(len(predictions.classes))
    rows = []
    for k, name in enumerate(predictions.classes):
        own = truth[:, k]
        n = int(own.sum())
        if not n:
            continue
        is_right = np.asarray(given[own, k], dtype=bool)
        low, high = share_interval(is_right, units[own])
        rival, n_rival = "", 0
        if not predictions.multilabel:
            rival, n_rival = _main_rival(given[own], k, predictions.classes)
        extra = int((given[:, k] & ~own & predictions.scorable).sum())
        share = float(is_right.mean())
        rows.append((name, n, int(is_right.sum()), share, low, high, rival, n_rival, extra))
    table = pd.DataFrame(rows, columns=STRIP_COLUMNS)
    table["is_small"] = table["clips"] < FEW_CLIPS
    order = ["is_small", "share", "clips"]
    ordered = table.sort_values(order, ascending=[True, True, False], kind="stable", ignore_index=True)
    return ordered[STRIP_COLUMNS]


def worst_row(strip: pd.DataFrame) -> pd.Series | None:
    """The first class whose clips are not all right, else the first tag that others got; None without one.

    Args:
        strip: result of `class_strip`.
    """
    for is_mistaken in (strip["right"] < strip["clips"], strip["extra"] > 0):
        if is_mistaken.any():
            return strip[is_mistaken].iloc[0]
    return None


def _main_rival(given: NDArray[np.bool_], k: int, classes: tuple[str, ...]) -> tuple[str, int]:
    """The class that is most often predicted in the place of class `k`, and how often."""
    counts = given.sum(axis=0)
    counts[k] = 0
    rival = int(counts.argmax())
    return (classes[rival], int(counts[rival])) if counts[rival] else ("", 0)


def unseen_confusions(unseen: Unseen) -> pd.DataFrame | None:
    """Confusion matrix of the clips; None for label sets."""
    predictions = unseen.predictions
    if predictions.multilabel:
        return None
    codes = predictions.codes()
    labelled = codes >= 0
    predicted = predictions.probabilities.argmax(axis=1)
    return confusion_counts(codes[labelled], predicted[labelled], predictions.classes)


def all_mistakes(unseen: Unseen) -> pd.DataFrame:
    """Every wrong prediction, the most confident first.

    For label sets, a row is a clip and the tag that is most surely wrong: given without right, or missed.

    Args:
        unseen: predictions of n clips.

    Returns:
        Columns `MISTAKE_COLUMNS`. For label sets, `label` is the tag if it was missed and `predicted` the tag
        if it was given wrongly; the other one is empty.
    """
    predictions = unseen.predictions
    rows = _tag_mistakes(unseen) if predictions.multilabel else _class_mistakes(unseen)
    table = pd.DataFrame(rows, columns=MISTAKE_COLUMNS)
    return table.sort_values("confidence", ascending=False, kind="stable", ignore_index=True)


def _class_mistakes(unseen: Unseen) -> list[tuple[str, str, str, str, float, float]]:
    predictions = unseen.predictions
    codes = predictions.codes()
    predicted = predictions.probabilities.argmax(axis=1)
    rows = []
    for i in np.flatnonzero((codes >= 0) & (codes != predicted)):
        names = (predictions.classes[codes[i]], predictions.classes[predicted[i]])
        p = predictions.probabilities[i]
        clip = (str(predictions.clip_ids[i]), str(unseen.part[i]))
        rows.append((*clip, *names, float(p.max()), float(p[codes[i]])))
    return rows


def _tag_mistakes(unseen: Unseen) -> list[tuple[str, str, str, str, float, float]]:
    predictions = unseen.predictions
    truth, p = predictions.indicator(), predictions.probabilities
    surely_wrong = np.where(truth, 1 - p, p)
    rows = []
    for i in np.flatnonzero(predictions.scorable & (surely_wrong > 0.5).any(axis=1)):
        k = int(surely_wrong[i].argmax())
        tag = predictions.classes[k]
        names = (tag, "") if truth[i, k] else ("", tag)
        clip = (str(predictions.clip_ids[i]), str(unseen.part[i]))
        rows.append((*clip, *names, float(surely_wrong[i, k]), float(p[i, k])))
    return rows
