"""Labels from which a model of the owner's genres learns: without the corrections, and with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from quintet.datasets.genre_map import GenreMap
from quintet.library.corrections import read_corrections
from quintet.library.store import Library
from quintet.library.training_table import TaggedSongs, tagged_songs

FEWEST_GROUPS = 3
"""Artists that a genre must have: one for each of two folds, and one to judge."""

Labels = list[tuple[str, ...]]


@dataclass(frozen=True)
class Lessons:
    """The songs of a library with two labels each.

    Args:
        before: labels of the tags. Only genres of `after` are among them.
        after: the same songs; where the owner has corrected a genre, with the correction instead.
        n_corrections: songs of the library, copies not counted, whose genre was corrected.
        notes: what was left out.
    """

    before: TaggedSongs
    after: TaggedSongs
    n_corrections: int
    notes: tuple[str, ...]

    @property
    def changed(self) -> NDArray[np.bool_]:
        """Whether a correction changed the label of a song that teaches, `(n,)`."""
        pairs = zip(self.before.labels, self.after.labels, strict=True)
        return np.array([bool(new) and set(new) != set(old) for old, new in pairs], bool)


def read_lessons(library: Library, field: str, genres: GenreMap) -> Lessons:
    """The labels of the songs of a library that have features.

    A genre of fewer than `FEWEST_GROUPS` artists is left out.

    Args:
        library: a scanned library.
        field: of the tags: `genre`, `mood`, ….
        genres: which values are used, and under which names. Corrections pass through it too.
    """
    corrections = read_corrections(library.folder)
    described = library.feature_parts.digests()
    before = _described(tagged_songs(library, field, genres), described)
    after = _described(tagged_songs(library, field, genres, corrections), described)
    narrow = narrow_labels(after.labels, after.groups)
    used = {name for names in after.labels for name in names} - set(narrow)
    notes = list(after.notes)
    if narrow:
        listed = ", ".join(f"{name} ({count})" for name, count in sorted(narrow.items()))
        notes.append(f"Genres of fewer than {FEWEST_GROUPS} artists are left out: {listed}")
    return Lessons(
        _only(before, used),
        _only(after, used),
        sum(sound in corrections for sound in after.songs["audio_digest"]),
        tuple(notes),
    )


def narrow_labels(labels: Labels, groups: Sequence[str]) -> dict[str, int]:
    """Labels in fewer than `FEWEST_GROUPS` groups → number of these.

    Example:
        >>> narrow_labels([("a",), ("a",), ("a", "b"), ("b",)], ["x", "y", "z", "z"])
        {'b': 1}
    """
    pairs = {(name, group) for names, group in zip(labels, groups, strict=True) for name in names}
    counts = Counter(name for name, _ in pairs)
    return {name: count for name, count in counts.items() if count < FEWEST_GROUPS}


def _described(tagged: TaggedSongs, digests: Collection[str]) -> TaggedSongs:
    """The songs whose sounds have features."""
    is_kept = tagged.songs["audio_digest"].isin(list(digests)).to_numpy()
    places = np.flatnonzero(is_kept).tolist()
    return replace(
        tagged,
        songs=tagged.songs[is_kept].reset_index(drop=True),
        labels=[tagged.labels[k] for k in places],
        groups=[tagged.groups[k] for k in places],
    )


def _only(tagged: TaggedSongs, names: Collection[str]) -> TaggedSongs:
    """The same songs with some of their labels."""
    labels = [tuple(name for name in found if name in names) for found in tagged.labels]
    return replace(tagged, labels=labels)
