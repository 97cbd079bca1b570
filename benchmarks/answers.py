"""Whether tempo and key follow a change of speed on real recordings, whose true tempo and key nobody knows.

    python -m benchmarks.answers MUSIC

Each recording is played faster by two semitones (its samples at 2^(2/12) times the rate): its tempo must rise
by the same factor and its key by two semitones. A wrong octave or a random key fails this half the time.
"""

from __future__ import annotations

import sys

import numpy as np

from quintet.audio.clip import Clip
from quintet.audio.decode import load_clip
from quintet.audio.resample import resample
from quintet.datasets.folder import audio_files
from quintet.errors import AudioError
from quintet.features.describe import describe
from quintet.features.parameters import FeatureParameters
from quintet.library.sound.answers import sound_answers
from quintet.library.sound.key import PITCH_CLASSES
from quintet.library.sound.pitch_classes import PitchClasses

SEMITONES = 2
WITHIN = 0.04
RATE = 22050


def answers(clip: Clip) -> dict[str, float | str | None]:
    """Tempo, key and energy of a clip."""
    parameters = FeatureParameters()
    found = describe(clip, parameters, log_mel=True)
    assert found.log_mel is not None
    log_mel = parameters.log_mel
    listener = PitchClasses()
    listener.begin(clip.sample_rate)
    listener.add(np.asarray(clip.samples, np.float32))
    frames_per_s = log_mel.sample_rate / log_mel.hop_length
    return sound_answers(found.features, found.log_mel.T, frames_per_s, listener.values())


def main() -> None:
    """Print the share of recordings whose answers follow."""
    factor = 2 ** (SEMITONES / 12)
    tempi: list[tuple[bool, bool, float]] = []
    keys: list[tuple[bool, float]] = []
    for path in audio_files(sys.argv[1]):
        try:
            clip = load_clip(path, sample_rate=RATE).clip
        except AudioError:
            continue
        faster = resample(np.asarray(clip.samples), orig_sr=round(RATE * factor), target_sr=RATE)
        first, second = answers(clip), answers(Clip(faster, RATE, clip.id))
        if first["tempo"] and second["tempo"]:
            ratio = float(second["tempo"]) / float(first["tempo"]) / factor
            octave = 2 ** np.round(np.log2(ratio))
            certainty = float(first["tempo_confidence"] or 0)
            tempi.append((abs(ratio - 1) < WITHIN, abs(ratio / octave - 1) < WITHIN, certainty))
        tonic, mode = str(first["key"]).split()
        moved = f"{PITCH_CLASSES[(PITCH_CLASSES.index(tonic) + SEMITONES) % 12]} {mode}"
        keys.append((second["key"] == moved, float(first["key_confidence"] or 0)))
    if tempi:
        follows, same_class, certainty = np.array(tempi).T
        sure = certainty >= np.median(certainty)
        print(
            f"tempo of {len(tempi)}: follows {follows.mean():.2f}, but for the octave {same_class.mean():.2f}"
        )
        print(f"  in the more certain half {follows[sure].mean():.2f}")
    if keys:
        follows, certainty = np.array(keys).T
        sure = certainty >= np.median(certainty)
        print(
            f"key of {len(keys)}: follows {follows.mean():.2f}, more certain half {follows[sure].mean():.2f}"
        )


if __name__ == "__main__":
    main()
