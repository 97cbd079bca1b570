"""Contract of a pretrained network: what it is, which input it wants, and what its outputs mean.

A network that gets another rate, another mel scale or another axis order gives wrong numbers and no error.
So everything that decides the numbers is written down, hashed, and checked with a golden clip.
"""

from __future__ import annotations

import hashlib
import json
from codecs import BOM_UTF8
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from quintet.errors import ArtefactError, ConfigError
from quintet.files.untrusted.strict_json import parse_json
from quintet.files.untrusted.strict_toml import read_toml
from quintet.settings import parse_settings


class _Terms(BaseModel):
    """A frozen part of a contract, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LogMelInput(_Terms):
    """Input of a network that reads windows of a log-mel spectrogram.

    Args:
        kind: `"log_mel"`.
        n_fft: samples in a frame.
        win_length: samples of the Hann window, at most `n_fft`. None is `n_fft`.
        hop_length: samples between frames.
        n_mels: number of mel bands.
        fmin: lowest edge, Hz.
        fmax: highest edge, Hz. None is half the sample rate.
        mel_scale: `"slaney"` or `"htk"`.
        norm: `"slaney"` (triangles of equal area) or `"none"` (triangles of height 1).
        power: exponent of the magnitude, 1 or 2.
        compression: `"log10"`, `"ln"` or `"none"`, of `scale * mel + offset`.
        scale: factor of the mel values before the logarithm.
        offset: what is added before the logarithm.
        center: whether frame 0 is centred on sample 0 (the clip is padded with zeros), as in librosa.
        layout: order of the axes of a window: `"time_mel"` or `"mel_time"`.
        channel_axis: where an axis of length 1 stands: `"none"`, `"first"` (before both) or `"last"`.
        frames: frames in a window.
        hop_frames: frames between windows when all windows are read.
    """

    kind: Literal["log_mel"]
    n_fft: int = Field(ge=16)
    win_length: int | None = Field(default=None, ge=2)
    hop_length: int = Field(ge=1)
    n_mels: int = Field(ge=1, le=1024)
    fmin: float = Field(default=0.0, ge=0)
    fmax: float | None = Field(default=None, gt=0)
    mel_scale: Literal["slaney", "htk"] = "slaney"
    norm: Literal["slaney", "none"] = "slaney"
    power: Literal[1, 2] = 2
    compression: Literal["log10", "ln", "none"] = "log10"
    scale: float = Field(default=1.0, gt=0)
    offset: float = Field(default=0.0, ge=0)
    center: bool = True
    layout: Literal["time_mel", "mel_time"] = "time_mel"
    channel_axis: Literal["none", "first", "last"] = "none"
    frames: int = Field(ge=1)
    hop_frames: int = Field(ge=1)

    @property
    def window_shape(self) -> tuple[int, ...]:
        """Shape of a window as the network reads it, without the batch axis."""
        shape = (self.frames, self.n_mels) if self.layout == "time_mel" else (self.n_mels, self.frames)
        return _with_channel(shape, self.channel_axis)


class WaveformInput(_Terms):
    """Input of a network that reads windows of samples.

    Args:
        kind: `"waveform"`.
        samples: samples in a window.
        hop_samples: samples between windows when all windows are read.
        channel_axis: where an axis of length 1 stands: `"none"`, `"first"` or `"last"`.
    """

    kind: Literal["waveform"]
    samples: int = Field(ge=1)
    hop_samples: int = Field(ge=1)
    channel_axis: Literal["none", "first", "last"] = "none"

    @property
    def window_shape(self) -> tuple[int, ...]:
        """Shape of a window as the network reads it, without the batch axis."""
        return _with_channel((self.samples,), self.channel_axis)


class Output(_Terms):
    """One output of a network.

    Args:
        name: its name in the ONNX file.
        dimension: numbers per window.
        tags: what the numbers mean, one name per number; empty for an embedding.
        l2: whether each window is scaled to length 1 before the windows are pooled.
    """

    name: str = Field(min_length=1)
    dimension: int = Field(ge=1)
    tags: tuple[str, ...] = ()
    l2: bool = False

    @model_validator(mode="after")
    def _require_a_name_for_each_number(self) -> Output:
        if self.tags and len(self.tags) != self.dimension:
            raise ValueError(
                f"each of the {self.dimension} numbers must have one tag. Received {len(self.tags)}"
            )
        if len(set(self.tags)) < len(self.tags):
            raise ValueError("tags must differ from each other")
        return self


class Golden(_Terms):
    """A clip and the numbers that the network must give for it.

    Args:
        clip: `"synthetic"` (the clip that `golden_clip` computes) or an audio file beside the contract.
        output: name of the output.
        values: its mean over all windows of the clip.
        tolerance: largest allowed difference of a value.
    """

    clip: str = "synthetic"
    output: str
    values: tuple[float, ...] = Field(min_length=1)
    tolerance: float = Field(default=1e-3, gt=0)


class Contract(_Terms):
    """Description of a pretrained network.

    Args:
        id: short name, such as `musicnn_msd`: letters, digits, `_` and `-`.
        version: of the weights.
        licence: of the weights.
        source: where they come from.
        trained_on: the music of its training, such as `"Million Song Dataset"`.
        published: published scores, such as `"ROC-AUC .88 on MSD"`.
        sha256: SHA-256 of the ONNX file, 64 hex digits.
        sample_rate: Hz. Clips are mixed to mono (mean of the channels) and resampled to it.
        input_name: name of the input in the ONNX file.
        input: the form of the input.
        shortest_s: clips that are shorter are refused.
        short_clips: what happens to a clip that is shorter than a window: `"repeat"`, `"zero"` or `"refuse"`.
        clip_end: when all windows are read, what happens to the samples behind the last whole window:
            `"drop"`; `"zero"`: a further window is filled with zeros; `"repeat"`: it is filled with
            these samples again.
        runtime: what computes the network: `"onnx"`.
        outputs: the outputs that are read.
        golden: the golden clip, or None.
    """

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")
    version: str = "1"
    licence: str = Field(min_length=1)
    source: str = Field(min_length=1)
    trained_on: str = ""
    published: str = ""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    sample_rate: int = Field(ge=1000, le=384000)
    input_name: str = Field(min_length=1)
    input: Annotated[LogMelInput | WaveformInput, Field(discriminator="kind")]
    shortest_s: float = Field(default=0.1, ge=0)
    short_clips: Literal["repeat", "zero", "refuse"] = "repeat"
    clip_end: Literal["drop", "zero", "repeat"] = "drop"
    runtime: Literal["onnx"] = "onnx"
    outputs: tuple[Output, ...] = Field(min_length=1)
    golden: Golden | None = None

    @model_validator(mode="after")
    def _require_consistency(self) -> Contract:
        names = [output.name for output in self.outputs]
        if len(set(names)) < len(names):
            raise ValueError("outputs must have different names")
        if self.golden is not None:
            output = self.output(self.golden.output)
            if len(self.golden.values) != output.dimension:
                raise ValueError(
                    f"the golden values of output '{output.name}' must be {output.dimension} numbers. "
                    f"Received {len(self.golden.values)}"
                )
        if isinstance(self.input, LogMelInput):
            nyquist = self.sample_rate / 2
            top = nyquist if self.input.fmax is None else self.input.fmax
            if not self.input.fmin < top <= nyquist:
                raise ValueError(
                    f"mel bands need fmin < fmax <= half the sample rate ({nyquist:g} Hz). "
                    f"Received fmin {self.input.fmin:g}, fmax {top:g}"
                )
            if (self.input.win_length or self.input.n_fft) > self.input.n_fft:
                raise ValueError("win_length must be at most n_fft")
        return self

    def output(self, name: str) -> Output:
        """The output of a name.

        Raises:
            ConfigError: the contract has no such output.
        """
        for output in self.outputs:
            if output.name == name:
                return output
        raise ConfigError(
            f"An output must be one of: {', '.join(o.name for o in self.outputs)}. Received '{name}'."
        )

    @property
    def tag_output(self) -> Output | None:
        """The first output whose numbers are tags."""
        return next((output for output in self.outputs if output.tags), None)

    @property
    def window_s(self) -> float:
        """Length of a window, seconds."""
        if isinstance(self.input, WaveformInput):
            return self.input.samples / self.sample_rate
        return self.input.frames * self.input.hop_length / self.sample_rate

    @property
    def hash(self) -> str:
        """16 hex digits of everything that decides the numbers, the same on every machine."""
        described_only = {"licence", "source", "trained_on", "published", "golden", "runtime"}
        if self.clip_end == "drop":  # as contracts were hashed before they could say anything else
            described_only.add("clip_end")
        content = self.model_dump(mode="json", exclude=described_only)
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _with_channel(shape: tuple[int, ...], channel_axis: str) -> tuple[int, ...]:
    if channel_axis == "first":
        return (1, *shape)
    return (*shape, 1) if channel_axis == "last" else shape


def parse_contract(content: object, *, where: str) -> Contract:
    """A contract from the parsed content of a file.

    Args:
        content: the parsed TOML or JSON.
        where: the place that an error message names.

    Raises:
        ConfigError: the content is no valid contract. The message names each key and its fault.
    """
    return parse_settings(Contract, content, where=where)


def read_contract(path: Path, *, sha256: str) -> Contract:
    """Read a contract: our TOML, our JSON, or the JSON that Essentia publishes beside its models.

    Args:
        path: the file, `.toml` or `.json`.
        sha256: digest of the ONNX file that it describes. A TOML may leave its own `sha256` out.

    Raises:
        ArtefactError: the file cannot be read.
        ConfigError: it is no contract, or it describes a file with another digest.
    """
    from quintet.embeddings.essentia import from_essentia, is_essentia

    try:
        is_json = path.suffix.lower() == ".json"
        content = parse_json(path.read_bytes().removeprefix(BOM_UTF8), path) if is_json else read_toml(path)
    except ArtefactError:
        raise
    except (OSError, ValueError) as error:
        raise ArtefactError(
            f"A contract must be a TOML or JSON file. {path} cannot be read: {error}"
        ) from None
    if not isinstance(content, dict):
        raise ConfigError(
            f"{path}: a contract must be a table of settings. Received a {type(content).__name__}."
        )
    if is_essentia(content):
        content = from_essentia(content, where=str(path))
    stated = content.setdefault("sha256", sha256)
    if stated != sha256:
        raise ConfigError(
            f"The ONNX file must be the one that {path} describes (SHA-256 {stated}). Received {sha256}."
        )
    return parse_contract(content, where=str(path))
