"""Disturbances of recordings: what encoders, players and editors do to music.

A recording is decoded once, at its own rate, and its middle is written once per disturbance: as 16-bit WAV,
as files are, so that a gain above full scale clips; one of them as mp3. This runs in a worker process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quintet.audio.augment import add_noise, pitch_shift, time_stretch
from quintet.audio.clip import Clip
from quintet.audio.decode import ClipSource
from quintet.audio.encode import write_mp3, write_pcm
from quintet.audio.resample import resample

Samples = NDArray[np.float32]
UNCHANGED = "unchanged"
MP3 = "mp3"
NARROW_RATE = 16_000
"""Hz; twice the bandwidth of the band-limited copy."""


@dataclass(frozen=True)
class Disturbance:
    """A change of a recording.

    Args:
        words: what it does, in a few words.
        change: from samples and their rate in Hz to samples of the same rate.
        suffix: `wav`, or `mp3` for an encoded copy.
    """

    words: str
    change: Callable[[Samples, int], Samples]
    suffix: str = "wav"


def _same(samples: Samples, sample_rate: int) -> Samples:
    return samples


def _gain(samples: Samples, sample_rate: int, *, db: float) -> Samples:
    return np.asarray(samples * np.float32(10 ** (db / 20)))


def _noise(samples: Samples, sample_rate: int, *, snr_db: float) -> Samples:
    return add_noise(samples, snr_db, np.random.default_rng(len(samples)))


def _narrow(samples: Samples, sample_rate: int) -> Samples:
    """Without what lies above 8 kHz; the same samples if nothing can."""
    if sample_rate <= NARROW_RATE:
        return samples
    low = resample(samples, orig_sr=sample_rate, target_sr=NARROW_RATE)
    back = resample(low, orig_sr=NARROW_RATE, target_sr=sample_rate)
    return np.asarray(back, dtype=np.float32)


def _pitch(samples: Samples, sample_rate: int, *, semitones: float) -> Samples:
    return pitch_shift(samples, semitones, sample_rate=sample_rate)


def _tempo(samples: Samples, sample_rate: int, *, rate: float) -> Samples:
    return time_stretch(samples, rate)


def _trim(samples: Samples, sample_rate: int) -> Samples:
    """Without the first and the last tenth."""
    tenth = len(samples) // 10
    return samples[tenth : len(samples) - tenth]


DISTURBANCES: dict[str, Disturbance] = {
    UNCHANGED: Disturbance("the recording itself", _same),
    MP3: Disturbance("mp3 of 128 kbit/s", _same, "mp3"),
    "gain_up": Disturbance("12 dB louder, clipped at full scale", partial(_gain, db=12.0)),
    "gain_down": Disturbance("12 dB softer", partial(_gain, db=-12.0)),
    "noise": Disturbance("white noise 20 dB below the music", partial(_noise, snr_db=20.0)),
    "narrow": Disturbance("nothing above 8 kHz", _narrow),
    "mono": Disturbance("one channel, the mean of all", _same),
    "pitch_down": Disturbance("1 semitone lower", partial(_pitch, semitones=-1.0)),
    "pitch_up": Disturbance("1 semitone higher", partial(_pitch, semitones=1.0)),
    "slower": Disturbance("5 % slower", partial(_tempo, rate=0.95)),
    "faster": Disturbance("5 % faster", partial(_tempo, rate=1.05)),
    "trimmed": Disturbance("without the first and the last tenth", _trim),
}
"""Name → disturbance, in the order of the table. The product mixes to mono itself, so that `mono` changes
nothing, and shows it."""


def write_disturbed(source: ClipSource, names: tuple[str, ...], stem: str, seconds: float) -> None:
    """Write the middle of a recording once per disturbance, to `STEM-NAME.SUFFIX`.

    Args:
        source: where the recording is.
        names: names of disturbances.
        stem: start of the names of the files, with their folder.
        seconds: longest length of the part that is used.

    Raises:
        AudioError: if the recording cannot be decoded.
    """
    decoded = source.load(sample_rate=None)
    clip = decoded.clip
    length = min(len(clip.samples), round(seconds * clip.sample_rate))
    start = (len(clip.samples) - length) // 2
    samples = np.asarray(clip.samples[start : start + length], dtype=np.float32)
    for name in names:
        disturbance = DISTURBANCES[name]
        changed = Clip(disturbance.change(samples, clip.sample_rate), clip.sample_rate)
        write = write_mp3 if disturbance.suffix == "mp3" else write_pcm
        write(changed, disturbed_file(stem, name))


def disturbed_file(stem: str, name: str) -> Path:
    """The file of one disturbance.

    Example:
        >>> disturbed_file("/tmp/3", "noise").name
        '3-noise.wav'
    """
    return Path(f"{stem}-{name}.{DISTURBANCES[name].suffix}")
