"""Values of the columns of pretrained networks for one clip: windows, network, mean and standard deviation.

A clip is decoded once, for all columns. Each network gets the stretches of it that its windows need,
resampled from the samples at the rate of the file. A long recording is never in memory as a whole. It is
read while the hand-made columns are computed: its length is known after the first sweep, and its windows are
cut in the second.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quintet.audio.resample import Stretch, plan_stretch, resample, resample_stretch
from quintet.embeddings.contract import Contract, parse_contract
from quintet.embeddings.front_end import (
    Windows,
    fill_window,
    needed_samples,
    window_input,
    window_spans,
)
from quintet.embeddings.library import CONTRACT, open_folder
from quintet.embeddings.network import Network
from quintet.errors import ArtefactError, ConfigError
from quintet.features.embedding_columns import EmbeddingParameters

Floats = NDArray[np.float32]
LONGEST_WINDOW_S = 60.0
"""Networks with longer windows need a recording in memory as a whole."""


@dataclass(frozen=True)
class Embedder:
    """Pretrained networks whose outputs become columns. It is small, and can be sent to another process.

    Args:
        networks: settings of the columns of each network.
        folders: folder of each network in the library.
    """

    networks: tuple[EmbeddingParameters, ...]
    folders: tuple[str, ...]

    @property
    def can_stream(self) -> bool:
        """Whether the networks can read a recording that is never in memory as a whole."""
        return all(network.contract.window_s <= LONGEST_WINDOW_S for network in self.open())

    def open(self) -> list[Network]:
        """The networks, opened once per process.

        Raises:
            ArtefactError: a network is not in its folder, or it has changed.
            MissingExtraError: ONNX Runtime is not installed.
        """
        pairs = zip(self.networks, self.folders, strict=True)
        return [_open(folder, network.network, network.contract) for network, folder in pairs]

    def embed(self, native: Floats, sample_rate: int) -> Floats:
        """Values of the columns of a clip, float32, in the order of `EmbeddingParameters.columns`.

        Args:
            native: mono samples, shape `(n,)`.
            sample_rate: of the samples, Hz.

        Raises:
            TooShortError: the clip is too short for a network.
            ArtefactError: a network fails.
        """
        stream = self.stream()
        stream.read_at_once(native, sample_rate)
        return stream.values()

    def stream(self) -> StreamedEmbedding:
        """What reads one recording."""
        readings = []
        for network, settings in zip(self.open(), self.networks, strict=True):
            readings.append(_Reading(network, settings.windows))
        return StreamedEmbedding(readings)


@lru_cache(maxsize=8)
def _open(folder: str, name: str, contract_hash: str) -> Network:
    """The network in a folder of the library.

    Raises:
        ArtefactError: it is not there, or has another contract.
    """
    try:
        content = json.loads((Path(folder) / CONTRACT).read_text(encoding="utf-8"))
        contract = parse_contract(content, where=folder)
    except (OSError, ValueError, RecursionError, ConfigError) as error:
        raise ArtefactError(
            f"The network '{name}' must be in the folder {folder}, on every machine that works on the clips. "
            f"It cannot be read there: {error}"
        ) from None
    if contract.hash != contract_hash:
        raise ArtefactError(
            f"The network in {folder} must not change during a run (contract {contract_hash}). It has "
            f"{contract.hash} now: run the command again."
        )
    return open_folder(Path(folder), contract)


@dataclass(frozen=True)
class _Window:
    """A window of a clip.

    Args:
        stretch: the samples of the source that it needs.
        before: samples before the clip begins, at the rate of the network.
        after: samples behind its end.
    """

    stretch: Stretch
    before: int
    after: int


@dataclass
class _Reading:
    """One network and the windows of one clip.

    Args:
        network: the network.
        windows: windows of the clip.
        plan: windows that are still to come, in the order of time; None if the clip is shorter than a window.
        inputs: inputs of the network that wait for its next batch.
        outputs: outputs so far, by name.
    """

    network: Network
    windows: Windows
    plan: list[_Window] | None = None
    inputs: list[Floats] = field(default_factory=list)
    outputs: dict[str, list[Floats]] = field(default_factory=dict)

    @property
    def contract(self) -> Contract:
        """The contract of the network."""
        return self.network.contract

    def begin(self, n_samples: int, sample_rate: int) -> None:
        """Plan the windows of a clip of `n_samples` at `sample_rate` Hz."""
        target = self.contract.sample_rate
        length = math.ceil(n_samples * target / sample_rate)
        self.inputs, self.outputs, self.plan = [], {}, None
        if length < needed_samples(self.contract):
            return
        self.plan = []
        for first, last in window_spans(length, self.contract, self.windows):
            inner = (max(first, 0), min(last, length))
            stretch = plan_stretch(*inner, n_samples=n_samples, orig_sr=sample_rate, target_sr=target)
            self.plan.append(_Window(stretch, inner[0] - first, last - inner[1]))

    def read(self, source: Floats, offset: int, sample_rate: int) -> None:
        """Compute the windows whose samples are there.

        Args:
            source: samples of the clip.
            offset: position of the first of them in the clip.
            sample_rate: of the samples, Hz.
        """
        end = offset + len(source)
        while self.plan and self.plan[0].stretch.last <= end:
            window = self.plan.pop(0)
            stretch = window.stretch
            samples = resample_stretch(
                source[stretch.first - offset : stretch.last - offset],
                stretch,
                orig_sr=sample_rate,
                target_sr=self.contract.sample_rate,
            )
            filled = fill_window(samples, window.before, window.after, self.contract)
            self.inputs.append(window_input(filled, self.contract))
            if len(self.inputs) == self.network.batch:
                self.flush()

    def read_short_clip(self, native: Floats, sample_rate: int) -> None:
        """Compute the one window of a clip that is shorter than it."""
        samples = resample(native, orig_sr=sample_rate, target_sr=self.contract.sample_rate)
        self._keep(self.network.run(np.asarray(samples, np.float32), windows=self.windows))

    def flush(self) -> None:
        """Run the network on the inputs that wait."""
        if self.inputs:
            self._keep(self.network.run_windows(np.stack(self.inputs)))
        self.inputs = []

    def _keep(self, outputs: dict[str, Floats]) -> None:
        for name, values in outputs.items():
            self.outputs.setdefault(name, []).append(values)

    def values(self) -> Iterator[NDArray[np.float64]]:
        """Mean and standard deviation over the windows of each output, in the order of the contract."""
        self.flush()
        for output in self.contract.outputs:
            values = np.concatenate(self.outputs[output.name]).astype(np.float64)
            yield values.mean(axis=0)
            yield values.std(axis=0)


class StreamedEmbedding:
    """Listener of a recording that is read twice (see `recording.MonoListener`).

    Args:
        readings: the networks.
    """

    def __init__(self, readings: list[_Reading]) -> None:
        self._readings = readings
        self._sweep = self._length = self._sample_rate = self._offset = 0
        self._buffer: list[Floats] = []

    def read_at_once(self, native: Floats, sample_rate: int) -> None:
        """Read a clip that is in memory as a whole."""
        for reading in self._readings:
            reading.begin(len(native), sample_rate)
            if reading.plan is None:
                reading.read_short_clip(native, sample_rate)
            else:
                reading.read(native, 0, sample_rate)

    def begin(self, sample_rate: int) -> None:
        """Begin a sweep. The first counts the samples, the second computes the windows."""
        self._sweep += 1
        self._sample_rate = sample_rate
        if self._sweep == 2:
            self._offset, self._buffer = 0, []
            for reading in self._readings:
                reading.begin(self._length, sample_rate)

    def add(self, block: Floats) -> None:
        """Read a block."""
        if self._sweep == 1:
            self._length += len(block)
        elif self._sweep == 2:
            self._buffer.append(block.copy())
            source = np.concatenate(self._buffer)
            for reading in self._readings:
                reading.read(source, self._offset, self._sample_rate)
            self._forget(source)

    def _forget(self, source: Floats) -> None:
        """Keep the samples that a later window needs."""
        end = self._offset + len(source)
        firsts = [end]
        for reading in self._readings:
            if reading.plan is None:
                firsts.append(0)
            elif reading.plan:
                firsts.append(reading.plan[0].stretch.first)
        kept = max(self._offset, min(firsts))
        self._buffer = [source[kept - self._offset :]]
        self._offset = kept

    def values(self) -> Floats:
        """Values of the columns."""
        for reading in self._readings:
            if reading.plan is None and not reading.outputs:
                reading.read_short_clip(np.concatenate(self._buffer), self._sample_rate)
        parts = [part for reading in self._readings for part in reading.values()]
        return np.concatenate(parts).astype(np.float32)
