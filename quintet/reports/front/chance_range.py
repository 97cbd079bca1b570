"""What lies between the score by chance and the score by blocks, in words."""

from __future__ import annotations

import math

from quintet.model_folder.scores import RunScores
from quintet.reports.formats import format_list, format_signed

PLAIN_MEAN = "mean"
PROBE_WORDS = {"logistic_regression": "a logistic regression", "svm": "an SVM"}
SMALL_GAPS = {"accuracy": 0.02, "macro_auc": 0.01}
"""Score → difference below which random folds and blocks say the same. Label sets have no accuracy."""
SCORE_WORDS = {"accuracy": "accuracy", "macro_auc": "AUC, mean over the tags,"}


def chance_range(results: RunScores) -> str:
    """The score by random folds and by blocks that sound alike, and which songs are nearer to which.

    The score is the accuracy, or the macro AUC of label sets.

    It is empty if the run was not divided by blocks, or if its leak gate does not compare these two.

    Args:
        results: content of scores.json.
    """
    gate = results.leak_gate
    if gate is None or results.split.protocol != "sound" or not {"random", "sound"} <= set(gate.protocols):
        return ""
    both = [gate.protocols[name][PLAIN_MEAN].scores for name in ("random", "sound")]
    key = next(name for name in SMALL_GAPS if name in both[0])
    values = [scores[key].value for scores in both]
    gaps = [gap for gap in gate.gaps if (gap.member, gap.score) == (PLAIN_MEAN, key)]
    gap = next((gap for gap in gaps if {gap.first, gap.second} == {"random", "sound"}), None)
    if gap is None or not all(map(math.isfinite, values)):
        return ""
    by_chance, by_blocks = (f"{value:.2f}".removeprefix("0") for value in values)
    names = [PROBE_WORDS.get(name, name) for name in gate.probes]
    of = f"{SCORE_WORDS[key]} of {format_list(names or ['all members'])}, out of fold"
    sign = 1 if gap.first == "random" else -1
    low, high = sorted((sign * gap.difference.low, sign * gap.difference.high))
    interval = f" [{format_signed(low)}, {format_signed(high)}]" if math.isfinite(low) else ""
    change = f"a gap of {format_signed(sign * gap.difference.value)}{interval}"
    text = f"Random folds give {by_chance}, blocks {by_blocks} ({of}; {change})."
    if values[0] - values[1] < SMALL_GAPS[key]:
        return f"{text} So little comes from clips that sound alike."
    return (
        f"{text} More songs of the same artists or recordings are nearer to {by_chance}, those of new ones "
        f"nearer to {by_blocks}."
    )
