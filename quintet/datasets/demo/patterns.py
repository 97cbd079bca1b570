"""Rhythm patterns on a grid of 16 steps per bar: `x` is a hit, `o` a soft one, `.` nothing.

Bass and chord patterns also contain lengths: a digit or letter starts a note and selects its pitch, `-`
extends it.
"""

from __future__ import annotations

from collections.abc import Iterator

LOUDNESS = {"x": 1.0, "o": 0.45}

DRUM_PATTERNS: dict[str, dict[str, str]] = {
    "four_floor": {
        "kick": "x...x...x...x...",
        "clap": "....x.......x...",
        "open": "..x...x...x...x.",
        "hat": "x.o.x.o.x.o.x.o.",
    },
    "disco_busy": {
        "kick": "x...x...x...x...",
        "snare": "....x.......x..o",
        "hat": "xoxoxoxoxoxoxoxo",
        "open": "..x...x...x...x.",
    },
    "backbeat": {"kick": "x.......x.x.....", "snare": "....x.......x...", "hat": "x.x.x.x.x.x.x.x."},
    "rock_push": {
        "kick": "x..x....x.x...x.",
        "snare": "....x.......x...",
        "hat": "x...x...x...x...",
        "open": "..............x.",
    },
    "shuffle": {"kick": "x.......x.......", "snare": "....x.......x...", "hat": "x..ox..ox..ox..o"},
    "train": {"kick": "x...x...x...x...", "snare": "o.o.x.o.o.o.x.oo"},
    "one_drop": {"kick": "........x.......", "rim": "........x.......", "hat": "x.x.x.x.x.x.x.x."},
    "steppers": {"kick": "x...x...x...x...", "rim": "....x..x....x...", "hat": "..x...x...x...x."},
    "bossa": {"kick": "x..xx..xx..xx..x", "rim": "x..x..x...x..x..", "shaker": "xoxoxoxoxoxoxoxo"},
    "samba": {"kick": "x..xx..xx..xx..x", "shaker": "xooxxooxxooxxoox", "tom": "....x.......x.x."},
    "funk": {"kick": "x.x....x..x..x..", "snare": "....x..o.o..x..o", "hat": "x.x.x.xox.x.x.xo"},
    "breaks": {"kick": "x.x.......xx....", "snare": "....x..x.x..x..x", "hat": "x.x.x.x.x.x.x.x."},
    "sparse": {"kick": "x...............", "rim": "........o.......", "shaker": "....o.......o..."},
    "none": {},
}

# R root, F fifth, O octave, T third, A semitone below the next root
BASS_PATTERNS: dict[str, str] = {
    "octaves": "R-O-R-O-R-O-R-O-",
    "eighths": "R-R-R-R-R-R-R-R-",
    "roots": "R-------R-----R-",
    "walking": "R---T---F---A---",
    "boogie": "R-R-T-T-F-F-O-F-",
    "dub": "R---..R-F-..T---",
    "offbeat": "..R-..R-..F-..R-",
    "bossa": "R-----F-F-----R-",
    "syncopated": "R-.R..O-..R.F-A-",
    "long": "R---------------",
}

# C the whole chord; 1 2 3 4 its single notes
CHORD_PATTERNS: dict[str, str] = {
    "held": "C---------------",
    "halves": "C-------C-------",
    "offbeats": "..C-..C-..C-..C-",
    "skank": "....C.......C...",
    "double_skank": "....C.C.....C.C.",
    "strum": "C---C-C-..C-C-C-",
    "power": "C-C-C-C-C-C-C-C-",
    "charleston": "C-----C-........",
    "bossa": "C-..C-..C--.C-..",
    "chops": "..C.C..C..C.C...",
    "arpeggio": "1-2-3-4-3-2-1-2-",
    "slow_arpeggio": "1---2---3---4---",
}


def hits(pattern: str) -> Iterator[tuple[int, float]]:
    """`(step, loudness)` of each hit of a drum pattern.

    Example:
        >>> list(hits("x..o"))
        [(0, 1.0), (3, 0.45)]
    """
    for step, mark in enumerate(pattern):
        if mark in LOUDNESS:
            yield step, LOUDNESS[mark]


def notes(pattern: str) -> Iterator[tuple[int, int, str]]:
    """`(step, length, mark)` of each note of a bass or chord pattern.

    Example:
        >>> list(notes("R--.F-"))
        [(0, 3, 'R'), (4, 2, 'F')]
    """
    for step, mark in enumerate(pattern):
        if mark not in ".-":
            rest = pattern[step + 1 :]
            extension = len(rest) - len(rest.lstrip("-"))
            yield step, 1 + extension, mark
