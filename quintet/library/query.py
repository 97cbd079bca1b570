"""Questions about songs: one SQL condition over typed columns, which can do nothing but compare.

The condition is parsed by DuckDB, and its parse tree must consist of columns of the songs, constants,
comparisons and functions of `FUNCTIONS`. It runs on tables in memory, on a connection that reads no file and
whose settings are locked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from quintet.errors import ConfigError, MachineError, MissingExtraError, unknown_name
from quintet.files.machine import GOES_ON, is_memory_short

MOST_CHARACTERS = 4_000
"""Longest condition."""
MOST_BRACKETS = 100
"""Most opening brackets of a condition. The parser takes seconds for thousands of them."""

CLASSES = {
    "BETWEEN",
    "CASE",
    "COLUMN_REF",
    "COMPARISON",
    "CONJUNCTION",
    "CONSTANT",
    "FUNCTION",
    "OPERATOR",
}
"""Kinds of expression that a condition may hold."""

OPERATORS = ("+", "-", "*", "/", "//", "%", "||", "~~", "!~~", "~~*", "!~~*")
PATTERNS = ("like_escape", "ilike_escape", "not_like_escape", "not_ilike_escape", "regexp_matches")
TEXTS = ("contains", "ends_with", "length", "lower", "prefix", "starts_with", "suffix", "trim", "upper")
NUMBERS = ("abs", "ceil", "coalesce", "floor", "greatest", "least", "list_value", "round", "year")
FUNCTIONS = frozenset([*OPERATORS, *PATTERNS, *TEXTS, *NUMBERS])
"""Functions that a condition may call."""

TABLE = "songs"


def import_duckdb() -> Any:
    """The module duckdb.

    Raises:
        MemoryError: the memory is not enough for it.
        MissingExtraError: it is not installed.
    """
    try:
        import duckdb
    except ImportError as error:
        if is_memory_short():
            raise MemoryError("DuckDB does not fit into the memory.") from error
        raise MissingExtraError("A question about a library", "library") from error
    return duckdb


@contextmanager
def machine_faults() -> Iterator[None]:
    """Faults of the machine that DuckDB meets, as errors that name them: a full disk, too little memory.

    Raises:
        MachineError: DuckDB cannot write its file.
        MemoryError: the memory is not enough.
        MissingExtraError: DuckDB is not installed.
    """
    duckdb = import_duckdb()
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise MemoryError(_first_line(error)) from error
    except (duckdb.IOException, duckdb.FatalException) as error:
        raise MachineError(
            f"The database of a library must be written. DuckDB reports: {_first_line(error)}. "
            f"Make room, or write to another disk. {GOES_ON}"
        ) from error


def column_name(text: str) -> str:
    """Name of a class or tag as part of a column: lower case, other characters than letters and digits are _.

    Example:
        >>> column_name("Hip-Hop"), column_name("90s")
        ('hip_hop', '90s')
    """
    return re.sub(r"\W+", "_", text.casefold()).strip("_") or "_"


class SongQuery:
    """Songs as a table of SQL.

    Args:
        songs: the songs: columns of `quintet.library.schema.SONGS`.
        activations: further columns by id: tags of pretrained networks, probabilities of classes.

    Example:
        >>> songs = pa.table({"id": ["a", "b"], "tempo": [90.0, 128.0]})
        >>> happy = pa.table({"id": ["b"], "mood_happy": [0.7]})
        >>> SongQuery(songs, happy).select("mood_happy > .5 and tempo > 120").column("id").to_pylist()
        ['b']
    """

    def __init__(self, songs: pa.Table, activations: pa.Table) -> None:
        self.songs = songs
        self._activations = activations
        self._connection: Any = None

    @property
    def columns(self) -> list[str]:
        """Columns that a condition may name."""
        return [
            *self.songs.column_names,
            *(name for name in self._activations.column_names if name not in self.songs.column_names),
        ]

    def select(
        self, where: str | None = None, *, order_by: str | None = None, limit: int | None = None
    ) -> pa.Table:
        """Songs that meet a condition, in the order of the library or of a column.

        Args:
            where: the condition, such as `mood_happy > .5 and tempo between 110 and 130`. Default: all songs.
            order_by: a column; `-tempo` begins with the largest. Missing values come last.
            limit: at most so many songs.

        Raises:
            ConfigError: the condition is not one expression over the columns, or a column is unknown.
            MachineError: DuckDB does not start.
            MissingExtraError: DuckDB is not installed.
        """
        positions = self.positions(where, order_by=order_by, limit=limit)
        return self.songs.take(pa.array(positions, pa.int64()))

    def positions(
        self, where: str | None = None, *, order_by: str | None = None, limit: int | None = None
    ) -> NDArray[np.int64]:
        """Places among `songs` of what `select` returns.

        Args:
            where: as in `select`.
            order_by: as in `select`.
            limit: as in `select`.

        Raises:
            ConfigError, MachineError, MissingExtraError: as `select`.
        """
        connection = self._open()
        with machine_faults():
            used = set() if where is None else check_condition(connection, where, self.columns)
        ordering = "position"
        if order_by is not None:
            name = order_by.removeprefix("-")
            if name not in self.columns:
                raise unknown_name("column", name, self.columns)
            used.add(name)
            ordering = f'"{name}" {"DESC" if order_by.startswith("-") else "ASC"} NULLS LAST, position'
        text = f"SELECT position FROM {self._source(used)} AS {TABLE}"
        if where is not None:
            text += f" WHERE ({where}\n)"
        text += f" ORDER BY {ordering}"
        if limit is not None:
            text += f" LIMIT {int(limit)}"
        try:
            with machine_faults():
                positions: NDArray[np.int64] = connection.execute(text).fetchnumpy()["position"]
        except import_duckdb().Error as error:
            raise _refusal(where or "", _first_line(error)) from error
        return positions

    def _open(self) -> Any:
        if self._connection is None:
            numbered = self.songs.append_column("position", pa.array(range(self.songs.num_rows), pa.int64()))
            with machine_faults():
                connection = _connect()
                connection.register("song_rows", numbered)
                connection.register("activation_rows", self._activations)
                connection.execute("SET lock_configuration = true")
            self._connection = connection
        return self._connection

    def _source(self, used: set[str]) -> str:
        """The table with the columns that a question uses; others are not joined."""
        own = set(self.songs.column_names)
        source = "song_rows AS s"
        columns = ["s.*"]
        if tags := sorted(used & set(self._activations.column_names) - own):
            source += " LEFT JOIN activation_rows AS a ON a.id = s.id"
            columns += [f'a."{name}"' for name in tags]
        return f"(SELECT {', '.join(columns)} FROM {source})"


def _connect() -> Any:
    """A connection in memory that reads no file.

    Raises:
        MachineError: DuckDB does not start, for example in a current folder that was deleted.
        MissingExtraError: DuckDB is not installed.
    """
    duckdb = import_duckdb()
    settings = {
        "enable_external_access": "false",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "python_enable_replacements": "false",
    }
    try:
        return duckdb.connect(":memory:", config=settings)
    except duckdb.IOException as error:
        raise MachineError(
            f"A question about a library needs DuckDB. It does not start here: {_first_line(error)}."
        ) from error


def check_condition(connection: Any, where: str, columns: list[str]) -> set[str]:
    """Columns that a condition names.

    Args:
        connection: a connection of DuckDB, which parses it.
        where: the condition.
        columns: columns that it may name.

    Raises:
        ConfigError: it is no single expression, or names something else than columns and `FUNCTIONS`.
    """
    if not where.strip() or len(where) > MOST_CHARACTERS or "\0" in where:
        raise _refusal(where[:60], f"it must have 1 to {MOST_CHARACTERS} characters")
    if sum(map(where.count, "([{")) > MOST_BRACKETS:
        raise _refusal(where[:60], f"it must have at most {MOST_BRACKETS} opening brackets")
    text = f"SELECT 1 FROM {TABLE} WHERE ({where}\n)"
    parsed = json.loads(
        connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [text]).fetchone()[0]  # parsed, not run
    )
    if parsed.get("error"):
        raise _refusal(where, str(parsed.get("error_message", "no SQL")).splitlines()[0])
    statements = parsed["statements"]
    if len(statements) != 1 or not _is_plain_select(statements[0]["node"]):
        raise _refusal(where, "it must be one expression")
    used: set[str] = set()
    _visit(statements[0]["node"]["where_clause"], where, columns, used)
    return used


def _is_plain_select(node: dict[str, Any]) -> bool:
    """Whether a statement is `SELECT 1 FROM songs WHERE …` and nothing else."""
    source = node.get("from_table") or {}
    empty = ("modifiers", "group_expressions", "group_sets", "having", "sample", "qualify")
    return (
        node.get("type") == "SELECT_NODE"
        and source.get("type") == "BASE_TABLE"
        and source.get("table_name") == TABLE
        and len(node.get("select_list", ())) == 1
        and not any(node.get(name) for name in empty)
        and not node.get("cte_map", {}).get("map")
    )


def _visit(node: object, where: str, columns: list[str], used: set[str]) -> None:
    """Check an expression and all below it."""
    waiting = [node]
    while waiting:
        here = waiting.pop()
        if isinstance(here, list):
            waiting += here
        if not isinstance(here, dict):
            continue
        kind = here.get("class")
        if kind is not None and kind not in CLASSES:
            raise _refusal(where, f"{str(kind).lower().replace('_', ' ')} is not allowed")
        if kind == "COLUMN_REF":
            names = here.get("column_names", [])
            lowered = {name.casefold(): name for name in columns}
            name = ".".join(names)
            if name.casefold() not in lowered:
                raise unknown_name("column", name, columns)
            used.add(lowered[name.casefold()])
        elif kind == "FUNCTION":
            name = str(here.get("function_name"))
            if name not in FUNCTIONS or here.get("schema") or here.get("catalog"):
                raise _refusal(where, f"the function {name} is not one of {', '.join(sorted(FUNCTIONS))}")
        waiting += here.values()


def _refusal(where: str, reason: str) -> ConfigError:
    return ConfigError(
        "A condition must be one SQL expression over columns of the songs, such as "
        f"`tempo between 110 and 130 and genre = 'rock'`. Received {where!r}: {reason}."
    )


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
