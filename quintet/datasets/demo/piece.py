"""Composition and rendering of one piece.

`choose` draws the ingredients from a style and an artist. `write` turns them into notes and hits on the step
grid. `play` turns these into sound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from quintet.datasets.demo.artists import Artist
from quintet.datasets.demo.harmony import SCALES, STEPS, chord, melody, scale_note
from quintet.datasets.demo.instruments import INSTRUMENTS
from quintet.datasets.demo.mixing import apply_eq_and_room, saturate_and_quantise
from quintet.datasets.demo.patterns import BASS_PATTERNS, CHORD_PATTERNS, DRUM_PATTERNS, hits, notes
from quintet.datasets.demo.sound import RATE, Wave, hertz
from quintet.datasets.demo.styles import STYLES, Style

LOYALTY = 0.85  # chance that an artist uses the preferred option, if the style leaves a choice
BASS, CHORDS, MELODY = 0, 1, 2  # parts of a score
LOWEST_BASS = 28  # MIDI note of the low E
MIDDLE_C = 60

Option = TypeVar("Option")


@dataclass(frozen=True, slots=True)
class Choice:
    """Ingredients of one piece.

    Args:
        duration_s: seconds.
        tempo: beats per minute.
        swing: delay of the second of two eighths, as a share of a step.
        tonic: semitones above C.
        scale: key of `harmony.SCALES`.
        progression: degrees of the chords, one per bar.
        drums: key of `patterns.DRUM_PATTERNS`.
        bass: key of `patterns.BASS_PATTERNS`.
        chords: key of `patterns.CHORD_PATTERNS`.
        sounds: instruments of bass, chords and melody.
        voices: notes in a chord.
        density: density of the melody.
        balance: loudness of drums, bass, chords and melody.
    """

    duration_s: float
    tempo: float
    swing: float
    tonic: int
    scale: str
    progression: tuple[int, ...]
    drums: str
    bass: str
    chords: str
    sounds: tuple[str, str, str]
    voices: int
    density: float
    balance: tuple[float, ...]


class Note(NamedTuple):
    """One note of a score.

    Args:
        part: `BASS`, `CHORDS` or `MELODY`.
        step: start on the step grid.
        length: number of steps.
        midi: MIDI note.
        loudness: factor.
    """

    part: int
    step: int
    length: int
    midi: int
    loudness: float


class Hit(NamedTuple):
    """One drum hit of a score.

    Args:
        drum: key of a kit.
        step: position on the step grid.
        loudness: factor.
    """

    drum: str
    step: int
    loudness: float


@dataclass(slots=True)
class Score:
    """What is played in a piece.

    Args:
        notes: notes of bass, chords and melody.
        hits: drum hits.
    """

    notes: list[Note] = field(default_factory=list)
    hits: list[Hit] = field(default_factory=list)


def choose(style: Style, artist: Artist, rng: np.random.Generator) -> Choice:
    """Draw the ingredients of a piece. Most are of its style, some of another style, some of the artist.

    The order of the draws is fixed: another order would be another corpus.

    Args:
        style: style of the piece.
        artist: artist of the piece.
        rng: source of all random choices.
    """
    others = [other for other in STYLES.values() if other is not style]

    def source() -> Style:
        return others[rng.integers(len(others))] if rng.random() < artist.borrows else style

    def pick(kind: str, options: Sequence[Option]) -> Option:
        place = artist.taste[kind] if rng.random() < LOYALTY else rng.random()
        return options[int(place * len(options))]

    slowest, fastest = source().tempo
    place = np.clip(artist.tempo_pull + rng.normal(0, 0.2), 0, 1)
    plays_signature = rng.random() < 0.35
    duration_s = float(rng.uniform(6, 10))
    swing = np.clip(source().swing + rng.normal(0, 0.05), 0, 0.6)
    plays_favourite_key = rng.random() < LOYALTY
    tonic = rng.choice(artist.tonics) if plays_favourite_key else rng.integers(12)
    scale = pick("scale", source().scales)
    progression = pick("progression", source().progressions)
    drums = pick("drums", source().drums)
    bass = pick("bass", source().bass)
    chords = pick("chords", source().chords)
    bass_sound = pick("bass_sounds", source().bass_sounds)
    chord_sound = pick("chord_sounds", source().chord_sounds)
    lead_sound = artist.signature if plays_signature else pick("lead_sounds", source().lead_sounds)
    voices = source().voices
    density = source().density * float(rng.uniform(0.7, 1.3))
    balance = tuple(level * float(np.exp(rng.normal(0, 0.2))) for level in style.balance)
    return Choice(
        duration_s=duration_s,
        tempo=float(slowest + place * (fastest - slowest)),
        swing=float(swing),
        tonic=int(tonic),
        scale=scale,
        progression=progression,
        drums=drums,
        bass=bass,
        chords=chords,
        sounds=(bass_sound, chord_sound, lead_sound),
        voices=voices,
        density=density,
        balance=balance,
    )


def write(choice: Choice, bars: int, rng: np.random.Generator) -> Score:
    """Write the score of a piece.

    Args:
        choice: ingredients of the piece.
        bars: number of bars.
        rng: source of all random choices.
    """
    score = Score()
    chords = [choice.progression[bar % len(choice.progression)] for bar in range(bars)]
    for bar, degree in enumerate(chords):
        score.hits += _drum_bar(choice, bar, rng)
        score.notes += _bass_bar(choice, bar, degree, chords[(bar + 1) % bars])
        score.notes += _chord_bar(choice, bar, degree)
    score.notes += _melody(choice, chords, rng)
    return score


def _melody(choice: Choice, chords: Sequence[int], rng: np.random.Generator) -> list[Note]:
    """Notes of the melody, without the bars in which it rests."""
    rests = rng.random(len(chords)) < 0.2
    tonic = MIDDLE_C + choice.tonic % 12 - 12 * (choice.tonic > 6)
    written = []
    for step, length, degree in melody(len(SCALES[choice.scale]), chords, density=choice.density, rng=rng):
        if not rests[step // STEPS]:
            midi = scale_note(tonic, choice.scale, degree + 7)
            written.append(Note(MELODY, step, length, midi, 1.0))
    return written


def _drum_bar(choice: Choice, bar: int, rng: np.random.Generator) -> list[Hit]:
    """One bar of the pattern. Every fourth bar may end in a fill."""
    pattern = DRUM_PATTERNS[choice.drums]
    has_fill = bar % 4 == 3 and bool(pattern) and rng.random() < 0.5
    first_step = STEPS * bar
    end = 12 if has_fill else STEPS
    written = []
    for drum, line in pattern.items():
        for step, loudness in hits(line):
            if step < end:
                written.append(Hit(drum, first_step + step, loudness))
    if has_fill:
        for k in range(4):
            drum = "tom" if k % 2 else "snare"
            written.append(Hit(drum, first_step + 12 + k, 0.6 + 0.1 * k))
    return written


def _bass_bar(choice: Choice, bar: int, degree: int, next_degree: int) -> list[Note]:
    """One bar of bass between the low E and its octave."""

    def bass_note(degree: int) -> int:
        return LOWEST_BASS + (scale_note(choice.tonic, choice.scale, degree) - LOWEST_BASS) % 12

    midi_of = {
        "R": bass_note(degree),
        "F": bass_note(degree + 4),
        "T": bass_note(degree + 2),
        "O": bass_note(degree) + 12,
        "A": bass_note(next_degree) - 1,
    }
    pattern = BASS_PATTERNS[choice.bass]
    return [
        Note(BASS, STEPS * bar + step, length, midi_of[mark], 1.0) for step, length, mark in notes(pattern)
    ]


def _chord_bar(choice: Choice, bar: int, degree: int) -> list[Note]:
    """One bar of chords, struck or broken."""
    voices = chord(choice.tonic, choice.scale, degree, voices=choice.voices, near=MIDDLE_C)
    written = []
    for step, length, mark in notes(CHORD_PATTERNS[choice.chords]):
        struck = voices if mark == "C" else (_single_voice(voices, mark),)
        loudness = 1 / len(struck) ** 0.5
        start = STEPS * bar + step
        written += [Note(CHORDS, start, length, midi, loudness) for midi in struck]
    return written


def _single_voice(voices: tuple[int, ...], mark: str) -> int:
    """Voice that a mark from 1 to 4 selects; in a chord of three voices the fourth is the first again."""
    return voices[(int(mark) - 1) % len(voices)]


def play(score: Score, choice: Choice, artist: Artist, rng: np.random.Generator) -> Wave:
    """Mix of a score without reverberation.

    Args:
        score: the score.
        choice: ingredients of the piece.
        artist: artist of the piece.
        rng: source of timing and loudness. Both are drawn note by note, in the order of the score.
    """
    n = int(choice.duration_s * RATE)
    step_s = 60 / choice.tempo / 4
    out = np.zeros(n + 4 * RATE)
    drum_level, *levels = choice.balance
    tones: dict[tuple[int, int, int], Wave] = {}  # part, MIDI note and length → wave

    def start_of(step: int) -> int:
        swing_weight = (step % 4 == 2) + 0.5 * (step % 2)
        delay_s = choice.swing * step_s * swing_weight
        error_s = rng.normal(0, artist.timing_ms / 1000)
        start_s = step * step_s + delay_s + error_s
        return max(0, int(start_s * RATE))

    def add(wave: Wave, start: int, level: float) -> None:
        gain = level * rng.uniform(0.8, 1.0)
        out[start : start + len(wave)] += gain * wave

    for drum, step, loudness in score.hits:
        start = start_of(step)
        if start < n:
            add(artist.kit[drum], start, 0.5 * drum_level * loudness)
    for part, step, length, midi, loudness in score.notes:
        start = start_of(step)
        if start < n:
            key = (part, midi, length)
            if key not in tones:
                pitch = midi + artist.detune_cents / 100
                duration_s = min(length, STEPS) * step_s
                tones[key] = _tone(choice.sounds[part], pitch, duration_s, rng)
            level = 0.3 * levels[part] * loudness
            add(tones[key], start, level)
    return out[:n]


def _tone(sound: str, midi: float, duration_s: float, rng: np.random.Generator) -> Wave:
    """One note of an instrument at an even loudness, at most four seconds long."""
    n_wanted = int(min(duration_s, 4.0) * RATE)
    n = max(n_wanted, 256)
    instrument = INSTRUMENTS[sound]
    wave = instrument(hertz(midi), n, rng)
    beginning = wave[: RATE // 4]
    rms = float(np.sqrt(np.mean(beginning**2)))
    return np.asarray(0.3 * wave / max(rms, 0.05))


def render(style: str, artist: Artist, *, seed: int, number: int) -> NDArray[np.int16]:
    """Render a piece: mono, 16 bit, at `sound.RATE`.

    Everything is drawn from `(seed, number)`, so pieces can be rendered in any order, or alone.

    Args:
        style: key of `STYLES`.
        artist: artist of the piece.
        seed: seed of the corpus.
        number: number of the piece.
    """
    rng = np.random.default_rng([seed, 2, number])
    choice = choose(STYLES[style], artist, rng)
    filled_bars = choice.duration_s * choice.tempo / 240
    bars = int(np.ceil(filled_bars)) + 1
    score = write(choice, bars, rng)
    dry = play(score, choice, artist, rng)
    deviation_db = rng.normal(0, 0.7, len(artist.eq_db))
    eq_db = artist.eq_db + deviation_db
    wet = apply_eq_and_room(dry, eq_db, artist.room)
    rms_db = float(rng.uniform(-23, -17))
    return saturate_and_quantise(wet, drive=artist.drive, hiss_db=artist.hiss_db, rms_db=rms_db, rng=rng)
