"""Tables of a library: their files, columns and types. docs/library.md explains each column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from quintet.files.json_types import JsonObject

TableName = Literal["songs", "tags", "verdicts", "failures", "activations"]

SONGS = pa.schema(
    {
        "id": pa.string(),
        "root": pa.string(),
        "path": pa.string(),
        "status": pa.string(),
        "reason": pa.string(),
        "file_digest": pa.string(),
        "audio_digest": pa.string(),
        "copy_of": pa.string(),
        "size": pa.int64(),
        "mtime_ns": pa.int64(),
        "format": pa.string(),
        "seconds": pa.float64(),
        "missing_s": pa.float64(),
        "sample_rate": pa.int64(),
        "channels": pa.int64(),
        "title": pa.string(),
        "artist": pa.string(),
        "album_artist": pa.string(),
        "album": pa.string(),
        "track": pa.int64(),
        "year": pa.int64(),
        "genre": pa.string(),
        "tempo": pa.float64(),
        "tempo_other": pa.float64(),
        "tempo_confidence": pa.float64(),
        "tempo_source": pa.string(),
        "key": pa.string(),
        "key_runner_up": pa.string(),
        "key_confidence": pa.float64(),
        "key_source": pa.string(),
        "energy": pa.float64(),
        "energy_confidence": pa.float64(),
        "energy_source": pa.string(),
        "verdict": pa.string(),
        "verdict_probability": pa.float64(),
        "verdict_set": pa.string(),
        "out_of_class": pa.float64(),
        "model": pa.string(),
        "added": pa.timestamp("us", tz="UTC"),
        "changed": pa.timestamp("us", tz="UTC"),
    }
)
"""One row per file with sound."""

TAGS = pa.schema(
    {
        "id": pa.string(),
        "field": pa.string(),
        "position": pa.int64(),
        "value": pa.string(),
        "source": pa.string(),
    }
)
"""One row per file, field and value, as found in the file."""

VERDICTS = pa.schema(
    {"id": pa.string(), "label": pa.string(), "probability": pa.float64(), "in_set": pa.bool_()}
)
"""One row per song and class of the model."""

FAILURES = pa.schema(
    {
        "root": pa.string(),
        "path": pa.string(),
        "file_digest": pa.string(),
        "size": pa.int64(),
        "mtime_ns": pa.int64(),
        "stage": pa.string(),
        "error": pa.string(),
        "reason": pa.string(),
        "seen": pa.timestamp("us", tz="UTC"),
    }
)
"""One row per file that could not be described: the failure ledger."""

ACTIVATIONS = pa.schema({"id": pa.string()})
"""One row per song: the id, and one float32 column per tag of a pretrained network (`mood_happy`) and per
class of the model (`verdict_rock`)."""

TABLES: dict[TableName, pa.Schema] = {
    "songs": SONGS,
    "tags": TAGS,
    "verdicts": VERDICTS,
    "failures": FAILURES,
    "activations": ACTIVATIONS,
}

REQUIRED: dict[TableName, tuple[str, ...]] = {
    "songs": ("id", "root", "path", "status"),
    "tags": ("id", "field", "value"),
    "verdicts": ("id", "label"),
    "failures": ("root", "path"),
    "activations": ("id",),
}
"""Columns without gaps."""

PRESENT = ("ok", "truncated")
"""Values of `status` of a song whose file was there at the last scan. The other one is `gone`."""
GONE = "gone"


FIRST_TIME, LAST_TIME = -62_135_596_800_000_000, 253_402_300_799_999_999
"""Microseconds since 1970 of the years 1 to 9999, which Python's times can have."""


def empty_table(name: TableName) -> pa.Table:
    """A table without rows.

    Args:
        name: a name of `TABLES`.

    Example:
        >>> empty_table("tags").column_names
        ['id', 'field', 'position', 'value', 'source']
    """
    return pa.Table.from_batches([], TABLES[name])


def with_rows(table: pa.Table, rows: Sequence[JsonObject], schema: pa.Schema) -> pa.Table:
    """A table with further rows. A column that one side lacks is null there.

    Args:
        table: any table, columns of others among them.
        rows: the new rows: column → value.
        schema: types of the new rows.

    Example:
        >>> with_rows(pa.table({"id": ["a"]}), [{"id": "b", "label": "rock"}], VERDICTS).num_rows
        2
    """
    return pa.concat_tables([table, pa.Table.from_pylist(list(rows), schema)], promote_options="default")


def conform(table: pa.Table, name: TableName) -> pa.Table:
    """A table with the columns of the schema in their order; missing ones are null, others stay behind them.

    Args:
        table: any table.
        name: a name of `TABLES`.

    Raises:
        pyarrow.ArrowException: a column cannot have the type of the schema.

    Example:
        >>> conform(pa.table({"value": ["rock"]}), "tags").num_columns
        5
    """
    schema = TABLES[name]
    columns = {}
    for field in schema:
        if field.name in table.column_names:
            columns[field.name] = table.column(field.name).cast(field.type)
        else:
            columns[field.name] = pa.nulls(table.num_rows, field.type)
    columns |= {name: table.column(name) for name in table.column_names if name not in columns}
    return pa.table(columns)


def require_complete(table: pa.Table, name: TableName) -> None:
    """Refuse a table with gaps where there may be none, times that Python does not have, and activations that
    are no numbers.

    Args:
        table: a table that conforms.
        name: a name of `TABLES`.

    Raises:
        ValueError: the table is one of these.

    Example:
        >>> require_complete(empty_table("tags"), "tags")
    """
    for required in REQUIRED[name]:
        if table.column(required).null_count:
            raise ValueError(f"{required!r} has gaps")
    for field in TABLES[name]:
        if pa.types.is_timestamp(field.type):
            least, most = pc.min_max(table.column(field.name).cast(pa.int64())).as_py().values()
            if least is not None and not FIRST_TIME <= least <= most <= LAST_TIME:
                raise ValueError(f"{field.name!r} holds times beyond the year 9999")
    for field in table.schema if name == "activations" else ():
        if field.name != "id" and not pa.types.is_floating(field.type):
            raise ValueError(f"{field.name!r} holds no numbers")
