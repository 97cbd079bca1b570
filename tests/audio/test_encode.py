"""What goes into an ogg comes out again."""

from __future__ import annotations

import io

import numpy as np
import soundfile

from quintet.audio.clip import Clip
from quintet.audio.encode import ogg_bytes

RATE = 22050


def test_a_tone_survives_at_its_own_rate_and_length() -> None:
    tone = (0.5 * np.sin(2 * np.pi * 440 * np.arange(3 * RATE) / RATE)).astype(np.float32)
    data = ogg_bytes(Clip(tone, sample_rate=RATE))
    samples, rate = soundfile.read(io.BytesIO(data))
    assert (rate, samples.shape) == (RATE, tone.shape)
    assert np.abs(np.fft.rfft(samples)).argmax() == 440 * 3
    assert np.sqrt(np.mean((samples - tone) ** 2)) < 0.02
    assert len(data) < tone.nbytes / 8


def test_what_is_too_loud_is_clipped_and_does_not_wrap() -> None:
    loud = np.full(RATE, 3.0, np.float32)
    samples, _ = soundfile.read(io.BytesIO(ogg_bytes(Clip(loud, sample_rate=RATE))))
    assert samples[2000:-2000].min() > 0.5
