"""Knowing when not to know, on the page: what prediction sets promise, what they kept, and what silence buys in accuracy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from quintet.ensemble.conformal import ConformalPredictor, accuracy_against_coverage
from quintet.evaluation.intervals import percentile_intervals
from quintet.model_folder.run import Run
from quintet.reports.drawing import Drawing
from quintet.reports.style import colour, new_figure, tidy, to_svg
from quintet.reports.text import count, group_noun, groups_known

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEASURES = ("coverage", "size", "empty")


def set_table(run: Run) -> pd.DataFrame:
    """Prediction sets of the held-out clips: `confidence, class, coverage, size, empty`, the class `all` first; empty where there are none."""
    rows = []
    for content in run.scores.get("verdict", {}).get("sets", {}).values():
        of_all = {"all": {key: content[key] for key in MEASURES}}
        rows += [
            (content["confidence"], name, *(row[key] for key in MEASURES))
            for name, row in (of_all | content["per_class"]).items()
        ]
    return pd.DataFrame(rows, columns=["confidence", "class", *MEASURES]).astype(
        dict.fromkeys(MEASURES, float)
    )


def calibration_groups(conformal: ConformalPredictor) -> int:
    """On how many groups sets are calibrated: of the rarest class, where every class has its own promise.

    Example:
        >>> from quintet.ensemble.conformal import fit_conformal
        >>> calibration_groups(fit_conformal(np.eye(2), np.array(["a", "b"]), np.array(["x", "y"]), classes=["a", "b"]))
        2
    """
    return round(1 / conformal.missing - 1)


def coverage_guarantee(run: Run) -> list[str]:
    """What prediction sets promise and on how many groups; and at which confidences these are too few to exclude anything."""
    conformal = run.conformal
    if conformal is None:
        return []
    n = calibration_groups(conformal)
    known = groups_known(run)
    noun = group_noun(run) if known else "clip"
    calibrated = "The sets are calibrated on the out-of-fold predictions of "
    found = [
        "Asked with a confidence of 0.9, the tool answers with a set of classes that holds the true one for at least 90 % of clips"
        f"{f' of a new {noun}' if known else ''}, provided that they come from where the training {noun}s came from. "
        "Of sounds of no known class it promises nothing: for these the empty set, “none of these”, is meant. "
        + (
            "A class is let in where it is likely and the clip lies among the known ones by its features."
            if conformal.familiarity
            else "These sets look at the probabilities alone; sets of models trained today also look at the features."
        ),
        f"{calibrated}{count(len(conformal.nonconformity), 'clip')} from {count(n, noun)}; each {noun} has one vote."
        if known
        else f"{calibrated}{count(n, noun)}, taken as independent: where several are of one recording or one artist, the promise is weaker.",
    ]
    idle = [f"{c:g}" for c in sorted(set_table(run)["confidence"].unique()) if n < 1 / (1 - c) - 1 - 1e-9]
    if idle:
        found.append(
            f"That is too few to exclude a class with confidence {' or '.join(idle)} (this takes {round(1 / (1 - float(idle[0])) - 1)} {noun}s "
            "or more): there every set holds all classes, true and useless."
        )
    return found


def set_view(run: Run) -> dict[str, Any] | None:
    """What the page's table shows: per class, and for all, coverage and size at each confidence; the overall coverage with its interval."""
    table = set_table(run)
    if table.empty:
        return None
    confidences = sorted(table["confidence"].unique().tolist())
    cells = {(r["class"], r["confidence"]): r for r in table.to_dict("records")}
    names = dict.fromkeys(table["class"])
    return {
        "confidences": confidences,
        "rows": [
            {"name": "All classes" if name == "all" else name, "all": name == "all", "cells": [cells[name, c] for c in confidences]}
            for name in names
        ],
        "intervals": [_coverage_interval(run, c) for c in confidences],
        "promise": coverage_guarantee(run),
        "n_groups": int(run.headline.get("n_groups") or 0),
    }  # fmt: skip


def _coverage_interval(run: Run, confidence: float, *, seed: int = 0) -> tuple[float, float] | None:
    """95 % interval of the coverage, resampling whole groups, each counting once; None for fewer than two groups."""
    p = run.report_predictions
    kept = np.flatnonzero(p.scorable)
    if run.conformal is None or not len(kept) or (run.conformal.familiarity and run.out_of_class.empty):
        return None
    far = (
        None
        if run.conformal.familiarity is None
        else run.out_of_class_of(p.clip_ids[kept])["distance"].to_numpy()
    )
    hit = run.conformal.sets(p.probabilities[kept], confidence, distances=far)[
        np.arange(len(kept)), p.codes()[kept]
    ]
    groups = (p.clip_ids if p.groups is None else p.groups)[kept]
    shares = pd.Series(hit.astype(float)).groupby(groups).mean()
    if len(shares) < 2:
        return None
    low, high = percentile_intervals(shares.to_numpy()[:, None], shares.index.to_numpy(), seed=seed)
    return float(low[0]), float(high[0])


def selective_accuracy_drawing(run: Run) -> Drawing | None:
    """Accuracy where only the surest clips are answered, by the share that is; None for label sets."""
    p = run.report_predictions
    if run.multilabel or not p.scorable.any():
        return None
    kept = p.scorable
    shares, accuracies = accuracy_against_coverage(
        np.asarray(p.labels)[kept], p.probabilities[kept], classes=p.classes
    )
    table = pd.DataFrame({"share_answered": shares, "accuracy": accuracies})
    settled = table[table["share_answered"] >= min(0.05, 20 / kept.sum())]
    half = float(np.interp(0.5, shares, accuracies))
    first_miss = table.loc[table["accuracy"] < 1, "share_answered"]
    alt = f"Accuracy against the share of clips answered: {half:.2f} at one half, {accuracies[-1]:.2f} where all are answered."
    caption = (
        f"The surest verdicts come first: answering only the surer half gives an accuracy of {half:.2f}, answering all {accuracies[-1]:.2f}. "
        + (
            f"The first mistake comes at {float(first_miss.iloc[0]):.0%}. "
            if len(first_miss)
            else "There is no mistake at all. "
        )
        + "A flat line would mean that the verdict does not know when it is in doubt."
    )
    svg = to_svg(_answered_figure(settled, float(accuracies[-1])), "answered", alt)
    return Drawing("answered", svg, caption, table, "What silence buys")


def _answered_figure(table: pd.DataFrame, overall: float) -> Figure:
    figure = new_figure(250)
    axes = figure.subplots()
    axes.axhline(overall, color=colour("faint"), linewidth=1.2, linestyle=(0, (3, 2)))
    axes.plot(table["share_answered"] * 100, table["accuracy"], color=colour("accent"), linewidth=2)
    axes.fill_between(
        table["share_answered"] * 100,
        overall,
        table["accuracy"],
        color=colour("accent"),
        alpha=0.08,
        linewidth=0,
    )
    low = min(float(table["accuracy"].min()), overall)
    axes.set(
        xlim=(0, 101),
        ylim=(max(0.0, low - 0.15 * (1 - low) - 0.004), 1 + 0.04 * (1 - low) + 0.001),
        xlabel="share of clips answered, surest first (%)",
        ylabel="accuracy",
    )
    axes.annotate(
        "all answered",
        (2, overall),
        xytext=(0, -4),
        textcoords="offset points",
        color=colour("muted"),
        fontsize=10,
        va="top",
    )
    axes.set_yticks([tick for tick in axes.get_yticks() if axes.get_ylim()[0] <= tick <= 1 + 1e-9])
    tidy(axes, grid="both")
    return figure
