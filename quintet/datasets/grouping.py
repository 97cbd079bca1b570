"""Groups from what a file is called or says of itself: a pattern on the path, or its artist or album tag.

Clips of one group never stand on both sides of a split. A clip whose group is not found is an error and not a group of
its own: a forgotten artist is exactly how a model is tested on the singer that it learnt.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from quintet.datasets.groups import group_name
from quintet.datasets.manifest import Manifest, clip_id
from quintet.errors import ConfigError, DatasetError, MissingExtraError, unknown_name

TAGS = ("artist", "album", "albumartist", "composer")


def assign_groups(manifest: Manifest, group_by: str) -> Manifest:
    """The same manifest with groups read from paths or tags.

    Args:
        manifest: any manifest. Groups that it has are replaced. Rows with a problem keep theirs.
        group_by: `"tag:artist"` (or album, albumartist, composer), or a regular expression that is searched in the posix path
            relative to the root; the group is what `(?P<group>…)`, or else the first capture group, holds.

    Raises:
        ConfigError: if the pattern is not a regular expression or captures nothing.
        DatasetError: if the group of any usable clip is not found; the message has examples.
        MissingExtraError: if tags are asked for and mutagen is not installed.

    Example:
        >>> pattern_group("rock/queen_01.wav", compile_pattern(r"/([a-z]+)_"))
        'queen'
    """
    find: Callable[[str], str | None]
    if group_by.startswith("tag:"):
        find = _tag_reader(group_by.removeprefix("tag:"))
    else:
        pattern = compile_pattern(group_by)
        find = lambda path: pattern_group(clip_id(path, manifest.root), pattern)  # noqa: E731
    frame = manifest.frame.copy()
    usable = frame["problem"].isna()
    found = {path: find(path) for path in frame.loc[usable, "path"].unique()}
    lost = [clip_id(path, manifest.root) for path, group in found.items() if not group]
    if lost:
        raise DatasetError(
            f"Every clip must have a group under --group-by '{group_by}'. {len(lost)} of {len(found)} files have none, "
            f"for example: {', '.join(lost[:3])}. Change the pattern, or write a manifest with a group column."
        )
    frame.loc[usable, "group"] = frame.loc[usable, "path"].map(
        {path: group_name(group) for path, group in found.items()}
    )
    return replace(manifest, frame=frame, grouped=True)


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """A regular expression with a capture group, or a `ConfigError` that says what is wrong with it."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigError(
            f"--group-by must be a regular expression or 'tag:artist'. Received '{pattern}': {error}."
        ) from error
    if not compiled.groups:
        raise ConfigError(
            f"--group-by must capture the group in parentheses. Received '{pattern}': write for example '([^/]+)_[0-9]+'."
        )
    return compiled


def pattern_group(path: str, pattern: re.Pattern[str]) -> str | None:
    """What the pattern captures in a path: the group named `group`, else the first one; None without a match."""
    match = pattern.search(path)
    return match.group("group" if "group" in pattern.groupindex else 1) if match else None


def _tag_reader(tag: str) -> Callable[[str], str | None]:
    """A function from a path to the value of its tag. A file that is no audio is its own group: decoding will refuse it."""
    if tag not in TAGS:
        raise unknown_name("tag", tag, TAGS)
    try:
        import mutagen
    except ImportError as error:
        raise MissingExtraError("Reading groups from tags", "tags") from error

    def read(path: str) -> str | None:
        try:
            file = mutagen.File(path, easy=True)
        except (mutagen.MutagenError, OSError):
            return path
        if file is None:
            return path
        values = (file.tags or {}).get(tag) or []
        return str(values[0]).strip() or None if values else None

    return read
