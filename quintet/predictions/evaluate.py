"""Files of predictions from anywhere, fused and evaluated: what `quintet fuse` and `quintet evaluate` do.

Probabilities are read file after file, so that ten large files need the memory of three.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.ensemble.fusion import RULES, Fusion
from quintet.errors import AlignmentError, ArtefactError, ConfigError, DatasetError
from quintet.evaluation.comparisons import holm, paired_differences, paired_tests
from quintet.evaluation.intervals import group_codes
from quintet.evaluation.metrics import encoded
from quintet.evaluation.scores import score
from quintet.predictions.predictions import Predictions, align, class_order, read_keys, read_probabilities

FILE_RULES = tuple(name for name, rule in RULES.items() if not rule.learnt)
COMPARED = ("accuracy", "subset_accuracy", "macro_auc", "log_loss")


@dataclass(frozen=True)
class FuseSummary:
    """What `fuse_files` did: clips written, clips that only some files had, and the weight of each file."""

    output: Path
    n: int
    left_out: int
    rule: str
    weights: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        return {"output": str(self.output), "n": self.n, "left_out": self.left_out, "rule": self.rule, "weights": self.weights}


class PredictionFiles:
    """Several files of predictions of the same clips: ids, labels and groups are joined at once, probabilities are read when asked for.

    Args:
        paths: one or more files; `names` are their stems, or as much of the path as tells them apart.
        intersection: leave out the clips that only some have (`left_out` counts them) instead of refusing.

    Raises:
        AlignmentError, ArtefactError, DatasetError: as `align` and `read_predictions`.
    """

    def __init__(self, paths: Sequence[str | Path], *, intersection: bool = False) -> None:
        if not paths:
            raise AlignmentError("At least one file of predictions must be given. Received none. Name one or more.")
        self.paths = [Path(path) for path in paths]
        self.names = _names(self.paths)
        keys, classes = zip(*read_keys(self.paths), strict=True)
        joined = align(keys, intersection=intersection)
        self.classes: tuple[str, ...] = classes[0]
        self.left_out = joined.left_out
        self._keys: Predictions = joined[0]
        self.ungrouped = any(own.ungrouped for own in keys)
        self._sources = [
            (own.clip_ids, _positions(own.clip_ids, self._keys.clip_ids), class_order(self.classes, names))
            for own, names in zip(keys, classes, strict=True)
        ]

    @property
    def n(self) -> int:
        """The number of clips."""
        return len(self._keys)

    @property
    def multilabel(self) -> bool:
        """Whether the files hold label sets."""
        return self._keys.multilabel

    def describe(self) -> dict[str, Any]:
        """What there is besides probabilities, for JSON."""
        labels = self._keys.labels
        return {
            "classes": list(self.classes),
            "grouped": self._keys.groups is not None,
            "ungrouped_split": self.ungrouped,
            "left_out": self.left_out,
            "unlabelled": self.n if labels is None else sum(label is None for label in labels),
            "unknown_labels": self._labelled.unknown_labels,
        }

    @cached_property
    def _labelled(self) -> Predictions:
        nothing = np.full(len(self.classes), 1 / len(self.classes), dtype=np.float32)
        return self.predictions(np.broadcast_to(nothing, (self.n, len(self.classes))))

    @cached_property
    def _truth(self) -> tuple[NDArray[Any] | None, NDArray[Any], NDArray[Any] | None]:
        """The rows that can be scored (None: all), their labels, and the numbers of their groups: encoded once for all files."""
        known = self._labelled
        rows = known.scorable
        if known.labels is None or not rows.any():
            raise DatasetError(
                f"To be scored, clips must have a label among the classes ({', '.join(self.classes[:6])}, …). None of the {self.n} has one. "
                "Add a column `label` (or `labels`)."
            )
        groups = None if known.groups is None else group_codes(known.groups[rows], int(rows.sum()))[0]
        labels = known.labels[rows]
        y = encoded(labels, self.classes, multilabel=True) if self.multilabel else labels
        return (None if rows.all() else np.flatnonzero(rows)), y, groups

    def judged(self, probabilities: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]:
        """Labels (of sets: the indicator), probabilities and groups of the clips that can be scored.

        Raises:
            DatasetError: no clip has a label that is one of the classes.
        """
        rows, y, groups = self._truth
        return y, probabilities if rows is None else probabilities[rows], groups

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """The probabilities (n, K) of each file in turn, clips and classes in one order; the next one is read while this one is looked at."""
        with ThreadPoolExecutor(1) as pool:
            ahead = pool.submit(self.read, 0)
            for i in range(1, len(self) + 1):
                here = ahead.result()
                if i < len(self):
                    ahead = pool.submit(self.read, i)
                yield here

    def read(self, i: int) -> NDArray[Any]:
        """(n, K) of the i-th file."""
        ids, rows, columns = self._sources[i]
        values = read_probabilities(self.paths[i], ids, multilabel=self._keys.multilabel)
        values = values if rows is None else values[rows]
        return values if bool((columns == np.arange(len(columns))).all()) else values[:, columns]

    def predictions(self, probabilities: NDArray[Any]) -> Predictions:
        """These probabilities with the files' ids, labels and groups."""
        keys = self._keys
        return Predictions(keys.clip_ids, self.classes, probabilities, keys.labels, keys.groups, keys.multilabel, self.ungrouped)


def fuse_files(paths: Sequence[str | Path], output: str | Path, *, rule: str = "mean", intersection: bool = False) -> FuseSummary:
    """One file of predictions out of several.

    Args:
        paths: parquet or CSV, joined by clip id.
        output: `.parquet` or `.csv`.
        rule: `mean`, `geometric`, or a TOML file with a table `[weights]` of one number per file (by its name without the ending), and
            optionally `rule = "weighted"` (the default) or `"geometric"`. Weights are divided by their sum.

    Raises:
        ConfigError: a rule that needs labels, weights that do not fit the files, or an output that is one of them.

    Example (weights.toml):
        rule = "geometric"
        [weights]
        vgg = 2
        xgboost = 1
    """
    if Path(output).resolve() in {Path(path).resolve() for path in paths}:
        raise ConfigError(f"The fused predictions must not replace what they are made of. '{output}' is one of the files: choose another name.")
    files = PredictionFiles(paths, intersection=intersection)
    name, weights = (rule, [1 / len(files)] * len(files)) if rule in FILE_RULES else _weights(Path(rule), files.names)
    fusion = Fusion(name, tuple(files.names), files.classes, tuple(weights), None, files.multilabel)
    files.predictions(fusion.apply(files)).write(output)
    return FuseSummary(Path(output), files.n, files.left_out, name, dict(zip(files.names, weights, strict=True)))


def evaluate_files(
    paths: Sequence[str | Path], *, intersection: bool = False, seed: int = 0, n_resamples: int = 1000, level: float = 0.95
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
    comparisons = _comparisons(files, mean, settings) if n_resamples else {key: [] for key in ("comparisons", "mcnemar", "delong")}
    return {"of": f"mean of {len(files)} files", **about, **_scores(files, mean, settings), "files": found, **comparisons}


def _scores(files: PredictionFiles, probabilities: NDArray[Any], settings: dict[str, Any]) -> dict[str, Any]:
    y, p, groups = files.judged(probabilities)
    return score(y, p, files.classes, groups, multilabel=files.multilabel, **settings).to_json()


def _comparisons(files: PredictionFiles, mean: NDArray[Any], settings: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The mean against each file, in three ways."""
    y, fused, groups = files.judged(mean)
    shared: dict[str, Any] = {"multilabel": files.multilabel, "level": settings["level"]}
    found: dict[str, list[dict[str, Any]]] = {"comparisons": [], "mcnemar": [], "delong": []}
    for name, p in zip(files.names, files, strict=True):
        own, pair = files.judged(p)[1], {"first": "mean", "second": name}
        differences = paired_differences(y, fused, own, files.classes, groups, **{**settings, **shared})
        found["comparisons"] += [{**pair, "metric": metric, **differences[metric].to_json()} for metric in COMPARED if metric in differences]
        tests = paired_tests(y, fused, own, files.classes, groups, **shared)
        found["mcnemar"] += [] if tests.mcnemar is None else [{**pair, **vars(tests.mcnemar)}]
        found["delong"] += [{**pair, "class": label, **test.difference.to_json()} for label, test in tests.delong.items()]
    for rows in found.values():
        corrected = holm([math.nan if row["p_value"] is None else row["p_value"] for row in rows])
        for row, p_holm in zip(rows, corrected, strict=True):
            row["p_holm"] = None if math.isnan(p_holm) else float(p_holm)
    return found


def _weights(path: Path, names: Sequence[str]) -> tuple[str, list[float]]:
    if path.suffix.lower() != ".toml":
        raise ConfigError(f"The rule must be one of {', '.join(FILE_RULES)}, or a file of weights (.toml). Received '{path}'. Choose one of these.")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ArtefactError(f"A file of weights must exist. There is none at '{path}'. Check the name.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ArtefactError(f"'{path}' must be TOML. It cannot be read: {error}. Correct it.") from error
    table, rule = content.get("weights"), content.get("rule", "weighted")
    if rule not in ("weighted", "geometric") or not isinstance(table, dict):
        raise ConfigError(f"'{path}' must have a table [weights], and `rule` weighted or geometric. Received {sorted(content)}, {rule!r}.")
    extra, lacking = sorted(set(table) - set(names)), sorted(set(names) - set(table))
    if extra or lacking:
        raise ConfigError(f"'{path}' must give one weight to each of: {', '.join(names)}. It lacks {lacking} and has also {extra}. Correct it.")
    weights = [table[name] for name in names]
    if not all(isinstance(w, (int, float)) and not isinstance(w, bool) and math.isfinite(w) and w >= 0 for w in weights) or sum(weights) <= 0:
        raise ConfigError(f"The weights in '{path}' must be numbers, none negative, not all zero. Received {weights}. Correct them.")
    return rule, [float(w / sum(weights)) for w in weights]


def _names(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths, without suffix, that tell them apart; a path given twice is refused."""
    if len({path.resolve() for path in paths}) < len(paths):
        raise AlignmentError("Each file of predictions must be given once. Received one twice. Drop one of them.")
    for depth in range(1, 1 + max(len(path.parts) for path in paths)):
        names = ["/".join(path.with_suffix("").parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def _positions(own: NDArray[Any], wanted: NDArray[Any]) -> NDArray[np.int64] | None:
    if own is wanted or (len(own) == len(wanted) and bool((own == wanted).all())):
        return None
    row = {name: i for i, name in enumerate(own)}
    return np.array([row[name] for name in wanted], dtype=np.int64)
