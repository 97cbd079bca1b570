"""Artists: whatever a person does the same way in every piece.

The same drum kit, the same room, the same desk with the same curve, the same hiss, a favourite key and tempo, a lead
instrument that is theirs. None of it has to do with style, and all of it is easier to hear than style: this is why a
model that is tested on the artists it learnt from looks better than it is.
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
    """One artist's habits.

    Args:
        name: unique in the corpus.
        home: the style of most of their pieces.
        kit: their drums.
        room: their reverberation.
        eq_db: gain of their desk at `mixing.EQ_BANDS`, dB.
        hiss_db: noise floor below the music, dB.
        drive: how hard the tape is hit; 1 is clean.
        detune_cents: how far from 440 Hz they tune.
        tonics: their favourite keys, semitones above C.
        tempo_pull: where in a style's range their tempi lie, in [0, 1].
        timing_ms: how loosely they play.
        signature: an instrument that they play in any style.
        taste: which of a style's options they lean to, one number in [0, 1) per kind of ingredient.
        borrows: the chance that an ingredient of a piece comes from another style.
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
    """The artist of that number: the same for the same seed, whatever was drawn before."""
    rng = np.random.default_rng([seed, 1, number])
    name = f"{FIRST_NAMES[number % len(FIRST_NAMES)]}_{LAST_NAMES[(7 * number + number // len(FIRST_NAMES)) % len(LAST_NAMES)]}"
    return Artist(
        name=name,
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
        signature=str(rng.choice([name for name in INSTRUMENTS if not name.endswith("bass")])),
        taste={kind: rng.random() for kind in INGREDIENTS},
        borrows=rng.uniform(0.02, 0.1),
    )


@lru_cache(maxsize=4)
def draw_artists(seed: int) -> tuple[Artist, ...]:
    """The corpus's artists: four at home in each style."""
    return tuple(
        draw_artist(seed, number, list(STYLES)[number % len(STYLES)])
        for number in range(PER_STYLE * len(STYLES))
    )
