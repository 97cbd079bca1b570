"""Drift of the files or rows that are predicted: their features against the clips of the training run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quintet.inference.drift.two_sample import ALL, LEAST_NEW, Drift, draw_new, find_drift
from quintet.model_folder.folder import OpenFolder

if TYPE_CHECKING:
    import pyarrow as pa

    from quintet.features.extraction.segments import FileRows, FileTask
    from quintet.files.json_types import JsonObject
    from quintet.inference.predictor import Predictor
    from quintet.inference.result import PredictionResult

Floats = NDArray[np.float64]

SHOWN = 5
"""Distances that the sentence names: over all columns, and by feature family."""


class FileFeatures:
    """Mean features of files, collected while they are described.

    Args:
        columns: positions of the columns of the model among the features.
    """

    def __init__(self, columns: NDArray[np.intp]) -> None:
        self.columns = columns
        self.by_file: dict[str, Floats] = {}

    def add(self, described: Sequence[tuple[FileTask, FileRows]]) -> None:
        """Add files that are described; one without a usable segment adds nothing."""
        for task, found in described:
            values = [row.values for row in found.rows if row.values is not None]
            if values:
                means = np.asarray(np.stack(values).mean(axis=0), dtype=np.float64)
                self.by_file[task.name] = means[self.columns]


def with_drift(
    result: PredictionResult,
    predictor: Predictor,
    read: Callable[[list[str]], Sequence[Floats]],
    *,
    noun: str = "files",
) -> PredictionResult:
    """The result with the comparison of what is new with the training clips, if there is enough.

    Args:
        result: predictions of files, or of the rows of a table.
        predictor: the model.
        read: mean features of files with these names, or of rows with these ids, with the columns of the
            model.
        noun: what they are.
    """
    frame = result.columns("frame")
    new = [name for name, known in zip(frame["file"], frame["known_id"], strict=True) if known is None]
    if len(new) < LEAST_NEW:
        return result
    drift = drift_of(predictor, read(draw_new(new)), n_new=len(new))
    if drift is None:
        return result
    sentence = drift_sentence(drift, f"new {noun}")
    notes = result.notes if sentence is None else (*result.notes, sentence)
    return result.with_drift(drift_json(drift), notes)


def drift_of(predictor: Predictor, features: Sequence[Floats], *, n_new: int | None = None) -> Drift | None:
    """Drift of new clips.

    Args:
        predictor: the model.
        features: mean features of clips that are none of the training, with the columns of the model.
        n_new: number of new clips, if these were drawn from them.

    Returns:
        None for few clips, for a model without a folder, or for a training with few groups.
    """
    model = predictor.model
    if len(features) < LEAST_NEW or model.files_ is None:
        return None
    names = list(model.bundle_["feature_names"])
    folder = OpenFolder(model.bundle_, model.files_)
    if not names or "features.parquet" not in model.files_:
        return None
    columns = ["id", "group", *names]
    training, groups = folder.read_table(
        "features.parquet", columns, lambda table: training_clips(table, names)
    )
    return find_drift(training, groups, np.stack(list(features)), names, n_new=n_new)


def training_clips(table: pa.Table, names: list[str]) -> tuple[Floats, NDArray[np.str_]]:
    """Features `(n, d)`, NaN where unknown, and group of each clip: its id, where it has none.

    Arrow makes a tensor here, because its other ways to NumPy import pandas, which takes .3 s.
    """
    (batch,) = table.select(names).combine_chunks().to_batches()
    values = batch.to_tensor(null_to_nan=True, row_major=False).to_numpy()
    pairs = zip(table.column("group").to_pylist(), table.column("id").to_pylist(), strict=True)
    return values, np.array([str(id if group is None else group) for group, id in pairs])


def drift_sentence(drift: Drift, noun: str) -> str | None:
    """What the test says, in a sentence; None if the new clips are like the training clips.

    Args:
        drift: the test.
        noun: what the new clips are: `new files`.
    """
    if not drift.unlike:
        return None
    shown = drift.unlike[:SHOWN]
    found = [f"{_times(shift.ratio)} {_place(shift.family)}" for shift in shown]
    n_more = len(drift.unlike) - len(shown)
    if n_more:
        found.append(f"and in {n_more} other {'families' if n_more > 1 else 'family'}")
    ratio, place = found[0].split(" ", 1)
    sizes = ", ".join([f"{ratio} times the usual distance {place}", *found[1:]])
    return (
        f"As a whole, the {drift.n_new:,} {noun} are unlike the training clips ({sizes}): "
        "expect lower accuracy than the scores of the model."
    )


def _times(ratio: float) -> str:
    """A ratio in as many digits as say something."""
    return f"{ratio:.2f}" if ratio < 2 else f"{ratio:.1f}" if ratio < 100 else f"{ratio:,.0f}"


def _place(family: str) -> str:
    """Where the distances are measured."""
    return "over all columns" if family == ALL else f"in {family}"


def drift_json(drift: Drift) -> JsonObject:
    """The tests as JSON."""
    shifts = [
        {
            "family": shift.family,
            "ratio": round(shift.ratio, 3),
            "p": shift.p_value,
            "unlike": shift.is_unlike,
        }
        for shift in drift.shifts
    ]
    return {"n": drift.n_new, "n_groups": drift.n_groups, "unlike": bool(drift.unlike), "families": shifts}
