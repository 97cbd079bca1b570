"""Building of ONNX graphs, node by node, from arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quintet.errors import MissingExtraError

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

Floats = NDArray[np.float32]
OPSET = 17
IR_VERSION = 8


class GraphBuilder:
    """A graph that grows by one node per call; each call returns the name of the new value.

    Args:
        input_name: name of the only input.
        shape: its shape; None or a name stands for a size that may vary.

    Raises:
        MissingExtraError: the package onnx is not installed.

    Example:
        >>> builder = GraphBuilder("x", ("batch", 3))
        >>> doubled = builder.add("Mul", "x", builder.constant(np.float32([2.0])))
        >>> model = builder.finish({"y": (doubled, ("batch", 3))})
        >>> len(model) > 50
        True
    """

    def __init__(self, input_name: str, shape: tuple[int | str, ...]) -> None:
        try:
            from onnx import helper, numpy_helper
        except ImportError:
            raise MissingExtraError("An ONNX model", "embeddings") from None
        self._helper, self._numpy_helper = helper, numpy_helper
        self._input = helper.make_tensor_value_info(input_name, 1, shape)
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []

    def constant(self, values: Floats | NDArray[np.int64]) -> str:
        """Add an array; float arrays are stored as float32."""
        name = f"constant_{len(self._constants)}"
        array = np.ascontiguousarray(values)
        if array.dtype.kind == "f":
            array = array.astype(np.float32)
        self._constants.append(self._numpy_helper.from_array(array, name))
        return name

    def keep(self, name: str, values: Floats) -> None:
        """Store an array that no node reads, for those who read the file back."""
        array = np.ascontiguousarray(values, dtype=np.float32)
        self._constants.append(self._numpy_helper.from_array(array, name))

    def add(self, operation: str, *inputs: str, **attributes: object) -> str:
        """Add a node of the standard operator set."""
        name = f"{operation.lower()}_{len(self._nodes)}"
        make_node: Callable[..., NodeProto] = self._helper.make_node
        self._nodes.append(make_node(operation, list(inputs), [name], name=name, **attributes))
        return name

    def reshape(self, x: str, shape: tuple[int, ...]) -> str:
        """Add a reshape; -1 is the size that is left, 0 keeps the size of the input."""
        return self.add("Reshape", x, self.constant(np.array(shape, np.int64)))

    def convolution(self, x: str, kernel: Floats, bias: Floats, **attributes: object) -> str:
        """Add a convolution.

        Args:
            x: shape `(batch, in, height, width)`.
            kernel: in TensorFlow's order, shape `(height, width, in, out)`.
            bias: shape `(out,)`.
            **attributes: of the operator `Conv`, such as `auto_pad` or `pads`.
        """
        weights = self.constant(np.transpose(kernel, (3, 2, 0, 1)))
        return self.add("Conv", x, weights, self.constant(bias), **attributes)

    def scale(self, x: str, factor: NDArray[np.floating], shift: NDArray[np.floating]) -> str:
        """Add `factor * x + shift` for each channel: a batch normalization with mean 0 and variance 1.

        Args:
            x: shape `(batch, channels, …)`.
            factor: shape `(channels,)`.
            shift: shape `(channels,)`.
        """
        values = np.stack([factor, shift, np.zeros(len(factor)), np.ones(len(factor))]).astype(np.float32)
        return self.add("BatchNormalization", x, *map(self.constant, values), epsilon=0.0)

    def dense(self, x: str, kernel: Floats, bias: Floats) -> str:
        """Add a dense layer: `x @ kernel + bias`."""
        return self.add("Gemm", x, self.constant(kernel), self.constant(bias))

    def finish(self, outputs: dict[str, tuple[str, tuple[int | str, ...]]]) -> bytes:
        """The serialised model.

        Args:
            outputs: for the name of each output, the value that it gives and its shape.
        """
        helper = self._helper
        nodes = [*self._nodes]
        infos = []
        for name, (value, shape) in outputs.items():
            nodes.append(helper.make_node("Identity", [value], [name]))
            infos.append(helper.make_tensor_value_info(name, 1, shape))
        graph = helper.make_graph(nodes, "quintet", [self._input], infos, self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = IR_VERSION
        content: bytes = model.SerializeToString()
        return content
