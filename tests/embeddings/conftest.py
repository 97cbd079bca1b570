"""Small networks of the forms that pretrained ones have, and a library in a temporary folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from quintet.embeddings.library import install
from quintet.embeddings.musicnn_graph import Checkpoint, musicnn_graph, vgg_graph
from quintet.embeddings.onnx_graph import Floats
from quintet.embeddings.vocabulary import tag_names

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

N_TAGS, FILTERS, SMALL, MIDDLE, UNITS = 50, 6, 3, 4, 8


def norm(rng: np.random.Generator, size: int) -> dict[str, Floats]:
    """Arrays of a batch normalization whose four parts all matter."""
    return {
        "gamma": (rng.uniform(0.5, 1.5, size) * rng.choice([-1, 1], size)).astype(np.float32),
        "beta": rng.normal(size=size).astype(np.float32),
        "moving_mean": rng.normal(size=size).astype(np.float32),
        "moving_variance": rng.uniform(0.5, 2, size).astype(np.float32),
    }


def layer(rng: np.random.Generator, *shape: int) -> dict[str, Floats]:
    """Kernel and bias of a layer."""
    scale = 1 / np.sqrt(np.prod(shape[:-1]))
    kernel = rng.normal(size=shape, scale=scale).astype(np.float32)
    return {"kernel": kernel, "bias": rng.normal(size=shape[-1]).astype(np.float32) / 4}


def flat(layers: dict[str, dict[str, Floats]]) -> dict[str, Floats]:
    return {f"{name}/{part}": array for name, parts in layers.items() for part, array in parts.items()}


def numbered(kind: str, number: int) -> str:
    return kind if number == 0 else f"{kind}_{number}"


def musicnn_arrays(
    seed: int = 0, *, filters: int = FILTERS, small: int = SMALL, middle: int = MIDDLE
) -> dict[str, Floats]:
    """Variables of a small network of the form of MTT_musicnn."""
    rng = np.random.default_rng(seed)
    front = 2 * filters + 3 * small
    kernels = [(7, 38, 1, filters), (7, 67, 1, filters), *((t, 1, 1, small) for t in (128, 64, 32))]
    kernels += [(7, front, 1, middle), (7, middle, 1, middle), (7, middle, 1, middle)]
    pooled = 2 * (front + 3 * middle)
    sizes = [1, filters, filters, small, small, small, middle, middle, middle, pooled, UNITS]
    layers = {numbered("conv2d", i): layer(rng, *shape) for i, shape in enumerate(kernels)}
    layers |= {numbered("batch_normalization", i): norm(rng, size) for i, size in enumerate(sizes)}
    layers |= {"dense": layer(rng, pooled, UNITS), "dense_1": layer(rng, UNITS, N_TAGS)}
    return flat(layers)


def vgg_arrays(seed: int = 0, *, middle: int = MIDDLE) -> dict[str, Floats]:
    """Variables of a small network of the form of MTT_vgg."""
    rng = np.random.default_rng(seed)
    layers = {f"{i + 1}CNN": layer(rng, 3, 3, 1 if i == 0 else middle, middle) for i in range(5)}
    layers |= {numbered("batch_normalization", i): norm(rng, 1 if i == 0 else middle) for i in range(6)}
    layers["dense"] = layer(rng, 2 * middle, N_TAGS)
    return flat(layers)


@pytest.fixture
def musicnn_checkpoint() -> Checkpoint:
    return Checkpoint(musicnn_arrays())


@pytest.fixture
def vgg_checkpoint() -> Checkpoint:
    return Checkpoint(vgg_arrays())


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty library of weights."""
    folder = tmp_path / "weights"
    monkeypatch.setenv("QUINTET_WEIGHTS_DIR", str(folder))
    return folder


def install_network(name: str, content: bytes, vocabulary: str = "msd") -> None:
    """Put a small network into the library under a name."""
    from tests.embeddings.test_contract import contract
    from tests.embeddings.test_library import terms

    outputs = [
        {"name": "tags", "dimension": N_TAGS, "tags": tag_names(vocabulary)},
        {"name": "embedding", "dimension": UNITS},
    ]
    install(content, contract(**(terms(content, outputs=outputs) | {"id": name})))


@pytest.fixture
def networks(library: Path) -> Path:
    """Small networks under the names of two published ones, in a library."""
    install_network("musicnn_msd", musicnn_graph(Checkpoint(musicnn_arrays())))
    install_network("musicnn_mtt", vgg_graph(Checkpoint(vgg_arrays())), "mtt")
    return library


@pytest.fixture
def sine() -> Callable[[float, float, int], Floats]:
    def make(frequency: float, seconds: float, rate: int) -> Floats:
        t = np.arange(int(seconds * rate)) / rate
        return (0.3 * np.sin(2 * np.pi * frequency * t)).astype(np.float32)

    return make
