"""Mutations of files that know the structure: JSON, archives, UBJSON, parquet, CSV, TOML, and plain bytes."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tomllib
import zipfile
from collections.abc import Callable, Iterator, MutableMapping, MutableSequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from quintet.files.untrusted import ubjson

Rng = np.random.Generator
NUMBERS = (
    0,
    1,
    -1,
    2,
    7,
    255,
    256,
    4000,
    2**31 - 1,
    2**31,
    -(2**31),
    2**32,
    2**62,
    2**63 - 1,
    10**12,
    10**30,
)
FLOATS = (0.0, -0.0, 0.5, -1.5, 1e-300, 1e300, -1e308)
TEXTS = ("", "a", "../x", "/etc/passwd", "\0", "é", "x" * 300, "nan", "1e400", "[" * 50, "numpy", "True")
WEIRD = (float("nan"), float("inf"), -float("inf"))


def choose(rng: Rng, values: Any) -> Any:
    """One of some values."""
    return values[int(rng.integers(len(values)))]


def hostile_value(rng: Rng) -> Any:
    """A value that a program may not expect."""
    kind = int(rng.integers(8))
    if kind < 3:
        return choose(rng, NUMBERS)
    if kind == 3:
        return choose(rng, FLOATS)
    if kind == 4:
        return choose(rng, TEXTS)
    if kind == 5:
        return choose(rng, (None, True, False, [], {}, [[]], {"a": 1}))
    if kind == 6:
        return choose(rng, WEIRD)
    return [choose(rng, NUMBERS)] * int(rng.integers(1, 20))


def places(content: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of every value inside nested lists and objects."""
    keys = list(content) if isinstance(content, dict) else range(len(content))
    for key in keys:
        yield content, key
        if isinstance(content[key], dict | list):
            yield from places(content[key])


def mutate_structure(content: Any, rng: Rng, value: Callable[[Rng], Any] = hostile_value) -> Any:
    """Change nested lists and objects in one place."""
    found = list(places(content)) if isinstance(content, dict | list) else []
    if not found:
        return value(rng)
    place, key = choose(rng, found)
    kind = int(rng.integers(7))
    if kind < 3:
        place[key] = value(rng)
    elif kind == 3:
        del place[key]
    elif kind == 4:
        other, other_key = choose(rng, found)
        place[key] = json.loads(json.dumps(other[other_key], default=str))
    elif kind == 5 and isinstance(place, MutableSequence):
        place.insert(int(key), place[key])
    elif isinstance(place, MutableMapping):
        place[choose(rng, TEXTS)] = value(rng)
    old = place[key] if kind == 6 and not isinstance(place, dict) and key < len(place) else None
    if isinstance(old, int | float) and not isinstance(old, bool):
        place[key] = choose(rng, (old + 1, old - 1, -old, old * 1000, old + 0.5))
    return content


def mutate_json(data: bytes, rng: Rng) -> bytes:
    """A JSON file with a changed value, a key that is there twice, or deep nesting."""
    kind = int(rng.integers(12))
    if kind == 0:
        return mutate_bytes(data, rng)
    if kind == 1:
        depth = int(choose(rng, (50, 900, 100_000)))
        return data.rstrip()[:-1] + b', "deep": ' + b"[" * depth + b"]" * depth + b"}"
    if kind == 2:
        head = data.lstrip()[1:].split(b":", 1)[0]
        return data.rstrip()[:-1] + b", " + head + b": 1}"
    content = json.loads(data)
    for _ in range(int(rng.integers(1, 4))):
        content = mutate_structure(content, rng)
    return json.dumps(content).encode("utf-8", errors="surrogatepass")


def mutate_bytes(data: bytes, rng: Rng) -> bytes:
    """A few bytes changed, cut off, doubled or inserted."""
    forged = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        position = int(rng.integers(len(forged))) if forged else 0
        kind = int(rng.integers(6))
        if kind < 3 and forged:
            forged[position] = choose(rng, (0, 1, 127, 128, 255, int(rng.integers(256))))
        elif kind == 3:
            forged = forged[:position]
        elif kind == 4:
            forged[position:position] = forged[position : position + int(rng.integers(1, 64))]
        else:
            forged[position : position + 8] = int(choose(rng, NUMBERS[:13])).to_bytes(
                16, "little", signed=True
            )[:8]
    return bytes(forged)


def mutate_array(data: bytes, rng: Rng) -> bytes:
    """An .npy file with changed values, header or bytes."""
    kind = int(rng.integers(5))
    if kind == 0:
        return mutate_bytes(data, rng)
    values = np.load(io.BytesIO(data))
    if kind == 1:
        shape = tuple(int(choose(rng, (0, 1, 3, 2**31, 2**62, -1))) for _ in range(int(rng.integers(5))))
        text = f"{{'descr': '{choose(rng, ('<f8', '|O', '<i8', '|V8', '<U99999999'))}', "
        text += f"'fortran_order': {bool(rng.integers(2))}, 'shape': {shape}, }}\n"
        return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + data[128:]
    if kind == 2:
        dtype = choose(rng, ("f4", "f8", "i4", "i8", "u1", "U3", "?", ">f8", "f2"))
        values = np.zeros(values.shape, dtype) if values.dtype.names else values.astype(dtype)
    elif kind == 3:
        values = choose(
            rng, (values[..., None], values.ravel(), values[:0] if values.ndim else values, values.T)
        )
    else:
        values = values.copy()
        column = values if not values.dtype.names else values[choose(rng, values.dtype.names)]
        if column.size and column.dtype.kind in "iufb":
            number = choose(rng, (*NUMBERS[:11], 0.5, float("nan"), float("inf")))
            place = int(rng.integers(column.size))
            with np.errstate(all="ignore"):
                if column.dtype.kind != "f":
                    number = 0 if number != number or abs(number) == float("inf") else int(number)
                    bits = 8 * column.dtype.itemsize
                    number = (number + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1)
                    column.flat[place] = np.array(number, np.int64).astype(column.dtype)
                else:
                    column.flat[place] = number
    content = io.BytesIO()
    np.save(content, values, allow_pickle=False)
    return content.getvalue()


def mutate_archive(data: bytes, rng: Rng) -> bytes:
    """An .npz or .skops file with a changed entry, or other entries."""
    if rng.integers(8) == 0:
        return mutate_bytes(data, rng)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    name, compression = choose(rng, list(entries)), zipfile.ZIP_STORED
    if "schema.json" in entries and rng.integers(2):
        name = "schema.json"
    kind = int(rng.integers(12))
    if kind == 0:
        del entries[name]
    elif kind == 1:
        entries[choose(rng, TEXTS) + ".npy"] = entries[name]
    elif kind == 2:
        compression = zipfile.ZIP_DEFLATED
    elif kind == 3:
        entries[name] = entries[choose(rng, list(entries))]
    elif name == "schema.json":
        entries[name] = _mutate_schema(entries[name], rng)
    else:
        entries[name] = mutate_array(entries[name], rng)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        for entry, part in entries.items():
            archive.writestr(entry, part)
    return content.getvalue()


def _mutate_schema(data: bytes, rng: Rng) -> bytes:
    """The schema of skops: often the JSON inside a scalar, sometimes the structure."""
    content = json.loads(data)
    if rng.integers(2):
        scalars = [place for place, key in places(content) if key == "is_json"]
        for _ in range(int(rng.integers(1, 3))):
            choose(rng, scalars)["content"] = json.dumps(hostile_value(rng), default=str)
        return json.dumps(content).encode()
    return json.dumps(mutate_structure(content, rng)).encode("utf-8", errors="surrogatepass")


def mutate_ubjson(data: bytes, rng: Rng) -> bytes:
    """A UBJSON file with a changed number of an array, a changed value, or changed bytes."""
    if rng.integers(6) == 0:
        return mutate_bytes(data, rng)
    content: Any = ubjson.decode(data)
    arrays = [(place, key) for place, key in places(content) if isinstance(place[key], np.ndarray)]
    lists = [place[key] for place, key in places(content) if isinstance(place[key], list) and place[key]]
    kind = int(rng.integers(4))
    if kind < 2:
        place, key = choose(rng, [(p, k) for p, k in arrays if p[k].size])
        values = place[key] = place[key].copy()
        position = int(rng.integers(values.size))
        if values.dtype.kind == "f":
            values[position] = choose(rng, (*WEIRD, 0.0, 1e30, -5.0))
        else:
            number = int(choose(rng, (*NUMBERS[:11], int(rng.integers(20)), -2)))
            values[position] = np.array(number % 2**32, np.uint64).astype(values.dtype)
    elif kind == 2:
        numbers = choose(rng, lists)
        if isinstance(numbers[0], int):
            numbers[int(rng.integers(len(numbers)))] = int(choose(rng, NUMBERS[:14]))
        else:
            numbers.append(numbers[0])
    else:
        _mutate_object(content, rng)
    return ubjson.encode(content)


def _mutate_object(content: Any, rng: Rng) -> None:
    objects = [place for place, _ in places(content) if isinstance(place, dict)]
    place = choose(rng, objects)
    key = choose(rng, list(place))
    kind = int(rng.integers(4))
    if kind == 0:
        del place[key]
    elif kind == 1:
        place["more"] = 1
    elif isinstance(place[key], str):
        place[key] = choose(rng, (*TEXTS[:5], "0", "-1", "4000", "2147483648", "1e999", "nan", "[0,0,0]"))
    else:
        place[key] = choose(rng, (0, -1, "x", [], {}, None, True, 0.5, np.zeros(3, np.int32)))


def mutate_parquet(data: bytes, rng: Rng) -> bytes:
    """A parquet file with a changed cell, column or row, or changed bytes."""
    if rng.integers(3) == 0:
        return mutate_bytes(data, rng)
    frame = pd.read_parquet(io.BytesIO(data))
    kind = int(rng.integers(6))
    if kind == 0:
        frame = frame.drop(columns=[choose(rng, list(frame.columns))])
    elif kind == 1:
        frame = frame.iloc[: int(rng.integers(len(frame) + 1))]
    elif kind == 2:
        frame = pd.concat([frame, frame.iloc[:1]], ignore_index=True)
    elif kind == 3:
        frame = frame.rename(columns={choose(rng, list(frame.columns)): choose(rng, TEXTS)})
    elif len(frame):
        column = choose(rng, list(frame.columns))
        value = hostile_value(rng)
        cells = frame[column].astype(object).tolist()
        cells[int(rng.integers(len(cells)))] = value
        if kind == 4 and isinstance(value, int | float):
            cells = [value] * len(cells)
        frame[column] = pd.Series(cells, index=frame.index, dtype=object)
    content = io.BytesIO()
    try:
        frame.to_parquet(content)
    except (ValueError, TypeError, ArithmeticError, KeyError, pa.ArrowException):  # not every mix is a column
        return mutate_bytes(data, rng)
    return content.getvalue()


CELLS = (
    *TEXTS,
    *("NA", "null", "inf", "-1e999", "1,5", "1.5;2", "007", "=1+1", "a;b", "\ufeff", "\u202e", "\x1b[2J"),
    *(" a ", "a\nb", "'", '"', '""', ",", "sep=;", "id", "label", "True", "9" * 400, "e\u0301", "\ud7ff"),
)
"""Texts of cells and names of columns that a reader of tables may not expect."""


def mutate_csv(data: bytes, rng: Rng) -> bytes:
    """A CSV file with changed cells, rows, columns, dialect, encoding or bytes."""
    kind = int(rng.integers(12))
    if kind == 0:
        return mutate_bytes(data, rng)
    rows = list(csv.reader(io.StringIO(data.decode())))
    for _ in range(int(choose(rng, (0, 1, 1, 2, 5)))):
        _mutate_rows(rows, rng)
    text = io.StringIO()
    separator = choose(rng, (",", ",", ",", ";", "\t", "|", ":"))
    quoting = choose(rng, (csv.QUOTE_MINIMAL, csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
    end = choose(rng, ("\n", "\n", "\r\n", "\r"))
    csv.writer(text, delimiter=separator, quoting=quoting, lineterminator=end).writerows(rows)
    whole = text.getvalue()
    if kind == 1:
        whole = choose(rng, ("sep=;\n", "# made by a program\n", "\n\n", "\ufeff", " \n")) + whole
    elif kind == 2:
        whole = whole.replace('"', "")
    packed = whole.encode(choose(rng, ("utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1")), errors="replace")
    if kind == 3:
        packed = gzip.compress(packed)
        packed = mutate_bytes(packed, rng) if rng.integers(2) else packed
    return packed[: int(rng.integers(len(packed) + 1))] if kind == 4 else packed


def _mutate_rows(rows: list[list[str]], rng: Rng) -> None:
    """Change the cells of a table in one place, row or column. The first row names the columns."""
    row = rows[0] if rng.integers(3) == 0 else choose(rng, rows)
    column = int(rng.integers(max(len(row), 1)))
    kind = int(rng.integers(9))
    if kind < 3 and row:
        row[column] = str(choose(rng, CELLS))
    elif kind == 3:
        row.append(str(choose(rng, CELLS)))
    elif kind == 4:
        del row[column : column + 1]
    elif kind == 5:
        rows.insert(int(rng.integers(len(rows))), list(choose(rng, rows)))
    elif kind == 6:
        cell = str(choose(rng, CELLS))
        for other in rows[1:]:
            other[column : column + 1] = [cell]
    elif kind == 7:
        for other in rows:
            other[column:column] = other[column : column + 1]
    else:
        del rows[int(rng.integers(len(rows))) :][: max(len(rows) - 1, 0)]
        if not rows:
            rows.append([])


def mutate_toml(data: bytes, rng: Rng) -> bytes:
    """A TOML file with changed values, keys, lines or bytes."""
    kind = int(rng.integers(6))
    if kind == 0:
        return mutate_bytes(data, rng)
    if kind == 1:
        lines = data.splitlines()
        lines.insert(int(rng.integers(len(lines))), choose(rng, lines))
        return b"\n".join(lines)
    if kind == 2:
        depth = int(choose(rng, (50, 900, 100_000)))
        return b"deep = " + b"[" * depth + b"]" * depth + b"\n" + data
    content: Any = tomllib.loads(data.decode())
    for _ in range(int(rng.integers(1, 4))):
        content = mutate_structure(content, rng)
    if not isinstance(content, dict):
        return mutate_bytes(data, rng)
    return "".join(f"{json.dumps(key)} = {_toml(content[key])}\n" for key in content).encode(errors="replace")


def _toml(value: Any) -> str:
    """A value in TOML notation; TOML has no null, so that becomes a text."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(value[key])}" for key in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if value != value or value in (float("inf"), -float("inf")):
        return str(value)
    return json.dumps("null" if value is None else value)
