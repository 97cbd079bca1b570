"""New tags in a copy of a file, which then takes the place of the file.

A file is never changed in place. Its copy stands beside it under a hidden name, gets the tags, is read again
and compared: the changed fields hold what was asked for, every other entry and every sample of the sound are
equal. Only then does the copy take the name of the file, in one step of the file system.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xxhash

from quintet.audio.reading.checks import DIGEST_KIND
from quintet.audio.reading.native import Window
from quintet.audio.reading.recording import open_native
from quintet.errors import DecodeError
from quintet.files.atomic import name_beside, synchronise
from quintet.files.digests import file_digest
from quintet.files.display.spreadsheets import safe_cell
from quintet.files.locks import try_lock
from quintet.library.tags.entries import Entries, FieldState, TagError, require_writable, shown
from quintet.library.tags.form import TagForm
from quintet.library.tags.tag_file import open_tags

COPY_ENDING = ".tags.tmp"
"""End of the name of a copy, so that one that a killed process left behind is known."""


@dataclass(frozen=True, slots=True)
class FieldEdit:
    """What shall become of one field of a file.

    Args:
        field: a name of `entries.FIELDS`.
        expected: the field as a plan shows it now. If the file has something else, it is left as it is.
        values: the new values.
        entries: the new entries as they are stored; None makes them from the values.
    """

    field: str
    expected: str
    values: tuple[str, ...]
    entries: Entries | None = None


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field that the copy holds anew.

    Args:
        field: a name of `entries.FIELDS`.
        old: the field in the file.
        new: the field in the copy.
    """

    field: str
    old: FieldState
    new: FieldState


@dataclass(frozen=True, slots=True)
class Identity:
    """Inode, size and time of change of a file: they are equal as long as it is the one that was read."""

    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> Identity:
        """The identity of a file now."""
        facts = path.lstat()
        return cls(facts.st_ino, facts.st_size, facts.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class PreparedCopy:
    """A copy that is ready to take the place of its file, or the reasons why there is none.

    Args:
        kind: form of the tag.
        changes: the changed fields; without any there is no copy.
        equal: fields that hold the new values already.
        refused: fields that hold something else than expected.
        made_tag: whether the file had no tag at all.
        sound: digest of the decoded sound, which the file and the copy share.
        before: SHA-256 of the file.
        after: SHA-256 of the copy.
        identity: of the file when it was read.
    """

    kind: str
    changes: tuple[FieldChange, ...]
    equal: tuple[str, ...]
    refused: tuple[str, ...]
    made_tag: bool = False
    sound: str = ""
    before: str = ""
    after: str = ""
    identity: Identity = field(default_factory=lambda: Identity(0, 0, 0))


def require_ordinary(path: Path) -> None:
    """Refuse a file that cannot be replaced without a loss: a link, one of several names, a protected one.

    Args:
        path: the file.

    Raises:
        TagError: it is of this kind.
        OSError: it cannot be looked at.
    """
    try:
        facts = path.lstat()
    except FileNotFoundError:
        raise TagError(
            f"A song must be where the plan or the journal says. '{path}' is not there. If it was moved, "
            "scan the library again and name it, too: quintet library tags --apply PLAN LIBRARY. To take a "
            "journal back, move the song back."
        ) from None
    if stat.S_ISLNK(facts.st_mode):
        raise TagError(
            f"A song must be a file, not a link. '{path.name}' is a link to '{os.readlink(path)}': "
            "write the tags of that file."
        )
    if not stat.S_ISREG(facts.st_mode):
        raise TagError(f"A song must be a regular file. '{path.name}' is none: leave it out of the plan.")
    if facts.st_nlink > 1:
        raise TagError(
            f"A song must have one name. '{path.name}' has {facts.st_nlink} (hard links), and the others "
            "would keep the old tags: make a copy of it first."
        )
    if not facts.st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH) or not os.access(path, os.W_OK):
        raise TagError(f"A song must be writable. '{path.name}' is write-protected: allow it with chmod u+w.")


def copy_name(path: Path, token: str) -> Path:
    """Name of the copy of a file, beside it.

    Args:
        path: the file.
        token: hexadecimal digits that no other run has.

    Example:
        >>> copy_name(Path("a/song.mp3"), "0a1b").as_posix()
        'a/.song.mp3.0a1b.tags.tmp'
    """
    return name_beside(path, f".{token}{COPY_ENDING}")


def prepare_copy(
    path: str, copy: str, edits: Sequence[FieldEdit], separator: str | None, drop_tag: bool
) -> PreparedCopy:
    """Copy a file, change the tags of the copy, and compare it with the file. The file is only read.

    It runs in a worker process, because it decodes the sound.

    Args:
        path: the file.
        copy: name of the copy (`copy_name`). If it is of no use, it is removed again.
        edits: the changes.
        separator: as in `TagForm.encode`.
        drop_tag: whether to remove the tag if it has no entries afterwards.

    Raises:
        TagError: the tags cannot be written, or the copy differs in more than the changed fields.
        AudioError: the sound cannot be decoded, so it cannot be compared.
        OSError: for example of a full disk.
    """
    source, target = Path(path), Path(copy)
    require_ordinary(source)
    identity = Identity.of(source)
    tags = open_tags(source)
    states = {edit.field: tags.state(edit.field) for edit in edits}
    equal = tuple(edit.field for edit in edits if states[edit.field].text == shown(edit.values))
    refused = tuple(
        edit.field
        for edit in edits
        if edit.field not in equal and not _is_shown_as(states[edit.field], edit.expected)
    )
    wanted = [edit for edit in edits if edit.field not in (*equal, *refused)]
    if not wanted:
        return PreparedCopy(tags.kind, (), equal, refused)
    others = tags.others([edit.field for edit in wanted])
    sound = sound_digest(source)
    try:
        with source.open("rb") as reader, target.open("xb") as writer:
            shutil.copyfileobj(reader, writer, 1 << 20)
        entries, is_dropped = _write_tags(open_tags(target, tags), wanted, separator, drop_tag)
        written = open_tags(target, tags)
        _require_equal(written, entries, None if is_dropped else others, source)
        _require_same_sound(target, sound, source)
        changes = tuple(
            FieldChange(edit.field, states[edit.field], written.state(edit.field)) for edit in wanted
        )
        synchronise(target)
        return PreparedCopy(
            tags.kind,
            changes,
            equal,
            refused,
            tags.is_new,
            sound,
            file_digest(source),
            file_digest(target),
            identity,
        )
    except BaseException:
        with suppress(OSError):
            target.unlink(missing_ok=True)
        raise


def sound_digest(path: Path) -> str:
    """Digest of all decoded samples of all channels, as the file has them. Silence has one, too.

    Raises:
        AudioError: the sound cannot be decoded.
    """
    native = open_native(path, Window())
    digest, n_samples = xxhash.xxh3_128(f"{native.sample_rate}:{native.channels}:".encode()), 0
    for block in native.blocks:
        digest.update(np.ascontiguousarray(block).data)
        n_samples += len(block)
    if not n_samples:
        raise DecodeError(f"A song must hold sound. '{path}' has no samples: fetch or export it again.")
    return DIGEST_KIND + digest.hexdigest()


@contextmanager
def sole_writer(path: Path) -> Iterator[None]:
    """The right to replace a file, for as long as the block lasts, against other runs of this command.

    Raises:
        TagError: another run has it.
        OSError: the file cannot be opened.
    """
    if sys.platform == "win32":  # which replaces no file that is open
        yield
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        try:
            is_ours = try_lock(descriptor)
        except OSError:  # a file system without locks
            is_ours = True
        if not is_ours:
            raise TagError(f"A song must be written by one command. Another one writes '{path.name}' now.")
        yield
    finally:
        os.close(descriptor)


def replace_file(
    path: Path, copy: Path, prepared: PreparedCopy, *, keep_times: bool, announce: Callable[[], object]
) -> None:
    """Let a copy take the place of its file, with the owner, the permissions and the attributes of the file.

    Args:
        path: the file.
        copy: its copy.
        prepared: what `prepare_copy` has returned.
        keep_times: whether the copy also gets the times of the file.
        announce: called when nothing stands in the way any more, just before the step.

    Raises:
        TagError: somebody has changed the file since it was read, or its owner cannot be kept.
        OSError: the folder cannot be written.
    """
    with sole_writer(path):
        require_ordinary(path)
        if Identity.of(path) != prepared.identity:
            raise TagError(f"A song must not change meanwhile. '{path.name}' has: run the command again.")
        facts = path.stat()
        _keep_owner(copy, facts)
        written = copy.stat()
        shutil.copystat(path, copy)
        if not keep_times:
            os.utime(copy, ns=(written.st_atime_ns, written.st_mtime_ns))
        synchronise(copy)
        announce()
        os.replace(copy, path)
    _synchronise_folder(path.parent)


def _keep_owner(copy: Path, facts: os.stat_result) -> None:
    own = copy.stat()
    if (own.st_uid, own.st_gid) == (facts.st_uid, facts.st_gid) or not hasattr(os, "chown"):
        return
    try:
        os.chown(copy, facts.st_uid, facts.st_gid)
    except OSError:
        raise TagError(
            "A song must keep its owner. This one belongs to another user or group: run the command as that "
            "user."
        ) from None


def _synchronise_folder(folder: Path) -> None:
    """Flush the new name of a file to the disk, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _is_shown_as(state: FieldState, cell: str) -> bool:
    """Whether a plan, perhaps one for spreadsheets, shows a field so."""
    return cell.strip() in (state.text.strip(), safe_cell(state.text).strip())


def _write_tags(
    tags: TagForm, edits: Sequence[FieldEdit], separator: str | None, drop_tag: bool
) -> tuple[dict[str, Entries], bool]:
    """Save the new fields in a copy: the entries of each, and whether the tag was removed."""
    entries: dict[str, Entries] = {}
    for edit in edits:
        if edit.entries is None:
            require_writable(edit.values)
            entries[edit.field] = tags.encode(edit.field, edit.values, separator)
        else:
            entries[edit.field] = edit.entries
        tags.put(edit.field, entries[edit.field])
    is_dropped = drop_tag and tags.is_empty()
    if is_dropped:
        tags.drop()
    else:
        tags.save()
    return entries, is_dropped


def _require_same_sound(target: Path, sound: str, source: Path) -> None:
    """Compare the decoded sound of a copy with that of the file."""
    if sound_digest(target) != sound:
        raise TagError(
            f"The sound must stay equal to the bit. The copy of '{source.name}' with new tags sounds "
            "different, so the file was left as it is: convert it to another format."
        )


def _require_equal(
    tags: TagForm, entries: dict[str, Entries], others: dict[str, str] | None, source: Path
) -> None:
    """Compare the tags of a copy with what was asked for, and all other entries with those of the file."""
    for field_, wanted in entries.items():
        if tags.state(field_).values != tags.values(wanted):
            raise TagError(
                f"A tag must hold what was written. The format of '{source.name}' does not keep the "
                f"{field_}, so the file was left as it is: choose another value."
            )
    if others is not None and tags.others(list(entries)) != others:
        raise TagError(
            f"The other tags must stay as they are. The format of '{source.name}' cannot keep them, so the "
            "file was left as it is: write its tags with the program that made it."
        )
