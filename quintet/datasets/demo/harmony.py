"""Harmony and melody: scales, chords on their degrees, progressions, and a tune that walks and repeats itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SCALES: dict[str, tuple[int, ...]] = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
}


def scale_note(tonic: int, scale: str, degree: int) -> int:
    """The MIDI note of a scale degree, counted from 0 over any number of octaves.

    Example:
        >>> [scale_note(60, "major", degree) for degree in (0, 2, 4, 7, -1)]
        [60, 64, 67, 72, 59]
    """
    octave, step = divmod(degree, len(SCALES[scale]))
    return tonic + 12 * octave + SCALES[scale][step]


def chord(tonic: int, scale: str, degree: int, *, voices: int, near: int) -> tuple[int, ...]:
    """The chord on a degree, in thirds, each note in the octave that lies nearest to `near` (so voices move little).

    Example:
        >>> chord(60, "major", 4, voices=3, near=64)
        (59, 62, 67)
    """
    notes = (scale_note(tonic, scale, degree + 2 * k) for k in range(voices))
    return tuple(sorted(near - 6 + (note - near + 6) % 12 for note in notes))


def melody(
    scale_degrees: int, chords: Sequence[int], *, density: float, rng: np.random.Generator
) -> list[tuple[int, int, int]]:
    """A tune over one chord per bar of 16 steps: `(step, length, degree)`.

    A motif of one bar is invented, walking by small steps and starting on a chord note; later bars repeat its rhythm, moved to
    their own chord, and change an ending now and then.

    Args:
        scale_degrees: how many degrees the scale has.
        chords: the degree of the chord of each bar.
        density: the chance that a strong eighth starts a note, in (0, 1]; weak ones have less.
        rng: the composer.
    """
    strength = np.tile([1.0, 0.15, 0.7, 0.25], 4)
    starts = np.flatnonzero(rng.random(16) < density * strength)
    if not len(starts):
        starts = np.array([0])
    walk = np.cumsum(rng.choice([-2, -1, -1, 0, 1, 1, 2], len(starts)))
    lengths = np.diff([*starts, 16])
    tune: list[tuple[int, int, int]] = []
    for bar, root in enumerate(chords):
        if bar % 4 == 3 and rng.random() < 0.5:
            walk = np.roll(walk, 1)
        offset = rng.choice([0, 2, 4]) if bar % 2 else 0
        for start, length, step in zip(starts, lengths, walk, strict=True):
            degree = root + offset + int(np.clip(step, -4, 6))
            tune.append(
                (
                    16 * bar + int(start),
                    int(length),
                    degree if degree < 2 * scale_degrees else degree - scale_degrees,
                )
            )
    return tune
