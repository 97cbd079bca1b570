"""Assignment of groups by a pattern on the file path, or by an audio tag (artist, album, …).

The clips of a group stay on one side of a split. A clip without a group is an error, not a group of its own:
if an artist were missed, the ensemble could be tested on an artist that it was trained on.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from quintet.datasets.groups import group_name
from quintet.datasets.manifest import Manifest, clip_id
from quintet.errors import ConfigError, DatasetError, MissingExtraError, unknown_name
from quintet.files.display.file_names import text_path

TAGS = ("artist", "album", "albumartist", "composer")

GroupReader = Callable[[str], str | None]
"""Function from the absolute path of a file to its group, or None if it has none."""


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
    group_of = {path: read(path) for path in frame.loc[usable, "path"].unique()}
    without = [clip_id(path, manifest.root) for path, group in group_of.items() if not group]
    if without:
        raise DatasetError(
            f"Every clip must have a group under --group-by '{group_by}'. "
            f"{len(without)} of {len(group_of)} files have none, for example: {', '.join(without[:3])}. "
            "Change the pattern, or write a manifest with a group column."
        )
    names = {path: group_name(group) for path, group in group_of.items()}
    frame.loc[usable, "group"] = frame.loc[usable, "path"].map(names)
    return replace(manifest, frame=frame, grouped=True)


def _group_reader(manifest: Manifest, group_by: str) -> GroupReader:
    if group_by.startswith("tag:"):
        return _tag_reader(group_by.removeprefix("tag:"))
    pattern = compile_pattern(group_by)

    def read(path: str) -> str | None:
        return pattern_group(clip_id(path, manifest.root), pattern)

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
    try:
        import mutagen
    except ImportError as error:
        raise MissingExtraError("Reading groups from tags", "tags") from error

    def read(path: str) -> str | None:
        try:
            file = mutagen.File(text_path(path), easy=True)
        except (mutagen.MutagenError, OSError):
            return path
        if file is None:
            return path
        values = (file.tags or {}).get(tag) or []
        return str(values[0]).strip() or None if values else None

    return read
