"""The memory of an unfinished extraction: parts that are whole or absent, and how they become one table.

```
features.parquet.parts/
├── part-000000.npy        float32 (rows, features), NaN where the clip failed
└── part-000000.parquet    the columns FACTS of the same rows; written second: a part without it does not exist
```

The final table is gathered in the order of the manifest, a block of rows at a time, so that its size does not matter to memory.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from quintet.errors import ArtefactError
from quintet.features.extraction.worker import Row
from quintet.features.storage.table import META_COLUMNS, SCHEMA_VERSION, table_schema
from quintet.files.atomic import atomic_replace

FACTS = (
    "id",
    "start",
    "end",
    "status",
    "reason",
    "stage",
    "error",
    "duration_s",
    "native_sample_rate",
    "native_channels",
    "audio_digest",
    "parameter_hash",
    "source_size",
    "source_mtime_ns",
)
ROWS_PER_GROUP = 2000  # of 10,000 rows: parquet keeps 3.4 kB of each column of each group, so that neither many groups nor large ones are cheap
_FACT_SCHEMA = pa.schema([table_schema((), {}).field(name) for name in FACTS])
_INTEGERS = {pa.int64(): pd.Int64Dtype()}


@dataclass(frozen=True)
class Block:
    """Rows of features on disk, one after another, and what is known of them.

    Args:
        facts: the columns FACTS, one row per row of the file.
        values: an npy file, float32 `(rows, features)`.
    """

    facts: pd.DataFrame
    values: Path


class Parts:
    """The folder of parts beside an output.

    Args:
        folder: it is made when the first part is written.
        names: the features, in order.
        parameter_hash: parts of another hash are stale, and removed.
    """

    def __init__(self, folder: Path, names: Sequence[str], parameter_hash: str) -> None:
        self.folder, self.names, self.parameter_hash = folder, tuple(names), parameter_hash
        self._next = max((int(path.stem[5:]) for path in folder.glob("part-*.*")), default=-1) + 1

    def blocks(self) -> list[Block]:
        """The parts that are there, oldest first."""
        found = []
        for path in sorted(self.folder.glob("part-*.parquet")):
            facts = fact_frame(pq.read_table(path, schema=_FACT_SCHEMA))
            if len(facts) and facts["parameter_hash"].iloc[0] != self.parameter_hash:
                path.unlink()
                path.with_suffix(".npy").unlink(missing_ok=True)
            else:
                found.append(Block(facts, path.with_suffix(".npy")))
        return found

    def write(self, rows: Sequence[Row], manifest: pd.DataFrame) -> None:
        """One more part with these rows; `manifest` is the frame that their positions refer to."""
        values = np.full((len(rows), len(self.names)), np.nan, np.float32)
        for k, row in enumerate(rows):
            if row.values is not None:
                values[k] = row.values
        path = self.folder / f"part-{self._next:06d}.parquet"
        with atomic_replace(path.with_suffix(".npy")) as temporary, temporary.open("wb") as file:
            np.save(file, values)
        with atomic_replace(path) as temporary:
            pq.write_table(fact_table(rows, manifest, self.parameter_hash), temporary)
        self._next += 1

    def remove(self) -> None:
        """Delete the folder and all that is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)


def fact_table(rows: Sequence[Row], manifest: pd.DataFrame, parameter_hash: str) -> pa.Table:
    """The columns FACTS of these rows; `manifest` is the frame that their positions refer to."""
    listed = manifest.iloc[[row.position for row in rows]]
    columns: dict[str, Any] = {name: [row.facts.get(name) for row in rows] for name in FACTS}
    columns |= {name: listed[name].to_numpy() for name in ("id", "start", "end")}
    columns["parameter_hash"] = [parameter_hash] * len(rows)
    arrays = [pa.array(columns[name], type=_FACT_SCHEMA.field(name).type, from_pandas=True) for name in FACTS]
    return pa.Table.from_arrays(arrays, schema=_FACT_SCHEMA)


def fact_frame(facts: pa.Table) -> pd.DataFrame:
    """The columns FACTS as a frame; integers may be missing."""
    frame: pd.DataFrame = facts.to_pandas(types_mapper=_INTEGERS.get)
    return frame


def table_facts(path: Path) -> pd.DataFrame:
    """The columns FACTS of a finished table, without its features."""
    facts: pd.DataFrame = pq.read_table(path, columns=list(FACTS)).to_pandas(
        types_mapper=_INTEGERS.get, ignore_metadata=True
    )
    return facts


def table_block(path: Path, facts: pd.DataFrame, names: Sequence[str], folder: Path) -> Block:
    """The features of a finished table as a block: what reused rows are gathered from."""
    target = folder / "reused.npy"
    with atomic_replace(target) as temporary, temporary.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f4", "fortran_order": False, "shape": (len(facts), len(names))}
        )
        for batch in pq.ParquetFile(path).iter_batches(batch_size=1024, columns=list(names)):
            columns = [batch.column(name).to_numpy(zero_copy_only=False) for name in names]
            file.write(np.ascontiguousarray(np.stack(columns, axis=1), dtype="<f4").data)
    return Block(facts, target)


def write_final_table(
    output: Path, meta: pd.DataFrame, blocks: Sequence[Path], where: NDArray[np.int64], *, schema: pa.Schema
) -> None:
    """Write the final table: rows of `meta` in their order, each with its features from the block and row that `where` names.

    Args:
        output: the parquet file; it is replaced in one step.
        meta: the columns META_COLUMNS, one row per clip.
        blocks: npy files of rows.
        where: `(clips, 2)`: number of the block and row in it; -1 where the clip failed.
        schema: of the table, from `table_schema`.
    """
    size = max(1024, round(np.sqrt(ROWS_PER_GROUP**2 * len(meta) / 10_000)))
    settings: dict[str, Any] = {
        "compression": "zstd",
        "use_dictionary": list(META_COLUMNS),
        "write_statistics": False,
    }
    with atomic_replace(output) as temporary, pq.ParquetWriter(temporary, schema, **settings) as writer:
        for begin in range(0, max(len(meta), 1), size):
            rows = slice(begin, begin + size)
            values = _gathered(blocks, where[rows], len(schema) - len(META_COLUMNS))
            table = table_rows(meta.iloc[rows], values, schema)
            del values  # its memory is free before the next rows are begun
            writer.write_table(table, row_group_size=size)


def table_rows(meta: pd.DataFrame, values: NDArray[np.float32], schema: pa.Schema) -> pa.Table:
    """Some rows of the final table.

    Args:
        meta: the columns META_COLUMNS.
        values: features, `(features, rows)`, NaN where a clip failed.
        schema: of the table, from `table_schema`.
    """
    arrays = [pa.array(meta[name], type=schema.field(name).type, from_pandas=True) for name in META_COLUMNS]
    arrays += [
        pa.array(column, from_pandas=bool(np.isnan(column).any())) for column in values
    ]  # without gaps it is not copied
    return pa.Table.from_arrays(arrays, schema=schema)


def _gathered(blocks: Sequence[Path], where: NDArray[np.int64], width: int) -> NDArray[np.float32]:
    """The features of some rows: `(features, rows)`, NaN where there are none. Read by seeking: a mapping would count as memory."""
    values, row = np.full((width, len(where)), np.nan, np.float32), np.empty(width, np.float32)
    for number in np.unique(where[where[:, 0] >= 0, 0]):
        wanted = np.flatnonzero(where[:, 0] == number)
        with blocks[number].open("rb") as file:
            offset = _data_offset(file, width, blocks[number])
            for k in wanted[np.argsort(where[wanted, 1])]:
                file.seek(offset + int(where[k, 1]) * width * 4)
                if file.readinto(row.data) != width * 4:
                    raise ArtefactError(
                        f"A part of the extraction must be whole. {blocks[number]} breaks off: delete its folder and extract again."
                    )
                values[:, k] = row
    return values


def _data_offset(file: Any, width: int, path: Path) -> int:
    np.lib.format.read_magic(file)
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    if shape[1] != width or dtype != np.float32:
        raise ArtefactError(
            f"A part of the extraction must have {width} features. {path} has {shape[1]}: delete its folder and extract again."
        )
    return int(file.tell())


def latest_facts(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The newest fact row of every id over several blocks, with `block` and `row`: where its features are."""
    numbered = [frame.assign(block=number, row=np.arange(len(frame))) for number, frame in enumerate(frames)]
    if not numbered:
        return pd.DataFrame(columns=[*FACTS, "block", "row"])
    return pd.concat(numbered, ignore_index=True).drop_duplicates("id", keep="last")


def finished_metadata(path: Path) -> dict[str, Any] | None:
    """The metadata of a finished table of ours at `path`; None if there is nothing.

    Raises:
        ArtefactError: if something else is there.
    """
    import json

    from quintet.features.storage.table import METADATA_KEY

    if not path.exists():
        return None
    try:
        stored = (pq.read_schema(path).metadata or {}).get(METADATA_KEY)
    except (pa.ArrowInvalid, OSError) as error:
        raise ArtefactError(
            f"What is to be replaced must be a feature table. {path} is not readable as one ({error}): move it away."
        ) from error
    if stored is None:
        raise ArtefactError(
            f"What is to be replaced must be a feature table of Quintet. {path} is another parquet file: choose another output."
        )
    metadata: dict[str, Any] = json.loads(stored)
    if metadata.get("schema_version") != SCHEMA_VERSION:
        raise ArtefactError(
            f"The output must be of schema {SCHEMA_VERSION}. {path} is of {metadata.get('schema_version')}: move it away."
        )
    return metadata


def split_into_chunks(
    items: Iterator[tuple[Any, float]], *, weight: float, count: int
) -> Iterator[tuple[Any, ...]]:
    """Items in tuples of at most `count`, closed as soon as their weights reach `weight`.

    Example:
        >>> list(split_into_chunks(iter([("a", 9.0), ("b", 1.0), ("c", 1.0), ("d", 1.0)]), weight=2.0, count=3))
        [('a',), ('b', 'c'), ('d',)]
    """
    chunk: list[Any] = []
    total = 0.0
    for item, cost in items:
        chunk.append(item)
        total += cost
        if total >= weight or len(chunk) == count:
            yield tuple(chunk)
            chunk, total = [], 0.0
    if chunk:
        yield tuple(chunk)
