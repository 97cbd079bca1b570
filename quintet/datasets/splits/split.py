"""Split of a run: part and fold of every clip, written once with a digest that every reading checks."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quintet.datasets.groups import require_disjoint
from quintet.errors import ArtefactError, DatasetError, QuintetError
from quintet.files.atomic import atomic_replace
from quintet.files.untrusted.reasons import reason

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Positions = NDArray[np.intp]
COLUMNS = ("id", "label", "group", "part", "fold")
PARTS = ("train", "test", "unused")
SCHEMA = "1"
PREFIX = "quintet.split."  # of our keys in the metadata of the parquet file


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Part and fold of every clip.

    Args:
        frame: columns `id, label, group, part, fold`. `part` is `train`, `test` or `unused`. `fold` counts
            from 0 in the training part and is -1 outside it. If the data bring a validation part, that is
            fold 0, and the rest of the training part, which no fold holds out, has -1.
        protocol: protocol that made it (`group`, `sound`, `random`, `given`).
        seed: seed that it was made with.
        grouped: whether groups are known and were kept whole. Scores of an ungrouped split are marked.

    Raises:
        DatasetError: if the columns, parts or folds are others, or an id occurs twice.
        SplitLeakError: if `grouped` and a group crosses parts or folds.
    """

    frame: pd.DataFrame
    protocol: str
    seed: int
    grouped: bool = False

    def __post_init__(self) -> None:
        self._require_valid_frame()
        if self.grouped:
            self._require_whole_groups()

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
        """Positions of fold 0. Under the protocol `given`: the data's own validation part, if it has one."""
        return np.flatnonzero(self.frame["fold"] == 0)

    @property
    def has_validation_part(self) -> bool:
        """Whether the data bring a validation part: then one fold holds it out, and no other clip."""
        return self.n_folds == 1

    @property
    def n_folds(self) -> int:
        """Number of folds; 1 if the data bring a validation part."""
        return int(self.frame["fold"].max()) + 1

    def folds(self) -> list[tuple[Positions, Positions]]:
        """`(train, valid)` positions in `frame` per fold.

        A training clip is in exactly one `valid`. If the data bring a validation part, there is one fold, and
        the clips of its `train` are in no `valid`.
        """
        fold = self.frame["fold"].to_numpy()
        in_training = (self.frame["part"] == "train").to_numpy()
        pairs = []
        for k in range(self.n_folds):
            train = np.flatnonzero(in_training & (fold != k))
            valid = np.flatnonzero(fold == k)
            pairs.append((train, valid))
        return pairs

    def training_folds(self) -> list[tuple[Positions, Positions]]:
        """The same folds as positions within the training part, in the order of `self.train`."""
        rows = self.train
        return [(np.searchsorted(rows, train), np.searchsorted(rows, valid)) for train, valid in self.folds()]

    @property
    def digest(self) -> str:
        """16 hex digits that depend on the part, label and group of every clip, not on the order of rows."""
        by_id = self.frame.sort_values("id").astype("str")
        rows = by_id[list(COLUMNS)].to_numpy().tolist()
        content = (SCHEMA, self.protocol, int(self.seed), bool(self.grouped), rows)
        text = repr(content)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def write(self, path: Path | str) -> None:
        """Write the split as parquet with its digest. The file appears complete or not at all."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.Table.from_pandas(self.frame, preserve_index=False)
        about = {
            "schema": SCHEMA,
            "protocol": self.protocol,
            "seed": str(self.seed),
            "grouped": str(int(self.grouped)),
            "digest": self.digest,
        }
        prefixed = {f"{PREFIX}{key}": value for key, value in about.items()}
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), **prefixed})
        with atomic_replace(Path(path)) as temporary:
            pq.write_table(table, temporary)

    @classmethod
    def read(cls, path: Path | str) -> Split:
        """Read a split that `write` made.

        Raises:
            ArtefactError: if the file is missing, is no split, has another version, or does not match its
                digest.
        """
        from quintet.files.untrusted.parquet import PARQUET_ERRORS, read_parquet

        try:
            table = read_parquet(Path(path))
            about = _own_metadata(table.schema)
        except ArtefactError:
            raise
        except PARQUET_ERRORS as error:
            raise _unreadable(path, error) from error
        version = about.get("schema", "none")
        if version != SCHEMA:
            raise ArtefactError(
                f"A split must be of version {SCHEMA}. '{path}' is of version {version}: make it again."
            )
        try:
            frame = table.to_pandas(ignore_metadata=True).astype(
                {"id": "str", "part": "str", "fold": "int64"}
            )
            split = cls(frame, about["protocol"], int(about["seed"]), grouped=about["grouped"] == "1")
        except QuintetError:
            raise
        except PARQUET_ERRORS as error:
            raise _unreadable(path, error) from error
        if split.digest != about.get("digest"):
            raise ArtefactError(
                f"A split must be as it was written (digest {about.get('digest')}). "
                f"'{path}' was changed (digest {split.digest})."
            )
        return split

    def _require_valid_frame(self) -> None:
        columns = tuple(self.frame.columns)
        if columns != COLUMNS:
            raise DatasetError(
                f"A split must have the columns {', '.join(COLUMNS)}. "
                f"Received {', '.join(map(str, columns))}."
            )
        repeated = self.frame.loc[self.frame["id"].duplicated(), "id"]
        if len(repeated):
            raise DatasetError(f"An id must stand once in a split. '{repeated.iloc[0]}' stands there twice.")
        has_known_part = self.frame["part"].isin(PARTS)
        has_fold = self.frame["fold"] >= 0
        in_training = self.frame["part"] == "train"
        has_right_fold = bool((has_fold == in_training).all())
        if self.n_folds == 1:
            has_right_fold = bool((in_training | ~has_fold).all() and (in_training & ~has_fold).any())
        if not has_known_part.all() or not has_right_fold:
            raise DatasetError(
                f"Every clip of a split must be in one of {', '.join(PARTS)}, "
                "with a fold in the training part only. A single fold must leave clips to fit on."
            )

    def _require_whole_groups(self) -> None:
        group = self.frame["group"].to_numpy()
        train, test = self.train, self.test
        require_disjoint(group[train], group[test], where="the training and the test part")
        for k, (train, valid) in enumerate(self.folds()):
            require_disjoint(group[train], group[valid], where=f"the two sides of fold {k}")


def _own_metadata(schema: pa.Schema) -> dict[str, str]:
    """Metadata of the parquet file that `Split.write` added, without the prefix of the keys."""
    about = {}
    for key, value in (schema.metadata or {}).items():
        name = key.decode()
        if name.startswith(PREFIX):
            about[name.removeprefix(PREFIX)] = value.decode()
    return about


def _unreadable(path: Path | str, error: Exception) -> ArtefactError:
    return ArtefactError(
        f"A split must be a parquet file that Quintet wrote. '{path}' cannot be read ({reason(error)})."
    )
