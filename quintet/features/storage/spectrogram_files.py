"""Files of a spectrogram store: its description, its index, and its shards of float16 values."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from quintet.errors import ArtefactError, QuintetError
from quintet.features.parameters import LogMelParameters
from quintet.files.atomic import atomic_replace
from quintet.files.untrusted import limits
from quintet.files.untrusted.arrays import ArrayRule, map_array
from quintet.files.untrusted.listed_files import read_inside
from quintet.files.untrusted.parquet import PARQUET_ERRORS, read_parquet
from quintet.files.untrusted.reasons import reason
from quintet.files.untrusted.strict_json import parse_object

STORE_VERSION = 1
DESCRIPTION = "store.json"
_LARGEST_PLACE = 1 << 40
_HEADER_BYTES = 128
_SHARD = re.compile(r"shard-(\d{5,12})\.npy")
_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("shard", pa.int64()),
        ("offset", pa.int64()),
        ("frames", pa.int64()),
        ("audio_digest", pa.string()),
    ]
)


def shard_path(folder: Path, shard: int) -> Path:
    """The file of shard number `shard`."""
    return folder / f"shard-{shard:05d}.npy"


def map_shard(path: Path, n_mels: int, n_frames: int) -> NDArray[np.float16]:
    """The values of a shard, read when they are used: `(frames, n_mels)`, float16.

    Args:
        path: the file.
        n_mels: number of bands.
        n_frames: smallest number of frames, from the index.

    Raises:
        ArtefactError: the file is absent, damaged, too short, a link or of another form.
    """
    try:
        values = map_array(path, ArrayRule("f", (None, n_mels), finite=False))
        if values.dtype != np.float16 or len(values) < n_frames:
            raise ValueError(f"it holds {len(values)} frames of {values.dtype}, not {n_frames} of float16")
    except (OSError, ValueError) as error:
        raise ArtefactError(
            f"The store must have all its shards. {path} cannot be read ({reason(error)})."
        ) from error
    return np.asanyarray(values, np.float16)


def read_index(folder: Path) -> pa.Table:
    """The latest entry of every id (id, shard, offset, frames, audio_digest), in the order of writing.

    Raises:
        ArtefactError: a file of the index is damaged, or an entry lies outside any shard.
    """
    parts = sorted(path.name for path in (folder / "index.parts").glob("part-*.parquet"))
    names = ["index.parquet", *(f"index.parts/{part}" for part in parts)]
    tables = [_read_entries(folder, name) for name in names if os.path.lexists(folder / name)]
    entries = pa.concat_tables(tables) if tables else _SCHEMA.empty_table()
    order = np.lexsort((entries["offset"].to_numpy(), entries["shard"].to_numpy()))
    ids = entries["id"].to_pylist()
    latest = {ids[row]: place for place, row in enumerate(order)}
    return entries.take(pa.array(order[sorted(latest.values())]))


def _read_entries(folder: Path, name: str) -> pa.Table:
    """Entries of one file of an index, checked before anything is read at their places."""
    file, data = folder / name, read_inside(folder, name, limit=limits.FILE_BYTES)
    try:
        entries = read_parquet(data).select(_SCHEMA.names).cast(_SCHEMA)
        for name in ("id", "shard", "offset", "frames"):
            if entries[name].null_count:
                raise ValueError(f"an entry has no {name}")
        for name, least in (("shard", 0), ("offset", 0), ("frames", 1)):
            places = entries[name].to_numpy()
            if len(places) and not least <= places.min() <= places.max() <= _LARGEST_PLACE:
                raise ValueError(f"an entry has the {name} {places.min()} or {places.max()}")
    except QuintetError:
        raise
    except PARQUET_ERRORS as error:
        raise ArtefactError(
            f"The index of a spectrogram store must be as it was written. {file} is not ({reason(error)}): "
            "delete the store and extract it again."
        ) from error
    return entries


def read_description(folder: Path) -> tuple[LogMelParameters, dict[str, str]]:
    """Parameters of a store, and the versions of the libraries that wrote it.

    Raises:
        ArtefactError: there is no store, it is damaged, or of another version.
    """
    if not os.path.lexists(folder / DESCRIPTION):
        raise ArtefactError(
            f"A spectrogram store must exist. There is none in {folder}: "
            f"make one with `quintet extract SOURCE --spectrograms {folder}`."
        )
    text = parse_object(read_inside(folder, DESCRIPTION, limit=limits.JSON_BYTES), folder / DESCRIPTION)
    if text.get("schema_version") != STORE_VERSION:
        raise ArtefactError(
            f"This version reads spectrogram stores of version {STORE_VERSION}. "
            f"{folder} has {text.get('schema_version')}: extract it again."
        )
    parameters = LogMelParameters.parse(text.get("parameters"), where=f"The spectrogram store {folder}")
    if parameters.hash != text.get("parameter_hash"):
        raise ArtefactError(
            "The parameters of a spectrogram store must give its hash. "
            f"{folder} says {text.get('parameter_hash')}, they give {parameters.hash}: extract it again."
        )
    versions = text.get("versions")
    return parameters, versions if isinstance(versions, dict) else {}


def next_shard(folder: Path) -> int:
    """Number of the shard that follows those in a folder."""
    matches = [_SHARD.fullmatch(entry.name) for entry in folder.iterdir()]
    numbers = [int(match[1]) for match in matches if match is not None]
    return max(numbers, default=-1) + 1


def shard_header(frames: int, n_mels: int) -> bytes:
    """The npy header of a float16 array `(frames, n_mels)`: always 128 bytes, to be replaced in place."""
    buffer = io.BytesIO()
    header = {"descr": "<f2", "fortran_order": False, "shape": (frames, n_mels)}
    np.lib.format.write_array_header_1_0(buffer, header)
    if buffer.tell() != _HEADER_BYTES:
        raise ArtefactError(
            f"The header of a shard must take {_HEADER_BYTES} bytes. "
            f"It takes {buffer.tell()} for {frames} frames: use a smaller shard_bytes."
        )
    return buffer.getvalue()


def write_index(path: Path, entries: Sequence[tuple[str, int, int, int, str]]) -> None:
    """Write a file of the index: id, shard, offset, frames and audio digest of each entry."""
    columns = zip(*entries, strict=True)
    arrays = [pa.array(column, type=field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
    with atomic_replace(path) as temporary:
        pq.write_table(pa.table(arrays, schema=_SCHEMA), temporary)


def compact_index(folder: Path) -> None:
    """Write the index to one file, and delete its parts and the shards that hold no current entry."""
    parts = sorted((folder / "index.parts").glob("part-*.parquet"))
    index = read_index(folder)
    with atomic_replace(folder / "index.parquet") as temporary:
        pq.write_table(index, temporary, compression="zstd")
    for part in parts:
        part.unlink()
    current_shards = set(index["shard"].unique().to_pylist())
    for path in folder.glob("shard-*.npy"):
        number = _SHARD.fullmatch(path.name)
        if number is not None and int(number[1]) not in current_shards:
            path.unlink()
