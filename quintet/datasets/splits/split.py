"""A split on disk and in hand: written once with a digest, checked ever after."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from quintet.datasets.groups import require_disjoint
from quintet.errors import ArtefactError, DatasetError
from quintet.files.atomic import atomic_replace

Positions = NDArray[np.intp]
COLUMNS = ("id", "label", "group", "part", "fold")
PARTS = ("train", "test", "unused")
SCHEMA = "1"


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Part and fold of every clip.

    Args:
        frame: columns `id, label, group, part, fold`; `part` is `train`, `test` or `unused`; `fold` counts from 0 in the training
            part and is -1 outside it.
        protocol: how it was made (`group`, `random`, `given`).
        seed: the seed it was made with.
        grouped: whether groups are known and were respected. Scores of an ungrouped split are stamped so.

    Raises:
        DatasetError: for other columns, parts or folds than these, or an id that stands there twice.
        SplitLeakError: if `grouped` and a group crosses parts or folds.
    """

    frame: pd.DataFrame
    protocol: str
    seed: int
    grouped: bool = False

    def __post_init__(self) -> None:
        if tuple(self.frame.columns) != COLUMNS:
            raise DatasetError(
                f"A split must have the columns {', '.join(COLUMNS)}. Received {', '.join(map(str, self.frame.columns))}."
            )
        if not self.frame["id"].is_unique:
            raise DatasetError(
                f"An id must stand once in a split. '{self.frame.loc[self.frame['id'].duplicated(), 'id'].iloc[0]}' stands there twice."
            )
        if (
            not self.frame["part"].isin(PARTS).all()
            or not ((self.frame["fold"] >= 0) == (self.frame["part"] == "train")).all()
        ):
            raise DatasetError(
                f"Every clip of a split must be in one of {', '.join(PARTS)}, with a fold in the training part only."
            )
        if self.grouped:
            group = self.frame["group"].to_numpy()
            require_disjoint(group[self.train], group[self.test], where="the training and the test part")
            for k, (train, valid) in enumerate(self.folds()):
                require_disjoint(group[train], group[valid], where=f"the two sides of fold {k}")

    @property
    def train(self) -> Positions:
        """Positions of the training part (all folds)."""
        return np.flatnonzero(self.frame["part"] == "train")

    @property
    def test(self) -> Positions:
        """Positions of the test part; empty if there is none."""
        return np.flatnonzero(self.frame["part"] == "test")

    @property
    def valid(self) -> Positions:
        """Positions of fold 0: under the protocol `given`, the data's own validation part if they have one."""
        return np.flatnonzero(self.frame["fold"] == 0)

    @property
    def n_folds(self) -> int:
        """The number of folds."""
        return int(self.frame["fold"].max()) + 1

    def folds(self) -> list[tuple[Positions, Positions]]:
        """`(train, valid)` positions in `frame`, one pair per fold; every training clip is in exactly one `valid`."""
        fold = self.frame["fold"].to_numpy()
        return [
            (np.flatnonzero((fold >= 0) & (fold != k)), np.flatnonzero(fold == k))
            for k in range(self.n_folds)
        ]

    def training_folds(self) -> list[tuple[Positions, Positions]]:
        """The folds as positions within the training part: `(train, valid)` index arrays of `self.train` have the same order."""
        rows = self.train
        return [(np.searchsorted(rows, train), np.searchsorted(rows, valid)) for train, valid in self.folds()]

    @property
    def digest(self) -> str:
        """16 hex digits that change with any clip's place, label or group, and not with the order of rows."""
        rows = self.frame.sort_values("id").astype("str")[list(COLUMNS)].to_numpy().tolist()
        text = repr((SCHEMA, self.protocol, int(self.seed), bool(self.grouped), rows))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def write(self, path: Path | str) -> None:
        """Writes the split as parquet with its digest: the whole file or nothing."""
        table = pa.Table.from_pandas(self.frame, preserve_index=False)
        about = {
            "schema": SCHEMA,
            "protocol": self.protocol,
            "seed": str(self.seed),
            "grouped": str(int(self.grouped)),
            "digest": self.digest,
        }
        table = table.replace_schema_metadata(
            {
                **(table.schema.metadata or {}),
                **{f"quintet.split.{key}": value for key, value in about.items()},
            }
        )
        with atomic_replace(Path(path)) as temporary:
            pq.write_table(table, temporary)

    @classmethod
    def read(cls, path: Path | str) -> Split:
        """The split in a file that `write` made.

        Raises:
            ArtefactError: if the file is missing, is no split, is of another version, or does not match its digest.
        """
        try:
            table = pq.read_table(path)
        except (OSError, pa.ArrowException) as error:
            raise ArtefactError(
                f"A split must be a parquet file that Quintet wrote. '{path}' cannot be read: {error}."
            ) from error
        about = {
            key.decode(): value.decode()
            for key, value in (table.schema.metadata or {}).items()
            if key.startswith(b"quintet.split.")
        }
        about = {key.removeprefix("quintet.split."): value for key, value in about.items()}
        if about.get("schema") != SCHEMA:
            raise ArtefactError(
                f"A split must be of version {SCHEMA}. '{path}' is of version {about.get('schema', 'none')}: make it again."
            )
        split = cls(table.to_pandas(), about["protocol"], int(about["seed"]), grouped=about["grouped"] == "1")
        if split.digest != about["digest"]:
            raise ArtefactError(
                f"A split must be as it was written (digest {about['digest']}). '{path}' was changed (digest {split.digest})."
            )
        return split
