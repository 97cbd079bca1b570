"""Features in scikit-learn's manner: paths or clips in, a DataFrame out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from quintet.audio.clip import Clip
from quintet.audio.decode import load_clip
from quintet.audio.resample import resample
from quintet.errors import AudioError, ConfigError, unknown_name
from quintet.features.catalogue import feature_names
from quintet.features.describe import describe
from quintet.features.parameters import FeatureParameters

ON_ERROR = ("raise", "nan")

Sound = Clip | str | os.PathLike[str]


class FeatureExtractor(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A transformer that describes recordings. It has nothing to learn: `fit` only checks the settings.

    Args:
        feature_set: a name in `catalogue.FEATURE_SETS`: `"full"` or `"bahuleyan2018"`.
        families: those of the set to keep, such as `("cepstral", "spectral")`; None keeps all.
        parameters: further settings of `FeatureParameters` by name, such as `{"hop_length": 256}`.
        on_error: `"raise"`, or `"nan"`: a recording that cannot be used becomes a row of NaN.
        n_jobs: worker processes, as joblib understands it; None is one.

    Example:
        >>> import numpy as np
        >>> clip = Clip(np.sin(np.arange(22050) * 0.1), sample_rate=22050, id="hum")
        >>> table = FeatureExtractor("bahuleyan2018").transform([clip])
        >>> table.shape, table.index[0], table.columns[0]
        ((1, 97), 'hum', 'temporal.amplitude.mean')
    """

    def __init__(
        self,
        feature_set: str = "full",
        *,
        families: Sequence[str] | None = None,
        parameters: dict[str, Any] | None = None,
        on_error: str = "raise",
        n_jobs: int | None = None,
    ) -> None:
        self.feature_set = feature_set
        self.families = families
        self.parameters = parameters
        self.on_error = on_error
        self.n_jobs = n_jobs

    @property
    def feature_parameters(self) -> FeatureParameters:
        """The complete, validated settings. Raises `ConfigError` if they cannot be."""
        if self.on_error not in ON_ERROR:
            raise unknown_name("on_error setting", self.on_error, ON_ERROR)
        return FeatureParameters(
            feature_set=self.feature_set,
            families=None if self.families is None else tuple(self.families),
            **(self.parameters or {}),
        )

    def fit(self, X: Iterable[Sound], y: object = None) -> Self:
        """Nothing but a check of the settings."""
        _ = self.feature_parameters
        return self

    def transform(self, X: Iterable[Sound]) -> pd.DataFrame:
        """The features of every recording.

        Args:
            X: paths, or clips (of any sample rate: they are resampled).

        Returns:
            Float32, one row per recording in the order of `X`, indexed by id (the path as given), one column per feature.

        Raises:
            AudioError: for the first recording that cannot be used, if `on_error="raise"`.
        """
        if isinstance(X, (Clip, str, os.PathLike)):
            raise ConfigError(
                f"A list of paths or clips was expected. Received a single {type(X).__name__}. Put it into a list."
            )
        sounds, settings = list(X), self.feature_parameters
        rows = Parallel(n_jobs=self.n_jobs)(delayed(_row)(sound, settings, self.on_error) for sound in sounds)
        names = feature_names(settings)
        values = np.array(rows, dtype=np.float32).reshape(len(sounds), len(names))
        return pd.DataFrame(
            values,
            index=pd.Index([_id(sound) for sound in sounds], name="id", dtype="str"),
            columns=list(names),
        )

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """The columns, without any audio."""
        return np.array(feature_names(self.feature_parameters), dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        return tags


def _row(sound: Sound, parameters: FeatureParameters, on_error: str) -> list[float]:
    try:
        return list(describe(_clip(sound, parameters.sample_rate), parameters).features.values())
    except AudioError:
        if on_error == "raise":
            raise
        return [np.nan] * len(feature_names(parameters))


def _clip(sound: Sound, sample_rate: int) -> Clip:
    if isinstance(sound, Clip):
        return Clip(
            resample(sound.samples, orig_sr=sound.sample_rate, target_sr=sample_rate), sample_rate, sound.id
        )
    return load_clip(sound, sample_rate=sample_rate).clip


def _id(sound: Sound) -> str:
    return sound.id if isinstance(sound, Clip) else os.fspath(sound)
