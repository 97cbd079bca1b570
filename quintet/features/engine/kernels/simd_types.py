"""Types of SIMD values: for numba, and for the type checker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from llvmlite import ir
from llvmlite.ir import IRBuilder as Builder
from llvmlite.ir import Value
from numba import types
from numba.core.typing.templates import Signature
from numba.extending import models, register_model

from quintet.features.engine.kernels.lanes import LANES, Number


class Vector(Protocol):
    """Value of eight numbers, for the type checker: the operators that kernels may use."""

    def __add__(self, other: Vector | Number, /) -> Vector: ...
    def __radd__(self, other: Number, /) -> Vector: ...
    def __sub__(self, other: Vector | Number, /) -> Vector: ...
    def __rsub__(self, other: Number, /) -> Vector: ...
    def __mul__(self, other: Vector | Number, /) -> Vector: ...
    def __rmul__(self, other: Number, /) -> Vector: ...
    def __truediv__(self, other: Vector | Number, /) -> Vector: ...
    def __rtruediv__(self, other: Number, /) -> Vector: ...
    def __neg__(self) -> Vector: ...
    def __lt__(self, other: Vector | Number, /) -> Mask: ...
    def __le__(self, other: Vector | Number, /) -> Mask: ...
    def __gt__(self, other: Vector | Number, /) -> Mask: ...
    def __ge__(self, other: Vector | Number, /) -> Mask: ...


class Mask(Protocol):
    """Value of eight truth values, for the type checker."""

    def __and__(self, other: Mask, /) -> Mask: ...
    def __or__(self, other: Mask, /) -> Mask: ...


class ArrayStruct(Protocol):
    """Parts of an array in LLVM code."""

    data: Value


class Context(Protocol):
    """What intrinsics use of numba's code generation."""

    def cast(self, builder: Builder, value: Value, source: types.Type, target: types.Type, /) -> Value: ...
    def get_data_type(self, kind: types.Type, /) -> ir.Type: ...
    def get_dummy_value(self) -> Value: ...
    def make_array(self, kind: types.Array, /) -> Callable[..., ArrayStruct]: ...
    def make_tuple(self, builder: Builder, kind: types.Type, values: Sequence[Value], /) -> Value: ...


Arguments = Sequence[Value]
Emit = Callable[[Context, Builder, Signature, Arguments], Value]
Code = tuple[Signature, Emit]
"""Types of a call, and the function that emits its instructions."""


DOUBLES_VECTOR = ir.VectorType(ir.DoubleType(), LANES)
SINGLES_VECTOR = ir.VectorType(ir.FloatType(), LANES)
MASK_VECTOR = ir.VectorType(ir.IntType(1), LANES)


class LanesType(types.Type):
    """Type in numba of eight numbers or, as a mask, of eight truth values.

    Args:
        name: name of the type in numba.
        vector: LLVM's type of the value.
        element: type of one of the eight.
    """

    def __init__(self, name: str, vector: ir.VectorType, element: types.Type) -> None:
        self.vector = vector
        self.element = element
        super().__init__(name=name)


lanes = LanesType("Lanes", DOUBLES_VECTOR, types.float64)
singles = LanesType("Singles", SINGLES_VECTOR, types.float32)
mask = LanesType("LanesMask", MASK_VECTOR, types.boolean)


def values_of(element: types.Type) -> LanesType:
    """Type of the values that hold numbers of the type `element`."""
    return singles if element == types.float32 else lanes


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    """Storage of a value: one LLVM vector, in registers if there is room."""

    def __init__(self, manager: object, kind: LanesType) -> None:
        super().__init__(manager, kind, kind.vector)  # type: ignore[no-untyped-call]
