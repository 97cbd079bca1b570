"""A library on disk: a folder of parquet tables, which DuckDB, pandas and any other reader of parquet opens.

Each table is replaced as a whole, so a reader sees its old or its new rows and never waits for a scan. One
command at a time writes (`Library.writing`). docs/library.md describes the folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from quintet import __version__
from quintet.errors import ArtefactError
from quintet.files.atomic import atomic_replace, write_text
from quintet.files.display.file_names import text_path
from quintet.files.json_types import JsonObject
from quintet.files.locks import is_vacant, output_lock
from quintet.files.untrusted.parquet import PARQUET_ERRORS, read_parquet
from quintet.library.facts import FACTS_FILE, SCHEMA_VERSION, LibraryFacts, read_facts
from quintet.library.feature_parts import FeatureParts
from quintet.library.query import SongQuery, import_duckdb, machine_faults
from quintet.library.schema import GONE, TableName, conform, empty_table, require_complete
from quintet.library.stored import damaged

if TYPE_CHECKING:
    import pandas as pd

DATABASE_FILE = "library.duckdb"
FEATURES_FOLDER = "features"


class Library:
    """The songs of a folder of music. `open` reads one, `create` makes one.

    Args:
        folder: the folder of the library.
        facts: the content of its `library.json`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as place:
        ...     library = Library.create(Path(place, "my.library"))
        ...     len(library.songs()), len(Library.open(library.folder).tags())
        (0, 0)
    """

    def __init__(self, folder: Path, facts: LibraryFacts) -> None:
        self.folder = folder
        self.facts = facts

    @classmethod
    def create(cls, folder: str | os.PathLike[str]) -> Library:
        """Make an empty library.

        Args:
            folder: a folder that does not exist yet, or is empty.

        Raises:
            ArtefactError: something else is there, or another command writes there.
        """
        path = Path(folder)
        with output_lock(path):
            if path.exists() and not (path.is_dir() and is_vacant(path)):
                raise ArtefactError(
                    f"A new library must have a folder of its own. '{path}' holds other files: "
                    "name another folder."
                )
            path.mkdir(parents=True, exist_ok=True)
            library = cls(path, LibraryFacts())
            library.write_facts()
        return library

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Library:
        """Open a library.

        Args:
            folder: its folder.

        Raises:
            ArtefactError: the folder is no library, is damaged, holds a link, holds a folder in the place of
                a file, or was written by a newer version.
        """
        path = Path(folder)
        return cls(path, read_facts(path))

    @classmethod
    def open_or_create(cls, folder: str | os.PathLike[str]) -> Library:
        """The library of a folder; a new one if the folder does not exist or is empty.

        Args:
            folder: its folder.

        Raises:
            ArtefactError: other files are in the folder, or the library cannot be read.
        """
        path = Path(folder)
        is_library = (path / FACTS_FILE).is_file()
        return cls.open(path) if is_library else cls.create(path)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """The right to write, for as long as the block lasts. Tables are read anew at its start.

        Raises:
            ArtefactError: another command writes the library.
        """
        with output_lock(self.folder):
            self.facts = Library.open(self.folder).facts
            self.forget()
            yield

    def forget(self) -> None:
        """Forget what was read, so that the next access reads the files."""
        self.__dict__.pop("query", None)

    def table(self, name: TableName) -> pa.Table:
        """A table of the library as it is on disk now; without rows if it was never written.

        Args:
            name: `songs`, `tags`, `verdicts`, `failures` or `activations`.

        Raises:
            ArtefactError: the file is damaged.
        """
        path = self.folder / f"{name}.parquet"
        if not path.is_file():
            return empty_table(name)
        try:
            table = conform(read_parquet(path), name)
            require_complete(table, name)
        except (*PARQUET_ERRORS, OSError, ArtefactError) as error:
            remedy = "Restore it from a copy, or remove the library and scan again."
            raise damaged(path, error, remedy) from error
        return table

    def write(self, name: TableName, table: pa.Table) -> None:
        """Replace a table. The caller holds the lock (`writing`).

        Args:
            name: as in `table`.
            table: its rows, with the columns of the schema (missing ones become null).
        """
        with atomic_replace(self.folder / f"{name}.parquet") as temporary:
            pq.write_table(conform(table, name), temporary, compression="zstd")
        self.forget()

    def write_activations(self, family: str | tuple[str, ...], table: pa.Table) -> None:
        """Replace the columns of a family of `activations`, for example those of the classes of a model.

        Args:
            family: first letters of its columns, such as `verdict_`. All present columns of it are removed.
            table: `id`, and the new columns.
        """
        present = self.table("activations")
        kept = present.select([name for name in present.column_names if not name.startswith(family)])
        joined = kept.join(table, "id", join_type="full outer") if present.num_rows else table
        self.write("activations", joined.sort_by("id").combine_chunks())

    def write_facts(self) -> None:
        """Replace `library.json`."""
        content = {"schema_version": SCHEMA_VERSION, **vars(self.facts), "quintet": __version__}
        write_text(self.folder / FACTS_FILE, json.dumps(content, indent=1) + "\n")

    def write_database(self) -> None:
        """Write `library.duckdb` from the tables, for programs that speak SQL. Quintet itself never reads it.

        Raises:
            MachineError: the disk is full.
            MissingExtraError: DuckDB is not installed.
        """
        target = self.folder / DATABASE_FILE
        # DuckDB makes a log beside its file, and leaves it there if the disk is full.
        with atomic_replace(target) as temporary, TemporaryDirectory(prefix=".", dir=self.folder) as place:
            database = Path(place, DATABASE_FILE)
            with machine_faults():
                self._fill(database)
            os.replace(database, temporary)

    def _fill(self, database: Path) -> None:
        """Write the tables into a new file of DuckDB."""
        connection = import_duckdb().connect(str(database))
        try:
            for name in ("songs", "tags", "verdicts", "failures", "activations"):
                connection.register("source", self.table(name))
                connection.execute(f"CREATE TABLE {name} AS SELECT * FROM source")
                connection.unregister("source")
            connection.execute("CHECKPOINT")
        finally:
            connection.close()

    def present_songs(self) -> pa.Table:
        """Songs whose files were there at the last scan, as an Arrow table."""
        songs = self.table("songs")
        statuses = songs.column("status")
        if GONE not in statuses.unique().to_pylist():  # Arrow imports pandas for the constant of a filter
            return songs
        return songs.filter(pc.not_equal(statuses, GONE))

    def songs(self, *, gone: bool = False) -> pd.DataFrame:
        """Songs, one row per file: the columns of `quintet.library.schema.SONGS`.

        Args:
            gone: whether to add those whose files have gone since.
        """
        return _frame(self.table("songs") if gone else self.present_songs())

    def tags(self) -> pd.DataFrame:
        """Tags as found: id, field, position, value, source."""
        return _frame(self.table("tags"))

    def verdicts(self) -> pd.DataFrame:
        """Probability of every class for every song: id, label, probability, in_set."""
        return _frame(self.table("verdicts"))

    def failures(self) -> pd.DataFrame:
        """The failure ledger: files that could not be described, with the reason."""
        return _frame(self.table("failures"))

    @property
    def feature_parts(self) -> FeatureParts:
        """The features of the songs, by the digest of their sound."""
        facts = self.facts
        metadata: dict[str, object] = {"parameters": facts.parameters, "quintet": __version__}
        folder = self.folder / FEATURES_FOLDER
        return FeatureParts(folder, tuple(facts.feature_names), facts.parameter_hash, metadata)

    def features(self, ids: Sequence[str], columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Features of songs, float32, indexed by id; NaN if a song has none.

        Args:
            ids: ids of songs.
            columns: names of features. Default: all.

        Raises:
            ArtefactError: an id is unknown.
        """
        import pandas as pd

        songs = self.table("songs")
        found = zip(songs.column("id").to_pylist(), songs.column("audio_digest").to_pylist(), strict=True)
        digest_of = dict(found)
        unknown = [id for id in ids if id not in digest_of]
        if unknown:
            raise ArtefactError(
                f"Every id must be one of a song of the library. {unknown[0]!r} is none: "
                "list them with `quintet library songs`."
            )
        names = list(self.facts.feature_names if columns is None else columns)
        values = self.feature_parts.read([digest_of[id] for id in ids], names)
        return pd.DataFrame(values, index=pd.Index(ids, name="id"), columns=names)

    @cached_property
    def query(self) -> SongQuery:
        """Questions about the songs that are there, in SQL: `library.query.select("tempo > 120")`."""
        return SongQuery(self.present_songs(), self.table("activations"))

    def path_of(self, song: JsonObject) -> Path:
        """The file of a song.

        Args:
            song: a row of `songs`, with `root` and `path`.

        Raises:
            ArtefactError: the path leads out of the root.
        """
        path = text_path(str(song["path"]))
        if os.path.isabs(path) or ".." in Path(path).parts or "\0" in path:
            raise ArtefactError(
                f"A song must lie in its root. '{song['path']}' leads out of '{song['root']}': "
                "another program wrote this library."
            )
        return Path(text_path(str(song["root"])), path)


def _frame(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas()
    return frame
