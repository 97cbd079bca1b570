"""Plain words of feature columns."""

from __future__ import annotations

import re

import pytest

from quintet.audio.mel import mel_filterbank
from quintet.features.columns import feature_names
from quintet.features.parameters import FeatureParameters
from quintet.features.words import column_words


@pytest.mark.parametrize(
    "parameters",
    [
        FeatureParameters(),
        FeatureParameters(feature_set="bahuleyan2018"),
        FeatureParameters(n_bands=5, n_rates=3, n_mfcc=7, sample_rate=32000),
    ],
)
def test_every_column_has_words_of_its_own(parameters: FeatureParameters) -> None:
    columns = feature_names(parameters)
    words = [column_words(column, parameters) for column in columns]
    assert all(words)
    assert len(set(words)) == len(columns)


def test_the_frequencies_are_those_of_the_bands() -> None:
    """Between the stated frequencies a band's filter is at least half as high as its peak."""
    parameters = FeatureParameters()
    n_fft = 1 << 16
    filters = mel_filterbank(
        sample_rate=parameters.sample_rate, n_fft=n_fft, n_mels=parameters.n_bands, fmin=0.0, fmax=None
    )
    for band in range(2, parameters.n_bands + 1):
        text = column_words(f"covariance.band_{band:02d}.band_{band:02d}", parameters)
        low, high = (float(number) for number in re.findall(r"(\d+)(?: to| Hz)", text)[-2:])
        weights = filters[band - 1]
        inside = weights >= weights.max() / 2
        frequencies = inside.nonzero()[0] * parameters.sample_rate / n_fft
        assert frequencies.min() == pytest.approx(low, rel=0.02, abs=2)
        assert frequencies.max() == pytest.approx(high, rel=0.02, abs=2)


def test_other_columns_have_no_words() -> None:
    for column in ("centroid", "my.column.mean", "modulation.band_01.rate_99", "cepstral.mfcc.mean"):
        assert column_words(column) == ""
