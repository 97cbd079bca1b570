from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from quintet.audio.clip import Clip
from quintet.audio.resample import resample
from quintet.auditing import fingerprints
from quintet.auditing.candidates import candidate_pairs
from quintet.auditing.fingerprints import HOP, RATE, Fingerprint, fingerprint
from quintet.errors import ConfigError

spec = importlib.util.spec_from_file_location("audit_sounds", Path(__file__).with_name("conftest.py"))
assert spec is not None
assert spec.loader is not None
made = importlib.util.module_from_spec(spec)
spec.loader.exec_module(made)


def fingerprint_of(samples: NDArray[np.floating], *, rate: int = 44100) -> Fingerprint:
    return fingerprint(Clip(resample(samples, orig_sr=rate, target_sr=RATE), RATE))


def share(a: Fingerprint, b: Fingerprint) -> float:
    return float(np.isin(a.marks, b.marks).mean())


def test_gain_changes_no_mark_far_above_the_floor(sounds: dict[str, NDArray[np.float64]]) -> None:
    loud = 0.1 * np.random.default_rng(0).normal(size=3 * 44100)
    assert share(fingerprint_of(loud), fingerprint_of(0.5 * loud)) > 0.95
    assert (
        min(share(fingerprint_of(samples), fingerprint_of(0.5 * samples)) for samples in sounds.values())
        > 0.3
    )


def test_trimming_shifts_the_marks_by_the_length_of_the_cut() -> None:
    whole = resample(made.melody(1), orig_sr=44100, target_sr=RATE)
    found = candidate_pairs([fingerprint(Clip(whole, RATE)), fingerprint(Clip(whole[30 * HOP :], RATE))])
    assert found.first.tolist() == [0]
    assert found.shift[0] in (29, 30)


def test_samples_that_are_no_numbers_give_no_mark_and_no_warning() -> None:
    """A fuzzed file of floats: samples of 1e38 are finite, and NaN at another sample rate."""
    samples = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    samples[: RATE // 2] = np.nan
    found, rest = (fingerprint(Clip(part, RATE)) for part in (samples, samples[RATE // 2 :]))
    assert 0 < len(found.marks) <= len(rest.marks)


def test_different_recordings_share_few_marks(sounds: dict[str, NDArray[np.float64]]) -> None:
    prints = [fingerprint_of(sounds[f"melody{k}"]) for k in range(6)]
    assert max(share(a, b) for i, a in enumerate(prints) for b in prints[:i]) < 0.1


def test_the_decay_identifies_a_drum_without_its_attack(
    sounds: dict[str, NDArray[np.float64]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_candidate(samples: NDArray[np.float64]) -> bool:
        return (
            len(
                candidate_pairs(
                    [fingerprint_of(samples), fingerprint_of(samples[round(0.12 * 44100) :])]
                ).votes
            )
            == 1
        )

    drums = [sounds[f"kick{k}"] for k in range(4)]
    assert all(is_candidate(drum) for drum in drums)
    monkeypatch.setattr(fingerprints, "SHORT_S", 0.0)
    assert not all(is_candidate(drum) for drum in drums)


def test_an_excerpt_of_a_long_recording_keeps_the_same_marks() -> None:
    samples = made.melody(7, seconds=90.0, rate=RATE)
    whole, part = (
        fingerprint(Clip(samples, RATE)),
        fingerprint(Clip(samples[50 * HOP * 10 : 50 * HOP * 10 + 20 * RATE], RATE)),
    )
    assert len(whole.marks) < 1.2 * fingerprints.MAX_MARKS
    found = candidate_pairs([whole, part])
    assert abs(int(found.shift[0]) - 500) <= 1
    kept_in_both = part.marks[part.marks <= whole.marks.max()]
    assert np.isin(kept_in_both, whole.marks).mean() > 0.6


def test_frames_count_from_the_start_of_a_long_recording() -> None:
    samples = np.concatenate([np.zeros(70 * RATE), made.melody(3, seconds=8, rate=RATE)])
    alone, late = fingerprint(Clip(samples[70 * RATE :], RATE)), fingerprint(Clip(samples, RATE))
    found = candidate_pairs([alone, late])
    assert abs(int(found.shift[0]) + 70 * RATE / HOP) <= 1


def test_silence_has_no_marks() -> None:
    assert len(fingerprint(Clip(np.zeros(RATE), RATE)).marks) == 0
    assert len(fingerprint(Clip(np.zeros(10), RATE)).marks) == 0


def test_another_sample_rate_is_an_error() -> None:
    with pytest.raises(ConfigError, match="8000 Hz"):
        fingerprint(Clip(np.zeros(16000), 16000))
