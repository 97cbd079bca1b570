"""Evaluation of prediction files from anywhere (`quintet evaluate`): scores of each file, of their mean, and comparisons.

Probabilities are read file after file, so that ten large files need the memory of three.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.evaluation.comparisons import holm, paired_differences, paired_tests
from quintet.evaluation.scores import score
from quintet.predictions.collection import PredictionFiles

COMPARED = ("accuracy", "subset_accuracy", "macro_auc", "log_loss")


def evaluate_files(
    paths: Sequence[str | Path],
    *,
    intersection: bool = False,
    seed: int = 0,
    n_resamples: int = 1000,
    level: float = 0.95,
) -> dict[str, Any]:
    """The scores of one file; or of the mean of several, with those of each file and its paired differences from the mean.

    Args:
        n_resamples: bootstrap resamples by group; 0 for point scores only (`low` and `high` are then None).

    Returns:
        What `Scores.to_json` gives (`n, n_groups, interval, scores, per_class, undefined`), and `of` (the file, or "mean of M files"), `classes`,
        `grouped` (the file names groups), `ungrouped_split` (it comes from a split that kept no groups apart: a stamp), `left_out` (clips that
        only some files have), `unlabelled` and `unknown_labels` (clips that cannot be scored, and why).
        For several files also `files` {name: the scores of each}; `comparisons` [{first, second, metric, value, low, high, p_value, p_holm}] by the
        bootstrap; `mcnemar` [{first, second, only_first, only_second, p_value, p_holm}] and `delong` [{first, second, class, value, low, high,
        p_value, p_holm}] (`paired_tests`). Each of the three is corrected for its own number.

    Raises:
        DatasetError: no clip has a label that is one of the classes.
    """
    files = PredictionFiles(paths, intersection=intersection)
    settings = {"seed": seed, "n_resamples": n_resamples, "level": level}
    found: dict[str, Any] = {}
    total: NDArray[Any] | None = None
    for name, p in zip(files.names, files, strict=True):
        found[name] = _scores(files, p, settings)
        if len(files) > 1:
            total = p / len(files) if total is None else total + p / len(files)
    about = files.describe()
    if total is None:
        return {"of": files.names[0], **about, **found[files.names[0]]}
    mean = np.clip(total, 0, 1, out=total)
    comparisons = (
        _comparisons(files, mean, settings)
        if n_resamples
        else {key: [] for key in ("comparisons", "mcnemar", "delong")}
    )
    return {
        "of": f"mean of {len(files)} files",
        **about,
        **_scores(files, mean, settings),
        "files": found,
        **comparisons,
    }


def _scores(files: PredictionFiles, probabilities: NDArray[Any], settings: dict[str, Any]) -> dict[str, Any]:
    y, p, groups = files.select_scorable(probabilities)
    return score(y, p, files.classes, groups, multilabel=files.multilabel, **settings).to_json()


def _comparisons(
    files: PredictionFiles, mean: NDArray[Any], settings: dict[str, Any]
) -> dict[str, list[dict[str, Any]]]:
    """The mean against each file, in three ways."""
    y, fused, groups = files.select_scorable(mean)
    shared: dict[str, Any] = {"multilabel": files.multilabel, "level": settings["level"]}
    found: dict[str, list[dict[str, Any]]] = {"comparisons": [], "mcnemar": [], "delong": []}
    for name, p in zip(files.names, files, strict=True):
        own, pair = files.select_scorable(p)[1], {"first": "mean", "second": name}
        differences = paired_differences(y, fused, own, files.classes, groups, **{**settings, **shared})
        found["comparisons"] += [
            {**pair, "metric": metric, **differences[metric].to_json()}
            for metric in COMPARED
            if metric in differences
        ]
        tests = paired_tests(y, fused, own, files.classes, groups, **shared)
        found["mcnemar"] += [] if tests.mcnemar is None else [{**pair, **vars(tests.mcnemar)}]
        found["delong"] += [
            {**pair, "class": label, **test.difference.to_json()} for label, test in tests.delong.items()
        ]
    for rows in found.values():
        corrected = holm([math.nan if row["p_value"] is None else row["p_value"] for row in rows])
        for row, p_holm in zip(rows, corrected, strict=True):
            row["p_holm"] = None if math.isnan(p_holm) else float(p_holm)
    return found
