"""Figures over time, as layers that stretch with the page: images as PNG, areas as SVG, ticks in percent.

All figures share one time axis, from 0 to the end of the track, so that one cursor runs through all of them.
Images do not depend on the theme: loudness is black with more or less opacity, which the page inverts in the
dark theme, and a map is orange for positive values and blue for negative ones.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from itertools import pairwise
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from quintet.audio.mel import hz_to_mel, mel_to_hz
from quintet.features.parameters import LogMelParameters

Floats = NDArray[np.float64]

COLUMNS = 960
"""Columns of an image over the whole track."""

RANGE_DB = 70.0
"""Level below the loudest one, in dB, at which the spectrogram is transparent."""

POSITIVE_RGB, NEGATIVE_RGB = (236, 106, 16), (36, 128, 220)
HZ_TICKS = (500, 1000, 2000, 4000, 8000, 16000)
TIME_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)
"""Distances of the ticks of a time axis, in seconds."""


class Box(TypedDict):
    """Rectangle in percent of its figure."""

    x: float
    y: float
    width: float
    height: float


def spans(starts: Sequence[float], ends: Sequence[float], duration_s: float) -> list[tuple[float, float]]:
    """Times at which overlapping windows are shown. Neighbours meet in the middle between their centres.

    Args:
        starts: start of each window, in seconds.
        ends: end of each window, in seconds.
        duration_s: duration of the track, in seconds.

    Returns:
        Start and end per window; together they cover the whole track.

    Example:
        >>> spans([0, 10, 15], [10, 20, 25], 25)
        [(0.0, 10.0), (10.0, 17.5), (17.5, 25.0)]
    """
    centres = [(a + b) / 2 for a, b in zip(starts, ends, strict=True)]
    middles = [(a + b) / 2 for a, b in pairwise(centres)]
    return list(pairwise([0.0, *middles, float(duration_s)]))


def on_time_axis(
    parts: Sequence[NDArray[np.floating]],
    starts: Sequence[float],
    ends: Sequence[float],
    duration_s: float,
    *,
    columns: int = COLUMNS,
) -> Floats:
    """Maps of windows side by side on the time axis of the track.

    Args:
        parts: one map (rows, frames) per window; the number of frames may differ.
        starts: start of each window, in seconds.
        ends: end of each window, in seconds.
        duration_s: duration of the track, in seconds.
        columns: columns of the result, at equal steps of time.

    Returns:
        (rows, columns), NaN where there is no window.
    """
    time = (np.arange(columns) + 0.5) / columns * duration_s
    result = np.full((parts[0].shape[0], columns), np.nan)
    shown = spans(starts, ends, duration_s)
    for part, start, end, (first, last) in zip(parts, starts, ends, shown, strict=True):
        inside = (time >= max(first, start)) & (time < min(last, end) + 1e-9)
        position = (time[inside] - start) / max(end - start, 1e-9)
        frames = (position * part.shape[1]).astype(int)
        result[:, inside] = part[:, np.clip(frames, 0, part.shape[1] - 1)]
    return result


def loudness_picture(decibels: Floats) -> str:
    """Spectrogram as a data URI, low bands at the bottom.

    The loudest cell is opaque. Cells `RANGE_DB` below it, and NaN, are transparent.

    Args:
        decibels: (n_mels, columns), in dB.
    """
    top = float(np.nanmax(decibels))
    share = np.nan_to_num(np.clip(1 + (decibels - top) / RANGE_DB, 0, 1), nan=0.0)
    return _png(np.zeros(3), share**1.4 * 0.85)


def map_picture(values: Floats, *, scale: float | None = None) -> str:
    """Map as a data URI, low bands at the bottom: orange above 0, blue below 0, 0 and NaN transparent.

    Args:
        values: (rows, columns).
        scale: size of an opaque value. Default: the largest size.
    """
    numbers = np.nan_to_num(values, nan=0.0)
    top = scale or float(np.abs(numbers).max()) or 1.0
    is_positive = numbers[..., None] >= 0
    colour = np.where(is_positive, np.array(POSITIVE_RGB), np.array(NEGATIVE_RGB))
    opacity = np.clip(np.abs(numbers) / top, 0, 1) ** 0.8 * 0.78
    return _png(colour, opacity)


def _png(colour: NDArray[np.integer] | Floats, opacity: Floats) -> str:
    from matplotlib.image import imsave

    pixels = np.empty((*opacity.shape, 4), np.uint8)
    pixels[..., :3] = colour
    pixels[..., 3] = np.rint(opacity * 255)
    buffer = io.BytesIO()
    imsave(buffer, pixels[::-1], format="png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def stack_rectangles(
    edges: Sequence[tuple[float, float]], shares: Floats, duration_s: float
) -> list[list[Box]]:
    """Rectangles of a stacked figure, one list per series, the first series at the bottom.

    Args:
        edges: start and end of the m windows, in seconds.
        shares: (m, series) heights in [0, 1]. A row with NaN leaves a gap.
        duration_s: duration of the track, in seconds.
    """
    result: list[list[Box]] = [[] for _ in range(shares.shape[1])]
    for (first, last), row in zip(edges, shares, strict=True):
        if not np.isfinite(row).all():
            continue
        floor = 0.0
        for k, share in enumerate(row):
            box = Box(
                x=round(100 * first / duration_s, 3),
                width=round(100 * (last - first) / duration_s, 3),
                y=round(100 * (1 - floor - share), 3),
                height=round(100 * share, 3),
            )
            result[k].append(box)
            floor += float(share)
    return result


def time_ticks(duration_s: float, *, most: int = 7) -> list[tuple[float, str]]:
    """Ticks of a time axis at round seconds or minutes: place in percent, and text.

    Args:
        duration_s: duration of the track, in seconds.
        most: largest number of steps.

    Example:
        >>> time_ticks(10.0)
        [(0.0, '0'), (20.0, '2'), (40.0, '4'), (60.0, '6'), (80.0, '8'), (100.0, '10 s')]
        >>> [text for _, text in time_ticks(200.0)][:3]
        ['0:00', '0:30', '1:00']
    """
    step = next((step for step in TIME_STEPS if duration_s / step < most), duration_s)
    times = np.arange(0, duration_s + 1e-9, step).tolist()
    ticks = []
    for i, time in enumerate(times):
        text = _clock(time, in_minutes=duration_s >= 120, with_unit=i == len(times) - 1)
        ticks.append((round(100 * time / duration_s, 3), text))
    return ticks


def _clock(seconds: float, *, in_minutes: bool, with_unit: bool) -> str:
    if in_minutes:
        return f"{int(seconds // 60)}:{seconds % 60:02.0f}"
    return f"{seconds:g} s" if with_unit else f"{seconds:g}"


def hz_ticks(parameters: LogMelParameters) -> list[tuple[float, str]]:
    """Ticks of the frequency axis of a log-mel spectrogram: place in percent from the bottom, and text.

    Example:
        >>> hz_ticks(LogMelParameters())[0]
        (15.027, '500 Hz')
    """
    top = parameters.fmax or parameters.sample_rate / 2
    low, high = hz_to_mel(parameters.fmin), hz_to_mel(top)
    ticks = []
    for hz in HZ_TICKS:
        if parameters.fmin < hz < 0.97 * top:
            place = round(100 * (hz_to_mel(hz) - low) / (high - low), 3)
            ticks.append((place, f"{hz / 1000:g} kHz" if hz >= 1000 else f"{hz} Hz"))
    return ticks


def band_hz(parameters: LogMelParameters, edges: NDArray[np.int64]) -> list[tuple[float, float]]:
    """Lowest and highest frequency of stripes of mel bands, in Hz: centres of the triangles at the edges.

    Args:
        parameters: parameters of the log-mel spectrogram.
        edges: (b + 1,) numbers of bands, from 0 to n_mels.
    """
    top = parameters.fmax or parameters.sample_rate / 2
    low, high = hz_to_mel(parameters.fmin), hz_to_mel(top)
    mels = low + (high - low) * (edges + 0.5) / (parameters.n_mels + 1)
    hz = [float(value) for value in mel_to_hz(mels)]
    return list(pairwise(hz))
