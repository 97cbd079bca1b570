"""The journal of a run that writes tags: one JSON object per line, on the disk before the step that it names.

The lines of a file are `start` (a copy is about to be made), `ready` (the copy is complete and takes the
place of the file next; old and new entries of each field, digests of the file before and after, digest of the
sound) and `done`, or `left` with a reason. A journal is only appended to. If the run is killed, the last line
may be cut; it is ignored. docs/library.md describes the lines.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from quintet import __version__
from quintet.errors import ArtefactError
from quintet.files.display.file_names import name_text, text_path
from quintet.files.json_types import JsonObject
from quintet.files.untrusted import limits
from quintet.files.untrusted.bounded import read_bounded
from quintet.library.tags.entries import FIELDS, Entries, entries_from_json
from quintet.library.tags.rewriting import COPY_ENDING, FieldChange, PreparedCopy, copy_name

JOURNAL_VERSION = 1
FIRST_BYTES = b'{"journal_version": '
MOST_JOURNALS = 10_000


class Journal:
    """A new journal that is open for writing.

    Args:
        path: the file, which must not exist.
        facts: content of its first line.

    Raises:
        OSError: the file exists or cannot be written.
    """

    def __init__(self, path: Path, facts: Mapping[str, object]) -> None:
        self.path, self.token = path, secrets.token_hex(6)
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND
        self._descriptor = os.open(path, flags, 0o666)
        head = {"journal_version": JOURNAL_VERSION, "quintet": __version__, "token": self.token}
        self._add({**head, **facts})

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def start(self, file: Path) -> Path:
        """Note that a file is about to be copied.

        Args:
            file: absolute.

        Returns:
            Name of the copy.
        """
        copy = copy_name(file, self.token)
        self._add({"event": "start", "file": name_text(file), "copy": name_text(copy)})
        return copy

    def ready(self, file: Path, prepared: PreparedCopy) -> None:
        """Note what the next step does."""
        self._add(
            {
                "event": "ready",
                "file": name_text(file),
                "tag": prepared.kind,
                "made_tag": prepared.made_tag,
                "sound": prepared.sound,
                "before": prepared.before,
                "after": prepared.after,
                "fields": {change.field: _change_json(change) for change in prepared.changes},
            }
        )

    def done(self, file: Path) -> None:
        """Note that a file has its new tags."""
        self._add({"event": "done", "file": name_text(file)})

    def left(self, file: Path, fields: tuple[str, ...], reason: str) -> None:
        """Note that fields of a file were left as they are."""
        self._add({"event": "left", "file": name_text(file), "fields": list(fields), "reason": reason})

    def _add(self, content: Mapping[str, object]) -> None:
        """Append a line, and flush it to the disk."""
        rest = memoryview(json.dumps(content).encode() + b"\n")
        size = os.fstat(self._descriptor).st_size
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            os.fsync(self._descriptor)
        except OSError:
            os.ftruncate(self._descriptor, size)  # a full disk: no half line stays
            raise


@contextmanager
def new_journal(beside: Path, ending: str, facts: Mapping[str, object]) -> Iterator[Journal]:
    """A journal beside a file, with the first number that is free: `plan.journal-1.jsonl`.

    Args:
        beside: the plan or the journal that the run carries out.
        ending: `journal` or `undo`.
        facts: content of its first line.

    Raises:
        ArtefactError: there are too many journals.
        OSError: the folder cannot be written.
    """
    for number in range(1, MOST_JOURNALS):
        try:
            journal = Journal(beside.with_name(f"{beside.stem}.{ending}-{number}.jsonl"), facts)
        except FileExistsError:
            continue
        try:
            yield journal
        finally:
            journal.close()
        return
    raise ArtefactError(
        f"A plan may have {MOST_JOURNALS:,} journals. '{beside}' has as many: move them elsewhere."
    )


def journals_beside(plan: Path) -> list[Path]:
    """Journals of earlier runs of a plan."""
    names = sorted(plan.parent.glob("*.jsonl"))
    return [path for path in names if path.name.startswith(f"{plan.stem}.journal-") and not path.is_symlink()]


@dataclass(frozen=True, slots=True)
class PastField:
    """What a run has done to a field.

    Args:
        field: a name of `entries.FIELDS`.
        old_entries: as they were stored.
        old: single values before.
        new: single values after.
    """

    field: str
    old_entries: Entries
    old: tuple[str, ...]
    new: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PastChange:
    """What a run has done to a file, or was about to do when it was killed.

    Args:
        file: absolute.
        fields: the fields.
        made_tag: whether the file had no tag before.
        is_done: whether the journal says that it was done.
    """

    file: Path
    fields: tuple[PastField, ...]
    made_tag: bool
    is_done: bool


@dataclass(frozen=True, slots=True)
class JournalContent:
    """What a journal says.

    Args:
        changes: changed files in the order of the run.
        copies: names of copies that were begun.
        is_cut: whether the last line is incomplete, because the run was killed.
    """

    changes: tuple[PastChange, ...]
    copies: tuple[Path, ...]
    is_cut: bool


def read_journal(path: Path) -> JournalContent:
    """Read a journal.

    Raises:
        ArtefactError: the file is no journal, is of another version, is damaged before its last line, or is
            too large.
        OSError: it cannot be read.
    """
    lines = read_bounded(path, limits.LINES_BYTES).split(b"\n")
    rest = lines.pop()
    is_cut = bool(rest) or not lines
    if not lines and not FIRST_BYTES.startswith(rest[: len(FIRST_BYTES)]):
        lines = [rest]  # no journal at all
    changes: dict[str, PastChange] = {}
    copies: list[Path] = []
    for number, line in enumerate(lines, 1):
        try:
            content = json.loads(line)
            if number == 1:
                _require_version(content, path)
                continue
            file = _absolute(content["file"])
            match content["event"]:
                case "start":
                    copies.append(_copy(content["copy"], file))
                case "ready":
                    changes[str(file)] = _past_change(file, content)
                case "done":
                    past = changes[str(file)]
                    changes[str(file)] = PastChange(past.file, past.fields, past.made_tag, True)
                case "left":
                    pass
                case other:
                    raise ValueError(f"{other!r} is no event")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ArtefactError(
                f"A journal of tags must be whole up to its last line. Line {number} of '{path}' is damaged "
                f"({error}). Restore the journal from a copy."
            ) from None
    return JournalContent(tuple(changes.values()), tuple(copies), is_cut)


def remove_left_copies(content: JournalContent) -> int:
    """Remove the copies that a killed run has left behind, and say how many there were.

    Args:
        content: the journal of that run.
    """
    n_removed = 0
    for copy in content.copies:
        if copy.is_file() and not copy.is_symlink():
            copy.unlink()
            n_removed += 1
    return n_removed


def _change_json(change: FieldChange) -> JsonObject:
    return {"old": change.old.to_json(), "new": change.new.to_json()}


def _require_version(content: JsonObject, path: Path) -> None:
    if not isinstance(content, dict) or content.get("journal_version") != JOURNAL_VERSION:
        raise ArtefactError(
            f"A journal of tags must have the version {JOURNAL_VERSION}. '{path}' has another, or is none: "
            "use the version of quintet that wrote it."
        )


def _absolute(text: str) -> Path:
    path = Path(text_path(text))
    if not path.is_absolute() or "\0" in text:
        raise ValueError("the name of a file must be absolute")
    return path


def _copy(text: str, file: Path) -> Path:
    """Name of a copy, which stands beside its file: a journal removes no others."""
    copy = _absolute(text)
    if copy.parent != file.parent or not (copy.name.startswith(".") and copy.name.endswith(COPY_ENDING)):
        raise ValueError("a copy must stand beside its file")
    return copy


def _past_change(file: Path, content: JsonObject) -> PastChange:
    fields = []
    if not isinstance(content["fields"], dict):
        raise ValueError("fields must be an object")
    for name, change in content["fields"].items():
        if name not in FIELDS:
            raise ValueError(f"{name!r} is no field")
        entries = entries_from_json(change["old"]["entries"])
        fields.append(PastField(name, entries, _texts(change["old"]), _texts(change["new"])))
    return PastChange(file, tuple(fields), content["made_tag"] is True, False)


def _texts(state: JsonObject) -> tuple[str, ...]:
    values = state["values"]
    if not (isinstance(values, list) and all(isinstance(value, str) for value in values)):
        raise ValueError("values must be texts")
    return tuple(values)
