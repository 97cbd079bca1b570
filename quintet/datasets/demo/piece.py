"""A piece: ingredients are chosen, a score is written, the score is played.

`choose` draws from a style and an artist, `write` turns the choice into notes and hits on the step grid, `play` into sound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from quintet.datasets.demo.artists import Artist
from quintet.datasets.demo.harmony import SCALES, chord, melody, scale_note
from quintet.datasets.demo.instruments import INSTRUMENTS
from quintet.datasets.demo.mixing import apply_eq_and_room, saturate_and_quantise
from quintet.datasets.demo.patterns import BASS_PATTERNS, CHORD_PATTERNS, DRUM_PATTERNS, hits, notes
from quintet.datasets.demo.sound import RATE, Wave, hertz
from quintet.datasets.demo.styles import STYLES, Style

LOYALTY = 0.85  # how often an artist does what they always do, where a style leaves the choice
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Choice:
    """The ingredients of one piece."""

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
    balance: tuple[float, float, float, float]


@dataclass(slots=True)
class Score:
    """What is played: `notes` are (part, step, length, midi, loudness) with part 0 bass, 1 chords, 2 melody; `hits` are (drum, step, loudness)."""

    notes: list[tuple[int, int, int, int, float]] = field(default_factory=list)
    hits: list[tuple[str, int, float]] = field(default_factory=list)


def choose(style: Style, artist: Artist, rng: np.random.Generator) -> Choice:
    """The ingredients: mostly the style's, some borrowed from another, some the artist's own."""
    others = [other for other in STYLES.values() if other is not style]

    def source() -> Style:
        return others[rng.integers(len(others))] if rng.random() < artist.borrows else style

    def pick(kind: str, options: Sequence[T]) -> T:
        place = artist.taste[kind] if rng.random() < LOYALTY else rng.random()
        return options[int(place * len(options))]

    low, high = source().tempo
    place = np.clip(artist.tempo_pull + rng.normal(0, 0.2), 0, 1)
    plays_signature = rng.random() < 0.35
    return Choice(
        duration_s=float(rng.uniform(6, 10)),
        tempo=float(low + place * (high - low)),
        swing=float(np.clip(source().swing + rng.normal(0, 0.05), 0, 0.6)),
        tonic=int(rng.choice(artist.tonics)) if rng.random() < LOYALTY else int(rng.integers(12)),
        scale=pick("scale", source().scales),
        progression=pick("progression", source().progressions),
        drums=pick("drums", source().drums),
        bass=pick("bass", source().bass),
        chords=pick("chords", source().chords),
        sounds=(
            pick("bass_sounds", source().bass_sounds),
            pick("chord_sounds", source().chord_sounds),
            artist.signature if plays_signature else pick("lead_sounds", source().lead_sounds),
        ),
        voices=source().voices,
        density=source().density * float(rng.uniform(0.7, 1.3)),
        balance=tuple(level * float(np.exp(rng.normal(0, 0.2))) for level in style.balance),  # type: ignore[arg-type]
    )


def write(choice: Choice, bars: int, rng: np.random.Generator) -> Score:
    """The score of a number of bars."""
    score = Score()
    chords = [choice.progression[bar % len(choice.progression)] for bar in range(bars)]
    for bar, degree in enumerate(chords):
        _write_drums(score, choice, bar, last=bar % 4 == 3, rng=rng)
        _write_bass(score, choice, bar, degree, chords[(bar + 1) % bars])
        _write_chords(score, choice, bar, degree)
    resting = rng.random(bars) < 0.2
    for step, length, degree in melody(len(SCALES[choice.scale]), chords, density=choice.density, rng=rng):
        if not resting[step // 16]:
            score.notes.append(
                (
                    2,
                    step,
                    length,
                    scale_note(60 + choice.tonic % 12 - 12 * (choice.tonic > 6), choice.scale, degree + 7),
                    1.0,
                )
            )
    return score


def _write_drums(score: Score, choice: Choice, bar: int, *, last: bool, rng: np.random.Generator) -> None:
    """One bar of the pattern; the fourth bar may end in a fill."""
    pattern = DRUM_PATTERNS[choice.drums]
    fill = last and bool(pattern) and rng.random() < 0.5
    for drum, line in pattern.items():
        score.hits += [
            (drum, 16 * bar + step, loudness) for step, loudness in hits(line) if not (fill and step >= 12)
        ]
    if fill:
        score.hits += [("tom" if k % 2 else "snare", 16 * bar + 12 + k, 0.6 + 0.1 * k) for k in range(4)]


def _write_bass(score: Score, choice: Choice, bar: int, degree: int, next_degree: int) -> None:
    """One bar of bass between the low E and its octave."""

    def low(degree: int) -> int:
        return 28 + (scale_note(choice.tonic, choice.scale, degree) - 28) % 12

    for step, length, what in notes(BASS_PATTERNS[choice.bass]):
        midi = {
            "R": low(degree),
            "F": low(degree + 4),
            "T": low(degree + 2),
            "O": low(degree) + 12,
            "A": low(next_degree) - 1,
        }[what]
        score.notes.append((0, 16 * bar + step, length, midi, 1.0))


def _write_chords(score: Score, choice: Choice, bar: int, degree: int) -> None:
    """One bar of chords, struck or broken."""
    voices = chord(choice.tonic, choice.scale, degree, voices=choice.voices, near=60)
    for step, length, what in notes(CHORD_PATTERNS[choice.chords]):
        struck = voices if what == "C" else (voices[(int(what) - 1) % len(voices)],)
        score.notes += [(1, 16 * bar + step, length, midi, 1 / len(struck) ** 0.5) for midi in struck]


def play(score: Score, choice: Choice, artist: Artist, rng: np.random.Generator) -> Wave:
    """The dry mix of a score."""
    n = int(choice.duration_s * RATE)
    step_s = 60 / choice.tempo / 4
    out = np.zeros(n + 4 * RATE)
    drums, *levels = choice.balance
    sounded: dict[tuple[int, int, int], Wave] = {}

    def start(step: int) -> int:
        late = choice.swing * step_s * ((step % 4 == 2) + 0.5 * (step % 2))
        return max(0, int((step * step_s + late + rng.normal(0, artist.timing_ms / 1000)) * RATE))

    for drum, step, loudness in score.hits:
        at = start(step)
        if at < n:
            wave = artist.kit[drum]
            out[at : at + len(wave)] += 0.5 * drums * loudness * rng.uniform(0.8, 1.0) * wave
    for part, step, length, midi, loudness in score.notes:
        at = start(step)
        if at < n:
            if (part, midi, length) not in sounded:
                sounded[part, midi, length] = _tone(
                    choice.sounds[part], midi + artist.detune_cents / 100, min(length, 16) * step_s, rng
                )
            wave = sounded[part, midi, length]
            out[at : at + len(wave)] += 0.3 * levels[part] * loudness * rng.uniform(0.8, 1.0) * wave
    return out[:n]


def _tone(sound: str, midi: float, duration_s: float, rng: np.random.Generator) -> Wave:
    """One note of an instrument at an even loudness, not longer than four seconds."""
    wave = INSTRUMENTS[sound](hertz(midi), max(int(min(duration_s, 4.0) * RATE), 256), rng)
    return np.asarray(0.3 * wave / max(float(np.sqrt(np.mean(wave[: RATE // 4] ** 2))), 0.05))


def render(style: str, artist: Artist, *, seed: int, number: int) -> NDArray[np.int16]:
    """The piece of that number by an artist in a style: mono, 16 bit, at `sound.RATE`.

    Everything is drawn from `(seed, number)`: pieces can be rendered in any order, or alone.
    """
    rng = np.random.default_rng([seed, 2, number])
    choice = choose(STYLES[style], artist, rng)
    bars = int(np.ceil(choice.duration_s * choice.tempo / 240)) + 1
    dry = play(write(choice, bars, rng), choice, artist, rng)
    wet = apply_eq_and_room(dry, artist.eq_db + rng.normal(0, 0.7, len(artist.eq_db)), artist.room)
    return saturate_and_quantise(
        wet, drive=artist.drive, hiss_db=artist.hiss_db, rms_db=float(rng.uniform(-23, -17)), rng=rng
    )
