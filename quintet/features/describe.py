"""A clip becomes a named row. What several descriptors need is computed once (`analysis.py`, or by the kernels: `compiled.py`);
each descriptor is defined in its family's file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from quintet.audio.clip import Clip
from quintet.errors import ConfigError
from quintet.features.analysis import Analysis
from quintet.features.catalogue import group_columns, selection
from quintet.features.engine.analysis import make_analysis
from quintet.features.parameters import FeatureParameters

if TYPE_CHECKING:
    from quintet.features.transformer import FeatureExtractor

__all__ = ["Description", "FeatureExtractor", "describe"]


@dataclass(frozen=True, slots=True, eq=False)
class Description:
    """What is known of a clip.

    Args:
        features: column → value, in the order of `catalogue.feature_names`; every value is finite and fits float32.
        log_mel: shape `(n_mels, frames)`, float32 (float16 of a long recording), dB re 1.0; None if it was not asked for.
    """

    features: dict[str, float]
    log_mel: NDArray[np.floating] | None = None


def describe(clip: Clip, parameters: FeatureParameters, *, log_mel: bool = False) -> Description:
    """The features of a clip, and its log-mel spectrogram from the same transform if wanted.

    Args:
        clip: at `parameters.sample_rate`, at least `n_fft` samples.
        parameters: what to measure.
        log_mel: whether to make the spectrogram, too.

    Raises:
        ConfigError: if the clip has another sample rate.
        TooShortError, SilentError, NonFiniteError: if there is nothing that could be described.

    Example:
        >>> tone = Clip(np.sin(2 * np.pi * 440 * np.arange(22050) / 22050), sample_rate=22050)
        >>> row = describe(tone, FeatureParameters(feature_set="bahuleyan2018")).features
        >>> len(row), round(row["temporal.signal.std"], 3)
        (97, 0.707)
    """
    if clip.sample_rate != parameters.sample_rate:
        raise ConfigError(
            f"A clip must have the sample rate of the parameters, {parameters.sample_rate} Hz. '{clip.id}' has {clip.sample_rate} Hz. "
            f"Load it with load_clip(path, sample_rate={parameters.sample_rate})."
        )
    return describe_analysis(
        make_analysis(clip, parameters, with_log_mel=log_mel), parameters, log_mel=log_mel
    )


def describe_analysis(analysis: Analysis, parameters: FeatureParameters, *, log_mel: bool) -> Description:
    """The numbers of an analysis under their names, and its spectrogram if wanted."""
    features: dict[str, float] = {}
    for group, statistics in selection(parameters):
        values = analysis.values(group, statistics).tolist()
        features.update(zip(group_columns(group, statistics, parameters), values, strict=True))
    return Description(features, analysis.log_mel(parameters.log_mel) if log_mel else None)


def __getattr__(name: str) -> Any:
    """`FeatureExtractor` on demand: importing scikit-learn costs a worker more than a clip does."""
    if name == "FeatureExtractor":
        from quintet.features.transformer import FeatureExtractor

        return FeatureExtractor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
