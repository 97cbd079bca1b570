"""Answers about a song: the columns of `songs` with its tempo, key and energy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from quintet.library.sound.energy import find_energy
from quintet.library.sound.key import find_key
from quintet.library.sound.tempo import find_tempo

ANSWERS = (
    "tempo",
    "tempo_other",
    "tempo_confidence",
    "tempo_source",
    "key",
    "key_runner_up",
    "key_confidence",
    "key_source",
    "energy",
    "energy_confidence",
    "energy_source",
)
"""Columns of `songs` that are answers."""

SOUND, TAG = "sound", "tag"
"""Values of a source: computed from the samples, or read in the tags of the file."""
BPM_IN_TAGS = (20.0, 400.0)
"""Numbers that are a tempo."""


def sound_answers(
    features: Mapping[str, float],
    log_mel: NDArray[np.floating] | None,
    frames_per_s: float,
    pitch_classes: NDArray[np.floating] | None = None,
) -> dict[str, float | str | None]:
    """Tempo, key and energy of a song; None where nothing can be said.

    Args:
        features: feature name → value.
        log_mel: log-mel spectrogram `(frames, n_mels)` in dB; None leaves out the tempo.
        frames_per_s: frames per second of it.
        pitch_classes: of `pitch_classes.PitchClasses`, `(12,)`; None leaves out the key.
    """
    answers: dict[str, float | str | None] = dict.fromkeys(ANSWERS)
    tempo = None if log_mel is None else find_tempo(log_mel, frames_per_s)
    if tempo is not None:
        answers |= {
            "tempo": tempo.bpm,
            "tempo_other": tempo.other,
            "tempo_confidence": tempo.confidence,
            "tempo_source": SOUND,
        }
    if pitch_classes is not None and np.any(pitch_classes):
        key = find_key(pitch_classes)
        answers |= {"key": key.name, "key_runner_up": key.runner_up, "key_confidence": key.confidence}
        answers["key_source"] = SOUND
    energy = find_energy(features)
    if energy is not None:
        answers |= {"energy": energy.value, "energy_confidence": energy.confidence, "energy_source": SOUND}
    return answers


def tempo_from_tags(values: Sequence[str]) -> dict[str, float | str | None]:
    """The columns of a tempo that stands in the tags; empty if none does. It has no confidence.

    Args:
        values: of the field `bpm`.

    Example:
        >>> tempo_from_tags(["128"])["tempo"], tempo_from_tags(["fast"]), tempo_from_tags(["0"])
        (128.0, {}, {})
    """
    try:
        bpm = float(values[0].strip().replace(",", ".")) if values else 0.0
    except ValueError:
        return {}
    return {"tempo": bpm, "tempo_source": TAG} if BPM_IN_TAGS[0] <= bpm <= BPM_IN_TAGS[1] else {}
