"""Features of the songs of a library: parquet parts that only grow, with one row per sound.

A part has the column `audio_digest` and one float32 column per feature. A scan adds a part every few seconds,
so that an interruption loses little, and joins many small parts to one. `pandas.read_parquet` reads the
folder as one table.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from quintet.errors import ArtefactError
from quintet.features.storage.table import METADATA_KEY
from quintet.files.atomic import atomic_replace
from quintet.files.untrusted.parquet import PARQUET_ERRORS, open_parquet, read_parquet

DIGEST = "audio_digest"
SMALL_ROWS = 2000
"""A part of fewer rows is small."""
MOST_SMALL = 24
"""So many small parts are joined."""

_NAME = re.compile(r"part-(\d{6})\.parquet")


@dataclass
class FeatureParts:
    """The folder of the parts. Only the holder of the library's lock writes it.

    Args:
        folder: the folder.
        names: names of the features, in order.
        parameter_hash: of the feature parameters. Parts with another hash are left out.
        metadata: further facts for the metadata of a part.
    """

    folder: Path
    names: tuple[str, ...]
    parameter_hash: str
    metadata: dict[str, object] = field(default_factory=dict)

    def files(self) -> list[Path]:
        """The parts with these parameters, the oldest first.

        Raises:
            ArtefactError: a part is damaged.
        """
        if not self.folder.is_dir():
            return []
        found = sorted(path for path in self.folder.iterdir() if _NAME.fullmatch(path.name))
        return [path for path in found if _parameter_hash(path) == self.parameter_hash]

    def digests(self) -> set[str]:
        """Digests of the sounds that have features."""
        found: set[str] = set()
        for path in self.files():
            found.update(_read(path, [DIGEST]).column(DIGEST).to_pylist())
        return found

    def add(self, digests: Sequence[str], values: NDArray[np.float32]) -> None:
        """Write one more part.

        Args:
            digests: digests of sounds, length n.
            values: their features `(n, d)`.
        """
        if not len(digests):
            return
        self._write(self._next_name(), digests, values)
        small = [path for path in self.files() if pq.read_metadata(path).num_rows < SMALL_ROWS]
        if len(small) >= MOST_SMALL:
            self._join(small)

    def blocks(self, columns: Sequence[str] | None = None) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
        """Digests and features of each part, the newest part first. A digest may come again in an older one.

        Args:
            columns: names of the features to read. Default: all.
        """
        names = list(self.names if columns is None else columns)
        for path in reversed(self.files()):
            table = _read(path, [DIGEST, *names])
            values = np.empty((table.num_rows, len(names)), np.float32)
            for k, name in enumerate(names):
                values[:, k] = table.column(name).to_numpy()
            yield table.column(DIGEST).to_pylist(), values

    def read(self, digests: Sequence[str], columns: Sequence[str] | None = None) -> NDArray[np.float32]:
        """Features of sounds `(n, d)`; NaN for a sound without features.

        Args:
            digests: digests of sounds, length n.
            columns: names of the features. Default: all.
        """
        place = {digest: k for k, digest in enumerate(dict.fromkeys(digests))}
        names = self.names if columns is None else columns
        unique = np.full((len(place), len(names)), np.nan, np.float32)
        is_open = np.ones(len(place), bool)
        for found, values in self.blocks(columns):
            pairs = [(place[d], k) for k, d in enumerate(found) if d in place and is_open[place[d]]]
            if pairs:
                targets, sources = np.array(pairs).T
                unique[targets] = values[sources]
                is_open[targets] = False
            if not is_open.any():
                break
        return unique[[place[digest] for digest in digests]] if len(digests) else unique

    def remove_others(self) -> None:
        """Remove the parts with other parameters."""
        kept = set(self.files())
        for path in list(self.folder.glob("part-*.parquet")) if self.folder.is_dir() else ():
            if path not in kept:
                path.unlink()

    def _join(self, parts: Sequence[Path]) -> None:
        """Replace small parts by one. The newest row of a sound stays."""
        rows: dict[str, NDArray[np.float32]] = {}
        for path in parts:
            table = _read(path, [DIGEST, *self.names])
            values = np.column_stack([table.column(name).to_numpy() for name in self.names])
            rows |= dict(zip(table.column(DIGEST).to_pylist(), values, strict=True))
        self._write(parts[-1], list(rows), np.stack(list(rows.values())))
        for path in parts[:-1]:
            path.unlink()

    def _next_name(self) -> Path:
        numbers = [int(match[1]) for path in self._all() if (match := _NAME.fullmatch(path.name))]
        return self.folder / f"part-{max(numbers, default=0) + 1:06d}.parquet"

    def _all(self) -> list[Path]:
        return list(self.folder.iterdir()) if self.folder.is_dir() else []

    def _write(self, path: Path, digests: Sequence[str], values: NDArray[np.float32]) -> None:
        arrays = [pa.array(digests, pa.string())]
        arrays += [pa.array(column, pa.float32()) for column in np.ascontiguousarray(values.T)]
        facts = {**self.metadata, "parameter_hash": self.parameter_hash}
        fields = [pa.field(DIGEST, pa.string()), *(pa.field(name, pa.float32()) for name in self.names)]
        schema = pa.schema(fields, metadata={METADATA_KEY: json.dumps(facts).encode()})
        with atomic_replace(path) as temporary:
            pq.write_table(
                pa.Table.from_arrays(arrays, schema=schema),
                temporary,
                compression="zstd",
                use_dictionary=[DIGEST],
                write_statistics=False,
            )


def _parameter_hash(path: Path) -> str:
    try:
        with open_parquet(path) as file:
            facts = json.loads((file.schema_arrow.metadata or {}).get(METADATA_KEY, b"{}"))
            return str(facts.get("parameter_hash", ""))
    except (*PARQUET_ERRORS, OSError, ArtefactError) as error:
        raise _damaged(path, error) from error


def _read(path: Path, columns: list[str]) -> pa.Table:
    try:
        return read_parquet(path, columns)
    except (*PARQUET_ERRORS, OSError, ArtefactError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ArtefactError:
    return ArtefactError(
        f"Parts of a library must be parquet files that Quintet wrote. '{path}' is not ({error}). "
        "Remove it and scan again: its songs are then described anew."
    )
