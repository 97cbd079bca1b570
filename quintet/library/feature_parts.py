"""Features of the songs of a library: parquet parts that only grow, with one row per sound.

A part has the column `audio_digest` and one float32 column per feature. A scan adds a part every few seconds,
so that an interruption loses little, and joins many small parts to one. `pandas.read_parquet` reads the
folder as one table.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from quintet.files.atomic import atomic_replace
from quintet.library.stored import damaged, read_columns

DIGEST = "audio_digest"
PART = "part"
SMALL_BYTES = 8 << 20
"""A smaller part is small."""
MOST_SMALL = 24
"""So many small parts are joined."""
REMEDY = "Remove it and scan again: its songs are then described anew."

_NAME = re.compile(r"part-([0-9a-f]{16})-(\d{6})\.parquet")


@dataclass
class FeatureParts:
    """The folder of the parts. Only the holder of the library's lock writes it.

    Args:
        folder: the folder.
        names: names of the features, in order.
        parameter_hash: of the feature parameters, 16 hex digits. Parts with another one are left out.
        metadata: further facts for the metadata of a part.
    """

    folder: Path
    names: tuple[str, ...]
    parameter_hash: str
    metadata: dict[str, object] = field(default_factory=dict)

    def files(self) -> list[Path]:
        """The parts with these parameters, the oldest first."""
        return [path for path in self._all() if path.name.startswith(f"part-{self.parameter_hash}-")]

    @property
    def index_file(self) -> Path:
        """The list of the sounds and their parts, beside the folder. If it is missing, it is made again."""
        return self.folder.with_name("features-index.parquet")

    def index(self) -> dict[str, str]:
        """Digest of each sound with features → name of the newest part that has it.

        Raises:
            ArtefactError: the list, or a part, is damaged.
        """
        names = {path.name for path in self.files()}
        if not names:
            return {}
        if self.index_file.is_file():
            table = read_columns(self.index_file, [DIGEST, PART], [], remedy=REMEDY)
            found = dict(zip(table.column(DIGEST).to_pylist(), table.column(PART).to_pylist(), strict=True))
            if set(table.column(PART).unique().to_pylist()) == names:
                return found
        return {digest: path.name for path in self.files() for digest in _digests(path)}

    def digests(self) -> set[str]:
        """Digests of the sounds that have features."""
        return set(self.index())

    def add(self, digests: Sequence[str], values: NDArray[np.float32]) -> None:
        """Write one more part. Many small parts are joined to one.

        Args:
            digests: digests of sounds, length n.
            values: their features `(n, d)`.
        """
        if not len(digests):
            return
        index = self.index()
        path = self._next_name()
        self._write(path, digests, values)
        index |= dict.fromkeys(digests, path.name)
        small = [path for path in self.files() if path.stat().st_size < SMALL_BYTES]
        if len(small) >= MOST_SMALL:
            self._join(small, index)
        self._write_index(index)

    def by_part(self, digests: Sequence[str]) -> list[list[str]]:
        """Digests of sounds with features, part by part: reading them so opens each part once.

        Args:
            digests: digests of sounds.
        """
        index = self.index()
        parts: dict[str, list[str]] = {}
        for digest in dict.fromkeys(digests):
            if digest in index:
                parts.setdefault(index[digest], []).append(digest)
        return [parts[name] for name in sorted(parts)]

    def read(self, digests: Sequence[str], columns: Sequence[str] | None = None) -> NDArray[np.float32]:
        """Features of sounds `(n, d)`; NaN for a sound without features.

        Args:
            digests: digests of sounds, length n.
            columns: names of the features. Default: all.

        Raises:
            ArtefactError: a part is damaged, or lacks a column.
        """
        names = list(self.names if columns is None else columns)
        index = self.index()
        places: dict[str, list[int]] = {}
        for k, digest in enumerate(digests):
            if digest in index:
                places.setdefault(index[digest], []).append(k)
        result = np.full((len(digests), len(names)), np.nan, np.float32)
        for part, rows in places.items():
            table = read_columns(self.folder / part, [DIGEST], names, remedy=REMEDY)
            row_of = {digest: row for row, digest in enumerate(table.column(DIGEST).to_pylist())}
            sources = [row_of.get(digests[k], -1) for k in rows]
            if -1 in sources:
                raise damaged(self.index_file, f"{part} has not all sounds that it states", REMEDY)
            for column, name in enumerate(names):
                result[rows, column] = table.column(name).to_numpy()[sources]
        return result

    def remove_others(self) -> None:
        """Remove the parts with other parameters."""
        kept = set(self.files())
        for path in self._all():
            if path not in kept:
                path.unlink()

    def _join(self, parts: Sequence[Path], index: dict[str, str]) -> None:
        """Replace small parts by one, with the newest row of each sound, and change the index."""
        rows: dict[str, NDArray[np.float32]] = {}
        for path in parts:
            table = read_columns(path, [DIGEST], self.names, remedy=REMEDY)
            values = np.column_stack([table.column(name).to_numpy() for name in self.names])
            found = zip(table.column(DIGEST).to_pylist(), values, strict=True)
            rows |= {digest: row for digest, row in found if index.get(digest) == path.name}
        target = self._next_name()
        self._write(target, list(rows), np.stack(list(rows.values())))
        index |= dict.fromkeys(rows, target.name)
        for path in parts:
            path.unlink()

    def _next_name(self) -> Path:
        """A name behind all that are taken, by a folder too."""
        taken = self.folder.iterdir() if self.folder.is_dir() else ()
        numbers = [int(match[2]) for path in taken if (match := _NAME.fullmatch(path.name))]
        return self.folder / f"part-{self.parameter_hash}-{max(numbers, default=0) + 1:06d}.parquet"

    def _all(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        found = (path for path in self.folder.iterdir() if _NAME.fullmatch(path.name))
        return sorted(path for path in found if path.is_file() and not path.is_symlink())

    def _write_index(self, index: dict[str, str]) -> None:
        table = pa.table({DIGEST: list(index), PART: pa.array(list(index.values()), pa.string())})
        with atomic_replace(self.index_file) as temporary:
            pq.write_table(table, temporary, compression="zstd")

    def _write(self, path: Path, digests: Sequence[str], values: NDArray[np.float32]) -> None:
        from quintet.features.storage.table import (
            METADATA_KEY,  # it imports pandas, which readers do not need
        )

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


def _digests(path: Path) -> list[str]:
    found: list[str] = read_columns(path, [DIGEST], [], remedy=REMEDY).column(DIGEST).to_pylist()
    return found
