"""Artists: properties that all pieces of one artist share, whatever their style.

An artist has one drum kit, one room, one equaliser curve, one level of hiss, favourite keys and tempi, and a
lead instrument. These properties do not depend on the style, and they are easier to recognise than a style.
This is why scores are too optimistic if the test pieces are by artists of the training part.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from quintet.datasets.demo.drums import Kit, drum_kit
from quintet.datasets.demo.instruments import INSTRUMENTS
from quintet.datasets.demo.mixing import EQ_BANDS, Room, draw_room
from quintet.datasets.demo.styles import STYLES

PER_STYLE = 4
_FIRST = "Ada Bela Cleo Dora Emil Fritz Gina Hugo Iris Jona Kaya Lars Mona Nils Olga Pia Quin Rosa"
_LAST = "Amsel Birke Cedro Distel Eiche Falke Ginster Hafen Igel Jade Kiesel Linde"
FIRST_NAMES, LAST_NAMES = _FIRST.split(), _LAST.split()

INGREDIENTS = (
    "progression",
    "scale",
    "drums",
    "bass",
    "chords",
    "bass_sounds",
    "chord_sounds",
    "lead_sounds",
)


@dataclass(frozen=True, slots=True, eq=False)
class Artist:
    """Properties of one artist.

    Args:
        name: unique in the corpus.
        home: style of most of the pieces.
        kit: drum kit.
        room: reverberation.
        eq_db: gain of the equaliser at `mixing.EQ_BANDS`, dB.
        hiss_db: noise floor relative to the music, dB.
        drive: strength of the saturation; 1 is clean.
        detune_cents: deviation of the tuning from 440 Hz, cents.
        tonics: favourite keys, semitones above C.
        tempo_pull: position of the tempi in the range of a style, in [0, 1].
        timing_ms: standard deviation of the timing of notes, ms.
        signature: an instrument that appears in any style.
        taste: preferred option of a style per kind of ingredient, a number in [0, 1).
        borrows: chance that an ingredient of a piece comes from another style.
    """

    name: str
    home: str
    kit: Kit
    room: Room
    eq_db: NDArray[np.float64]
    hiss_db: float
    drive: float
    detune_cents: float
    tonics: tuple[int, ...]
    tempo_pull: float
    timing_ms: float
    signature: str
    taste: dict[str, float]
    borrows: float


def draw_artist(seed: int, number: int, home: str) -> Artist:
    """Draw the artist of a number. The result depends on the arguments only, not on earlier draws.

    Args:
        seed: seed of the corpus.
        number: number of the artist.
        home: style of most of the pieces.
    """
    rng = np.random.default_rng([seed, 1, number])
    leads = [name for name in INSTRUMENTS if not name.endswith("bass")]
    return Artist(
        name=_artist_name(number),
        home=home,
        kit=drum_kit(rng),
        room=draw_room(rng),
        eq_db=rng.normal(0, 3.5, len(EQ_BANDS)),
        hiss_db=rng.uniform(-62, -34),
        drive=rng.uniform(0.5, 2.5),
        detune_cents=rng.normal(0, 15),
        tonics=tuple(int(t) for t in rng.choice(12, 3, replace=False)),
        tempo_pull=rng.uniform(0, 1),
        timing_ms=rng.uniform(0, 10),
        signature=str(rng.choice(leads)),
        taste={kind: rng.random() for kind in INGREDIENTS},
        borrows=rng.uniform(0.02, 0.1),
    )


def _artist_name(number: int) -> str:
    turn, first = divmod(number, len(FIRST_NAMES))
    last = (7 * number + turn) % len(LAST_NAMES)
    return f"{FIRST_NAMES[first]}_{LAST_NAMES[last]}"


@lru_cache(maxsize=4)
def draw_artists(seed: int) -> tuple[Artist, ...]:
    """Artists of the corpus of a seed: four with each style as home."""
    styles = list(STYLES)
    numbers = range(PER_STYLE * len(styles))
    return tuple(draw_artist(seed, number, styles[number % len(styles)]) for number in numbers)
