"""ONNX graphs of the networks of the package musicnn, from the arrays of their checkpoints.

Most of the published filters give one number, whatever the clip (499 of 561 in `MSD_musicnn`). The graph
holds these numbers as constants and computes the other filters, with a channel of ones that carries the
constants into the next layer: like every channel, it is padded with zeros. The arrays of the checkpoint are
kept in the file for `read_graph`.

Pons and Serra, musicnn: pre-trained convolutional neural networks for music audio tagging (2019). The layers
stand in the checkpoint in the order of their creation (`conv2d`, `conv2d_1`, …).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quintet.embeddings.network import parse_model
from quintet.embeddings.onnx_graph import Floats, GraphBuilder
from quintet.errors import ArtefactError

N_MELS, N_FRAMES = 96, 187
TIMBRAL, TEMPORAL, MIDDLE, CONVOLUTIONS = 2, 3, 3, 5
INPUT, TAGS, EMBEDDING = "log_mel", "tags", "embedding"
NORM = ("gamma", "beta", "moving_mean", "moving_variance")
NORM_EPSILON = 1e-3
"""What TensorFlow adds to the variance of a batch normalization."""
HIGHEST = 16.0
"""Bound of the input, `log10(1e4 · power + 1)`. Samples of 20,000 would reach it."""
NEGLIGIBLE = 1e-6
"""A filter is constant if its values differ by less than this for every input."""
BLOCK = 16
"""Filters that ONNX Runtime computes together."""
Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Checkpoint:
    """The arrays of a checkpoint, by the name of their variable.

    Args:
        arrays: such as `conv2d_1/kernel`.
        prefix: what stands before these names in the file, such as `model/`.
    """

    arrays: Mapping[str, Floats]
    prefix: str = ""

    def array(self, name: str) -> Floats:
        """The array of a variable.

        Raises:
            ArtefactError: the checkpoint has no such variable.
        """
        try:
            return self.arrays[self.prefix + name]
        except KeyError:
            raise ArtefactError(
                f"A checkpoint of musicnn must hold the variable {name}. Received {len(self.arrays)} "
                "variables without it: is it another network?"
            ) from None

    def layer(self, kind: str, number: int) -> str:
        """Name of the layer that was created as the `number`-th of its kind."""
        return kind if number == 0 else f"{kind}_{number}"

    def weights(self, layer: str) -> tuple[Floats, Floats]:
        """Kernel and bias of a layer."""
        return self.array(f"{layer}/kernel"), self.array(f"{layer}/bias")

    def norm(self, number: int) -> dict[str, Floats]:
        """The four arrays of a batch normalization."""
        layer = self.layer("batch_normalization", number)
        return {name: self.array(f"{layer}/{name}") for name in NORM}

    def scaling(self, number: int) -> tuple[Doubles, Doubles]:
        """A batch normalization as `factor * x + shift`: factor and shift of each channel."""
        norm = {name: values.astype(np.float64) for name, values in self.norm(number).items()}
        factor = norm["gamma"] / np.sqrt(norm["moving_variance"] + NORM_EPSILON)
        return factor, norm["beta"] - factor * norm["moving_mean"]


@dataclass(frozen=True)
class Filters:
    """The filters of a layer of n filters, as the graph computes them: some of them, and the channel of ones.

    Args:
        computed: positions of the computed filters, ascending.
        constants: values of the other filters after their norm, 0 for the computed ones; shape `(n,)`.
        low: lower bounds of all values after the norm, shape `(n,)`.
        high: upper bounds.
    """

    computed: NDArray[np.int64]
    constants: Doubles
    low: Doubles
    high: Doubles

    def take(self, weights: NDArray[np.floating]) -> Floats:
        """Weights of the next layer on the computed filters and on the channel of ones.

        Args:
            weights: on the filters, shape `(n, …)`.

        Returns:
            Shape `(computed + 1, …)`.
        """
        ones = np.tensordot(self.constants, weights.astype(np.float64), 1)
        return np.concatenate([weights[self.computed], ones[None]]).astype(np.float32)

    def own(self, values: NDArray[np.floating], of_ones: float) -> Floats:
        """Numbers of the layer itself for its computed filters and its channel of ones.

        Args:
            values: numbers of each filter, shape `(…, n)`.
            of_ones: the number of the channel of ones.

        Returns:
            Shape `(…, computed + 1)`.
        """
        ones = np.full((*values.shape[:-1], 1), of_ones)
        return np.concatenate([values[..., self.computed], ones], axis=-1).astype(np.float32)


def input_filters(checkpoint: Checkpoint) -> Filters:
    """The one channel of the input after its norm."""
    factor, shift = checkpoint.scaling(0)
    ends = np.sort([shift, HIGHEST * factor + shift], axis=0)
    return Filters(np.array([0]), np.zeros(1), *ends)


def find_filters(weights: tuple[Floats, Floats], scaling: tuple[Doubles, Doubles], below: Filters) -> Filters:
    """The filters of a convolution whose values depend on the clip. A ReLU and a norm follow it.

    The bounds of the inputs give the bounds of a filter's values (interval arithmetic). The number of
    computed filters, with the channel of ones, is a multiple of `BLOCK`, if there are so many.

    Args:
        weights: kernel `(height, width, in, out)` and bias `(out,)`.
        scaling: the norm, as `Checkpoint.scaling` gives it.
        below: the filters of the layer below. Its values are padded with zeros.
    """
    kernel, bias = (array.astype(np.float64) for array in weights)
    factor, shift = scaling
    low, high = np.minimum(below.low, 0), np.maximum(below.high, 0)
    rising, falling = np.maximum(kernel, 0).sum(axis=(0, 1)), np.minimum(kernel, 0).sum(axis=(0, 1))
    sums = np.array([low @ rising + high @ falling, high @ rising + low @ falling]) + bias
    ends = np.sort(np.maximum(sums, 0) * factor + shift, axis=0)
    spread = ends[1] - ends[0]
    n_needed = int((spread > NEGLIGIBLE).sum()) + 1
    order = np.argsort(-spread, kind="stable")
    computed = np.sort(order[: -(-n_needed // BLOCK) * BLOCK - 1])
    constants = ends.mean(axis=0)
    constants[computed] = 0
    return Filters(computed, constants, *ends)


def musicnn_graph(checkpoint: Checkpoint) -> bytes:
    """The ONNX model of `MTT_musicnn` or `MSD_musicnn`.

    The input `log_mel` has shape `(batch, frames, 96)`. The outputs are `tags`, shape `(batch, n_tags)`, in
    [0, 1], and `embedding`, shape `(batch, units)`, which is the normalised last hidden layer.
    """
    builder = _begin(checkpoint, ("batch", "frames", N_MELS))
    x = builder.add("Unsqueeze", INPUT, builder.constant(np.array([1], np.int64)))
    x = builder.scale(x, *checkpoint.scaling(0))
    filters = [
        find_filters(
            checkpoint.weights(checkpoint.layer("conv2d", number)),
            checkpoint.scaling(number + 1),
            input_filters(checkpoint),
        )
        for number in range(TIMBRAL + TEMPORAL)
    ]
    front = _front(builder, checkpoint, x, filters)
    levels, below = [front], front
    for number in range(MIDDLE):
        below = _middle(builder, checkpoint, below, number, filters)
        levels.append(below)
    joined = builder.add("Concat", *levels, axis=1)
    peak = builder.add("ReduceMax", joined, axes=[2], keepdims=0)
    mean = builder.add("ReduceMean", joined, axes=[2], keepdims=0)
    hidden = _summary(builder, checkpoint, (peak, mean), filters)
    embedding = builder.scale(hidden, *checkpoint.scaling(TIMBRAL + TEMPORAL + MIDDLE + 2))
    kernel, bias = checkpoint.weights("dense_1")
    tags = builder.add("Sigmoid", builder.dense(embedding, kernel, bias))
    return builder.finish(
        {TAGS: (tags, ("batch", len(bias))), EMBEDDING: (embedding, ("batch", len(kernel)))}
    )


def read_graph(content: bytes) -> Checkpoint:
    """The checkpoint from which `musicnn_graph` or `vgg_graph` made an ONNX model.

    Args:
        content: the ONNX file.

    Raises:
        MissingExtraError: onnx is not installed.
        ArtefactError: the bytes are no such model.
    """
    initializers = parse_model(content).graph.initializer
    from onnx import numpy_helper

    kept = [tensor for tensor in initializers if "/" in tensor.name]
    arrays: dict[str, Floats] = {tensor.name: numpy_helper.to_array(tensor) for tensor in kept}
    if not any(name.endswith("/kernel") for name in arrays):
        raise ArtefactError(
            "A file of musicnn must hold the arrays of its checkpoint. It does not: it is another network, "
            "or an early version wrote it. Run: quintet weights fetch musicnn"
        )
    return Checkpoint(arrays)


def _begin(checkpoint: Checkpoint, shape: tuple[int | str, ...]) -> GraphBuilder:
    """A graph with an input of this shape, and with the arrays of the checkpoint."""
    builder = GraphBuilder(INPUT, shape)
    for name, values in sorted(checkpoint.arrays.items()):
        builder.keep(name.removeprefix(checkpoint.prefix), values)
    return builder


def _front(builder: GraphBuilder, checkpoint: Checkpoint, x: str, filters: Sequence[Filters]) -> str:
    """All kinds of filters, and their maxima over the bands, shape `(batch, filters, frames)`.

    The published order is convolution, ReLU, norm, maximum. The maximum comes first here, which takes a
    quarter off the time: ReLU and a norm with a positive factor keep the order of values. Filters with a
    negative factor change their sign before the maximum and again after it.
    """
    peaks, signs, scalings = [], [], []
    for number, kind in enumerate(filters):
        kernel, bias = checkpoint.weights(checkpoint.layer("conv2d", number))
        factor, shift = checkpoint.scaling(number + 1)
        sign = np.where(factor < 0, -1.0, 1.0)
        half = kernel.shape[0] // 2
        padding = {"pads": [half, 0, half, 0]} if number < TIMBRAL else {"auto_pad": "SAME_UPPER"}
        filtered = builder.convolution(x, kind.own(kernel * sign, 0), kind.own(bias * sign, 1), **padding)
        n_bands = N_MELS - kernel.shape[1] + 1
        peaks.append(builder.add("MaxPool", filtered, kernel_shape=[1, n_bands]))
        signs.append(kind.own(sign, 1))
        scalings.append([kind.own(factor, 1), kind.own(shift, 0)])
    joined = builder.add("Concat", *peaks, axis=1)
    joined = builder.add("Squeeze", joined, builder.constant(np.array([3], np.int64)))
    signed = builder.add("Mul", joined, builder.constant(np.concatenate(signs)[:, None]))
    return builder.scale(builder.add("Relu", signed), *np.concatenate(scalings, axis=1))


def _take_front(weights: NDArray[np.floating], filters: Sequence[Filters]) -> Floats:
    """Weights on all filters of `_front`, shape `(filters, …)`, as weights on its channels."""
    ends = np.cumsum([len(kind.constants) for kind in filters])
    pairs = zip(filters, np.split(weights, ends[:-1]), strict=True)
    return np.concatenate([kind.take(part) for kind, part in pairs])


def _middle(
    builder: GraphBuilder, checkpoint: Checkpoint, below: str, number: int, filters: Sequence[Filters]
) -> str:
    """A convolution over time; from the second on, its input is added to its output."""
    position = TIMBRAL + TEMPORAL + number
    kernel, bias = checkpoint.weights(checkpoint.layer("conv2d", position))
    weights = kernel[:, :, 0, :].transpose(1, 2, 0)  # (in, out, frames)
    if number == 0:
        weights = _take_front(weights, filters)
    half = kernel.shape[0] // 2
    constants = builder.constant(weights.transpose(1, 0, 2)), builder.constant(bias)
    x = builder.add("Relu", builder.add("Conv", below, *constants, pads=[half, half]))
    x = builder.scale(x, *checkpoint.scaling(position + 1))
    return x if number == 0 else builder.add("Add", x, below)


def _summary(
    builder: GraphBuilder, checkpoint: Checkpoint, pooled: tuple[str, str], filters: Sequence[Filters]
) -> str:
    """The hidden layer on peaks and means over time, each of shape `(batch, channels)`.

    The checkpoint flattens (feature, [peak, mean]): the peak of feature i is value 2i, its mean 2i + 1.
    """
    kernel, bias = checkpoint.weights("dense")
    factor, shift = checkpoint.scaling(TIMBRAL + TEMPORAL + MIDDLE + 1)
    n_front = sum(len(kind.constants) for kind in filters)
    rows: list[NDArray[np.floating]] = []
    for first in range(2):
        weights = (factor[:, None] * kernel)[first::2]
        rows += [_take_front(weights[:n_front], filters), weights[n_front:]]
    x = builder.add("Concat", *pooled, axis=1)
    dense = np.concatenate(rows).astype(np.float32), (bias + shift @ kernel).astype(np.float32)
    return builder.add("Relu", builder.dense(x, *dense))


def vgg_graph(checkpoint: Checkpoint) -> bytes:
    """The ONNX model of `MTT_vgg` or `MSD_vgg`.

    The input `log_mel` has shape `(batch, 187, 96)`. The outputs are `tags` as in `musicnn_graph`, and
    `embedding`, shape `(batch, 256)`: the means over the patch of the fourth and of the fifth pooled layer.
    """
    builder = _begin(checkpoint, ("batch", N_FRAMES, N_MELS))
    x = builder.add("Unsqueeze", INPUT, builder.constant(np.array([1], np.int64)))
    x = builder.scale(x, *checkpoint.scaling(0))
    pools = [([4, 1], [2, 2]), ([2, 2], [2, 2]), ([2, 2], [2, 2]), ([2, 2], [2, 2]), ([4, 4], [4, 4])]
    filters, levels = input_filters(checkpoint), []
    for number, (size, stride) in enumerate(pools):
        kernel, bias = checkpoint.weights(f"{number + 1}CNN")
        factor, shift = checkpoint.scaling(number + 1)
        below, filters = filters, find_filters((kernel, bias), (factor, shift), filters)
        weights = kernel.transpose(2, 0, 1, 3)  # (in, height, width, out)
        weights = (weights if number == 0 else below.take(weights)).transpose(1, 2, 0, 3)
        own = filters.own(weights, 0), filters.own(bias, 1)
        x = builder.add("Relu", builder.convolution(x, *own, auto_pad="SAME_UPPER"))
        x = builder.scale(x, filters.own(factor, 1), filters.own(shift, 0))
        x = builder.add("MaxPool", x, kernel_shape=size, strides=stride)
        levels.append((x, filters))
    means = []
    for level, kind in levels[-2:]:
        every_filter = builder.constant(kind.take(np.eye(len(kind.constants))))
        mean = builder.add("ReduceMean", level, axes=[2, 3], keepdims=0)
        means.append(builder.add("MatMul", mean, every_filter))
    embedding = builder.add("Concat", *means, axis=1)
    last_first = builder.add("Transpose", x, perm=[0, 2, 3, 1])  # TensorFlow flattens channels last
    kernel, bias = checkpoint.weights("dense")
    per_place = kernel.reshape(-1, len(filters.constants), len(bias)).transpose(1, 0, 2)
    dense = filters.take(per_place).transpose(1, 0, 2).reshape(-1, len(bias))
    tags = builder.add("Sigmoid", builder.dense(builder.reshape(last_first, (0, -1)), dense, bias))
    width = 2 * len(filters.constants)
    return builder.finish({TAGS: (tags, ("batch", len(bias))), EMBEDDING: (embedding, ("batch", width))})
