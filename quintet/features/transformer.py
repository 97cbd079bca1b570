"""Feature transformer for scikit-learn: paths or clips in, a DataFrame of features out."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Self

import numpy as np
import pandas as pd
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags

from quintet.audio.clip import Clip
from quintet.audio.decode import load_clip
from quintet.audio.isolation.calls import LostWorkerError, map_isolated
from quintet.audio.resample import resample
from quintet.errors import AudioError, ConfigError, TruncationWarning, unknown_name
from quintet.features.catalogue import DEFAULT_SET
from quintet.features.columns import feature_names
from quintet.features.describe import describe
from quintet.features.engine.warm_up import kernels_available
from quintet.features.parameters import FeatureParameters
from quintet.files.display.names import printable
from quintet.files.paths import name_list, require_path
from quintet.settings import parse_settings

ON_ERROR = ("raise", "nan")

Sound = Clip | str | os.PathLike[str]


class FeatureExtractor(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Transformer from recordings to features. It learns nothing: `fit` only checks the settings.

    Args:
        feature_set: a name in `catalogue.FEATURE_SETS`: `"selected"`, `"wide"`, `"full"` or
            `"bahuleyan2018"`.
        families: feature families of the set to keep, such as `("cepstral", "spectral")`. None keeps all.
        parameters: further settings of `FeatureParameters` by name, such as `{"hop_length": 256}`.
        on_error: `"raise"`, or `"nan"` to turn a recording that cannot be used into a row of NaN.
        strict: whether a recording that is cut short cannot be used. If not, it is described as far as it
            goes, and a TruncationWarning names it.
        n_jobs: number of worker processes, as in joblib. None is one. Files are always read in a worker
            process: a crash of a decoder is an AudioError.

    Example:
        >>> import numpy as np
        >>> clip = Clip(np.sin(np.arange(22050) * 0.1), sample_rate=22050, id="hum")
        >>> table = FeatureExtractor("bahuleyan2018").transform([clip])
        >>> table.shape, table.index[0], table.columns[0]
        ((1, 97), 'hum', 'temporal.amplitude.mean')
    """

    def __init__(
        self,
        feature_set: str = DEFAULT_SET,
        *,
        families: Sequence[str] | None = None,
        parameters: Mapping[str, object] | None = None,
        on_error: str = "raise",
        strict: bool = False,
        n_jobs: int | None = None,
    ) -> None:
        self.feature_set = feature_set
        self.families = families
        self.parameters = parameters
        self.on_error = on_error
        self.strict = strict
        self.n_jobs = n_jobs

    @property
    def feature_parameters(self) -> FeatureParameters:
        """Complete, validated settings.

        Raises:
            ConfigError: if a setting is not valid.
        """
        if self.on_error not in ON_ERROR:
            raise unknown_name("on_error setting", self.on_error, ON_ERROR)
        families = None if self.families is None else name_list(self.families)
        settings = {"feature_set": self.feature_set, "families": families, **(self.parameters or {})}
        return parse_settings(FeatureParameters, settings, where="FeatureExtractor")

    def fit(self, X: Iterable[Sound], y: object = None) -> Self:
        """Check the settings.

        Args:
            X: ignored.
            y: ignored.

        Raises:
            ConfigError: if a setting is not valid.
        """
        _ = self.feature_parameters
        return self

    def transform(self, X: Iterable[Sound]) -> pd.DataFrame:
        """Compute the features of every recording.

        Args:
            X: paths, or clips of any sample rate (they are resampled).

        Returns:
            Float32, one row per recording in the order of `X`, one column per feature. The index is that of a
            Series; otherwise the id of a clip, or the path as given.

        Warns:
            TruncationWarning: recordings are cut short.

        Raises:
            AudioError: if `on_error` is `"raise"` and a recording cannot be used.
            ConfigError: if `X` is a single recording, or a table of several columns.
        """
        if isinstance(X, (Clip, str, bytes, os.PathLike)) or hasattr(X, "read"):
            raise ConfigError(
                "A list of paths or clips was expected. "
                f"Received a single {type(X).__name__}. Put it into a list."
            )
        if getattr(X, "ndim", 1) != 1:
            raise ConfigError(
                "A list of paths or clips was expected. "
                f"Received a {type(X).__name__} of more dimensions: give its column of paths, as X['path']."
            )
        sounds = [
            x if isinstance(x, Clip) else require_path(x, "Each recording in `X`", clips=True) for x in X
        ]
        settings = self.feature_parameters
        files = [os.fspath(sound) for sound in sounds if not isinstance(sound, Clip)]
        rows = iter(list(self._describe_files(files, settings)))
        clips = [sound for sound in sounds if isinstance(sound, Clip)]
        jobs = [delayed(_describe_or_nan)(clip, settings, self.on_error) for clip in clips]
        of_clips = (values for values, _ in Parallel(n_jobs=self.n_jobs)(jobs))
        values_by_sound = [next(of_clips) if isinstance(sound, Clip) else next(rows) for sound in sounds]
        names = list(feature_names(settings))
        values = np.array(values_by_sound, dtype=np.float32).reshape(len(sounds), len(names))
        ids = pd.Index([_sound_id(sound) for sound in sounds], name="id", dtype="str")
        if isinstance(X, pd.Series):
            ids = X.index
        return pd.DataFrame(values, index=ids, columns=names)

    def _describe_files(self, files: Sequence[str], parameters: FeatureParameters) -> Iterator[list[float]]:
        """Feature values of recordings that are files, in worker processes that may die."""
        calls = ((file, parameters, self.on_error, self.strict) for file in files)
        n_workers, truncated = effective_n_jobs(self.n_jobs), []
        results = map_isolated(_describe_or_nan, calls, n_workers=n_workers, set_up=kernels_available)
        for file, result in zip(files, results, strict=True):
            if isinstance(result, LostWorkerError) and self.on_error == "nan":
                yield [np.nan] * len(feature_names(parameters))
            elif isinstance(result, Exception):
                raise result
            else:
                values, truncation = result
                truncated += [f"{printable(file)}: {truncation}"] if truncation else []
                yield values
        if truncated:
            text = f"Recordings that are cut short were described as far as they go ({len(truncated)}): "
            warnings.warn(text + "; ".join(truncated), TruncationWarning, stacklevel=3)

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """Names of the columns. No audio is needed.

        Args:
            input_features: ignored.
        """
        return np.array(feature_names(self.feature_parameters), dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        return tags


def _describe_or_nan(
    sound: Sound, parameters: FeatureParameters, on_error: str, strict: bool = True
) -> tuple[list[float], str]:
    """Feature values of one recording, and how it is cut short.

    The values are NaN if the recording cannot be used and `on_error` is `"nan"`.
    """
    try:
        clip, truncation = _load(sound, parameters.sample_rate, strict)
        return list(describe(clip, parameters).features.values()), truncation
    except AudioError:
        if on_error == "raise":
            raise
        return [np.nan] * len(feature_names(parameters)), ""


def _load(sound: Sound, sample_rate: int, strict: bool) -> tuple[Clip, str]:
    if not isinstance(sound, Clip):
        decoded = load_clip(sound, sample_rate=sample_rate, strict=strict)
        return decoded.clip, decoded.truncation
    samples = resample(sound.samples, orig_sr=sound.sample_rate, target_sr=sample_rate)
    return Clip(samples, sample_rate, sound.id), ""


def _sound_id(sound: Sound) -> str:
    return sound.id if isinstance(sound, Clip) else os.fspath(sound)
