"""The ONNX graphs compute what the layers of musicnn compute, in plain NumPy in float64."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from quintet.embeddings.musicnn_graph import Checkpoint, musicnn_graph, vgg_graph
from quintet.errors import ArtefactError
from tests.embeddings.conftest import musicnn_arrays

Array = NDArray[np.float64]


def run(content: bytes, patches: Array) -> dict[str, Array]:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"log_mel": patches.astype(np.float32)}), strict=True))


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def normalised(x: Array, values: dict[str, Array]) -> Array:
    """Batch normalization of the last axis."""
    scale = values["gamma"] / np.sqrt(values["moving_variance"] + 1e-3)
    return (x - values["moving_mean"]) * scale + values["beta"]


def convolved(x: Array, kernel: Array, bias: Array) -> Array:
    """Valid correlation of `(height, width, in)` with `(h, w, in, out)`, by the definition."""
    windows = sliding_window_view(x, kernel.shape[:2], axis=(0, 1))  # (H, W, in, h, w)
    return np.einsum("xyihw,hwio->xyo", windows, kernel) + bias


def padded(x: Array, height: int, width: int = 1) -> Array:
    """Zeros around the first two axes so that a kernel of this size keeps the shape; more at the end."""
    return np.pad(x, [((height - 1) // 2, height // 2), ((width - 1) // 2, width // 2), (0, 0)])


def musicnn_by_hand(checkpoint: Checkpoint, patch: Array) -> tuple[Array, Array]:
    x = normalised(patch[:, :, None], checkpoint.norm(0))
    views = []
    for number in range(5):
        kernel, bias = checkpoint.weights(checkpoint.layer("conv2d", number))
        view = relu(convolved(padded(x, kernel.shape[0]), kernel, bias))
        views.append(normalised(view, checkpoint.norm(number + 1)).max(axis=1))
    front = np.concatenate(views, axis=1)
    levels, below = [front], front
    for number in range(3):
        kernel, bias = checkpoint.weights(checkpoint.layer("conv2d", 5 + number))
        level = relu(convolved(padded(below[:, :, None], 7), kernel, bias)[:, 0])
        level = normalised(level, checkpoint.norm(6 + number))
        below = level if number == 0 else level + below
        levels.append(below)
    joined = np.concatenate(levels, axis=1)
    pooled = np.stack([joined.max(axis=0), joined.mean(axis=0)], axis=1).reshape(-1)  # peak, mean, peak, …
    hidden = relu(
        normalised(pooled, checkpoint.norm(9)) @ checkpoint.weights("dense")[0]
        + checkpoint.weights("dense")[1]
    )
    embedding = normalised(hidden, checkpoint.norm(10))
    kernel, bias = checkpoint.weights("dense_1")
    return sigmoid(embedding @ kernel + bias), embedding


def test_musicnn_is_the_network_of_the_paper(musicnn_checkpoint: Checkpoint) -> None:
    patches = np.random.default_rng(1).uniform(0, 3, (2, 187, 96))
    outputs = run(musicnn_graph(musicnn_checkpoint), patches)
    for position, patch in enumerate(patches):
        tags, embedding = musicnn_by_hand(musicnn_checkpoint, patch)
        np.testing.assert_allclose(outputs["tags"][position], tags, atol=2e-5)
        np.testing.assert_allclose(outputs["embedding"][position], embedding, atol=2e-4)
    assert np.ptp(outputs["tags"]) > 0.1


def pooled(x: Array, size: tuple[int, int], stride: tuple[int, int]) -> Array:
    return sliding_window_view(x, size, axis=(0, 1))[:: stride[0], :: stride[1]].max(axis=(-1, -2))


def test_vgg_is_the_network_of_the_package(vgg_checkpoint: Checkpoint) -> None:
    patch = np.random.default_rng(1).uniform(0, 3, (187, 96))
    outputs = run(vgg_graph(vgg_checkpoint), patch[None])
    x = normalised(patch[:, :, None], vgg_checkpoint.norm(0))
    pools = [((4, 1), (2, 2)), ((2, 2), (2, 2)), ((2, 2), (2, 2)), ((2, 2), (2, 2)), ((4, 4), (4, 4))]
    levels = []
    for number, (size, stride) in enumerate(pools):
        kernel, bias = vgg_checkpoint.weights(f"{number + 1}CNN")
        x = normalised(relu(convolved(padded(x, 3, 3), kernel, bias)), vgg_checkpoint.norm(number + 1))
        x = pooled(x, size, stride)
        levels.append(x)
    kernel, bias = vgg_checkpoint.weights("dense")
    np.testing.assert_allclose(outputs["tags"][0], sigmoid(x.reshape(-1) @ kernel + bias), atol=2e-5)
    means = np.concatenate([level.mean(axis=(0, 1)) for level in levels[-2:]])
    np.testing.assert_allclose(outputs["embedding"][0], means, atol=2e-4)


def test_a_checkpoint_of_another_network_is_refused() -> None:
    arrays = musicnn_arrays()
    del arrays["conv2d_7/kernel"]
    with pytest.raises(ArtefactError, match="conv2d_7/kernel"):
        musicnn_graph(Checkpoint(arrays))
