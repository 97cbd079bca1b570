from __future__ import annotations

import pytest

from quintet.errors import ArtefactError, ConfigError
from quintet.features.catalogue import DEFAULT_SET, MASKING_FLOOR_DB
from quintet.features.parameters import FeatureParameters, LogMelParameters


def test_equal_settings_have_equal_hashes_and_different_ones_different():
    assert FeatureParameters().hash == FeatureParameters(feature_set=DEFAULT_SET, hop_length=512).hash
    variants = [
        FeatureParameters(),
        FeatureParameters(feature_set="bahuleyan2018"),
        FeatureParameters(families=("cepstral",)),
        FeatureParameters(hop_length=256),
        FeatureParameters(log_mel=LogMelParameters(n_mels=64)),
    ]
    assert len({p.hash for p in variants}) == len(variants)
    assert all(len(p.hash) == 16 and int(p.hash, 16) >= 0 for p in variants)


def test_the_hash_survives_json():
    parameters = FeatureParameters(families=("spectral", "cepstral"), log_mel=LogMelParameters(fmax=8000))
    restored = FeatureParameters.model_validate_json(parameters.model_dump_json())
    assert restored == parameters
    assert restored.hash == parameters.hash


def test_families_are_in_the_order_of_the_set_and_all_of_them_is_none():
    assert (
        FeatureParameters(families=("cepstral", "spectral")).hash
        == FeatureParameters(families=("spectral", "cepstral", "spectral")).hash
    )
    every = ("temporal", "rhythm", "spectral", "cepstral", "tonal", "modulation", "covariance", "parts")
    assert FeatureParameters(feature_set="wide", families=every) == FeatureParameters(feature_set="wide")


def test_parameters_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        FeatureParameters().hop_length = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"feature_set": "fulll"}, "Did you mean 'full'"),
        ({"families": ("cepstrum",)}, "Did you mean 'cepstral'"),
        (
            {"feature_set": "bahuleyan2018", "families": ("modulation",)},
            "must be one of: temporal, rhythm, spectral, cepstral, tonal",
        ),
        ({"families": ()}, "At least one feature family"),
        ({"hop_lenght": 512}, "did you mean 'hop_length'"),
        ({"hop_length": 0}, "hop_length.*greater than or equal to 1"),
        ({"hop_length": 4096}, "must not leave gaps"),
        ({"n_fft": 1025}, "n_fft.*multiple of 2"),
        (
            {"sample_rate": 8000, "log_mel": {"sample_rate": 8000}},
            "begin below half the sample rate \\(4000 Hz\\)",
        ),
        ({"sample_rate": 16000}, "log-mel's sample rate must not exceed"),
        ({"contrast_fmin": 5.0}, "at least two bins"),
        ({"n_mfcc": 200}, "n_mfcc must not exceed n_mels"),
        ({"n_fft": 1 << 17, "n_mels": 1000}, "Received n_mels 1000 and n_fft 131072"),
        ({"log_mel": {"n_fft": 1 << 18, "n_mels": 300}}, "at most 33,554,432 weights"),
        ({"modulation_hz": (20.0, 0.25)}, "modulation_hz must rise"),
        ({"log_mel": {"fmin": 9000.0, "fmax": 8000.0}}, "fmin < fmax"),
    ],
)
def test_invalid_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        FeatureParameters(**settings)


@pytest.mark.parametrize(
    ("kind", "content", "name"),
    [
        (LogMelParameters, {"n_mel": 40}, "'n_mels'"),
        (LogMelParameters, {"n_mels": "many"}, "'n_mels' must be a valid integer"),
        (LogMelParameters, [1, 2], "The store"),
        (FeatureParameters, {"new_setting": 1}, "'new_setting'"),
        (FeatureParameters, {"log_mel": {"new_setting": 1}}, "unknown key 'log_mel.new_setting'"),
        (FeatureParameters, {"feature_set": "next"}, "'next'"),
        (FeatureParameters, {"definition": 2}, "'definition'"),
        (FeatureParameters, "text", "The store"),
        (FeatureParameters, None, "The store"),
    ],
)
def test_the_content_of_another_version_is_refused_in_a_sentence(kind, content, name):
    with pytest.raises(ArtefactError, match=name) as caught:
        kind.parse(content, where="The store s")
    assert str(caught.value).startswith("The store s must hold settings that this version knows: ")
    assert "pydantic" not in str(caught.value)


def test_the_spectrogram_has_the_masking_floor_of_the_features_if_it_is_not_described():
    floored = FeatureParameters(masking_floor_db=-18)
    assert (floored.masking_floor_db, floored.log_mel.masking_floor_db) == (-18.0, -18.0)
    own = FeatureParameters(masking_floor_db=-18, log_mel=LogMelParameters())
    assert own.log_mel.masking_floor_db is None
    full = FeatureParameters(feature_set="full")
    assert full.masking_floor_db is full.log_mel.masking_floor_db is None
    assert len({p.hash for p in (FeatureParameters(), full, floored, own)}) == 4


def test_the_default_set_has_a_masking_floor_and_what_was_written_before_has_none():
    usual, bare = FeatureParameters(), FeatureParameters(feature_set="wide", masking_floor_db=None)
    assert FeatureParameters(feature_set="wide", masking_floor_db="none") == bare
    assert usual.masking_floor_db == usual.log_mel.masking_floor_db == MASKING_FLOOR_DB[DEFAULT_SET]
    written = bare.model_dump(mode="json")
    assert FeatureParameters(**written) == FeatureParameters.parse(written, where="The table") == bare
    del written["masking_floor_db"]  # as the versions before wrote it
    assert FeatureParameters.parse(written, where="The table") == bare
    assert bare.hash == "28bf23ab6d586c16"


@pytest.mark.parametrize(
    "parameters",
    [
        LogMelParameters(fmax=8000),
        FeatureParameters(n_mfcc=13),
        FeatureParameters(masking_floor_db=-18),
        FeatureParameters(masking_floor_db=None),
    ],
)
def test_the_content_that_was_written_is_parsed_to_the_same_settings(parameters):
    assert type(parameters).parse(parameters.model_dump(mode="json"), where="The store") == parameters


def test_settings_of_later_versions_do_not_change_older_hashes():
    assert LogMelParameters().hash == "eef08563f6302a30"
    assert FeatureParameters(feature_set="full").hash == "f0fec7c4d7d9161a"
    later = [
        LogMelParameters(),
        LogMelParameters(pre_emphasis=0.97),
        LogMelParameters(compression="log"),
        LogMelParameters(compression="power"),
    ]
    assert len({p.hash for p in later}) == len(later)
    for parameters in later:
        assert LogMelParameters.model_validate_json(parameters.model_dump_json()) == parameters
        assert (
            FeatureParameters.model_validate_json(
                FeatureParameters(log_mel=parameters).model_dump_json()
            ).log_mel
            == parameters
        )
