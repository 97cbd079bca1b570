"""The synthetic golden clip, and the check of a network with its golden clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quintet.audio.decode import load_clip
from quintet.audio.isolation.calls import call_isolated
from quintet.embeddings.contract import Contract, Golden
from quintet.embeddings.network import Network
from quintet.errors import ArtefactError

SECONDS = 9.0
CHORDS_HZ = ((220.0, 277.18, 329.63), (174.61, 220.0, 261.63), (261.63, 329.63, 392.0))


def golden_clip(sample_rate: int) -> NDArray[np.float32]:
    """A clip of 9 s that is the same on every machine: chords with overtones, a sweep and clicks.

    Args:
        sample_rate: Hz.

    Returns:
        Shape `(9 * sample_rate,)`, in [-1, 1].

    Example:
        >>> golden_clip(16000).shape
        (144000,)
    """
    t = np.arange(int(SECONDS * sample_rate)) / sample_rate
    chord = np.minimum((t / 3).astype(int), 2)
    sound = np.zeros_like(t)
    for voice in range(3):
        frequency = np.array([notes[voice] for notes in CHORDS_HZ])[chord]
        phase = 2 * np.pi * np.cumsum(frequency) / sample_rate
        sound += sum(0.08 / k * np.sin(k * phase) for k in (1, 2, 3, 4))
    pulse = np.exp(-12 * (2 * t % 1.0))
    sweep = 0.1 * np.sin(2 * np.pi * (300 * t + 0.5 * (min(6000, 0.4 * sample_rate) - 300) / SECONDS * t**2))
    click = 0.2 * np.exp(-200 * (2 * t % 1.0)) * np.sin(2 * np.pi * 1500 * t)
    return (sound * (0.3 + 0.7 * pulse) + sweep * (t > 4.5) + click).astype(np.float32)


def mean_outputs(network: Network, samples: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """Mean over all windows of each output."""
    outputs = network.run(samples, windows="all")
    return {name: values.mean(axis=0, dtype=np.float64) for name, values in outputs.items()}


def check_golden(network: Network, folder: Path) -> float:
    """Run the golden clip of a contract and compare.

    Args:
        network: the network.
        folder: folder of an audio file that the contract names.

    Returns:
        The largest difference of a value.

    Raises:
        ArtefactError: the contract has no golden clip, or a value is further off than its tolerance.
    """
    golden = network.contract.golden
    if golden is None:
        raise ArtefactError(f"The contract of {network.contract.id} must have a golden clip to be checked.")
    samples = _golden_samples(golden, network.contract, folder)
    values = mean_outputs(network, samples)[golden.output]
    difference = np.abs(values - np.array(golden.values))
    worst = int(difference.argmax())
    if not difference[worst] <= golden.tolerance:
        raise ArtefactError(
            f"The golden clip of {network.contract.id} must give its golden values within "
            f"{golden.tolerance:g}. Number {worst} of output '{golden.output}' is {values[worst]:.5f} and "
            f"not {golden.values[worst]:.5f}: the weights or the contract (rate, bands, axis order, "
            "compression, output) are not those of the golden values."
        )
    return float(difference[worst])


def _golden_samples(golden: Golden, contract: Contract, folder: Path) -> NDArray[np.float32]:
    if golden.clip == "synthetic":
        return golden_clip(contract.sample_rate)
    if Path(golden.clip).name != golden.clip:
        raise ArtefactError(
            f"The golden clip must be a file beside the contract. Received the path '{golden.clip}'."
        )
    return call_isolated(_decode, folder / golden.clip, contract.sample_rate)


def _decode(file: Path, sample_rate: int) -> NDArray[np.float32]:
    """Samples of a file. A worker process calls it."""
    return np.asarray(load_clip(file, sample_rate=sample_rate).clip.samples, np.float32)
