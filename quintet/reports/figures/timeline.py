"""Figures over time, as layers that stretch with the page: pictures as PNG, areas as SVG, ticks in percent. All share one time axis, from 0 to
the end of the track, so that one cursor runs along all of them.

Pictures have no colour of their own theme: loudness is black with more or less opacity (the page inverts it in the dark), and a map is orange
where it speaks for the class, blue where against.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from quintet.audio.mel import hz_to_mel, mel_to_hz
from quintet.features.parameters import LogMelParameters

Array = NDArray[np.float64]
COLUMNS = 960  # of a picture over the whole track
RANGE_DB = 70.0  # below the loudest: white
POSITIVE_RGB, NEGATIVE_RGB = (236, 106, 16), (36, 128, 220)
HZ_TICKS = (500, 1000, 2000, 4000, 8000, 16000)


def spans(starts: Sequence[float], ends: Sequence[float], duration_s: float) -> list[tuple[float, float]]:
    """Where each of some windows is shown: from half way to the one before it, to half way to the next; together from 0 to the end.

    Example:
        >>> spans([0, 10, 15], [10, 20, 25], 25)
        [(0.0, 10.0), (10.0, 17.5), (17.5, 25.0)]
    """
    centres = [(a + b) / 2 for a, b in zip(starts, ends, strict=True)]
    cuts = [0.0, *((a + b) / 2 for a, b in pairwise(centres)), float(duration_s)]
    return list(pairwise(cuts))


def on_time_axis(
    parts: Sequence[Array],
    starts: Sequence[float],
    ends: Sequence[float],
    duration_s: float,
    *,
    columns: int = COLUMNS,
) -> Array:
    """Maps of windows (rows, frames of any number) laid side by side: (rows, columns), NaN where there is no window.

    Args:
        parts: one map per window. starts, ends: seconds. duration_s: of the track.
        columns: of the result, at equal steps of time.
    """
    time = (np.arange(columns) + 0.5) / columns * duration_s
    found = np.full((parts[0].shape[0], columns), np.nan)
    for part, start, end, (first, last) in zip(
        parts, starts, ends, spans(starts, ends, duration_s), strict=True
    ):
        here = (time >= max(first, start)) & (time < min(last, end) + 1e-9)
        frames = ((time[here] - start) / max(end - start, 1e-9) * part.shape[1]).astype(int)
        found[:, here] = part[:, np.clip(frames, 0, part.shape[1] - 1)]
    return found


def loudness_picture(decibels: Array) -> str:
    """A spectrogram (n_mels, columns) in dB as a data URI, low bands at the bottom: the loudest is opaque, `RANGE_DB` below it nothing."""
    top = float(np.nanmax(decibels))
    share = np.nan_to_num(np.clip(1 + (decibels - top) / RANGE_DB, 0, 1), nan=0.0)
    return _png(np.zeros(3), share**1.4 * 0.85)


def map_picture(values: Array, *, scale: float | None = None) -> str:
    """A map (rows, columns) as a data URI, low bands at the bottom: orange above 0, blue below, NaN and 0 transparent.

    Args:
        values: any. scale: the value that is opaque; default the largest size.
    """
    known = np.nan_to_num(values, nan=0.0)
    top = scale or float(np.abs(known).max()) or 1.0
    colour = np.where(known[..., None] >= 0, np.array(POSITIVE_RGB), np.array(NEGATIVE_RGB))
    return _png(colour, np.clip(np.abs(known) / top, 0, 1) ** 0.8 * 0.78)


def _png(colour: NDArray[np.integer] | Array, opacity: Array) -> str:
    from matplotlib.image import imsave

    pixels = np.empty((*opacity.shape, 4), np.uint8)
    pixels[..., :3] = colour
    pixels[..., 3] = np.rint(opacity * 255)
    buffer = io.BytesIO()
    imsave(buffer, pixels[::-1], format="png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def stack_rectangles(
    edges: Sequence[tuple[float, float]], shares: Array, duration_s: float
) -> list[list[dict[str, float]]]:
    """Rectangles of a stacked figure, one list per series, in percent of a box: `x, y, width, height`, the first series at the bottom.

    Args:
        edges: (m) from, to, seconds. shares: (m, series), in [0, 1]; a row of NaN leaves a gap.
    """
    found: list[list[dict[str, float]]] = [[] for _ in range(shares.shape[1])]
    for (first, last), row in zip(edges, shares, strict=True):
        if not np.isfinite(row).all():
            continue
        floor = 0.0
        for k, share in enumerate(row):
            box = {
                "x": 100 * first / duration_s,
                "width": 100 * (last - first) / duration_s,
                "y": 100 * (1 - floor - share),
                "height": 100 * share,
            }
            found[k].append({name: round(value, 3) for name, value in box.items()})
            floor += float(share)
    return found


def time_ticks(duration_s: float, *, most: int = 7) -> list[tuple[float, str]]:
    """Places in percent and texts of a time axis: at most `most`, at round seconds or minutes.

    Example:
        >>> time_ticks(10.0)
        [(0.0, '0'), (20.0, '2'), (40.0, '4'), (60.0, '6'), (80.0, '8'), (100.0, '10 s')]
        >>> [text for _, text in time_ticks(200.0)][:3]
        ['0:00', '0:30', '1:00']
    """
    steps = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)
    step = next((s for s in steps if duration_s / s < most), duration_s)
    places = np.arange(0, duration_s + 1e-9, step).tolist()
    return [
        (round(100 * t / duration_s, 3), _clock(t, long=duration_s >= 120, last=i == len(places) - 1))
        for i, t in enumerate(places)
    ]


def _clock(seconds: float, *, long: bool, last: bool) -> str:
    if long:
        return f"{int(seconds // 60)}:{seconds % 60:02.0f}"
    return f"{seconds:g}" + (" s" if last else "")


def hz_ticks(parameters: LogMelParameters) -> list[tuple[float, str]]:
    """Places in percent from the bottom, and texts, of the frequency axis of a log-mel spectrogram.

    Example:
        >>> hz_ticks(LogMelParameters())[0]
        (15.027, '500 Hz')
    """
    top = parameters.fmax or parameters.sample_rate / 2
    low, high = hz_to_mel(parameters.fmin), hz_to_mel(top)
    ticks = [hz for hz in HZ_TICKS if parameters.fmin < hz < 0.97 * top]
    return [
        (
            round(100 * (hz_to_mel(hz) - low) / (high - low), 3),
            f"{hz / 1000:g} kHz" if hz >= 1000 else f"{hz} Hz",
        )
        for hz in ticks
    ]


def band_hz(parameters: LogMelParameters, edges: NDArray[np.int64]) -> list[tuple[float, float]]:
    """From, to in Hz of stripes of mel bands, the centres of the triangles at their edges.

    Args:
        edges: (b + 1,) band numbers, from 0 to n_mels.
    """
    top = parameters.fmax or parameters.sample_rate / 2
    low, high = hz_to_mel(parameters.fmin), hz_to_mel(top)
    mels = low + (high - low) * (edges + 0.5) / (parameters.n_mels + 1)
    return [(float(a), float(b)) for a, b in pairwise(mel_to_hz(mels))]
