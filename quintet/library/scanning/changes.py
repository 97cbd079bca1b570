"""Changes of a library during a scan: which song a file is, and the rows that are replaced."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from quintet.datasets.found_tags import FoundTag, song_columns
from quintet.files.digests import content_hash
from quintet.files.json_types import JsonObject
from quintet.library.scanning.examine import Examined
from quintet.library.scanning.listing import Folder, FoundFile, KnownSong, is_there, known_songs, move_roots
from quintet.library.scanning.summary import ScanSummary
from quintet.library.schema import FAILURES, GONE, SONGS, TAGS, with_rows
from quintet.library.sound.answers import SOUND, tempo_from_tags

if TYPE_CHECKING:
    from quintet.library.store import Library

VERDICT_COLUMNS = ("verdict", "verdict_probability", "verdict_set", "out_of_class", "model")


class Changes:
    """Changes of a library, from the files of a folder.

    Args:
        library: the library.
        folder: the folder, with its files.
        retry_failed: whether files of the failure ledger are examined again.
    """

    def __init__(self, library: Library, folder: Folder, *, retry_failed: bool) -> None:
        self.library = library
        self.folder = folder
        self._songs = move_roots(library.table("songs"), folder.root, "songs")
        self._tags = library.table("tags")
        self._failures = move_roots(library.table("failures"), folder.root, "failures")
        inner = [
            root for root in library.facts.roots if root != folder.root and root.startswith(folder.root + "/")
        ]
        library.facts.roots = [root for root in library.facts.roots if root not in inner]
        self._known = known_songs(self._songs)
        self._described = library.feature_parts.digests()
        self._now = datetime.now(UTC)
        self._rows: dict[str, JsonObject] = {}
        self._new_tags: dict[str, list[FoundTag]] = {}
        self._new_failures: dict[str, JsonObject] = {}
        self._tag_problems: list[str] = []
        self._written = (0, 0, self._failures.num_rows)
        self._written_roots = list(library.facts.roots) if not inner else []
        self._counts = dict.fromkeys(("new", "changed", "moved", "back", "unchanged"), 0)
        self._ids = {song.id for song in self._known}
        self._by_digest: dict[str, list[KnownSong]] = defaultdict(list)
        self._by_audio: dict[str, list[KnownSong]] = defaultdict(list)
        self._by_size: dict[int, set[str]] = defaultdict(set)
        for song in self._known:
            self._index(song)
        self.todo = self._plan(retry_failed=retry_failed)
        self.n_files = len(folder.files)

    def _index(self, song: KnownSong) -> None:
        self._by_digest[song.file_digest].append(song)
        self._by_audio[song.audio_digest].append(song)
        if song.audio_digest in self._described:
            self._by_size[song.size].add(song.file_digest)

    def _plan(self, *, retry_failed: bool) -> list[FoundFile]:
        """The files to examine, those at known paths first; the others are settled."""
        present_last = sorted(self._known, key=lambda song: song.status != GONE)
        here = {song.path: song for song in present_last if song.root == self.folder.root}
        failed = {}
        if not retry_failed:
            columns = [
                self._failures.column(name).to_pylist() for name in ("root", "path", "size", "mtime_ns")
            ]
            failed = {
                path: (size, mtime_ns)
                for root, path, size, mtime_ns in zip(*columns, strict=True)
                if root == self.folder.root
            }
        self._settled_failures: set[str] = set()
        listed: set[str] = set()
        at_known_paths: list[FoundFile] = []
        at_new_paths: list[FoundFile] = []
        for file in self.folder.files:
            listed.add(file.path)
            if file.path in self.folder.waiting:
                if file.path in failed:
                    self._settled_failures.add(file.path)
                continue
            song = here.get(file.path)
            is_same = song is not None and (song.size, song.mtime_ns) == (file.size, file.mtime_ns)
            if song is not None and is_same and song.audio_digest in self._described:
                self._keep(song)
                continue
            if failed.get(file.path) == (file.size, file.mtime_ns):
                self._settled_failures.add(file.path)
                continue
            (at_new_paths if song is None else at_known_paths).append(file)
        unsettled = {file.path for file in at_known_paths}
        self._free = {
            song.id
            for song in self._known
            if self.folder.holds(song.root, song.path) and (song.path in unsettled or song.path not in listed)
        }
        self._at_path = here
        return at_known_paths + at_new_paths

    def _keep(self, song: KnownSong) -> None:
        """A file that has not changed. It may have been gone for a while."""
        if song.status != GONE:
            self._counts["unchanged"] += 1
            return
        self._counts["back"] += 1
        self._rows[song.id] = self._row_of(song) | {"status": self._present_status(song)}

    def _row_of(self, song: KnownSong) -> JsonObject:
        if song.id in self._rows:
            return dict(self._rows[song.id])
        row: JsonObject = self._songs.slice(song.row, 1).to_pylist()[0]
        return row

    def _present_status(self, song: KnownSong) -> str:
        return "truncated" if self._row_of(song).get("reason") else "ok"

    def known_digests(self, size: int) -> tuple[str, ...]:
        """Digests of the described songs whose files have this size."""
        return tuple(sorted(self._by_size.get(size, ())))

    def take(self, file: FoundFile, examined: Examined) -> None:
        """Take the result of a file.

        Args:
            file: the file.
            examined: what is in it.
        """
        row = examined.row
        if examined.tags.problem:
            self._tag_problems.append(f"'{file.path}' ({examined.tags.problem})")
        if row is not None and row.failed:
            self._fail(file, examined)
            return
        if row is None:
            audio_digest = self._by_digest[examined.file_digest][0].audio_digest
            sound = self._sound_of(examined.file_digest)
        else:
            audio_digest = str(row.facts["audio_digest"])
            sound = _sound_columns(examined)
        song, kind = self._recognise(file, examined.file_digest, audio_digest)
        before = {} if song is None else self._row_of(song)
        id = self._new_id(file, examined.file_digest) if song is None else song.id
        self._counts[kind] += 1
        now_here = {
            "id": id,
            "root": self.folder.root,
            "path": file.path,
            "file_digest": examined.file_digest,
            "audio_digest": audio_digest,
            "size": file.size,
            "mtime_ns": file.mtime_ns,
            "format": examined.tags.format,
            "added": before.get("added") or self._now,
            "changed": before.get("changed") if kind in ("moved", "back", "unchanged") else self._now,
        }
        same_sound = before.get("audio_digest") == audio_digest
        kept = {name: before.get(name) for name in VERDICT_COLUMNS} if same_sound else {}
        if sound.get("tempo_source") != SOUND:
            bpm = [tag.value for tag in examined.tags.tags if tag.field == "bpm"]
            sound |= {"tempo": None, "tempo_source": None} | tempo_from_tags(bpm)
        self._rows[id] = {**kept, **sound, **now_here, **song_columns(examined.tags.tags)}
        self._new_tags[id] = examined.tags.tags
        self._free.discard(id)
        self._described.add(audio_digest)
        self._index(
            KnownSong(
                -1,
                id,
                self.folder.root,
                file.path,
                file.size,
                file.mtime_ns,
                examined.file_digest,
                audio_digest,
                "ok",
            )
        )

    def _recognise(
        self, file: FoundFile, file_digest: str, audio_digest: str
    ) -> tuple[KnownSong | None, str]:
        """The song that a file is, and what happened to it; None for a new song."""
        here = self._at_path.get(file.path)
        if here is not None and here.id not in self._free:
            here = None  # another file has turned out to be this song
        same = self._by_digest.get(file_digest, [])
        if here is not None and here.file_digest == file_digest:
            return here, "back" if here.status == GONE else "unchanged"
        for song in same:
            if self._is_free(song):
                return song, "moved"
        if here is not None and here.audio_digest == audio_digest:
            return here, "changed"
        for song in self._by_audio.get(audio_digest, []):
            if self._is_free(song):
                return song, "moved"
        return None, "new" if here is None else "changed"

    def _is_free(self, song: KnownSong) -> bool:
        """Whether the file of a known song is no longer at its place, so that it may be this one."""
        if song.row < 0 or song.id in self._rows:
            return False
        if self.folder.holds(song.root, song.path):
            return song.id in self._free
        return song.status == GONE or not is_there(song.root, song.path)

    def _sound_of(self, file_digest: str) -> JsonObject:
        """Facts and answers of a song with these bytes."""
        row = self._row_of(self._by_digest[file_digest][0])
        names = ("seconds", "missing_s", "sample_rate", "channels", "reason")
        answers = [name for name in row if name.startswith(("tempo", "key", "energy"))]
        return {name: row[name] for name in (*names, *answers)} | {
            "status": "truncated" if row["reason"] else "ok"
        }

    def _new_id(self, file: FoundFile, file_digest: str) -> str:
        id = content_hash([file_digest, file.path])
        number = 0
        while id in self._ids:
            number += 1
            id = content_hash([file_digest, file.path, number])
        self._ids.add(id)
        return id

    def _fail(self, file: FoundFile, examined: Examined) -> None:
        assert examined.row is not None
        facts = examined.row.facts
        self._new_failures[file.path] = {
            "root": self.folder.root,
            "path": file.path,
            "file_digest": examined.file_digest,
            "size": file.size,
            "mtime_ns": file.mtime_ns,
            "stage": facts.get("stage"),
            "error": facts.get("error"),
            "reason": facts.get("reason"),
            "seen": self._now,
        }

    def write(self) -> None:
        """Write the tables as they are so far: tags and failures first, then the songs.

        Tables are not written if nothing has changed.
        """
        failures = self._failure_table()
        state = (len(self._rows), len(self._new_failures), failures.num_rows)
        if state == self._written and self.library.facts.roots == self._written_roots:
            return
        self._written, self._written_roots = state, list(self.library.facts.roots)
        ids = pa.array(list(self._new_tags), pa.string())
        tags = [{"id": id, **tag._asdict()} for id, found in self._new_tags.items() for tag in found]
        self.library.write("tags", _replaced(self._tags, ids, tags, TAGS))
        self.library.write("failures", failures)
        ids = pa.array(list(self._rows), pa.string())
        songs = _replaced(self._songs, ids, list(self._rows.values()), SONGS)
        self.library.write(
            "songs", _mark_copies(songs.sort_by([("root", "ascending"), ("path", "ascending")]))
        )

    def _failure_table(self) -> pa.Table:
        """The ledger: other folders as before, and of this one what is still so, or is new."""
        roots = self._failures.column("root").to_pylist()
        paths = self._failures.column("path").to_pylist()
        mask = [
            not self.folder.holds(root, path) or path in self._settled_failures
            for root, path in zip(roots, paths, strict=True)
        ]
        kept = self._failures.filter(pa.array(mask, pa.bool_()))
        return with_rows(kept, list(self._new_failures.values()), FAILURES)

    def finish(self) -> ScanSummary:
        """Mark the songs whose files have gone, and write the tables for the last time."""
        gone = 0
        for song in self._known:
            if song.id in self._free and song.id not in self._rows and song.status != GONE:
                gone += 1
                self._rows[song.id] = self._row_of(song) | {"status": GONE}
        self.write()
        failures = [{"path": row["path"], "reason": row["reason"]} for row in self._new_failures.values()]
        counts = self._counts
        return ScanSummary(
            n_songs=self.library.present_songs().num_rows,
            new=counts["new"],
            changed=counts["changed"],
            moved=counts["moved"],
            gone=gone,
            back=counts["back"],
            unchanged=counts["unchanged"],
            failed=len(self._new_failures) + len(self._settled_failures),
            failures=failures,
            notes=self._notes(),
        )

    def _notes(self) -> list[str]:
        """Sentences about songs that are there, but not in every respect."""
        notes = []
        if self._tag_problems:
            n = len(self._tag_problems)
            notes.append(f"Tags that could not be read: those of {n} files, such as {self._tag_problems[0]}")
        n_short = sum(row["status"] == "truncated" for row in self._rows.values())
        if n_short:
            notes.append(f"Recordings that are cut short, and used as they are: {n_short} (status truncated)")
        return notes


def _sound_columns(examined: Examined) -> JsonObject:
    """Facts and answers of a file that was described."""
    assert examined.row is not None
    facts = examined.row.facts
    return {
        "status": facts["status"],
        "reason": facts.get("reason"),
        "seconds": facts.get("duration_s"),
        "missing_s": facts.get("missing_s"),
        "sample_rate": facts.get("native_sample_rate"),
        "channels": facts.get("native_channels"),
        **examined.answers,
    }


def _replaced(table: pa.Table, ids: pa.Array, rows: list[JsonObject], schema: pa.Schema) -> pa.Table:
    """A table without the rows of these ids, and with new rows."""
    kept = table.filter(pc.invert(pc.is_in(table.column("id"), value_set=ids)))
    return with_rows(kept, rows, schema)


def _mark_copies(songs: pa.Table) -> pa.Table:
    """Songs with the column `copy_of`: the first song that is there and has the same sound."""
    first: dict[str, str] = {}
    copies: list[str | None] = []
    columns = (songs.column(name).to_pylist() for name in ("id", "audio_digest", "status"))
    for id, digest, status in zip(*columns, strict=True):
        is_copy = status != GONE and first.setdefault(digest, id) != id
        copies.append(first[digest] if is_copy else None)
    place = songs.column_names.index("copy_of")
    return songs.set_column(place, "copy_of", pa.array(copies, pa.string()))
