"""The ONNX graphs compute what the layers of musicnn compute, in plain NumPy in float64."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from quintet.embeddings.musicnn_graph import Checkpoint, Filters, find_filters, musicnn_graph, vgg_graph
from quintet.errors import ArtefactError
from tests.embeddings.conftest import musicnn_arrays, vgg_arrays

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


def require_musicnn(checkpoint: Checkpoint) -> None:
    """Compare the graph with the layers of the paper."""
    patches = np.random.default_rng(1).uniform(0, 3, (2, 187, 96))
    outputs = run(musicnn_graph(checkpoint), patches)
    for position, patch in enumerate(patches):
        tags, embedding = musicnn_by_hand(checkpoint, patch)
        np.testing.assert_allclose(outputs["tags"][position], tags, atol=2e-5)
        np.testing.assert_allclose(outputs["embedding"][position], embedding, atol=2e-4)
    assert np.ptp(outputs["tags"]) > 0.1


def test_musicnn_is_the_network_of_the_paper(musicnn_checkpoint: Checkpoint) -> None:
    require_musicnn(musicnn_checkpoint)


def pooled(x: Array, size: tuple[int, int], stride: tuple[int, int]) -> Array:
    return sliding_window_view(x, size, axis=(0, 1))[:: stride[0], :: stride[1]].max(axis=(-1, -2))


def require_vgg(vgg_checkpoint: Checkpoint) -> None:
    """Compare the graph with the layers of the package."""
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


def test_vgg_is_the_network_of_the_package(vgg_checkpoint: Checkpoint) -> None:
    require_vgg(vgg_checkpoint)


def with_dead_filters(arrays: dict[str, np.ndarray], living: int) -> Checkpoint:
    """A checkpoint whose convolutions have some filters that see the clip; the others give one number each.

    Some of the others have no weights, some never pass their ReLU, and their norm has a small variance.
    """
    arrays = {name: array.copy() for name, array in arrays.items()}
    layers = [name.removesuffix("/kernel") for name, array in arrays.items() if array.ndim == 4]
    for position, layer in enumerate(layers):
        dead = np.arange(arrays[f"{layer}/bias"].size) >= living
        silent = dead & (np.arange(dead.size) % 2 == 0)
        arrays[f"{layer}/kernel"][..., dead & ~silent] *= 1e-19
        arrays[f"{layer}/bias"][silent] = -1e6
        arrays[f"batch_normalization_{position + 1}/moving_variance"][dead] = 1e-36
    return Checkpoint(arrays)


def n_multiplied(content: bytes) -> int:
    """Numbers of all kernels in a graph."""
    model = onnx.load_model_from_string(content)
    own = {tensor.name: tensor for tensor in model.graph.initializer}
    kernels = [own[node.input[1]] for node in model.graph.node if node.op_type == "Conv"]
    return sum(int(np.prod(kernel.dims)) for kernel in kernels)


def test_filters_that_give_one_number_become_constants() -> None:
    arrays = musicnn_arrays(filters=40, small=20, middle=4)
    dead = with_dead_filters(arrays, living=4)
    require_musicnn(dead)
    assert n_multiplied(musicnn_graph(dead)) < 0.5 * n_multiplied(musicnn_graph(Checkpoint(arrays)))
    arrays = vgg_arrays(middle=40)
    dead = with_dead_filters(arrays, living=4)
    require_vgg(dead)
    assert n_multiplied(vgg_graph(dead)) < 0.3 * n_multiplied(vgg_graph(Checkpoint(arrays)))


def test_bounds_of_filters_hold_for_every_input() -> None:
    rng = np.random.default_rng(0)
    below = Filters(np.arange(2), np.zeros(2), np.array([0.5, -1.0]), np.array([2.0, 3.0]))
    kernel, bias = rng.normal(size=(3, 1, 2, 20)).astype(np.float32), np.zeros(20, np.float32)
    factor, shift = rng.normal(size=20), rng.normal(size=20)
    found = find_filters((kernel, bias), (factor, shift), below)
    ends = np.array([[0.0, 0.5, 2.0], [-1.0, 0.0, 3.0]])  # the padding is 0
    for chosen in rng.integers(0, 3, (500, 3, 2)):
        x = np.stack([ends[0][chosen[:, 0]], ends[1][chosen[:, 1]]], axis=1)
        values = relu(np.einsum("hi,hio->o", x, kernel[:, 0]) + bias) * factor + shift
        assert (values >= found.low - 1e-9).all()
        assert (values <= found.high + 1e-9).all()
    kernel *= np.where(np.arange(20) < 2, 1, 1e-9).astype(np.float32)
    few = find_filters((kernel, bias), (factor, shift), below)
    assert len(few.computed) == 15
    assert {0, 1} <= set(few.computed)
    np.testing.assert_allclose(few.constants[few.constants != 0], shift[few.constants != 0], atol=1e-6)


def test_a_checkpoint_of_another_network_is_refused() -> None:
    arrays = musicnn_arrays()
    del arrays["conv2d_7/kernel"]
    with pytest.raises(ArtefactError, match="conv2d_7/kernel"):
        musicnn_graph(Checkpoint(arrays))
