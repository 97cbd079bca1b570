"""Plain words for feature columns: what a column measures, for people who do not know its technical name."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np

from quintet.audio.mel import hz_to_mel, mel_to_hz
from quintet.features.catalogue import WIDE_BANDS
from quintet.features.embedding_columns import EmbeddingColumn, split_column
from quintet.features.parameters import FeatureParameters

STATISTICS = {
    "mean": "average",
    "std": "variation",
    "min": "lowest",
    "max": "highest",
    "median": "typical value",
    "skew": "lean to one side",
    "kurtosis": "outliers",
}
PITCHES = ("C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B")
TONNETZ = (
    "fifths, first axis",
    "fifths, second axis",
    "minor thirds, first axis",
    "minor thirds, second axis",
    "major thirds, first axis",
    "major thirds, second axis",
)
GROUPS = {
    "temporal.amplitude": "loudness of the samples",
    "temporal.signal": "waveform",
    "temporal.zcr": "noisiness (zero crossings)",
    "temporal.rms": "loudness",
    "rhythm.onset": "strength of note onsets",
    "spectral.centroid": "brightness",
    "spectral.bandwidth_p2": "width of the spectrum",
    "spectral.bandwidth_p3": "width of the spectrum, order 3",
    "spectral.bandwidth_p4": "width of the spectrum, order 4",
    "spectral.rolloff": "upper end of the spectrum",
    "spectral.flatness": "noise against tone",
}
NUMBERED = {
    "cepstral.mfcc": "timbre band {}",
    "cepstral.delta": "change of timbre band {}",
    "cepstral.delta2": "acceleration of timbre band {}",
}
PARTS = {
    "parts.harmonic": "level of steady tones {}",
    "parts.percussive": "level of beats and noise {}",
    "parts.share": "steady tones against beats {}",
}
SPECIAL = {"rhythm.tempo.bpm": "tempo", "rhythm.tempo.clarity": "clearness of the beat"}
_PAIR = re.compile(r"(modulation|covariance)\.band_(\d+)\.(?:rate|band)_(\d+)")


def column_words(column: str, parameters: FeatureParameters | None = None) -> str:
    """What a column measures, in plain words.

    Args:
        column: name of a column, such as `cepstral.mfcc_05.mean`.
        parameters: parameters of the table, which decide frequencies. Default: `FeatureParameters()`.

    Returns:
        The words; an empty text for a column that quintet did not make and did not name.

    Example:
        >>> column_words("cepstral.mfcc_05.mean"), column_words("spectral.centroid.std")
        ('timbre band 5, average', 'brightness, variation')
        >>> column_words("modulation.band_01.rate_05")
        'loudness pulse at 1.8 Hz below 238 Hz'
        >>> column_words("tags_msd.happy.mean"), column_words("embedding_mert.0412")
        ('tag happy, average', 'number 0412 of the embedding mert')
        >>> column_words("my_own_column")
        ''
    """
    parameters = parameters or FeatureParameters()
    if column in SPECIAL:
        return SPECIAL[column]
    embedding = split_column(column)
    if embedding is not None:
        return _embedding_words(embedding)
    pair = _PAIR.fullmatch(column)
    if pair:
        return _pair_words(pair[1], int(pair[2]), int(pair[3]), parameters)
    series, _, statistic = column.rpartition(".")
    if statistic not in STATISTICS:
        return ""
    quantity = _quantity_words(series, parameters)
    return f"{quantity}, {STATISTICS[statistic]}" if quantity else ""


def _embedding_words(column: EmbeddingColumn) -> str:
    words = f"tag {column.quantity}"
    if not column.is_tag:
        words = f"number {column.quantity} of the embedding {column.network}"
    return f"{words}, {STATISTICS[column.statistic]}" if column.statistic else words


def _quantity_words(series: str, parameters: FeatureParameters) -> str:
    if series in GROUPS:
        return GROUPS[series]
    group, _, number = series.rpartition("_")
    if not number.isdecimal():
        return ""
    index = int(number)
    if group in NUMBERED:
        return NUMBERED[group].format(index)
    if group == "tonal.chroma" and 1 <= index <= len(PITCHES):
        return f"strength of the pitch {PITCHES[index - 1]}"
    if group == "tonal.tonnetz" and 1 <= index <= len(TONNETZ):
        return f"harmony on {TONNETZ[index - 1]}"
    if group in PARTS and 1 <= index <= WIDE_BANDS:
        return PARTS[group].format(_wide_words(index, parameters))
    if group == "spectral.contrast":
        return f"peaks above valleys {_octave_words(index, parameters)}"
    return ""


def _octave_words(index: int, parameters: FeatureParameters) -> str:
    """The octave of a contrast band."""
    lowest = parameters.contrast_fmin
    if index == 1:
        return f"below {lowest:.0f} Hz"
    return f"from {lowest * 2 ** (index - 2):.0f} to {lowest * 2 ** (index - 1):.0f} Hz"


def _wide_words(index: int, parameters: FeatureParameters) -> str:
    """The frequencies of a group of mel bands, between the points of half height."""
    n_mels = parameters.n_mels
    mels = np.linspace(0.0, hz_to_mel(parameters.sample_rate / 2), n_mels + 2)
    edges = mel_to_hz((mels[:-1] + mels[1:]) / 2)
    low, high = (edges[k * n_mels // WIDE_BANDS] for k in (index - 1, index))
    return f"below {high:.0f} Hz" if index == 1 else f"from {low:.0f} to {high:.0f} Hz"


def _pair_words(family: str, band: int, other: int, parameters: FeatureParameters) -> str:
    words = _band_words(band, parameters)
    if family == "modulation":
        edges = _rate_edges(parameters)
        if not 1 <= other < len(edges):
            return ""
        rate = np.sqrt(edges[other - 1] * edges[other])
        return f"loudness pulse at {rate:.2g} Hz {words}"
    if band == other:
        return f"variation of the level {words}"
    return f"levels {words} and {_band_words(other, parameters)} moving together"


def _band_words(band: int, parameters: FeatureParameters) -> str:
    """The frequencies of a wide mel band, between the points of half height."""
    low, high = _band_edges(parameters, band)
    return f"below {high:.0f} Hz" if band == 1 else f"from {low:.0f} to {high:.0f} Hz"


def _rate_edges(parameters: FeatureParameters) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    slow, fast = parameters.modulation_hz
    end = min(fast, parameters.sample_rate / parameters.hop_length / 2)
    return np.geomspace(slow, end, parameters.n_rates + 1)


@lru_cache(maxsize=512)
def _band_edges(parameters: FeatureParameters, band: int) -> tuple[float, float]:
    mels = np.linspace(0.0, hz_to_mel(parameters.sample_rate / 2), parameters.n_bands + 2)
    centres = mel_to_hz((mels[:-1] + mels[1:]) / 2)
    return float(centres[band - 1]), float(centres[min(band, len(centres) - 1)])
