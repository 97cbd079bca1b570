"""Tempo of a song, with the choice between a tempo, its half and its double.

The log-mel spectrogram gives the onsets of four frequency ranges, and their autocorrelations show at which
distances each range repeats itself. Candidates are the strongest periods and their simple multiples. Every
candidate is described by how strongly each range repeats at fractions and multiples of its beat (a backbeat
repeats in the middle range after two beats and in the low range after two beats, hats after a half), and a
conditional logit model chooses between them.

The weights (`tempo_weights.json`) were learnt from 320 pieces of the demo corpus's generator at known tempi
of 54 to 178 BPM; `benchmarks/tempo_weights.py` learns them again. They were tested on other sounds and
patterns (`tests/library/sound/patterns.py`).
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RANGE_DB = 70.0
"""Levels further below the loudest value of the song count as this far below."""
EDGES = (0.0, 1 / 24, 5 / 32, 59 / 96, 1.0)
"""Edges of the four frequency ranges, as shares of the mel bands: near 170 Hz, 550 Hz and 3 kHz."""
BPM_RANGE = (50.0, 200.0)
"""Tempi that are candidates."""
LONGEST_S = 5.0
"""Longest distance of the autocorrelation."""
LEAST_S = 4.0
"""A clip must be as long as this."""
N_STRONGEST = 3
RATIOS = (1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4, 1, 4 / 3, 3 / 2, 2, 3, 4)
"""Candidates are the strongest periods times these; each is described at its beat times these."""
SAME = 0.02
"""Two tempi whose logarithms differ by less are one."""
CENTRE_BPM = 110.0

_GRID = np.exp(np.arange(np.log(40), np.log(250), 0.004))
_SPREAD = np.linspace(0.975, 1.025, 5)


class Tempo(NamedTuple):
    """The tempo of a song.

    Args:
        bpm: beats per minute.
        other: the most likely other tempo, often the half or the double.
        confidence: probability of `bpm` among the candidates, in [0, 1].
    """

    bpm: float
    other: float
    confidence: float


def find_tempo(log_mel: NDArray[np.floating], frames_per_s: float) -> Tempo | None:
    """Tempo of a song; None if it is shorter than four seconds or has no onsets.

    Args:
        log_mel: log-mel spectrogram `(frames, n_mels)` in dB.
        frames_per_s: frames per second.

    Example:
        >>> frames = np.full((1292, 96), -80.0)
        >>> frames[::21] = -20.0  # a click 2.05 times a second
        >>> round(find_tempo(frames, 43.07).bpm)
        123
    """
    if log_mel.shape[0] < LEAST_S * frames_per_s:
        return None
    onsets = onset_ranges(log_mel, frames_per_s)
    if not np.any(onsets.std(axis=1) > 1e-6):
        return None
    correlation = autocorrelation(onsets, int(LONGEST_S * frames_per_s))
    bpm = candidates(correlation, frames_per_s)
    described = np.stack([describe_candidate(correlation, frames_per_s, tempo) for tempo in bpm])
    scores = described @ _weights()
    probabilities = np.exp(scores - scores.max())
    probabilities /= probabilities.sum()
    first, *rest = np.argsort(-probabilities, kind="stable")
    other = float(bpm[rest[0]]) if rest else float(bpm[first])
    refined = refine(correlation, frames_per_s, float(bpm[first]))
    return Tempo(round(refined, 2), round(other, 1), round(float(probabilities[first]), 4))


def onset_ranges(log_mel: NDArray[np.floating], frames_per_s: float) -> Floats:
    """Onset strength of four frequency ranges `(4, frames - 1)`: rises in dB beyond their mean over a second.

    Args:
        log_mel: `(frames, n_mels)` in dB.
        frames_per_s: frames per second.
    """
    levels = np.array(log_mel, np.float32)
    np.maximum(levels, levels.max() - RANGE_DB, out=levels)
    rises = levels[1:] - levels[:-1]
    np.maximum(rises, 0.0, out=rises)
    edges = np.rint(np.multiply(EDGES, levels.shape[1])).astype(np.intp)
    means = np.add.reduceat(rises, edges[:-1], axis=1) / np.diff(edges)
    width = int(frames_per_s)
    rows = []
    for strength in means.T:
        padded = np.pad(strength, (width // 2, width - 1 - width // 2), mode="edge")
        sums = np.cumsum(np.concatenate([[0.0], padded]))
        beyond = np.maximum(0.0, strength - (sums[width:] - sums[:-width]) / width)
        rows.append(beyond - beyond.mean())
    return np.stack(rows)


def autocorrelation(onsets: Floats, longest: int) -> Floats:
    """Autocorrelation of each row at the lags 0 to `longest`, 1 at lag 0, shape `(rows, longest + 1)`.

    Args:
        onsets: shape `(rows, frames)`.
        longest: frames.
    """
    frames = onsets.shape[1]
    size = 1 << (frames + longest).bit_length()
    transform = np.fft.rfft(onsets, size, axis=1)
    result = np.fft.irfft(transform * np.conj(transform), size, axis=1)[:, : longest + 1]
    result /= np.maximum(1, frames - np.arange(result.shape[1]))
    normed: Floats = result / np.maximum(result[:, :1], 1e-9)
    return normed


def candidates(correlation: Floats, frames_per_s: float) -> Floats:
    """Tempi that are possible: the strongest periods and their multiples, in `BPM_RANGE`.

    Args:
        correlation: of the onsets of each range.
        frames_per_s: frames per second.
    """
    period = 60 * frames_per_s / _GRID
    strength = np.mean([_at(correlation, k * period).sum(axis=0) for k in (1, 2, 3, 4)], axis=0)
    strongest: list[float] = []
    for tempo in _GRID[np.argsort(-strength, kind="stable")]:
        if all(abs(np.log(tempo / other)) > 2 * SAME for other in strongest):
            strongest.append(float(tempo))
        if len(strongest) == N_STRONGEST:
            break
    found: list[float] = []
    for tempo in strongest:
        for ratio in RATIOS:
            bpm = tempo * ratio
            is_new = all(abs(np.log(bpm / other)) > SAME for other in found)
            if BPM_RANGE[0] <= bpm <= BPM_RANGE[1] and is_new:
                found.append(bpm)
    return np.array(found)


def describe_candidate(correlation: Floats, frames_per_s: float, bpm: float) -> Floats:
    """What speaks for a tempo: the repetition of each range at `RATIOS` of its beat, and the tempo itself.

    Args:
        correlation: of the onsets of each range.
        frames_per_s: frames per second.
        bpm: the tempo.

    Returns:
        Shape `(4 · 11 + 2,)`.
    """
    lags = 60 * frames_per_s / bpm * np.array(RATIOS)
    around = _at(correlation, (lags[:, None] * _SPREAD).ravel())
    strength = around.reshape(len(correlation), len(lags), -1).max(axis=2)
    distance = np.log2(bpm / CENTRE_BPM)
    return np.concatenate([strength.ravel(), [distance, distance**2]])


def refine(correlation: Floats, frames_per_s: float, bpm: float) -> float:
    """The tempo within 2 % at which four beats, or as many as there is room for, repeat best.

    Args:
        correlation: of the onsets of each range.
        frames_per_s: frames per second.
        bpm: the tempo.
    """
    tempi = bpm * np.linspace(1 - SAME, 1 + SAME, 81)
    room = (correlation.shape[1] - 2) / (60 * frames_per_s / tempi.min())
    beats = range(1, max(1, min(4, int(room))) + 1)
    strength = np.sum(
        [k * _at(correlation, k * 60 * frames_per_s / tempi).sum(axis=0) for k in beats], axis=0
    )
    return float(tempi[int(np.argmax(strength))])


def _at(correlation: Floats, lags: Floats) -> Floats:
    """Values of each row between its lags, `(rows, lags)`; beyond its end, its last value."""
    place = np.minimum(lags, correlation.shape[1] - 1.001)
    below = place.astype(np.intp)
    share = place - below
    values: Floats = correlation[:, below] * (1 - share) + correlation[:, below + 1] * share
    return values


@cache
def _weights() -> Floats:
    file = resources.files("quintet.library.sound").joinpath("tempo_weights.json")
    return np.array(json.loads(file.read_text(encoding="utf-8"))["weights"])
