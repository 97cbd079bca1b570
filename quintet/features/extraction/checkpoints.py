"""Checkpoints of an unfinished extraction: parts that are complete or absent, and the final table made of
them.

```
features.parquet.parts/
├── part-000000.npy        float32 (rows, features), NaN if the clip failed
└── part-000000.parquet    the columns FACTS of the same rows; written second: a part without it does not
count ```

The final table is written in the order of the manifest, a block of rows at a time, so the memory does not
grow with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from quintet.errors import ArtefactError
from quintet.features.extraction.worker import Row
from quintet.features.storage.table import META_COLUMNS, METADATA_KEY, SCHEMA_VERSION, table_schema
from quintet.files.atomic import atomic_replace, save_array
from quintet.files.cache import require_unplanted
from quintet.files.json_types import JsonObject
from quintet.files.paths import text_name

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
    "missing_s",
)
ROWS_PER_GROUP = 2000
"""Rows of a row group in a table of 10,000 rows. Parquet holds 3.4 kB for each column of each group in
memory, so neither many groups nor large ones are cheap."""
_FACT_SCHEMA = pa.schema([table_schema((), {}).field(name) for name in FACTS])
_INTEGERS = {pa.int64(): pd.Int64Dtype()}


_PART = re.compile(r"part-(\d+)\.(?:parquet|npy)")
_SCRATCH = re.compile(r"reused\.npy|\.lock|\.(?:part-\d+\.(?:parquet|npy)|reused\.npy)\..*\.tmp")
"""Other files of ours in the folder: reused rows, unfinished files, the lock of earlier versions."""


@dataclass(frozen=True)
class Block:
    """Rows of features on disk, with their facts.

    Args:
        facts: the columns FACTS, one row for each row of the file.
        values: an npy file, float32 `(rows, features)`.
    """

    facts: pd.DataFrame
    values: Path


class Parts:
    """The folder of parts beside an output.

    Args:
        folder: the folder; it is made when the first part is written.
        names: names of the features, in order.
        parameter_hash: hash of the parameters. Parts of another hash are removed.

    Raises:
        ArtefactError: the folder belongs to another user, in a place that all users can write.
    """

    def __init__(self, folder: Path, names: Sequence[str], parameter_hash: str) -> None:
        self.folder, self.names, self.parameter_hash = folder, tuple(names), parameter_hash
        require_unplanted(folder)
        numbers = (_PART.fullmatch(path.name) for path in folder.glob("part-*.*"))
        self._next = max((int(match[1]) for match in numbers if match), default=-1) + 1

    def blocks(self) -> list[Block]:
        """The existing parts, oldest first."""
        blocks = []
        for path in sorted(self.folder.glob("part-*.parquet")):
            if not _PART.fullmatch(path.name):
                continue
            with text_name(path) as file:
                facts = fact_frame(pq.read_table(file, schema=_FACT_SCHEMA))
            if len(facts) and facts["parameter_hash"].iloc[0] != self.parameter_hash:
                path.unlink()
                path.with_suffix(".npy").unlink(missing_ok=True)
            else:
                blocks.append(Block(facts, path.with_suffix(".npy")))
        return blocks

    def write(self, rows: Sequence[Row], manifest: pd.DataFrame) -> None:
        """Write one more part.

        Args:
            rows: the rows.
            manifest: the frame that the positions of the rows refer to.
        """
        values = np.full((len(rows), len(self.names)), np.nan, np.float32)
        for k, row in enumerate(rows):
            if row.values is not None:
                values[k] = row.values
        path = self.folder / f"part-{self._next:06d}.parquet"
        with atomic_replace(path.with_suffix(".npy")) as temporary:
            save_array(temporary, values)
        with atomic_replace(path) as temporary:
            pq.write_table(fact_table(rows, manifest, self.parameter_hash), temporary)
        self._next += 1

    def remove(self) -> None:
        """Delete the parts, and the folder if nothing else is in it."""
        for path in self.folder.glob("*"):
            if _PART.fullmatch(path.name) or _SCRATCH.fullmatch(path.name):
                path.unlink(missing_ok=True)
        with suppress(OSError):
            self.folder.rmdir()


def fact_table(rows: Sequence[Row], manifest: pd.DataFrame, parameter_hash: str) -> pa.Table:
    """The columns FACTS of rows.

    Args:
        rows: the rows.
        manifest: the frame that the positions of the rows refer to.
        parameter_hash: hash of the parameters that the rows were made with.
    """
    clips = manifest.iloc[[row.position for row in rows]]
    columns: dict[str, Sequence[object] | NDArray[np.generic]] = {
        name: [row.facts.get(name) for row in rows] for name in FACTS
    }
    for name in ("id", "start", "end"):
        columns[name] = clips[name].to_numpy()
    columns["parameter_hash"] = [parameter_hash] * len(rows)
    arrays = []
    for name in FACTS:
        kind = _FACT_SCHEMA.field(name).type
        arrays.append(pa.array(columns[name], type=kind, from_pandas=True))
    return pa.Table.from_arrays(arrays, schema=_FACT_SCHEMA)


def fact_frame(facts: pa.Table) -> pd.DataFrame:
    """The columns FACTS as a frame. Its integer columns may have missing values."""
    frame: pd.DataFrame = facts.to_pandas(types_mapper=_INTEGERS.get)
    return frame


def table_facts(path: Path) -> pd.DataFrame:
    """The columns FACTS of a finished table, without its features."""
    with text_name(path) as file:
        return fact_frame(pq.read_table(file, columns=list(FACTS)))


def table_block(path: Path, facts: pd.DataFrame, names: Sequence[str], folder: Path) -> Block:
    """The features of a finished table as a block in `folder`, from which reused rows are taken."""
    target = folder / "reused.npy"
    with atomic_replace(target) as temporary, temporary.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (len(facts), len(names))}
        np.lib.format.write_array_header_1_0(file, header)
        with text_name(path) as source, pq.ParquetFile(source) as table:
            for batch in table.iter_batches(batch_size=1024, columns=list(names)):
                columns = [batch.column(name).to_numpy(zero_copy_only=False) for name in names]
                file.write(np.ascontiguousarray(np.stack(columns, axis=1), dtype="<f4").data)
    return Block(facts, target)


def write_final_table(
    output: Path, meta: pd.DataFrame, blocks: Sequence[Path], where: NDArray[np.int64], *, schema: pa.Schema
) -> None:
    """Write the final table: the rows of `meta` in their order, each with its features.

    Args:
        output: the parquet file; it is replaced in one step.
        meta: the columns META_COLUMNS, one row per clip.
        blocks: npy files of rows.
        where: `(clips, 2)`: number of the block, and row in the block, of each clip; -1 if the clip failed.
        schema: schema of the table, from `table_schema`.
    """
    size = max(1024, round(np.sqrt(ROWS_PER_GROUP**2 * len(meta) / 10_000)))
    n_features = len(schema) - len(META_COLUMNS)
    with (
        atomic_replace(output) as temporary,
        pq.ParquetWriter(
            temporary,
            schema,
            compression="zstd",
            use_dictionary=list(META_COLUMNS),
            write_statistics=False,
        ) as writer,
    ):
        for begin in range(0, max(len(meta), 1), size):
            rows = slice(begin, begin + size)
            values = _read_features(blocks, where[rows], n_features)
            table = table_rows(meta.iloc[rows], values, schema)
            del values  # frees its memory before the next rows
            writer.write_table(table, row_group_size=size)


def table_rows(meta: pd.DataFrame, values: NDArray[np.float32], schema: pa.Schema) -> pa.Table:
    """Some rows of the final table.

    Args:
        meta: the columns META_COLUMNS.
        values: features, `(features, rows)`, NaN if a clip failed.
        schema: schema of the table, from `table_schema`.
    """
    arrays = [pa.array(meta[name], type=schema.field(name).type, from_pandas=True) for name in META_COLUMNS]
    for column in values:
        has_gaps = bool(np.isnan(column).any())
        arrays.append(pa.array(column, from_pandas=has_gaps))  # without gaps the column is not copied
    return pa.Table.from_arrays(arrays, schema=schema)


def _read_features(blocks: Sequence[Path], where: NDArray[np.int64], width: int) -> NDArray[np.float32]:
    """Features of some rows, `(features, rows)`; NaN for a row that has none.

    The files are read by seeking: a memory mapping would count as memory of the process.
    """
    values = np.full((width, len(where)), np.nan, np.float32)
    row = np.empty(width, np.float32)
    row_bytes = 4 * width
    has_features = where[:, 0] >= 0
    for number in np.unique(where[has_features, 0]):
        positions = np.flatnonzero(where[:, 0] == number)
        in_file_order = positions[np.argsort(where[positions, 1])]
        with blocks[number].open("rb") as file:
            offset = _data_offset(file, width, blocks[number])
            for k in in_file_order:
                file.seek(offset + int(where[k, 1]) * row_bytes)
                if file.readinto(row.data) != row_bytes:
                    raise ArtefactError(
                        f"A part of the extraction must be whole. {blocks[number]} breaks off: "
                        "delete its folder and extract again."
                    )
                values[:, k] = row
    return values


def _data_offset(file: BinaryIO, width: int, path: Path) -> int:
    """The byte at which the rows of an npy file begin."""
    np.lib.format.read_magic(file)
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    if shape[1] != width or dtype != np.float32:
        raise ArtefactError(
            f"A part of the extraction must have {width} features. {path} has {shape[1]}: "
            "delete its folder and extract again."
        )
    return int(file.tell())


def latest_facts(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The newest fact row of every id, with the columns `block` and `row`: the place of its features."""
    numbered = [frame.assign(block=number, row=np.arange(len(frame))) for number, frame in enumerate(frames)]
    if not numbered:
        return pd.DataFrame(columns=[*FACTS, "block", "row"])
    return pd.concat(numbered, ignore_index=True).drop_duplicates("id", keep="last")


def finished_metadata(path: Path) -> JsonObject | None:
    """Metadata of a finished table of ours at `path`; None if no file exists.

    The key `has_all_facts` is true if the table has every column of FACTS. A table of an earlier version,
    which trusted the lengths that headers state, has not.

    Raises:
        ArtefactError: the file is something else.
    """
    if not path.exists():
        return None
    try:
        with text_name(path) as file:
            schema = pq.read_schema(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise ArtefactError(
            f"What is to be replaced must be a feature table. {path} is not readable as one ({error}): "
            "move it away."
        ) from error
    stored = (schema.metadata or {}).get(METADATA_KEY)
    if stored is None:
        raise ArtefactError(
            f"What is to be replaced must be a feature table of Quintet. {path} is another parquet file: "
            "choose another output."
        )
    metadata: JsonObject = json.loads(stored)
    if metadata.get("schema_version") != SCHEMA_VERSION:
        raise ArtefactError(
            f"The output must be of schema {SCHEMA_VERSION}. {path} is of {metadata.get('schema_version')}: "
            "move it away."
        )
    metadata["has_all_facts"] = set(FACTS) <= set(schema.names)
    return metadata
