"""Harmony and melody: scales, chords on their degrees, and melodies that repeat a motif in small steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

SCALES: dict[str, tuple[int, ...]] = {  # name → semitones above the tonic
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
}
STEPS = 16  # of a bar
STRONG_STEPS = (1.0, 0.15, 0.7, 0.25)  # relative chance that a note starts on the steps of a quarter


class MelodyNote(NamedTuple):
    """One note of a melody.

    Args:
        step: start on the step grid, counted from the first bar.
        length: number of steps.
        degree: degree of the scale, counted from 0 over several octaves.
    """

    step: int
    length: int
    degree: int


def scale_note(tonic: int, scale: str, degree: int) -> int:
    """MIDI note of a scale degree.

    Args:
        tonic: MIDI note of degree 0.
        scale: key of `SCALES`.
        degree: counted from 0 over any number of octaves; negative below the tonic.

    Example:
        >>> [scale_note(60, "major", degree) for degree in (0, 2, 4, 7, -1)]
        [60, 64, 67, 72, 59]
    """
    semitones = SCALES[scale]
    octave, step = divmod(degree, len(semitones))
    return tonic + 12 * octave + semitones[step]


def chord(tonic: int, scale: str, degree: int, *, voices: int, near: int) -> tuple[int, ...]:
    """Chord on a degree, in thirds, with each note in the octave nearest to `near` (so voices move little).

    Args:
        tonic: MIDI note of degree 0.
        scale: key of `SCALES`.
        degree: degree of the root of the chord.
        voices: number of notes.
        near: MIDI note.

    Returns:
        MIDI notes, sorted.

    Example:
        >>> chord(60, "major", 4, voices=3, near=64)
        (59, 62, 67)
    """
    lowest = near - 6
    notes = [scale_note(tonic, scale, degree + 2 * k) for k in range(voices)]
    return tuple(sorted(lowest + (note - lowest) % 12 for note in notes))


def melody(
    scale_degrees: int, chords: Sequence[int], *, density: float, rng: np.random.Generator
) -> list[MelodyNote]:
    """Melody over one chord per bar of 16 steps.

    The motif of the first bar moves in small steps and starts on a chord note. Later bars repeat its rhythm,
    moved to their own chord, and sometimes change an ending.

    Args:
        scale_degrees: number of degrees of the scale.
        chords: degree of the chord of each bar.
        density: chance that a note starts on a strong eighth, in (0, 1]; it is smaller on weak ones.
        rng: source of all random choices.
    """
    strength = np.tile(STRONG_STEPS, STEPS // len(STRONG_STEPS))
    chance = density * strength
    starts = np.flatnonzero(rng.random(STEPS) < chance)
    if not len(starts):
        starts = np.array([0])
    walk = np.cumsum(rng.choice([-2, -1, -1, 0, 1, 1, 2], len(starts)))
    lengths = np.diff([*starts, STEPS])
    tune: list[MelodyNote] = []
    for bar, root in enumerate(chords):
        if bar % 4 == 3 and rng.random() < 0.5:
            walk = np.roll(walk, 1)
        offset = rng.choice([0, 2, 4]) if bar % 2 else 0
        for start, length, step in zip(starts, lengths, walk, strict=True):
            interval = int(np.clip(step, -4, 6))
            degree = root + offset + interval
            if degree >= 2 * scale_degrees:
                degree -= scale_degrees
            tune.append(MelodyNote(STEPS * bar + int(start), int(length), degree))
    return tune
