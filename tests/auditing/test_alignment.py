from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from quintet.audio.clip import Clip
from quintet.audio.decode import load_clip
from quintet.audio.resample import resample
from quintet.auditing.alignment import NO_ALIGNMENT, align

RATE = 8000
VIOLIN = Path(__file__).parents[2] / "../shared/data/instruments/Violin_or_fiddle/6eb59008.flac"


def clip(samples: NDArray[np.floating]) -> Clip:
    return Clip(samples, RATE)


@pytest.fixture
def noise() -> NDArray[np.float64]:
    return 0.1 * np.random.default_rng(0).normal(size=3 * RATE)


@pytest.mark.parametrize("cut", [0, 1, 777, 4000])
def test_the_shift_is_the_length_of_the_missing_start(noise: NDArray[np.float64], cut: int) -> None:
    found = align(clip(noise), clip(-0.3 * -noise[cut:]), near_s=cut / RATE + 0.02)
    assert found.shift_s == cut / RATE
    assert found.overlap_s == (3 * RATE - cut) / RATE
    assert found.agreement == pytest.approx(1.0, abs=1e-9)


def test_the_order_of_two_clips_only_changes_the_sign_of_the_shift(noise: NDArray[np.float64]) -> None:
    a, b = clip(noise), clip(noise[800:] + 0.02 * np.random.default_rng(1).normal(size=3 * RATE - 800))
    there, back = align(a, b, near_s=0.1), align(b, a, near_s=-0.1)
    assert there.shift_s == -back.shift_s
    assert there.agreement == pytest.approx(back.agreement, abs=1e-6)


def test_noise_lowers_the_agreement_by_its_power(noise: NDArray[np.float64]) -> None:
    other = 0.1 * np.random.default_rng(1).normal(size=len(noise))
    found = align(clip(noise), clip(noise + other), near_s=0.0)  # r = 1 / sqrt(2)
    assert found.agreement == pytest.approx(np.sqrt(0.5), abs=0.03)
    assert abs(align(clip(noise), clip(other), near_s=0.0).agreement) < 0.1


def test_a_shift_of_half_a_sample_keeps_the_agreement(noise: NDArray[np.float64]) -> None:
    fine = resample(noise, orig_sr=RATE, target_sr=6 * RATE)
    copy = resample(fine[4803:], orig_sr=6 * RATE, target_sr=RATE)
    assert align(clip(noise), clip(copy), near_s=0.1).agreement > 0.95


@pytest.mark.real_data
@pytest.mark.skipif(not VIOLIN.exists(), reason="needs ../shared/data")
@pytest.mark.parametrize("cut", [6438, 6439])
def test_the_right_period_of_a_steady_tone_gives_the_shift(cut: int) -> None:
    native = load_clip(VIOLIN, sample_rate=None).clip
    whole, part = (
        clip(resample(x, orig_sr=44100, target_sr=RATE)) for x in (native.samples, native.samples[cut:])
    )
    assert align(whole, part, near_s=0.152).agreement > 0.95


def test_a_clipped_copy_still_agrees() -> None:
    t = np.arange(2 * RATE) / RATE
    drum = 0.9 * np.sin(2 * np.pi * 50 * t) * np.exp(-4 * t)
    assert align(clip(drum), clip(np.clip(2 * drum, -1, 1)), near_s=0.0).agreement > 0.95


def test_faint_octaves_distinguish_drums_of_one_machine() -> None:
    t = np.arange(RATE) / RATE
    body = 0.9 * np.sin(2 * np.pi * 50 * t) * np.exp(-8 * t)
    rng = np.random.default_rng(0)
    one, two = (body + 0.02 * rng.normal(size=RATE) * np.exp(-8 * t) for _ in range(2))
    assert np.corrcoef(one, two)[0, 1] > 0.99
    assert align(clip(one), clip(two), near_s=0.0).agreement < 0.6


def test_a_short_overlap_gives_no_alignment(noise: NDArray[np.float64]) -> None:
    assert align(clip(noise[: 2 * RATE]), clip(noise), near_s=1.5) == NO_ALIGNMENT
    assert align(clip(noise), clip(np.zeros(3 * RATE)), near_s=0.0) == NO_ALIGNMENT
