"""Assignment of groups by a pattern on the file path, or by an audio tag (artist, album, …).

The clips of a group stay on one side of a split. A clip without a group is an error, not a group of its own:
if an artist were missed, the ensemble could be tested on an artist that it was trained on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import TypeGuard

from quintet.audio.isolation.calls import map_isolated
from quintet.datasets.found_tags import FileTags, read_tags
from quintet.datasets.groups import group_name, group_notes
from quintet.datasets.manifest import Manifest, clip_id
from quintet.errors import ConfigError, DatasetError, unknown_name
from quintet.files.display.file_names import text_path
from quintet.files.internet.remote import is_remote

TAGS = ("artist", "album", "albumartist", "composer")

NAMED = ("artist", "album")
"""Tags that are looked for where no groups are given."""
SMALLEST_SHARE = 0.5
"""Share of the files that must have such a tag."""

GroupReader = Callable[[Sequence[str]], Sequence[str | None]]
"""Function from the absolute paths of files to their groups, None for a file without one."""


def assign_groups(manifest: Manifest, group_by: str) -> Manifest:
    """Read the groups of a manifest from paths or tags.

    Args:
        manifest: any manifest. Its groups are replaced. Rows with a problem keep theirs.
        group_by: `"tag:artist"` (or album, albumartist, composer), or a regular expression that is searched
            in the posix path relative to the root. The group is the text of `(?P<group>…)`, or else of the
            first capture group.

    Returns:
        The same manifest with other groups.

    Raises:
        ConfigError: if the pattern is not a regular expression or captures nothing.
        DatasetError: if a usable clip has no group. The message gives examples.
        MissingExtraError: if tags are needed and mutagen is not installed.

    Example:
        >>> pattern_group("rock/queen_01.wav", compile_pattern(r"/([a-z]+)_"))
        'queen'
    """
    read = _group_reader(manifest, group_by)
    frame = manifest.frame.copy()
    usable = frame["problem"].isna()
    paths = frame.loc[usable, "path"].unique().tolist()
    group_of = dict(zip(paths, read(paths), strict=True))
    without = [clip_id(path, manifest.root) for path, group in group_of.items() if not group]
    if without:
        raise DatasetError(
            f"Every clip must have a group under --group-by '{group_by}'. "
            f"{len(without)} of {len(group_of)} files have none, for example: {', '.join(without[:3])}. "
            "Change the pattern, or write a manifest with a group column."
        )
    names = {path: group_name(group) for path, group in group_of.items()}
    frame.loc[usable, "group"] = frame.loc[usable, "path"].map(names)
    notes = group_notes(group_of.values())
    return replace(manifest, frame=frame, grouped=True, ignored=(*manifest.ignored, *notes))


def _group_reader(manifest: Manifest, group_by: str) -> GroupReader:
    if group_by.startswith("tag:"):
        return _tag_reader(group_by.removeprefix("tag:"))
    pattern = compile_pattern(group_by)

    def read(paths: Sequence[str]) -> list[str | None]:
        return [pattern_group(clip_id(path, manifest.root), pattern) for path in paths]

    return read


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Compile a regular expression that must have a capture group.

    Raises:
        ConfigError: if it is not a regular expression, or captures nothing.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigError(
            f"--group-by must be a regular expression or 'tag:artist'. Received '{pattern}': {error}."
        ) from error
    if not compiled.groups:
        raise ConfigError(
            "--group-by must capture the group in parentheses. "
            f"Received '{pattern}': write for example '([^/]+)_[0-9]+'."
        )
    return compiled


def pattern_group(path: str, pattern: re.Pattern[str]) -> str | None:
    """Captured text of the group named `group`, or else of the first one; None without a match."""
    match = pattern.search(path)
    name: str | int = "group" if "group" in pattern.groupindex else 1
    return match.group(name) if match else None


def _tag_reader(tag: str) -> GroupReader:
    """Reader of a tag. A file that is not audio is its own group, because the decoder will refuse it."""
    if tag not in TAGS:
        raise unknown_name("tag", tag, TAGS)

    def read(paths: Sequence[str]) -> list[str | None]:
        found = _read_all(paths)
        return [
            _value(result, tag) if _is_readable(result) else path
            for path, result in zip(paths, found, strict=True)
        ]

    return read


def named_groups_note(paths: Sequence[str], *, n_jobs: int = 1) -> str:
    """A sentence if the tags of most files name their artist, or else their album; otherwise empty.

    Args:
        paths: audio files. Addresses are left out.
        n_jobs: worker processes that read; 0 is this process.
    """
    paths = [path for path in paths if not is_remote(path)]
    if find_spec("mutagen") is None:
        return ""
    found = [read_tags(text_path(path)) for path in paths] if n_jobs == 0 else _read_all(paths, n_jobs=n_jobs)
    readable = [result for result in found if _is_readable(result)]
    for tag in NAMED:
        names = [group_name(name) for name in (_value(result, tag) for result in readable) if name]
        if len(names) >= SMALLEST_SHARE * len(paths) and len(set(names)) > 1:
            others = "" if len(names) == len(paths) else "once the others do too, "
            return (
                f"{len(names)} of {len(paths)} files name an {tag} ({len(set(names))} {tag}s): "
                f"{others}`extract --group-by tag:{tag}` keeps each {tag} on one side."
            )
    return ""


def _read_all(paths: Sequence[str], *, n_jobs: int = 1) -> list[FileTags | Exception]:
    """Tags of files, read in worker processes: a file may crash its reader."""
    results = list(map_isolated(read_tags, ((text_path(path),) for path in paths), n_workers=n_jobs))
    missing = next((result for result in results if isinstance(result, ImportError)), None)
    if missing is not None:
        raise missing
    return results


def _is_readable(result: FileTags | Exception) -> TypeGuard[FileTags]:
    return isinstance(result, FileTags) and result.known and not result.problem


def _value(found: FileTags, tag: str) -> str | None:
    """First value of a tag, if there is one."""
    return next((one.value.strip() for one in found.tags if one.field == tag), None)
