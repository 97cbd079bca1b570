"""Feature families that the product does not have, from its own spectra: what `families.py` tries.

    python -m benchmarks.evidence.more_families --tables FOLDER NAME [NAME …] [--families beat …]

For each table NAME.parquet that `quintet extract` made, it writes NAME.more.parquet: `id`, and columns
named like those of the product. The formulas are plain NumPy, because nothing here is meant to be fast.

- `beat`: strength of the loudness fluctuations of each wide mel band at multiples of the beat, instead of
  at rates in Hz: two songs with one rhythm at two tempi are alike.
- `binparts`: levels of the wide mel bands of the harmonic and of the percussive part (median filters along
  time and along frequency, Fitzgerald 2010), and how much of a band is harmonic.
- `key`: chroma without its key: its circular autocorrelation and Fourier magnitudes, the chroma turned so
  that the strongest pitch class is the first, and the intervals between the chords of frames half a second
  apart.
- `percentiles`: percentiles of the levels of the wide mel bands, and of their rises over three frames (the
  block features of Seyerlehner 2010 do the same).
- `bands`: mean and deviation of the levels of the wide mel bands; `melparts`, `narrowparts`: `binparts` on
  128 mel bands instead of 1025 bins, which costs an eighth.
- `steady`: running medians of the wide mel bands, and how far the bands rise above them.
- `lagged`: matrix logarithm of the covariance of the changes of the wide mel bands over two frames.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from quintet.audio.decode import ClipSource, load_clip
from quintet.audio.mel import mel_filterbank, mel_power, power_to_db
from quintet.features.analysis import COVARIANCE_FLOOR, Analysis
from quintet.features.parameters import FeatureParameters
from quintet.features.statistics import log_covariance

Floats = NDArray[np.float64]
BEATS = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 8.0)
"""Fluctuations per beat."""
PERCENTILES = (5, 25, 50, 75, 95)
RISES = (50, 90)
"""Percentiles of the rises."""
RISE_FRAMES, LAG_FRAMES, NEXT_CHORD = 3, 2, 11
FILTER = 31
"""Frames, and bins, of the median filters."""


def beat(a: Analysis) -> Floats:
    """Level of the fluctuations of each band at multiples of the beat, dB, `(bands · multiples,)`."""
    bands = a.bands_db - a.bands_db.mean(axis=1, keepdims=True)
    n = bands.shape[1]
    window = np.hanning(n + 2)[1:-1]
    rates_hz = a.tempo(("bpm",))[0] / 60 * np.array(BEATS)
    seconds = np.arange(n) * a.parameters.hop_length / a.parameters.sample_rate
    waves = np.exp(-2j * np.pi * seconds[:, None] * rates_hz)
    density = np.abs((bands * window) @ waves) ** 2 / (window**2).sum()
    return np.asarray(10 * np.log10(density + 1e-3).ravel())


def binparts(a: Analysis) -> Floats:
    """Mean and deviation of the levels of both parts, dB, and the mean share of the harmonic one, by band."""
    power = a.spectrum.power
    harmonic = median_filter(power, (1, FILTER), mode="reflect") ** 2
    percussive = median_filter(power, (FILTER, 1), mode="reflect") ** 2
    share = harmonic / (harmonic + percussive + 1e-20)
    p = a.parameters
    filters = mel_filterbank(n_mels=p.n_bands, n_fft=p.n_fft, sample_rate=p.sample_rate, fmin=0.0, fmax=None)
    whole, held = filters @ power, filters @ (power * share)
    levels = [power_to_db(part, top_db=80.0) for part in (held, whole - held)]
    numbers = [statistic(level, axis=1) for level in levels for statistic in (np.mean, np.std)]
    return np.concatenate([*numbers, (held / (whole + 1e-20)).mean(axis=1)])


def key(a: Analysis) -> Floats:
    """Chroma without its key, `(55,)`."""
    chroma = a.chroma
    mean, spread = chroma.mean(axis=1), chroma.std(axis=1)
    turned = np.roll(np.arange(12), -int(mean.argmax()))
    pairs = chroma @ chroma.T / chroma.shape[1]
    intervals = [np.trace(np.roll(pairs, -lag, axis=1)) for lag in range(7)]
    lag = min(NEXT_CHORD, chroma.shape[1] - 1)
    following = chroma[:, : chroma.shape[1] - lag] @ chroma[:, lag:].T / (chroma.shape[1] - lag)
    steps = [np.trace(np.roll(following, -step, axis=1)) for step in range(12)]
    fourier = np.abs(np.fft.rfft(chroma, axis=0))[1:].mean(axis=1)
    whole = np.abs(np.fft.rfft(mean))[1:]
    return np.concatenate([intervals, steps, fourier, whole, mean[turned], spread[turned]])


def percentiles(a: Analysis) -> Floats:
    """Percentiles of the levels and of the rises of each band, dB."""
    bands = a.bands_db
    rises = np.maximum(bands[:, RISE_FRAMES:] - bands[:, :-RISE_FRAMES], 0)
    both = np.percentile(bands, PERCENTILES, axis=1), np.percentile(rises, RISES, axis=1)
    return np.concatenate([values.ravel() for values in both])


def lagged(a: Analysis) -> Floats:
    """Upper triangle of the matrix logarithm of the covariance of the changes of the bands."""
    bands = a.bands_db
    matrix = log_covariance(bands[:, LAG_FRAMES:] - bands[:, :-LAG_FRAMES], floor=COVARIANCE_FLOOR)
    return matrix[np.triu_indices(len(bands))]


def bands(a: Analysis) -> Floats:
    """Mean and deviation of the levels of the wide mel bands, dB."""
    return np.concatenate([a.bands_db.mean(axis=1), a.bands_db.std(axis=1)])


def melparts(a: Analysis, width: int = 17, joined: int = 8) -> Floats:
    """`binparts` with both filters on the narrow mel bands, eight of which are then joined."""
    p = a.parameters
    power = mel_power(a.spectrum, n_mels=p.n_mels, fmin=0.0, fmax=None)
    harmonic = median_filter(power, (1, FILTER), mode="reflect") ** 2
    percussive = median_filter(power, (width, 1), mode="reflect") ** 2
    share = harmonic / (harmonic + percussive + 1e-20)
    frames = power.shape[1]
    whole = power.reshape(-1, joined, frames).sum(axis=1)
    held = (power * share).reshape(-1, joined, frames).sum(axis=1)
    levels = [power_to_db(part, top_db=80.0) for part in (held, whole - held)]
    numbers = [statistic(level, axis=1) for level in levels for statistic in (np.mean, np.std)]
    return np.concatenate([*numbers, (held / (whole + 1e-20)).mean(axis=1)])


def steady(a: Analysis) -> Floats:
    """Mean and deviation of the running median of each wide mel band, and of the band above it, dB."""
    level = median_filter(a.bands_db, (1, FILTER), mode="reflect")
    above = np.maximum(a.bands_db - level, 0)
    return np.concatenate(
        [statistic(part, axis=1) for part in (level, above) for statistic in (np.mean, np.std)]
    )


FAMILIES = {
    "beat": beat,
    "binparts": binparts,
    "key": key,
    "percentiles": percentiles,
    "lagged": lagged,
    "bands": bands,
    "steady": steady,
    "melparts": melparts,
    "narrowparts": lambda a: melparts(a, width=9),
}


def describe(table: Path, families: list[str]) -> pd.DataFrame:
    """Columns of families, a row per usable clip of a table."""
    parameters, rows, names = FeatureParameters(), [], []
    listed = pd.read_parquet(table, columns=["id", "path", "start", "end", "status"])
    for clip in listed[listed["status"] == "ok"].itertuples():
        source = ClipSource.from_row(clip.id, clip.path, clip.start, clip.end)
        decoded = load_clip(
            source.path,
            sample_rate=parameters.sample_rate,
            start_s=source.start_s,
            end_s=source.end_s,
            strict=False,
        )
        analysis = Analysis(decoded.clip, parameters)
        numbers = {family: FAMILIES[family](analysis) for family in families}
        names = [f"{family}.n_{k:03d}.mean" for family, values in numbers.items() for k in range(len(values))]
        rows.append((str(clip.id), *np.concatenate(list(numbers.values()))))
    return pd.DataFrame(rows, columns=["id", *names])


def main() -> None:
    """Write the tables that are not there yet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", type=Path, required=True)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--families", nargs="+", choices=list(FAMILIES), default=list(FAMILIES))
    given = parser.parse_args()
    for name in given.names:
        target = given.tables / f"{name}.more.parquet"
        ready = pd.read_parquet(target) if target.exists() else None
        present = {column.partition(".")[0] for column in ([] if ready is None else ready.columns)}
        absent = [family for family in given.families if family not in present]
        if absent:
            added = describe(given.tables / f"{name}.parquet", absent)
            whole = added if ready is None else ready.merge(added, on="id", validate="one_to_one")
            whole.to_parquet(target)
            print(f"{target.name}: {', '.join(absent)}", flush=True)


if __name__ == "__main__":
    main()
