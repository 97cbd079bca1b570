"""Feature parameters: every setting that decides a feature's value. They are frozen, validated and hashed."""

from __future__ import annotations

import hashlib
import json
from typing import Literal, Self

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from quintet.errors import ArtefactError, ConfigError, unknown_name
from quintet.features.catalogue import (
    DEFAULT_SET,
    FEATURE_SETS,
    MASKING_FLOOR_DB,
    WIDE_BANDS,
    feature_set_families,
)
from quintet.features.embedding_columns import DESCRIPTIVE, EmbeddingParameters, require_own_families
from quintet.settings import Stage, parse_settings

MOST_HZ = 768_000
"""Highest sample rate, that of the fastest converters."""
MOST_SAMPLES = 1 << 18
"""Longest frame, and longest hop: 12 s at the default sample rate."""
MOST_BANDS, MOST_MODULATED = 1024, 128
"""Most mel bands, and most of them whose modulation and covariance are columns."""
LOWEST_DB = -400.0
MOST_WEIGHTS = 1 << 25
"""Most numbers of a bank of mel filters: 256 MB, far below what a clip may take."""
LATER_SETTINGS = {"pre_emphasis": 0.0, "compression": "db", "masking_floor_db": None, "embeddings": ()}
"""Settings that later versions added, with the values that change nothing."""


class _HashedSettings(Stage):
    """Settings with a hash, whose faults are sentences."""

    @classmethod
    def parse(cls, content: object, *, where: str) -> Self:
        """The settings in the JSON content of a file of ours: a feature table, a spectrogram store or a
        model.

        Args:
            content: the parsed JSON.
            where: the place that an error message names, such as `"The feature table songs.parquet"`.

        Raises:
            ArtefactError: if this version does not know a key, or a value is not valid: another version wrote
            the file.
        """
        try:
            return parse_settings(cls, content, where=f"{where} must hold settings that this version knows")
        except ConfigError as error:
            raise ArtefactError(
                f"{error}. Another version of Quintet wrote it: use that version, or make it again."
            ) from None

    @property
    def hash(self) -> str:
        """16 hex digits of the canonical JSON of all settings, the same on every machine."""
        return _content_hash(self.model_dump(mode="json"))

    @model_serializer(mode="wrap")
    def _omit_unused_later_settings(self, write: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Write a later setting only if it changes something, so that older hashes stay valid.

        That a set is described without its usual masking floor is written, too.
        """
        content: dict[str, object] = write(self)
        for name, neutral in LATER_SETTINGS.items():
            is_usual = name != "masking_floor_db" or content.get("feature_set") not in MASKING_FLOOR_DB
            if is_usual and name in content and content[name] in (neutral, []):
                del content[name]
        return content


def _content_hash(content: object) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _require_bins(n_fft: int, **n_bands: int) -> None:
    """Require a bin of the transform for each band, and filters that fit into memory."""
    n_bins = n_fft // 2 + 1
    for name, number in n_bands.items():
        if number > n_bins:
            raise ConfigError(
                f"Mel bands need a bin of the transform each: n_fft {n_fft} gives {n_bins}. "
                f"Received {name} {number}. Reduce it or raise n_fft."
            )
        if number * n_bins > MOST_WEIGHTS:
            raise ConfigError(
                f"Mel bands must have at most {MOST_WEIGHTS:,} weights, one per band and bin. "
                f"Received {name} {number} and n_fft {n_fft}, which give {number * n_bins:,}. "
                "Reduce one of them."
            )


class LogMelParameters(_HashedSettings):
    """Settings of the log-mel spectrogram, which is the input of the networks.

    Args:
        sample_rate: Hz.
        n_fft: samples in a frame.
        hop_length: samples between frames.
        n_mels: number of mel bands.
        fmin: lowest edge, Hz.
        fmax: highest edge, Hz. None is half the sample rate.
        floor_db: level that counts as silence, dB re 1.0. Only compression `"db"` uses it.
        pre_emphasis: share of each sample that is subtracted from the next one before the transform. 0 is
            off.
        compression: of the mel power: `"db"`, `"log"` (`log10(1e4 · power + 1)`, as in musicnn) or `"power"`
            (none).
        masking_floor_db: level of the masking floor, dB, as in `FeatureParameters`. None is no floor.

    Example:
        >>> LogMelParameters().n_mels
        96
    """

    sample_rate: int = Field(default=22050, ge=1000, le=MOST_HZ)
    n_fft: int = Field(default=2048, ge=64, le=MOST_SAMPLES)
    hop_length: int = Field(default=512, ge=1, le=MOST_SAMPLES)
    n_mels: int = Field(default=96, ge=1, le=MOST_BANDS)
    fmin: float = Field(default=0.0, ge=0)
    fmax: float | None = Field(default=None, gt=0)
    floor_db: float = Field(default=-100.0, lt=0, ge=LOWEST_DB)
    pre_emphasis: float = Field(default=0.0, ge=0, lt=1)
    compression: Literal["db", "log", "power"] = "db"
    masking_floor_db: float | None = Field(default=None, ge=-120, le=0)

    @property
    def shares_transform(self) -> bool:
        """Whether the kernels can compute it: decibels, no pre-emphasis and an even `n_fft`."""
        return self.compression == "db" and not self.pre_emphasis and self.n_fft % 2 == 0

    @model_validator(mode="after")
    def _require_edges(self) -> LogMelParameters:
        _require_bins(self.n_fft, n_mels=self.n_mels)
        nyquist = self.sample_rate / 2
        top = nyquist if self.fmax is None else self.fmax
        if not self.fmin < top <= nyquist:
            raise ConfigError(
                "Mel bands need fmin < fmax <= half the sample rate. "
                f"Received fmin {self.fmin}, fmax {top}, {self.sample_rate} Hz."
            )
        return self


class FeatureParameters(_HashedSettings):
    """Settings of the features. The defaults are those of the published set.

    Args:
        feature_set: a name in `catalogue.FEATURE_SETS`: `"selected"`, `"wide"`, `"full"` or
            `"bahuleyan2018"`.
        families: feature families of the set to keep, such as `("cepstral", "spectral")`. They are held in
            the order of the set. None keeps all.
        sample_rate: sample rate of the clips, Hz.
        n_fft: samples in a frame, even.
        hop_length: samples between frames.
        chroma_stride: distance of the frames that chroma uses. 2 takes every second frame, a hop of 1024.
        n_mels: mel bands from which MFCC and onset strength are computed.
        n_mfcc: number of MFCC.
        roll_percent: share of the magnitude that lies below the roll-off.
        n_contrast_bands: octaves above `contrast_fmin`. One more band lies below it.
        contrast_fmin: lower edge of the first octave, Hz.
        n_bands: mel bands from which modulation and covariance are computed.
        n_rates: modulation bands, spaced logarithmically over `modulation_hz`.
        modulation_hz: slowest and fastest modulation, Hz.
        masking_floor_db: level of the masking floor relative to the clip's mean spectrum, dB
            (`descriptors.masking_floor`). None, or `"none"` where a file or a command has no
            None, is no floor. Default: that of the set (`catalogue.MASKING_FLOOR_DB`).
        log_mel: settings of the log-mel spectrogram that is computed in the same pass. By default it has the
            masking floor of the features.
        embeddings: pretrained networks whose columns follow those of the set.
        definition: version of the definitions. It rises when a descriptor's definition changes, which makes
            older tables recognisable.

    Raises:
        ConfigError: if a name does not exist, or bands do not fit under half the sample rate.

    Example:
        >>> FeatureParameters(feature_set="full", families=("spectral", "cepstral")).families
        ('spectral', 'cepstral')
    """

    feature_set: str = DEFAULT_SET
    families: tuple[str, ...] | None = None
    sample_rate: int = Field(default=22050, ge=1000, le=MOST_HZ)
    n_fft: int = Field(default=2048, ge=64, le=MOST_SAMPLES, multiple_of=2)
    hop_length: int = Field(default=512, ge=1, le=MOST_SAMPLES)
    chroma_stride: int = Field(default=2, ge=1, le=64)
    n_mels: int = Field(default=128, ge=1, le=MOST_BANDS)
    n_mfcc: int = Field(default=20, ge=1)
    roll_percent: float = Field(default=0.85, gt=0, lt=1)
    n_contrast_bands: int = Field(default=6, ge=1, le=32)
    contrast_fmin: float = Field(default=200.0, gt=0)
    n_bands: int = Field(default=20, ge=1, le=MOST_MODULATED)
    n_rates: int = Field(default=10, ge=1, le=100)
    modulation_hz: tuple[float, float] = (0.25, 20.0)
    masking_floor_db: float | None = Field(default=None, ge=-120, le=0)
    log_mel: LogMelParameters = LogMelParameters()
    embeddings: tuple[EmbeddingParameters, ...] = ()
    definition: int = Field(default=1, ge=1, le=1)

    @classmethod
    def parse(cls, content: object, *, where: str) -> Self:
        """As for all settings. What was written before there was a masking floor has none."""
        if isinstance(content, dict):
            content = {"masking_floor_db": None, **content}
        return super().parse(content, where=where)

    @property
    def hash(self) -> str:
        """16 hex digits of all settings that decide a number, the same on every machine."""
        content = self.model_dump(mode="json")
        if content.get("masking_floor_db", 0.0) is None:
            del content["masking_floor_db"]
        for network in content.get("embeddings", ()):
            for name in DESCRIPTIVE:
                del network[name]
        return _content_hash(content)

    def covers(self, other: FeatureParameters) -> bool:
        """Whether these settings give every column of `other`, with the same numbers.

        Args:
            other: may have fewer pretrained networks, in any order.
        """
        own = {network.network: network for network in self.embeddings}
        if any(network.network not in own for network in other.embeddings):
            return False
        common = tuple(own[network.network] for network in other.embeddings)
        return self.model_copy(update={"embeddings": common}).hash == other.hash

    @property
    def without_embeddings(self) -> FeatureParameters:
        """The same settings without pretrained networks."""
        return self.model_copy(update={"embeddings": ()})

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: object) -> dict[str, object]:
        """Check the names of the set and of the families, and put the families into the order of the set.

        The masking floor is that of the set, if none is given, and the spectrogram gets that of the features,
        if it is not described.
        """
        if not isinstance(values, dict):
            raise ConfigError(f"Feature parameters must be a table. Received {values!r}.")
        name = str(values.get("feature_set", DEFAULT_SET))
        chosen_db = values.get("masking_floor_db", MASKING_FLOOR_DB.get(name))
        floor_db = None if chosen_db == "none" else chosen_db
        values = {**values, "masking_floor_db": floor_db}
        if name not in FEATURE_SETS:
            raise unknown_name("feature set", name, FEATURE_SETS)
        chosen = values.get("families")
        if chosen is not None:
            values = {**values, "families": _families_in_order(chosen, feature_set_families(name))}
        if floor_db is not None and "log_mel" not in values:
            values = {**values, "log_mel": {"masking_floor_db": floor_db}}
        return values

    @model_validator(mode="after")
    def _require_consistency(self) -> FeatureParameters:
        if self.hop_length > self.n_fft:
            raise ConfigError(
                "Frames must not leave gaps: hop_length <= n_fft. "
                f"Received {self.hop_length} and {self.n_fft}."
            )
        _require_bins(self.n_fft, n_mels=self.n_mels, n_bands=self.n_bands)
        if self.n_mfcc > self.n_mels:
            raise ConfigError(f"n_mfcc must not exceed n_mels. Received {self.n_mfcc} and {self.n_mels}.")
        chosen = self.families or feature_set_families(self.feature_set)
        if "parts" in chosen and self.n_mels < WIDE_BANDS:
            raise ConfigError(
                f"The parts need {WIDE_BANDS} mel bands. Received n_mels {self.n_mels}: raise it, or leave "
                "the family 'parts' out."
            )
        if self.log_mel.sample_rate > self.sample_rate:
            raise ConfigError(
                "The log-mel's sample rate must not exceed the features'. "
                f"Received {self.log_mel.sample_rate} and {self.sample_rate} Hz."
            )
        self._require_contrast_bands()
        require_own_families(self.embeddings)
        slow, fast = self.modulation_hz
        highest_rate = self.sample_rate / self.hop_length / 2
        if not 0 < slow < min(fast, highest_rate) or fast > MOST_HZ:
            raise ConfigError(
                "modulation_hz must rise from above 0 and begin below half the frame rate. "
                f"Received {self.modulation_hz}."
            )
        return self

    def _require_contrast_bands(self) -> None:
        nyquist = self.sample_rate / 2
        highest_edge = self.contrast_fmin * 2.0 ** (self.n_contrast_bands - 1)
        if highest_edge >= nyquist:
            raise ConfigError(
                f"Every contrast band must begin below half the sample rate ({nyquist:g} Hz). "
                f"Received contrast_fmin {self.contrast_fmin:g} with n_contrast_bands "
                f"{self.n_contrast_bands}. Reduce one of them."
            )
        two_bins = 2 * self.sample_rate / self.n_fft
        if self.contrast_fmin < two_bins:
            raise ConfigError(
                f"A contrast band needs at least two bins ({two_bins:g} Hz). "
                f"Received contrast_fmin {self.contrast_fmin:g}. Raise it or n_fft."
            )


def _families_in_order(chosen: object, valid: tuple[str, ...]) -> tuple[str, ...] | None:
    """The chosen families in the order of `valid`; None if all are chosen."""
    several = chosen if isinstance(chosen, (list, tuple, set, frozenset)) else (chosen,)
    names = [str(family) for family in several]
    for name in names:
        if name not in valid:
            raise unknown_name("feature family", name, valid)
    if not names:
        raise ConfigError(
            f"At least one feature family must be chosen. Received none. Choose from: {', '.join(valid)}."
        )
    ordered = tuple(family for family in valid if family in names)
    return None if ordered == valid else ordered
