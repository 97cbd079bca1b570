"""ONNX graphs of the networks of the package musicnn, from the arrays of their checkpoints.

Pons and Serra, musicnn: pre-trained convolutional neural networks for music audio tagging (2019). The layers
stand in the checkpoint in the order of their creation (`conv2d`, `conv2d_1`, …).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from quintet.embeddings.network import parse_model
from quintet.embeddings.onnx_graph import NORM_EPSILON, Floats, GraphBuilder
from quintet.errors import ArtefactError

N_MELS, N_FRAMES = 96, 187
TIMBRAL, TEMPORAL, MIDDLE, CONVOLUTIONS = 2, 3, 3, 5
NORMS = TIMBRAL + TEMPORAL + MIDDLE + 3
INPUT, TAGS, EMBEDDING = "log_mel", "tags", "embedding"
NORM = ("gamma", "beta", "moving_mean", "moving_variance")
WEIGHTS = ("kernel", "bias")


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


def musicnn_graph(checkpoint: Checkpoint) -> bytes:
    """The ONNX model of `MTT_musicnn` or `MSD_musicnn`.

    The input `log_mel` has shape `(batch, frames, 96)`. The outputs are `tags`, shape `(batch, n_tags)`, in
    [0, 1], and `embedding`, shape `(batch, units)`, which is the normalised last hidden layer.
    """
    builder = GraphBuilder(INPUT, ("batch", "frames", N_MELS))
    x = builder.add("Unsqueeze", INPUT, builder.constant(np.array([1], np.int64)))
    x = builder.batch_norm(x, checkpoint.norm(0))
    views = [_front_view(builder, checkpoint, x, number) for number in range(TIMBRAL + TEMPORAL)]
    front = builder.add("Concat", *views, axis=1)
    levels, below = [front], front
    for number in range(MIDDLE):
        below = _middle(builder, checkpoint, below, number)
        levels.append(below)
    joined = builder.add("Concat", *levels, axis=1)
    peak = builder.add("ReduceMax", joined, axes=[2], keepdims=0)
    mean = builder.add("ReduceMean", joined, axes=[2], keepdims=0)
    # the checkpoint flattens (feature, [peak, mean]): the peak of feature i is value 2i, its mean 2i + 1
    axis = builder.constant(np.array([2], np.int64))
    pairs = builder.add(
        "Concat", builder.add("Unsqueeze", peak, axis), builder.add("Unsqueeze", mean, axis), axis=2
    )
    x = builder.reshape(pairs, (0, -1))
    last = TIMBRAL + TEMPORAL + MIDDLE + 1
    x = builder.batch_norm(x, checkpoint.norm(last))
    x = builder.add("Relu", builder.dense(x, *checkpoint.weights("dense")))
    embedding = builder.batch_norm(x, checkpoint.norm(last + 1))
    kernel, bias = checkpoint.weights("dense_1")
    tags = builder.add("Sigmoid", builder.dense(embedding, kernel, bias))
    return builder.finish(
        {TAGS: (tags, ("batch", len(bias))), EMBEDDING: (embedding, ("batch", len(kernel)))}
    )


def read_graph(content: bytes, *, is_vgg: bool) -> Checkpoint:
    """The checkpoint from which `musicnn_graph` or `vgg_graph` made an ONNX model.

    Args:
        content: the ONNX file.
        is_vgg: whether it is the VGG.

    Raises:
        MissingExtraError: onnx is not installed.
        ArtefactError: the bytes are no such model.
    """
    graph = parse_model(content).graph
    from onnx import numpy_helper

    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    arrays: dict[str, Floats] = {name: values for name, values in constants.items() if "/" in name}
    kept = Checkpoint(arrays)
    is_rearranged = bool(arrays)
    norms = [kept.layer("batch_normalization", number) for number in range(NORMS)]
    layers = {
        "BatchNormalization": iter([layer for layer in norms if f"{layer}/gamma" not in arrays]),
        "Conv": iter([kept.layer("conv2d", number) for number in range(NORMS)]),
        "Gemm": iter(["dense", "dense_1"]),
    }
    if is_vgg:
        layers["Conv"] = iter([f"{number + 1}CNN" for number in range(CONVOLUTIONS)])
    for node in graph.node:
        layer = next(layers.get(node.op_type, iter(())), None)
        values = [constants[name] for name in node.input[1:] if name in constants]
        if layer is None:
            continue
        if node.op_type == "Conv" and values:
            values[0] = _tensorflow_kernel(values[0])
        parts = NORM if node.op_type == "BatchNormalization" else WEIGHTS
        arrays |= {f"{layer}/{part}": array for part, array in zip(parts, values, strict=False)}
    if not is_vgg and f"{norms[-1]}/gamma" not in arrays:
        raise ArtefactError(
            f"A file of musicnn must hold its {NORMS} norms. It does not: it is another network, or an early "
            "version wrote it. Run: quintet weights fetch musicnn"
        )
    if is_rearranged:
        _restore_signs(arrays)
    return Checkpoint(arrays)


def _restore_signs(arrays: dict[str, Floats]) -> None:
    """Undo the change of sign of the filters whose norm has a negative factor, see `_front_view`."""
    names = Checkpoint(arrays)
    for number in range(TIMBRAL + TEMPORAL):
        kernel, bias = names.weights(names.layer("conv2d", number))
        sign = _sign(names.norm(number + 1))
        if kernel.shape[-1:] != sign.shape or bias.shape != sign.shape:
            raise ArtefactError(
                f"A norm of musicnn must have a number per filter. Received {len(sign)} for "
                f"{kernel.shape[-1]} filters: is it another network?"
            )
        layer = names.layer("conv2d", number)
        arrays[f"{layer}/kernel"], arrays[f"{layer}/bias"] = kernel * sign, bias * sign


def _sign(norm: Mapping[str, Floats]) -> Floats:
    """Sign of the factor of a norm: -1 or 1 per filter."""
    return np.where(norm["gamma"] < 0, -1, 1).astype(np.float32)


def _tensorflow_kernel(weights: Floats) -> Floats:
    """Kernel of a convolution in TensorFlow's order; one over time has the shape `(frames, in, 1, out)`."""
    if weights.ndim == 3:
        return np.transpose(weights, (2, 1, 0))[:, :, None, :]
    if weights.ndim == 4:
        return np.transpose(weights, (2, 3, 1, 0))
    raise ArtefactError(
        f"A convolution of musicnn must have a kernel of 3 or 4 axes. Received {weights.ndim}: "
        "is it another network?"
    )


def _front_view(builder: GraphBuilder, checkpoint: Checkpoint, x: str, number: int) -> str:
    """One kind of filter and its maximum over the bands, shape `(batch, filters, frames)`.

    The published order is convolution, ReLU, norm, maximum. The maximum comes first here, which takes a
    quarter off the time of the network: ReLU and a norm with a positive factor keep the order of values.
    Filters with a negative factor change their sign before the maximum and again after it. The arrays of the
    norm are kept in the file, for `read_graph`.
    """
    kernel, bias = checkpoint.weights(checkpoint.layer("conv2d", number))
    norm = checkpoint.norm(number + 1)
    factor = norm["gamma"] / np.sqrt(norm["moving_variance"] + NORM_EPSILON)
    sign = _sign(norm)
    weights = builder.constant(np.transpose(kernel * sign, (3, 2, 0, 1)))
    for part, values in norm.items():
        builder.keep(f"{checkpoint.layer('batch_normalization', number + 1)}/{part}", values)
    half = kernel.shape[0] // 2
    padding = {"pads": [half, 0, half, 0]} if number < TIMBRAL else {"auto_pad": "SAME_UPPER"}
    filtered = builder.add("Conv", x, weights, builder.constant(bias * sign), **padding)
    peak = builder.add("ReduceMax", filtered, axes=[3], keepdims=0)
    peak = builder.add("Relu", builder.add("Mul", peak, _per_filter(builder, sign)))
    scaled = builder.add("Mul", peak, _per_filter(builder, factor))
    return builder.add("Add", scaled, _per_filter(builder, norm["beta"] - norm["moving_mean"] * factor))


def _per_filter(builder: GraphBuilder, values: Floats) -> str:
    """One number for each filter, for all frames."""
    return builder.constant(values.astype(np.float32)[:, None])


def _middle(builder: GraphBuilder, checkpoint: Checkpoint, below: str, number: int) -> str:
    """A convolution over time; from the second on, its input is added to its output."""
    position = TIMBRAL + TEMPORAL + number
    kernel, bias = checkpoint.weights(checkpoint.layer("conv2d", position))
    weights = builder.constant(np.transpose(kernel[:, :, 0, :], (2, 1, 0)))  # (out, in, frames)
    half = kernel.shape[0] // 2
    x = builder.add("Conv", below, weights, builder.constant(bias), pads=[half, half])
    x = builder.batch_norm(builder.add("Relu", x), checkpoint.norm(position + 1))
    return x if number == 0 else builder.add("Add", x, below)


def vgg_graph(checkpoint: Checkpoint) -> bytes:
    """The ONNX model of `MTT_vgg` or `MSD_vgg`.

    The input `log_mel` has shape `(batch, 187, 96)`. The outputs are `tags` as in `musicnn_graph`, and
    `embedding`, shape `(batch, 256)`: the means over the patch of the fourth and of the fifth pooled layer.
    """
    builder = GraphBuilder(INPUT, ("batch", N_FRAMES, N_MELS))
    x = builder.add("Unsqueeze", INPUT, builder.constant(np.array([1], np.int64)))
    x = builder.batch_norm(x, checkpoint.norm(0))
    pools = [([4, 1], [2, 2]), ([2, 2], [2, 2]), ([2, 2], [2, 2]), ([2, 2], [2, 2]), ([4, 4], [4, 4])]
    levels = []
    for number, (size, stride) in enumerate(pools):
        kernel, bias = checkpoint.weights(f"{number + 1}CNN")
        x = builder.convolution(x, kernel, bias, auto_pad="SAME_UPPER")
        x = builder.batch_norm(x, checkpoint.norm(number + 1))
        x = builder.add("MaxPool", x, kernel_shape=size, strides=stride)
        levels.append(x)
    means = [builder.add("ReduceMean", level, axes=[2, 3], keepdims=0) for level in levels[-2:]]
    embedding = builder.add("Concat", *means, axis=1)
    last_first = builder.add("Transpose", x, perm=[0, 2, 3, 1])  # TensorFlow flattens channels last
    flat = builder.reshape(last_first, (0, -1))
    kernel, bias = checkpoint.weights("dense")
    tags = builder.add("Sigmoid", builder.dense(flat, kernel, bias))
    width = 2 * checkpoint.weights("5CNN")[1].shape[0]
    return builder.finish({TAGS: (tags, ("batch", len(bias))), EMBEDDING: (embedding, ("batch", width))})
