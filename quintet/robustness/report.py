"""Report of a stress test: accuracy, calibration and flips by disturbance, and what moves most."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quintet.datasets.labels import label_set
from quintet.evaluation.metrics import calibration_error
from quintet.evaluation.percentile_intervals import percentile_intervals, share_interval
from quintet.features.catalogue import feature_family
from quintet.files.atomic import replace_output
from quintet.files.display.notebook import notebook_html
from quintet.files.display.spreadsheets import exact_csv
from quintet.files.json_types import JsonObject
from quintet.model_folder.folder import OpenFolder
from quintet.robustness.disturbances import DISTURBANCES, UNCHANGED
from quintet.robustness.recordings import Labelled

if TYPE_CHECKING:
    import pandas as pd

    from quintet.robustness.recordings import AnyEnsemble

Floats = NDArray[np.float64]

TAG_THRESHOLD = 0.5
COLUMNS = [
    *("disturbance", "n", "flips", "flips_low", "flips_high", "accuracy", "accuracy_low", "accuracy_high"),
    *("loss", "loss_low", "loss_high", "calibration_error", "confidence", "families"),
]
SHOWN_FAMILIES = 3


@dataclass(frozen=True, eq=False)
class StressReport:
    """How the predictions of a model change if recordings are disturbed. Intervals (95 %) are by group.

    Args:
        frame: one row per disturbance: `disturbance`, `n` (recordings whose copy could be described), `flips`
            (share whose most probable class is another one; for label sets, share of the tags that are
            another answer), `accuracy` (share of right predictions, or of right answers about tags; NaN
            without labels), `loss` (of accuracy against the unchanged recordings, paired), each with `_low`
            and `_high`; `calibration_error`, `confidence` (mean probability of the answer), `families`
            (family → movement of its columns in standard deviations of the training clips, largest first).
        n_labelled: number of recordings that have a label and could be described.
        notes: what the recordings cannot tell, one sentence each.
        failures: `file`, `stage`, `reason` of each recording that could not be read.
    """

    frame: pd.DataFrame
    n_labelled: int
    notes: tuple[str, ...] = ()
    failures: tuple[JsonObject, ...] = ()

    def _repr_html_(self) -> str:
        return notebook_html(f"Stress test of {len(self.frame)} disturbances", self.frame, notes=self.notes)

    def to_json(self) -> JsonObject:
        """The rows as objects; None for NaN."""
        rows = []
        for record in self.frame.to_dict("records"):
            row = {name: None if value != value else value for name, value in record.items()}
            rows.append({**row, "words": DISTURBANCES[str(record["disturbance"])].words})
        return {
            "n_labelled": self.n_labelled,
            "disturbances": rows,
            "n_failed": len(self.failures),
            "failures": list(self.failures),
            "notes": list(self.notes),
        }


def write_stress(report: StressReport, path: str | os.PathLike[str]) -> None:
    """Write the rows as a CSV file.

    Args:
        report: the stress test.
        path: the CSV file. Its folder is made if it is missing.
    """
    frame = report.frame
    words = frame["families"].map(lambda sizes: "; ".join(f"{name} {size}" for name, size in sizes.items()))
    with replace_output(Path(path)) as file:
        file.write_text(exact_csv(frame.assign(families=words)), encoding="utf-8", newline="")


def make_report(
    model: AnyEnsemble,
    recordings: Labelled,
    probabilities: Mapping[str, Floats],
    features: Mapping[str, Floats],
) -> StressReport:
    """The report from predictions and features of copies.

    Args:
        model: the model.
        recordings: the n recordings.
        probabilities: disturbance → `(n, K)`, NaN where a copy could not be described.
        features: disturbance → `(n, d)`, NaN likewise.
    """
    import pandas as pd

    truth, is_labelled = _truth(recordings.labels, model.class_names_)
    groups = np.asarray(recordings.groups)
    base = probabilities[UNCHANGED]
    spread = _spread(model, features[UNCHANGED])
    names = list(model.bundle_["feature_names"])
    rows = []
    for name, p in probabilities.items():
        rows_read = np.isfinite(p).all(axis=1) & np.isfinite(base).all(axis=1)
        moved = _movement(features[UNCHANGED][rows_read], features[name][rows_read], spread, names)
        kept = _Kept(
            base[rows_read], p[rows_read], truth[rows_read], groups[rows_read], is_labelled[rows_read]
        )
        numbers = _numbers(kept, multilabel=model.multilabel_)
        rows.append((name, int(rows_read.sum()), *numbers, {} if name == UNCHANGED else moved))
    frame = pd.DataFrame(rows, columns=COLUMNS)
    described = np.isfinite(base).all(axis=1)
    return StressReport(frame, int((is_labelled & described).sum()), recordings.notes)


@dataclass(frozen=True)
class _Kept:
    """Recordings that could be described, unchanged and disturbed.

    Args:
        base: probabilities `(n, K)` of the unchanged recordings.
        p: probabilities `(n, K)` of the copies.
        truth: classes or tags of each recording, `(n, K)`.
        groups: group of each, `(n,)`.
        is_labelled: whether its label is known, `(n,)`.
    """

    base: Floats
    p: Floats
    truth: NDArray[np.bool_]
    groups: NDArray[np.str_]
    is_labelled: NDArray[np.bool_]


def _numbers(kept: _Kept, *, multilabel: bool) -> tuple[float, ...]:
    """The numbers of a row, from `flips` to `confidence`."""
    before, after = (_answers(p, multilabel=multilabel) for p in (kept.base, kept.p))
    if multilabel:
        flips = (before != after).mean(axis=1)
    else:
        flips = (before != after).any(axis=1).astype(float)
    rows = kept.is_labelled
    groups, truth = kept.groups[rows], kept.truth[rows]
    right = [_right(answers[rows], truth, multilabel=multilabel) for answers in (before, after)]
    accuracy, loss, error = ((np.nan,) * 3, (np.nan,) * 3, np.nan)
    if rows.any():
        accuracy = _share(right[1], groups, multilabel=multilabel)
        loss = _mean(right[0] - right[1], groups)
        error = _calibration_error(kept.p[rows], truth, multilabel=multilabel)
    confidence = np.maximum(kept.p, 1 - kept.p).mean() if multilabel else kept.p.max(axis=1, initial=0).mean()
    return (*_share(flips, kept.groups, multilabel=multilabel), *accuracy, *loss, error, float(confidence))


def _answers(p: Floats, *, multilabel: bool) -> NDArray[np.bool_]:
    """The answer of each recording, `(n, K)`: its most probable class, or its tags."""
    if multilabel:
        return np.asarray(p >= TAG_THRESHOLD)
    return np.asarray(np.arange(p.shape[1]) == p.argmax(axis=1)[:, None])


def _right(answers: NDArray[np.bool_], truth: NDArray[np.bool_], *, multilabel: bool) -> Floats:
    """1 for a right class and 0 for a wrong one; for label sets the share of right answers, `(n,)`."""
    if multilabel:
        return np.asarray((answers == truth).mean(axis=1))
    return np.asarray((answers & truth).any(axis=1), dtype=np.float64)


def _share(values: Floats, groups: NDArray[np.str_], *, multilabel: bool) -> tuple[float, float, float]:
    """Mean of shares with its interval; NaN without recordings."""
    if not len(values):
        return (np.nan,) * 3
    if multilabel:
        return _mean(values, groups)
    return float(values.mean()), *share_interval(values > 0.5, groups)


def _mean(values: Floats, groups: NDArray[np.str_]) -> tuple[float, float, float]:
    """Mean with its percentile interval by group."""
    low, high = percentile_intervals(values[:, None], groups)
    return float(values.mean()), float(low[0]), float(high[0])


def _calibration_error(p: Floats, truth: NDArray[np.bool_], *, multilabel: bool) -> float:
    if multilabel:
        return float(calibration_error(truth.ravel(), p.ravel()))
    top = p.argmax(axis=1)
    return float(calibration_error(truth[np.arange(len(p)), top], p.max(axis=1)))


def _truth(labels: list[str | None], classes: tuple[str, ...]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Classes of each recording `(n, K)`, and whether its label is known `(n,)`."""
    place = {name: k for k, name in enumerate(classes)}
    truth = np.zeros((len(labels), len(classes)), dtype=bool)
    known = np.zeros(len(labels), dtype=bool)
    for row, label in enumerate(labels):
        tags = () if label is None else label_set(label)
        known[row] = label is not None and all(tag in place for tag in tags)
        for tag in tags:
            if tag in place:
                truth[row, place[tag]] = True
    return truth, known


def _spread(model: AnyEnsemble, base: Floats) -> Floats:
    """Standard deviation of each column among the training clips, `(d,)`; NaN where it is constant."""
    if model.files_ is None:
        values = base
    else:
        folder = OpenFolder(model.bundle_, model.files_)
        values = folder.read_frame("features.parquet", model.bundle_["feature_names"]).to_numpy(np.float64)
    values = np.where(np.isfinite(values), values, np.nan)
    known = np.isfinite(values).any(axis=0)
    deviation = np.full(values.shape[1], np.nan)
    deviation[known] = np.nanstd(values[:, known], axis=0)
    return np.where(deviation > 0, deviation, np.nan)


def _movement(before: Floats, after: Floats, spread: Floats, names: list[str]) -> dict[str, float]:
    """Family → root mean square movement of its columns in standard deviations, largest first.

    A column counts at most 8 deviations, so that one column does not decide.
    """
    if not len(before):
        return {}
    moved = np.clip(np.abs(after - before) / spread, 0, 8.0) ** 2
    families = np.array([feature_family(name) for name in names])
    sizes = {}
    for family in dict.fromkeys(families.tolist()):
        own = moved[:, families == family]
        if np.isfinite(own).any():
            sizes[family] = round(float(np.sqrt(np.nanmean(own))), 3)
    return dict(sorted(sizes.items(), key=lambda item: -item[1]))
