"""Which clips may have a common source (an artist, an album, a recording), drawn from how they sound.

The model of random effects: a clip is the centre of its class, plus the deviation of its source, plus its own
deviation,

    x_i = c(class) + b(source) + e_i,    b ~ N(0, B),    e_i ~ N(0, W / w_i),    w_i ~ Gamma(ν/2, ν/2),

and the sources of a class are a Chinese restaurant process. Nothing is known but the rows. So the partition
into sources, B, W, w and ν are drawn in turn, each from what is likely given the others (Gibbs sampling).

Why a draw and not the best partition: if the model holds, rows with a drawn partition are distributed as rows
with the true one. So the score by drawn sources is in expectation the score by true sources, also where
sound alone does not decide about any single pair of clips.

Source: B and W as in Brümmer and de Villiers, "The speaker partitioning problem", Odyssey 2010; the partition
as in Neal, "Markov chain sampling methods for Dirichlet process mixture models", 2000, algorithm 3; the
concentration as in Escobar and West, "Bayesian density estimation and inference using mixtures", 1995.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quintet.datasets.splits.split import Positions
from quintet.files.notices import announce
from quintet.training.blocks.source_moves import Clips, move_clips, nearest, split_and_merge
from quintet.training.blocks.source_runs import FIRST_HAZARD, draw_hazard, draw_runs

SWEEPS = 100
"""Sweeps over all clips before the partition is taken. The number of sources settles within 40 to 80."""
PRIOR_SHARE = 0.3
"""Share of the variance that lies between sources before anything is seen; it weighs as much as two clips."""
TAILS = np.array([2.0, 3, 4, 6, 8, 12, 16, 24, 40, 80, 200])
"""Values of ν from which one is drawn."""
FIRST_TAIL = 8.0
FIRST_CONCENTRATION = 2.0
SMALLEST_RATIO, LARGEST_RATIO = 1e-6, 1e6
"""Bounds of the variance of sources in variances of clips, which keep products over 40 axes finite."""
SMALLEST_WEIGHT = 1e-9
TIMED_SWEEPS = 5
"""Sweeps after which the time of all is estimated."""
LONG_S = 20.0
"""A search that takes longer is announced."""

Floats = NDArray[np.float64]


@dataclass
class Piece:
    """Clips among which sources are sought: those of one class.

    Args:
        rows: positions of the clips, `(n,)`.
        near: positions within the piece of the nearest clips of each clip, `(n, k)`.
        source: number of the source of each clip, `(n,)`.
        concentration: concentration of the restaurant process.
        order: positions within the piece in an order of which each source has a run, `(n,)`; None if nothing
            is known of an order.
        hazard: chance that a run ends after a clip.
    """

    rows: Positions
    near: Positions
    source: Positions
    concentration: float = FIRST_CONCENTRATION
    order: Positions | None = None
    hazard: float = FIRST_HAZARD

    @classmethod
    def of_one_source(cls, rows: Positions, values: Floats, place: Positions | None = None) -> Piece:
        """A piece whose clips all have one source. `place`: place of every clip in an order."""
        order = None if place is None else np.argsort(place[rows], kind="stable")
        return cls(rows, nearest(values[rows]), np.zeros(len(rows), np.intp), order=order)

    def move(self, clips: Clips, rng: np.random.Generator) -> None:
        """Draw the sources of the clips anew."""
        if self.order is not None:
            self.source = draw_runs(clips, self.order, self.hazard, rng)
            self.hazard = draw_hazard(len(self.rows), int(self.source.max()) + 1, rng)
        else:
            self.source = split_and_merge(clips, self.source, self.near, self.concentration, rng)
            self.source = move_clips(clips, self.source, self.concentration, rng)


def draw_sources(
    values: Floats,
    pieces: Sequence[Positions],
    rng: np.random.Generator,
    *,
    place: Positions | None = None,
) -> Positions:
    """A draw of the source of every clip.

    Args:
        values: features of the clips without the mean of their piece, `(n, d)`, d up to 40.
        pieces: positions of the clips of each piece. A source lies in one piece.
        rng: source of all random choices.
        place: place of each clip in an order, `(n,)`, if the clips of a source follow each other in it
            (`source_runs`). None: sources may have any clips of a piece.

    Returns:
        Number of the source of each clip, `(n,)`. Sources of different pieces have different numbers.
    """
    total = values.T @ values / len(values)
    between, within = PRIOR_SHARE * total, (1 - PRIOR_SHARE) * total
    before = between, within
    weights, tail = np.ones(len(values)), FIRST_TAIL
    parts = [Piece.of_one_source(rows, values, place) for rows in pieces]
    started = 0.0
    for sweep in range(SWEEPS):
        if sweep == 1:  # the first one also loads what the search needs
            started = time.perf_counter()
        if sweep == 1 + TIMED_SWEEPS:
            _announce_long(len(values), (time.perf_counter() - started) * SWEEPS / TIMED_SWEEPS)
        axes, ratios = _axes(between, within)
        turned = values @ axes
        residuals, drawn = turned.copy(), []
        for piece in parts:
            clips = Clips(turned[piece.rows], weights[piece.rows], ratios)
            piece.move(clips, rng)
            centres = _draw_centres(clips, piece.source, rng)
            residuals[piece.rows] -= centres[piece.source]
            drawn.append(centres)
            if piece.order is None:
                piece.concentration = _draw_concentration(piece, len(centres), rng)
        weights = _draw_weights(residuals, tail, rng)
        tail = _draw_tail(weights, rng)
        back = np.linalg.inv(axes)
        between = _draw_covariance(np.concatenate(drawn) @ back, before[0], rng)
        within = _draw_covariance(np.sqrt(weights)[:, None] * residuals @ back, before[1], rng)
    return _number(parts, len(values))


def _announce_long(n_clips: int, seconds: float) -> None:
    """Say how long a search takes, if it takes long."""
    if seconds > LONG_S:
        duration = f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
        announce(f"{n_clips:,} clips are searched for those that may have a common source: about {duration}")


def _axes(between: Floats, within: Floats) -> tuple[Floats, Floats]:
    """Axes V `(d, d)` with V'WV = 1 and V'BV = diag(λ), and λ `(d,)`."""
    from scipy.linalg import eigh

    ratios, axes = eigh(between, within)
    return np.asarray(axes), np.clip(ratios, SMALLEST_RATIO, LARGEST_RATIO)


def _draw_centres(clips: Clips, source: Positions, rng: np.random.Generator) -> Floats:
    """Draw the deviation of each source from the clips that it has, `(sources, d)`."""
    precision, sums = clips.totals(source, int(source.max()) + 1)
    spread = 1 / (1 / clips.ratios + precision[:, None])
    return np.asarray(spread * sums + np.sqrt(spread) * rng.standard_normal(sums.shape))


def _draw_concentration(piece: Piece, n_sources: int, rng: np.random.Generator) -> float:
    """Draw the concentration of a piece from the number of its sources; before, it is Gamma(1, rate .1)."""
    n = len(piece.rows)
    rate = 0.1 - np.log(rng.beta(piece.concentration + 1, n))
    odds = n_sources / (n * rate)
    shape = n_sources + int(rng.random() < odds / (1 + odds))
    return max(float(rng.gamma(shape) / rate), 1e-6)


def _draw_weights(residuals: Floats, tail: float, rng: np.random.Generator) -> Floats:
    """Draw the weight of each clip: low for a clip that is unlike all others of its source."""
    shape = (tail + residuals.shape[1]) / 2
    rate = (tail + (residuals**2).sum(axis=1)) / 2
    return np.asarray(np.maximum(rng.gamma(shape, size=len(rate)) / rate, SMALLEST_WEIGHT))


def _draw_tail(weights: Floats, rng: np.random.Generator) -> float:
    """Draw ν from the weights; before, all `TAILS` are equally likely."""
    from scipy.special import gammaln

    half = TAILS / 2
    logs = len(weights) * (half * np.log(half) - gammaln(half))
    logs += (half - 1) * np.log(weights).sum() - half * weights.sum()
    chances = np.exp(logs - logs.max())
    return float(rng.choice(TAILS, p=chances / chances.sum()))


def _draw_covariance(deviations: Floats, before: Floats, rng: np.random.Generator) -> Floats:
    """Draw a covariance `(d, d)` from deviations `(n, d)`; before, it is inverse Wishart with that mean."""
    from scipy.stats import invwishart

    n, d = deviations.shape
    scatter = deviations.T @ deviations + 2 * before
    return np.atleast_2d(invwishart.rvs(d + 3 + n, scatter, random_state=rng))


def _number(pieces: Sequence[Piece], n: int) -> Positions:
    """Sources numbered over all pieces."""
    source, first = np.empty(n, np.intp), 0
    for piece in pieces:
        source[piece.rows] = piece.source + first
        first += int(piece.source.max()) + 1
    return source
