"""Everything that decides the value of a feature: frozen, complete, validated, hashed."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from quintet.errors import ConfigError, unknown_name
from quintet.features.catalogue import FEATURE_SETS, feature_set_families


class _Hashed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise ConfigError(
                "; ".join(_sentence(type(self).__name__, problem) for problem in error.errors())
            ) from None

    @property
    def hash(self) -> str:
        """16 hex digits of the canonical JSON of all settings: equal settings, equal hash, on every machine."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _sentence(model: str, problem: Any) -> str:
    """One of pydantic's complaints in our words; our own are passed on as they are."""
    own = problem.get("ctx", {}).get("error")
    if isinstance(own, ConfigError):
        return str(own)
    setting = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        return str(unknown_name("setting", setting, PARAMETERS[model].model_fields))
    return f"{model}.{setting}: {problem['msg']}. Received {problem['input']!r}"


class LogMelParameters(_Hashed):
    """The spectrogram that networks see.

    Args:
        sample_rate: Hz.
        n_fft: samples in a frame.
        hop_length: samples between frames.
        n_mels: bands.
        fmin: lowest edge, Hz.
        fmax: highest edge, Hz; None is half the sample rate.
        floor_db: dB re 1.0 below which everything is silence; of compression `"db"` only.
        pre_emphasis: share of each sample that is taken from the next one before the transform; 0 is off.
        compression: of the mel power: `"db"`, `"log"` (`log10(1e4 · power + 1)`, musicnn's) or `"power"` (none).

    Example:
        >>> LogMelParameters().n_mels
        96
    """

    sample_rate: int = Field(default=22050, ge=1000)
    n_fft: int = Field(default=2048, ge=64)
    hop_length: int = Field(default=512, ge=1)
    n_mels: int = Field(default=96, ge=1)
    fmin: float = Field(default=0.0, ge=0)
    fmax: float | None = Field(default=None, gt=0)
    floor_db: float = Field(default=-100.0, lt=0)
    pre_emphasis: float = Field(default=0.0, ge=0, lt=1)
    compression: Literal["db", "log", "power"] = "db"

    @property
    def shares_transform(self) -> bool:
        """Whether it can come from the features' own transform, and from the kernels: decibels, no pre-emphasis, an even `n_fft`."""
        return self.compression == "db" and not self.pre_emphasis and self.n_fft % 2 == 0

    @model_serializer(mode="wrap")
    def _written(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Settings that came later are written only where they are used, so that older hashes stay true."""
        written: dict[str, Any] = write(self)
        later = {"pre_emphasis": 0.0, "compression": "db"}
        return {name: value for name, value in written.items() if name not in later or value != later[name]}

    @model_validator(mode="after")
    def _edges(self) -> LogMelParameters:
        top = self.sample_rate / 2 if self.fmax is None else self.fmax
        if not self.fmin < top <= self.sample_rate / 2:
            raise ConfigError(
                f"Mel bands need fmin < fmax <= half the sample rate. Received fmin {self.fmin}, fmax {top}, {self.sample_rate} Hz."
            )
        return self


class FeatureParameters(_Hashed):
    """What is measured, and how. The defaults are those of the published set; the named set decides the sample rate.

    Args:
        feature_set: a name in `catalogue.FEATURE_SETS`: `"full"` or `"bahuleyan2018"`.
        families: those of the set to keep, such as `("cepstral", "spectral")`, held in the set's order; None keeps all.
        sample_rate: Hz at which clips are described.
        n_fft: samples in a frame, even.
        hop_length: samples between frames.
        chroma_stride: chroma takes every so many-th frame (2: a hop of 1024).
        n_mels: mel bands under MFCC and onset strength.
        n_mfcc: coefficients.
        roll_percent: share of the magnitude below the roll-off.
        n_contrast_bands: octaves above `contrast_fmin`; one more band lies below it.
        contrast_fmin: Hz.
        n_bands: mel bands under modulation and covariance.
        n_rates: modulation bands, spaced logarithmically over `modulation_hz`.
        modulation_hz: slowest and fastest modulation, Hz.
        log_mel: the spectrogram that is made in the same pass.
        definition: rises when a descriptor's definition changes, so that old tables are known to be old.

    Raises:
        ConfigError: a name that does not exist, or bands that do not fit under half the sample rate.

    Example:
        >>> FeatureParameters(feature_set="full", families=("spectral", "cepstral")).families
        ('spectral', 'cepstral')
    """

    feature_set: str = "full"
    families: tuple[str, ...] | None = None
    sample_rate: int = Field(default=22050, ge=1000)
    n_fft: int = Field(default=2048, ge=64, multiple_of=2)
    hop_length: int = Field(default=512, ge=1)
    chroma_stride: int = Field(default=2, ge=1)
    n_mels: int = Field(default=128, ge=1)
    n_mfcc: int = Field(default=20, ge=1)
    roll_percent: float = Field(default=0.85, gt=0, lt=1)
    n_contrast_bands: int = Field(default=6, ge=1)
    contrast_fmin: float = Field(default=200.0, gt=0)
    n_bands: int = Field(default=20, ge=1)
    n_rates: int = Field(default=10, ge=1)
    modulation_hz: tuple[float, float] = (0.25, 20.0)
    log_mel: LogMelParameters = LogMelParameters()
    definition: int = Field(default=1, ge=1, le=1)

    @model_validator(mode="before")
    @classmethod
    def _names(cls, values: dict[str, object]) -> dict[str, object]:
        """The set exists, and the families are the set's own, in the set's order (None where all are meant)."""
        name = str(values.get("feature_set", "full"))
        if name not in FEATURE_SETS:
            raise unknown_name("feature set", name, FEATURE_SETS)
        chosen = values.get("families")
        if chosen is None:
            return values
        wanted = (
            tuple(str(family) for family in chosen)
            if isinstance(chosen, (list, tuple, set, frozenset))
            else (str(chosen),)
        )
        valid = feature_set_families(name)
        for family in wanted:
            if family not in valid:
                raise unknown_name("feature family", family, valid)
        if not wanted:
            raise ConfigError(
                f"At least one feature family must be chosen. Received none. Choose from: {', '.join(valid)}."
            )
        kept = tuple(family for family in valid if family in wanted)
        return {**values, "families": None if kept == valid else kept}

    @model_validator(mode="after")
    def _fits(self) -> FeatureParameters:
        nyquist = self.sample_rate / 2
        if self.hop_length > self.n_fft:
            raise ConfigError(
                f"Frames must not leave gaps: hop_length <= n_fft. Received {self.hop_length} and {self.n_fft}."
            )
        if self.n_mfcc > self.n_mels:
            raise ConfigError(f"n_mfcc must not exceed n_mels. Received {self.n_mfcc} and {self.n_mels}.")
        if self.log_mel.sample_rate > self.sample_rate:
            raise ConfigError(
                f"The log-mel's sample rate must not exceed the features'. Received {self.log_mel.sample_rate} and {self.sample_rate} Hz."
            )
        if self.contrast_fmin * 2.0 ** (self.n_contrast_bands - 1) >= nyquist:
            raise ConfigError(
                f"Every contrast band must begin below half the sample rate ({nyquist:g} Hz). Received contrast_fmin {self.contrast_fmin:g} "
                f"with n_contrast_bands {self.n_contrast_bands}. Reduce one of them."
            )
        if self.contrast_fmin < 2 * self.sample_rate / self.n_fft:
            raise ConfigError(
                f"A contrast band needs at least two bins ({2 * self.sample_rate / self.n_fft:g} Hz). Received contrast_fmin {self.contrast_fmin:g}. "
                "Raise it or n_fft."
            )
        slow, fast = self.modulation_hz
        if not 0 < slow < min(fast, self.sample_rate / self.hop_length / 2):
            raise ConfigError(
                f"modulation_hz must rise from above 0 and begin below half the frame rate. Received {self.modulation_hz}."
            )
        return self


PARAMETERS: dict[str, type[_Hashed]] = {
    "LogMelParameters": LogMelParameters,
    "FeatureParameters": FeatureParameters,
}
