"""Evaluation of prediction files (`quintet evaluate`): scores of each file and of their mean, and tests.

Probabilities are read file by file. So ten large files need the memory of three.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from quintet.evaluation.comparisons import difference_tests, holm, metric_differences
from quintet.evaluation.intervals import Resampling
from quintet.evaluation.scores import score
from quintet.files.json_types import JsonObject
from quintet.files.paths import path_list
from quintet.predictions.collection import PredictionFiles
from quintet.predictions.files import Probabilities

if TYPE_CHECKING:
    import pandas as pd

COMPARED = ("accuracy", "subset_accuracy", "macro_auc", "log_loss")
KINDS_OF_TEST = ("comparisons", "mcnemar", "delong")


@dataclass(frozen=True)
class Steps:
    """Progress of an evaluation.

    Args:
        total: number of steps.
        done: number of steps that are done, with the share of the next one.
        failed: always 0.
    """

    total: int
    done: float = 0
    failed: int = 0


@dataclass
class _StepCounter:
    """Counts steps and reports them."""

    total: int
    progress: Callable[[Steps], object] | None
    done: int = -1

    def __post_init__(self) -> None:
        self.step()

    def step(self) -> None:
        """Count one more step."""
        self.done += 1
        if self.progress is not None:
            self.progress(Steps(self.total, self.done))

    def part(self, share: float) -> None:
        """Report that this share of the next step is done, in [0, 1)."""
        if self.progress is not None and share < 1:
            self.progress(Steps(self.total, self.done + share))

    def finish(self) -> None:
        """Count all steps."""
        self.done = self.total - 1
        self.step()


class Evaluation(JsonObject):
    """Scores of prediction files: a dict, whose keys `evaluate` lists. A notebook shows it as a table."""

    def _repr_html_(self) -> str:
        from quintet.files.display.notebook import notebook_html

        facts = f"Scores of {self['of']}, {self['n']} clips in {self['n_groups']} groups"
        return notebook_html(facts, self.frame, notes=self.get("notes", ()))

    @property
    def frame(self) -> pd.DataFrame:
        """One row per file and metric, the mean of several files first.

        Returns:
            Columns `of`, `metric`, `value`, `low`, `high` (missing without an interval), `n` and `n_groups`.
        """
        import pandas as pd

        by_name = {self["of"]: self, **self.get("files", {})}
        rows = [
            {"of": name, "metric": metric, **estimate, "n": scores["n"], "n_groups": scores["n_groups"]}
            for name, scores in by_name.items()
            for metric, estimate in scores["scores"].items()
        ]
        return pd.DataFrame(rows)


def evaluate(
    paths: str | Path | Sequence[str | Path],
    *,
    intersection: bool = False,
    seed: int = 0,
    n_resamples: int = 1000,
    level: float = 0.95,
    progress: Callable[[Steps], object] | None = None,
) -> Evaluation:
    """Score one file, or several files and their mean.

    Args:
        paths: files of predictions, parquet or CSV.
        intersection: leave out the clips that only some files have. Default: refuse them.
        seed: for the bootstrap.
        n_resamples: bootstrap resamples by group; 0 for scores without intervals (`low` and `high` are then
            None).
        level: confidence of the intervals, in (0, 1).
        progress: called with the steps that are done: a score of each file and of the mean, and a comparison
            of the mean with each file.

    Returns:
        A dict, as `quintet evaluate --json` prints it; its `frame` is a table. From `Scores.to_json`:
        `n, n_groups, interval, scores, per_class, undefined`. Also:

        - `of`: the file, or "mean of M files".
        - `classes`: names of the classes.
        - `grouped`: whether the files name groups.
        - `ungrouped_split`: whether the split of the run kept no groups apart (such scores are marked).
        - `left_out`: number of clips that only some files have.
        - `unlabelled`, `unknown`: numbers of clips without a label, and with a label that is no class. They
            are left out of all scores.
        - `unknown_labels`: label that is no class → number of clips.
        - `accuracy_with_unknown`: accuracy if the `unknown` clips count as wrong; only if there are any.
        - `notes`: how files were read, and spellings of labels and groups that were joined.

        For several files also:

        - `files`: name → scores of the file.
        - `comparisons`: paired differences from the mean, by the bootstrap:
          `[{first, second, metric, value, low, high, p_value, p_holm}]`.
        - `mcnemar`: `[{first, second, only_first, only_second, p_value, p_holm}]`.
        - `delong`: `[{first, second, class, value, low, high, p_value, p_holm}]`.

        `p_holm` is corrected for the number of tests in the same list.

    Raises:
        AlignmentError: no file or one file twice is given, or clips, classes, labels or groups differ.
        ArtefactError: a file is missing, or it is neither parquet nor CSV.
        DatasetError: no clip has a label that is one of the classes, or a file is not a file of predictions.
    """
    paths = path_list(paths, "`paths`")
    files = PredictionFiles(paths, intersection=intersection)
    resampling = Resampling(seed, n_resamples, level)
    counter = _StepCounter(2 * len(files) + 1 if len(files) > 1 else 1, progress)
    by_file: dict[str, JsonObject] = {}
    total: Probabilities | None = None
    for name, p in zip(files.names, files, strict=True):
        by_file[name] = _score(files, p, resampling, counter)
        counter.step()
        if len(files) > 1:
            share = p / len(files)
            total = share if total is None else total + share
    facts = files.describe()
    if total is None:
        single = by_file[files.names[0]]
        unknown = _accuracy_with_unknown(facts, single)
        return Evaluation({"of": files.names[0], **facts, **single, **unknown})
    mean = np.clip(total, 0, 1, out=total)
    comparisons: dict[str, list[JsonObject]] = {kind: [] for kind in KINDS_OF_TEST}
    if n_resamples:
        comparisons = _compare(files, mean, resampling, counter)
    scores = _score(files, mean, resampling, counter)
    counter.finish()
    return Evaluation(
        {
            "of": f"mean of {len(files)} files",
            **facts,
            **scores,
            **_accuracy_with_unknown(facts, scores),
            "files": by_file,
            **comparisons,
        }
    )


def _accuracy_with_unknown(facts: JsonObject, evaluation: JsonObject) -> JsonObject:
    """The accuracy if clips with unknown labels count as wrong, by name; empty without such clips."""
    name = "accuracy" if "accuracy" in evaluation["scores"] else "subset_accuracy"
    if not facts["unknown"] or name not in evaluation["scores"]:
        return {}
    n_right = evaluation["scores"][name]["value"] * evaluation["n"]
    return {"accuracy_with_unknown": n_right / (evaluation["n"] + facts["unknown"])}


def _score(
    files: PredictionFiles, probabilities: Probabilities, resampling: Resampling, counter: _StepCounter
) -> JsonObject:
    y, p, groups = files.select_scorable(probabilities)
    scores = score(
        y,
        p,
        files.classes,
        groups,
        multilabel=files.multilabel,
        resampling=resampling,
        progress=counter.part,
    )
    return scores.to_json()


def _compare(
    files: PredictionFiles, mean: Probabilities, resampling: Resampling, counter: _StepCounter
) -> dict[str, list[JsonObject]]:
    """Tests of the mean against each file: kind of test → rows."""
    tests: dict[str, list[JsonObject]] = {kind: [] for kind in KINDS_OF_TEST}
    for name, p in zip(files.names, files, strict=True):
        for kind, rows in _compare_with(files, mean, p, resampling).items():
            tests[kind] += [{"first": "mean", "second": name, **row} for row in rows]
        counter.step()
    for rows in tests.values():
        p_values = [math.nan if row["p_value"] is None else row["p_value"] for row in rows]
        for row, p_holm in zip(rows, holm(p_values), strict=True):
            row["p_holm"] = None if math.isnan(p_holm) else float(p_holm)
    return tests


def _compare_with(
    files: PredictionFiles, mean: Probabilities, single: Probabilities, resampling: Resampling
) -> dict[str, list[JsonObject]]:
    """Tests of the mean against one file: kind of test → rows without names."""
    y, fused, groups = files.select_scorable(mean)
    p = files.select_scorable(single)[1]
    multilabel = files.multilabel
    differences = metric_differences(
        y,
        fused,
        p,
        files.classes,
        groups,
        multilabel=multilabel,
        resampling=resampling,
    )
    compared = [metric for metric in COMPARED if metric in differences]
    tests = difference_tests(
        y, fused, p, files.classes, groups, multilabel=multilabel, level=resampling.level
    )
    return {
        "comparisons": [{"metric": metric, **differences[metric].to_json()} for metric in compared],
        "mcnemar": [] if tests.mcnemar is None else [dict(vars(tests.mcnemar))],
        "delong": [{"class": label, **test.difference.to_json()} for label, test in tests.delong.items()],
    }
