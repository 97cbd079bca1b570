"""Drift of the files that are predicted: their mean features against the clips of the training run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quintet.inference.drift.two_sample import ALL, LEAST_NEW, Drift, find_drift
from quintet.model_folder.folder import OpenFolder

if TYPE_CHECKING:
    import pyarrow as pa

    from quintet.features.extraction.segments import FileRows, FileTask
    from quintet.files.json_types import JsonObject
    from quintet.inference.predictor import Predictor

Floats = NDArray[np.float64]

SHOWN = 4
"""Families that the sentence names."""


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


def drift_of(predictor: Predictor, features: Sequence[Floats]) -> Drift | None:
    """Drift of new files.

    Args:
        predictor: the model.
        features: mean features of each file that is no clip of the training, with the columns of the model.

    Returns:
        None for few files, for a model without a folder, or for a training with few groups.
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
    return find_drift(training, groups, np.stack(list(features)), names)


def training_clips(table: pa.Table, names: list[str]) -> tuple[Floats, NDArray[np.str_]]:
    """Features `(n, d)`, NaN where unknown, and group of each clip: its id, where it has none.

    Arrow makes a tensor here, because its other ways to NumPy import pandas, which takes .3 s.
    """
    (batch,) = table.select(names).combine_chunks().to_batches()
    values = batch.to_tensor(null_to_nan=True, row_major=False).to_numpy()
    pairs = zip(table.column("group").to_pylist(), table.column("id").to_pylist(), strict=True)
    return values, np.array([str(id if group is None else group) for group, id in pairs])


def drift_sentence(drift: Drift) -> str | None:
    """What the test says, in one or two sentences; None if the files are like the training clips."""
    if not drift.unlike:
        return None
    families = [shift for shift in drift.unlike if shift.family != ALL]
    named = ", ".join(f"{shift.family} {shift.ratio:.1f}" for shift in families[:SHOWN])
    more = f" and {len(families) - SHOWN} more" if len(families) > SHOWN else ""
    by_family = f" By feature family: {named}{more}." if named else ""
    whole = next((shift for shift in drift.shifts if shift.family == ALL), None)
    size = "" if whole is None else f" ({whole.ratio:.1f} times the usual distance)"
    return (
        f"The {drift.n_new} new files as a whole are unlike the training clips{size}: expect lower accuracy "
        f"than the scores of the model.{by_family}"
    )


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
