"""The six styles, with the ingredients that their pieces usually have."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Style:
    """Typical ingredients of a style. Each tuple of names holds the options that a piece chooses from.

    Args:
        tempo: beats per minute, lowest and highest.
        swing: delay of the second of two eighths (of the step grid), as a share of a step.
        scales: keys of `harmony.SCALES`.
        progressions: degrees of the chords, one per bar.
        drums: keys of `patterns.DRUM_PATTERNS`.
        bass: keys of `patterns.BASS_PATTERNS`.
        chords: keys of `patterns.CHORD_PATTERNS`.
        bass_sounds: keys of `instruments.INSTRUMENTS`.
        chord_sounds: keys of `instruments.INSTRUMENTS`.
        lead_sounds: keys of `instruments.INSTRUMENTS`.
        voices: number of notes in a chord.
        density: density of the melody, in (0, 1].
        balance: loudness of drums, bass, chords and melody.
    """

    tempo: tuple[float, float]
    swing: float
    scales: tuple[str, ...]
    progressions: tuple[tuple[int, ...], ...]
    drums: tuple[str, ...]
    bass: tuple[str, ...]
    chords: tuple[str, ...]
    bass_sounds: tuple[str, ...]
    chord_sounds: tuple[str, ...]
    lead_sounds: tuple[str, ...]
    voices: int
    density: float
    balance: tuple[float, float, float, float]


STYLES: dict[str, Style] = {
    "ambient": Style(
        tempo=(66, 96),
        swing=0.0,
        scales=("major", "dorian"),
        progressions=((0, 4, 5, 3), (0, 0, 3, 3), (0, 2, 5, 3)),
        drums=("sparse", "none", "one_drop"),
        bass=("long", "roots"),
        chords=("held", "slow_arpeggio", "halves"),
        bass_sounds=("sub_bass", "synth_bass"),
        chord_sounds=("pad", "strings", "electric_piano"),
        lead_sounds=("flute", "vibraphone", "lead"),
        voices=4,
        density=0.35,
        balance=(0.5, 0.7, 1.0, 0.5),
    ),
    "blues": Style(
        tempo=(84, 126),
        swing=0.55,
        scales=("mixolydian", "dorian"),
        progressions=((0, 3, 0, 0), (0, 0, 3, 0), (4, 3, 0, 4)),
        drums=("shuffle", "backbeat", "train"),
        bass=("walking", "boogie"),
        chords=("charleston", "strum", "offbeats"),
        bass_sounds=("finger_bass",),
        chord_sounds=("guitar", "organ", "electric_piano"),
        lead_sounds=("overdriven_guitar", "guitar", "brass"),
        voices=4,
        density=0.6,
        balance=(0.8, 0.9, 0.7, 0.9),
    ),
    "bossa": Style(
        tempo=(100, 142),
        swing=0.1,
        scales=("major", "minor"),
        progressions=((1, 4, 0, 0), (0, 5, 1, 4), (0, 0, 1, 4)),
        drums=("bossa", "samba", "sparse"),
        bass=("bossa", "roots"),
        chords=("bossa", "chops", "arpeggio"),
        bass_sounds=("finger_bass", "sub_bass"),
        chord_sounds=("nylon_guitar", "electric_piano", "guitar"),
        lead_sounds=("flute", "nylon_guitar", "vibraphone"),
        voices=4,
        density=0.5,
        balance=(0.6, 0.8, 0.9, 0.8),
    ),
    "disco": Style(
        tempo=(106, 132),
        swing=0.0,
        scales=("minor", "dorian"),
        progressions=((0, 5, 2, 6), (0, 3, 0, 4), (0, 6, 5, 4)),
        drums=("four_floor", "disco_busy", "funk"),
        bass=("octaves", "syncopated", "offbeat"),
        chords=("chops", "offbeats", "held"),
        bass_sounds=("synth_bass", "finger_bass"),
        chord_sounds=("strings", "electric_piano", "muted_guitar"),
        lead_sounds=("brass", "strings", "lead"),
        voices=4,
        density=0.6,
        balance=(1.0, 1.0, 0.7, 0.7),
    ),
    "reggae": Style(
        tempo=(70, 102),
        swing=0.2,
        scales=("major", "minor", "dorian"),
        progressions=((0, 3, 0, 4), (0, 1, 0, 1), (0, 6, 0, 6)),
        drums=("one_drop", "steppers", "backbeat"),
        bass=("dub", "syncopated", "roots"),
        chords=("skank", "double_skank", "offbeats"),
        bass_sounds=("sub_bass", "finger_bass"),
        chord_sounds=("muted_guitar", "organ", "guitar"),
        lead_sounds=("organ", "brass", "guitar"),
        voices=3,
        density=0.4,
        balance=(0.8, 1.2, 0.7, 0.6),
    ),
    "rock": Style(
        tempo=(100, 150),
        swing=0.0,
        scales=("major", "minor", "mixolydian"),
        progressions=((0, 4, 5, 3), (0, 3, 4, 3), (0, 6, 3, 0)),
        drums=("backbeat", "rock_push", "breaks"),
        bass=("eighths", "roots"),
        chords=("power", "strum", "held"),
        bass_sounds=("finger_bass", "synth_bass"),
        chord_sounds=("overdriven_guitar", "guitar", "organ"),
        lead_sounds=("overdriven_guitar", "lead", "guitar"),
        voices=3,
        density=0.6,
        balance=(1.0, 0.8, 0.9, 0.8),
    ),
}
