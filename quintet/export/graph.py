"""A graph of ONNX operations that grows node by node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from quintet.errors import MissingExtraError

if TYPE_CHECKING:
    import onnx

OPSET, ML_OPSET, IR_VERSION = 17, 3, 8
"""Versions of the operations and of the format: those of onnxruntime 1.14 and later."""
ML_DOMAIN = "ai.onnx.ml"


class Graph:
    """Nodes, constants, inputs and outputs of one model.

    Raises:
        MissingExtraError: onnx is not installed.
    """

    def __init__(self) -> None:
        try:
            import onnx
        except ImportError as error:
            raise MissingExtraError("The export to ONNX", "export") from error
        self._onnx = onnx
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, kind: type[np.generic], shape: Sequence[int | str]) -> str:
        """An input, and its name.

        Args:
            name: its name.
            kind: type of its numbers.
            shape: sizes, or names of sizes that may be any number.
        """
        self._inputs.append(self._value(name, kind, shape))
        return name

    def output(self, value: str, name: str, kind: type[np.generic], shape: Sequence[int | str]) -> None:
        """Make a value an output of a name."""
        self._nodes.append(self._onnx.helper.make_node("Identity", [value], [name]))
        self._outputs.append(self._value(name, kind, shape))

    def constant(self, values: object, kind: type[np.generic] = np.float64) -> str:
        """A constant array, and its name."""
        name = f"constant{len(self._constants)}"
        array = np.ascontiguousarray(np.asarray(values, dtype=kind))
        self._constants.append(self._onnx.numpy_helper.from_array(array, name))
        return name

    def node(self, operation: str, *values: str, domain: str = "", **attributes: Any) -> str:
        """The first output of an operation.

        Args:
            operation: its name in ONNX.
            values: names of what it reads; empty for an input that is left out.
            domain: its domain.
            attributes: its attributes.
        """
        name = f"value{len(self._nodes)}"
        node = self._onnx.helper.make_node(operation, list(values), [name], domain=domain, **attributes)
        self._nodes.append(node)
        return name

    def second_output(self, operation: str, *values: str, **attributes: Any) -> str:
        """The second output of an operation, whose first is not used."""
        name = f"value{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(operation, list(values), ["", name], **attributes))
        return name

    def cast(self, value: str, kind: type[np.generic]) -> str:
        """A value with numbers of another type."""
        return self.node("Cast", value, to=self._tensor_type(kind))

    def model(self, metadata: Mapping[str, str]) -> onnx.ModelProto:
        """The model, checked.

        Args:
            metadata: texts that the file holds.
        """
        helper = self._onnx.helper
        graph = helper.make_graph(
            self._nodes, "quintet", self._inputs, self._outputs, initializer=self._constants
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(ML_DOMAIN, ML_OPSET)]
        model: onnx.ModelProto = helper.make_model(
            graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="quintet"
        )
        helper.set_model_props(model, dict(metadata))
        self._onnx.checker.check_model(model)
        return model

    def _value(self, name: str, kind: type[np.generic], shape: Sequence[int | str]) -> onnx.ValueInfoProto:
        return self._onnx.helper.make_tensor_value_info(name, self._tensor_type(kind), list(shape))

    def _tensor_type(self, kind: type[np.generic]) -> int:
        return int(self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(kind)))


def tensor(name: str, values: NDArray[np.float64]) -> onnx.TensorProto:
    """An array as the value of an attribute."""
    from onnx import numpy_helper

    return numpy_helper.from_array(np.ascontiguousarray(values), name)
