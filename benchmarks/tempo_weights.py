"""Learns the weights of `quintet.library.sound.tempo` from pieces of known tempo.

    python -m benchmarks.tempo_weights quintet/library/sound/tempo_weights.json

The pieces are those of the generator of the demo corpus, with tempi, drums and bass drawn anew, so that slow
and fast backbeats are frequent. Nothing of `tests/library/sound/patterns.py` is used. It prints the share of
pieces whose tempo is found within 4 % by weights that were learnt from the other three quarters.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from quintet.audio.clip import Clip
from quintet.audio.resample import resample
from quintet.datasets.demo.artists import draw_artists
from quintet.datasets.demo.piece import choose, play, write
from quintet.datasets.demo.sound import RATE
from quintet.datasets.demo.styles import STYLES
from quintet.features.describe import describe
from quintet.features.parameters import FeatureParameters
from quintet.library.sound.tempo import (
    LONGEST_S,
    autocorrelation,
    candidates,
    describe_candidate,
    onset_ranges,
)

Floats = NDArray[np.float64]

SECONDS = 20.0
PENALTY = 0.003
WITHIN = 0.04
SETS = ((7, 200, 0.35, 0.15, 58.0, 98.0), (8, 120, 0.6, 0.2, 54.0, 96.0))
"""Seed, pieces, share of slow backbeats, share of fast ones, slowest and fastest of the slow ones."""
SLOW_DRUMS = ("backbeat", "funk", "breaks", "rock_push", "backbeat")
FAST_DRUMS = ("backbeat", "four_floor", "rock_push", "train", "samba", "disco_busy")


class Piece(NamedTuple):
    """A piece: its candidates, and which of them is right (-1: none)."""

    bpm: Floats
    described: Floats
    right: int


def pieces() -> list[Piece]:
    """The pieces of all sets."""
    parameters = FeatureParameters()
    frames_per_s = parameters.log_mel.sample_rate / parameters.log_mel.hop_length
    artists = draw_artists(0)
    names = list(STYLES)
    found = []
    for seed, n_pieces, slow, fast, slowest, fastest in SETS:
        rng = np.random.default_rng(seed)
        for k in range(n_pieces):
            style = names[k % len(names)]
            own = [artist for artist in artists if artist.home == style]
            artist = own[rng.integers(len(own))]
            choice = choose(STYLES[style], artist, rng)
            low, high = STYLES[style].tempo
            tempo, drums = float(rng.uniform(low * 0.92, high * 1.1)), choice.drums
            kind = rng.random()
            if kind < slow:
                tempo = float(np.exp(rng.uniform(np.log(slowest), np.log(fastest))))
                drums = str(rng.choice(SLOW_DRUMS))
            elif kind < slow + fast:
                tempo, drums = float(rng.uniform(115, 178)), str(rng.choice(FAST_DRUMS))
            bass = choice.bass
            if rng.random() < 0.5:
                bass = str(rng.choice(["eighths", "octaves", choice.bass]))
            choice = replace(choice, tempo=tempo, drums=drums, duration_s=SECONDS, bass=bass)
            score = write(choice, int(np.ceil(SECONDS * tempo / 240)) + 1, rng)
            wave = _reverberate(np.asarray(play(score, choice, artist, rng), np.float64), rng)
            samples = resample(wave.astype(np.float32), orig_sr=RATE, target_sr=parameters.sample_rate)
            clip = Clip(samples, parameters.sample_rate, str(k))
            log_mel = describe(clip, parameters, log_mel=True).log_mel
            assert log_mel is not None
            found.append(_piece(log_mel.T.astype(np.float16), frames_per_s, tempo))
    return found


def _reverberate(wave: Floats, rng: np.random.Generator) -> Floats:
    n = int(0.4 * RATE)
    tail = rng.normal(size=n) * np.exp(-np.arange(n) / (rng.uniform(0.03, 0.15) * RATE))
    size = 1 << (len(wave) + n).bit_length()
    wet = np.fft.irfft(np.fft.rfft(wave, size) * np.fft.rfft(tail, size), size)[: len(wave)]
    mixed = wave + rng.uniform(0.05, 0.35) * wet * np.abs(wave).max() / np.abs(wet).max()
    result: Floats = mixed * 0.7 / np.abs(mixed).max()
    return result


def _piece(log_mel: NDArray[np.floating], frames_per_s: float, tempo: float) -> Piece:
    correlation = autocorrelation(onset_ranges(log_mel, frames_per_s), int(LONGEST_S * frames_per_s))
    bpm = candidates(correlation, frames_per_s)
    described = np.stack([describe_candidate(correlation, frames_per_s, one) for one in bpm])
    error = np.abs(np.log(bpm / tempo))
    return Piece(bpm, described, int(error.argmin()) if error.min() < WITHIN else -1)


def learn(found: Sequence[Piece]) -> Floats:
    """Weights of the conditional logit model, with a quadratic penalty on standardised columns."""
    known = [piece for piece in found if piece.right >= 0]
    scale = np.concatenate([piece.described for piece in known]).std(axis=0) + 1e-9

    def loss(weights: Floats) -> tuple[float, Floats]:
        value, slope = 0.0, np.zeros_like(weights)
        for piece in known:
            columns = piece.described / scale
            scores = columns @ weights
            shares = np.exp(scores - scores.max())
            shares /= shares.sum()
            value -= float(np.log(shares[piece.right] + 1e-12))
            slope += shares @ columns - columns[piece.right]
        n = len(known)
        return value / n + PENALTY * float(weights @ weights), slope / n + 2 * PENALTY * weights

    start = np.zeros(len(scale))
    weights: Floats = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 300}).x
    return weights / scale


def share_right(found: Sequence[Piece], weights: Floats) -> float:
    """Share of the pieces whose best candidate is the right one."""
    return float(np.mean([int((piece.described @ weights).argmax()) == piece.right for piece in found]))


def main() -> None:
    """Learn, print the cross-validated share, and write the weights."""
    found = pieces()
    folds = [learn([piece for k, piece in enumerate(found) if k % 4 != fold]) for fold in range(4)]
    shares = [share_right(found[fold::4], weights) for fold, weights in enumerate(folds)]
    print(f"{len(found)} pieces, right in cross-validation: {np.mean(shares):.3f}")
    weights = [round(float(weight), 5) for weight in learn(found)]
    content = {
        "learnt_from": len(found),
        "cross_validated": round(float(np.mean(shares)), 3),
        "weights": weights,
    }
    Path(sys.argv[1]).write_text(json.dumps(content) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
