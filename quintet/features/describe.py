"""Description of a clip: its features by name, and its log-mel spectrogram.

Each descriptor is defined in the file of its family in `descriptors/`. `engine.analysis.make_analysis`
computes once what several descriptors need: by the compiled kernels, or by the definitions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quintet.audio.clip import Clip
from quintet.errors import ConfigError
from quintet.features.analysis import Analysis
from quintet.features.columns import hand_made_columns, select_groups
from quintet.features.engine.analysis import make_analysis
from quintet.features.parameters import FeatureParameters


@dataclass(frozen=True, slots=True, eq=False)
class Description:
    """Features and spectrogram of a clip.

    Args:
        features: column → value, in the order of `columns.feature_names`. Every value is finite and fits
            float32.
        log_mel: shape `(n_mels, frames)`, dB re 1.0, float32 (float16 for a long recording). None if it was
            not requested.
    """

    features: dict[str, float]
    log_mel: NDArray[np.floating] | None = None


def describe(clip: Clip, parameters: FeatureParameters, *, log_mel: bool = False) -> Description:
    """Features of a clip and, if requested, its log-mel spectrogram from the same transform.

    Args:
        clip: at `parameters.sample_rate`, at least `n_fft` samples.
        parameters: settings of the features.
        log_mel: whether to compute the spectrogram too.

    Raises:
        ConfigError: if the clip has another sample rate.
        TooShortError: if the clip is shorter than one frame.
        SilentError: if every sample is zero.
        NonFiniteError: if a sample is NaN or infinite.

    Example:
        >>> tone = Clip(np.sin(2 * np.pi * 440 * np.arange(22050) / 22050), sample_rate=22050)
        >>> row = describe(tone, FeatureParameters(feature_set="bahuleyan2018")).features
        >>> len(row), round(row["temporal.signal.std"], 3)
        (97, 0.707)
    """
    sample_rate = parameters.sample_rate
    if clip.sample_rate != sample_rate:
        raise ConfigError(
            f"A clip must have the sample rate of the parameters, {sample_rate} Hz. "
            f"'{clip.id}' has {clip.sample_rate} Hz. Load it with load_clip(path, sample_rate={sample_rate})."
        )
    analysis = make_analysis(clip, parameters, with_log_mel=log_mel)
    return describe_analysis(analysis, parameters, log_mel=log_mel)


def describe_analysis(analysis: Analysis, parameters: FeatureParameters, *, log_mel: bool) -> Description:
    """Description from an analysis: its numbers by column name, and its spectrogram if requested."""
    values = [analysis.values(group, statistics) for group, statistics in select_groups(parameters)]
    features = dict(zip(hand_made_columns(parameters), np.concatenate(values).tolist(), strict=True))
    spectrogram = analysis.log_mel(parameters.log_mel) if log_mel else None
    return Description(features, spectrogram)
