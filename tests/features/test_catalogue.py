from __future__ import annotations

from inspect import signature

import pytest

from quintet.commands.extract import extract
from quintet.errors import ConfigError
from quintet.features.catalogue import (
    DEFAULT_SET,
    FEATURE_GROUPS,
    FEATURE_SETS,
    feature_family,
    feature_set_families,
)
from quintet.features.columns import feature_names, published_names
from quintet.features.parameters import FeatureParameters

PAPER = [  # systems.md, columns 1-97
    "signal_mean", "signal_std", "signal_skew", "signal_kurtosis",
    "zcr_mean", "zcr_std", "rmse_mean", "rmse_std", "tempo",
    "spectral_centroid_mean", "spectral_centroid_std",
    "spectral_bandwidth_2_mean", "spectral_bandwidth_2_std",
    "spectral_bandwidth_3_mean", "spectral_bandwidth_3_std",
    "spectral_bandwidth_4_mean", "spectral_bandwidth_4_std",
    *[f"spectral_contrast_{i}_mean" for i in range(1, 8)],
    *[f"spectral_contrast_{i}_std" for i in range(1, 8)],
    "spectral_rolloff_mean", "spectral_rolloff_std",
    *[f"mfccs_{i}_mean" for i in range(1, 21)], *[f"mfccs_{i}_std" for i in range(1, 21)],
    *[f"chroma_stft_{i}_mean" for i in range(1, 13)], *[f"chroma_stft_{i}_std" for i in range(1, 13)],
]  # fmt: skip


def test_published_names_are_the_papers_in_its_order():
    names = published_names("bahuleyan2018")
    assert list(names.values()) == PAPER
    assert tuple(names) == feature_names(FeatureParameters(feature_set="bahuleyan2018"))


@pytest.mark.parametrize("feature_set", FEATURE_SETS)
def test_names_are_unique_and_have_three_parts(feature_set):
    names = feature_names(FeatureParameters(feature_set=feature_set))
    assert len(set(names)) == len(names)
    assert all(name.count(".") == 2 for name in names)
    assert tuple(dict.fromkeys(map(feature_family, names))) == feature_set_families(feature_set)


def test_the_sets_have_recorded_sizes_and_the_wide_one_every_group():
    assert {group for group, _ in FEATURE_SETS["wide"]} == set(FEATURE_GROUPS)
    assert len(feature_names(FeatureParameters(feature_set="wide"))) == 1108
    assert len(feature_names(FeatureParameters(feature_set="full"))) == 1028
    selected = feature_names(FeatureParameters())
    assert len(selected) == 994
    assert "tonal" not in set(map(feature_family, selected))
    names = feature_names(FeatureParameters())
    for expected in [
        "spectral.bandwidth_p3.mean",
        "cepstral.mfcc_07.std",
        "modulation.band_03.rate_10",
        "covariance.band_01.band_20",
    ]:
        assert expected in names


def test_the_full_set_contains_the_papers():
    assert set(feature_names(FeatureParameters(feature_set="bahuleyan2018"))) <= set(
        feature_names(FeatureParameters(feature_set="wide"))
    )


def test_families_select_columns_and_counts_follow_the_parameters():
    names = feature_names(FeatureParameters(families=("covariance", "modulation"), n_bands=4, n_rates=3))
    assert len(names) == 4 * 3 + 4 * 5 // 2
    assert names[0] == "modulation.band_1.rate_01"
    assert len(feature_names(FeatureParameters(feature_set="bahuleyan2018", n_mfcc=13))) == 97 - 14


def test_a_set_without_published_names_is_refused():
    with pytest.raises(ConfigError, match="bahuleyan2018"):
        published_names("full")


def test_extract_computes_the_default_set():
    assert signature(extract).parameters["features"].default == DEFAULT_SET == FeatureParameters().feature_set
