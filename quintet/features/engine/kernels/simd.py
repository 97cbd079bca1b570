"""Lanes: eight frames of a recording, computed side by side.

A processor of today adds eight float64 numbers in one instruction, if they stand next to each other. Along the bins of *one* spectrum
they seldom do the same thing (a filter begins here, a band ends there); along *eight frames* they always do. So the engine
(`kernels.py`) puts frame 0 into lane 0, frame 1 into lane 1, … and computes with values that are eight numbers each:

    value = load(rows, 3)            # rows[3, :], eight numbers: bin 3 of eight frames
    power = value * value + 1e-10    # eight multiplications, eight additions
    store(rows, 3, select(power > 1.0, power, splat(0.0)))

Inside an `@njit` function a value behaves like a NumPy array of shape `(8,)`: `+ - * /`, comparisons (which give a *mask* of eight truth values),
`&`, `|`, unary minus, scalars on either side. Memory is a C-contiguous array of shape `(n, 8)`, one *row* per value. Values are float64 or float32 as
their rows are (a float32 value costs half); the two do not mix: `wide` and `narrow` make one of the other.

Everything here is an *intrinsic*: a function that tells numba which LLVM instruction to emit instead of compiling a Python body. Only
`numba.extending` and `llvmlite.ir` are used; each intrinsic is one or two instructions and is tested against NumPy (`tests/features/engine/test_simd.py`).
Where the processor has no registers of 512 bits, LLVM splits a value into two or four by itself.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import extending, types
from numba.extending import models, register_model
from numpy.typing import DTypeLike, NDArray

LANES = 8
"""Frames per value."""


def intrinsic(generator: Callable[..., Any]) -> Any:
    """A function for kernels, from the one that generates its code (numba's own annotations mix up the arguments of the two)."""
    return extending.intrinsic(generator)


_extending: Any = extending  # numba's annotations are incomplete
_INDEX = ir.IntType(32)
_VALUE = ir.VectorType(ir.DoubleType(), LANES)
_SINGLE = ir.VectorType(ir.FloatType(), LANES)
_MASK = ir.VectorType(ir.IntType(1), LANES)


def lane_rows(n: int, dtype: DTypeLike = np.float64) -> NDArray[Any]:
    """Memory for `n` values, to be written before it is read: shape `(n, 8)`, aligned to a cache line (64 bytes).

    Example:
        >>> lane_rows(3).shape
        (3, 8)
    """
    size = n * LANES * np.dtype(dtype).itemsize
    memory = np.empty(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size].view(dtype).reshape(n, LANES)


# --- the types: eight float64 numbers, eight float32 numbers, eight truth values -------------------------------------------------------------


class LanesType(types.Type):
    """Numba's name for eight numbers of the type `element` or, as a mask, eight truth values."""

    def __init__(self, name: str, vector: ir.VectorType, element: types.Type | None = None) -> None:
        self.vector = vector
        self.element = element
        super().__init__(name=name)


lanes = LanesType("Lanes", _VALUE, types.float64)
singles = LanesType("Singles", _SINGLE, types.float32)
mask = LanesType("LanesMask", _MASK)


def values_of(element: types.Type) -> LanesType:
    """The type of the values that hold such numbers."""
    return singles if element == types.float32 else lanes


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    """How a value is held: as one LLVM vector, in registers where there is room."""

    def __init__(self, manager: Any, kind: LanesType) -> None:
        super().__init__(manager, kind, kind.vector)  # type: ignore[no-untyped-call]


def _constant(vector: ir.VectorType, number: float) -> ir.Constant:
    return ir.Constant(vector, [number] * vector.count)


def _spread(builder: Any, scalar: Any, vector: ir.VectorType) -> Any:
    """The scalar in every lane."""
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(_INDEX, 0))
    return builder.shuffle_vector(first, undefined, _constant(ir.VectorType(_INDEX, vector.count), 0))


def _converted(builder: Any, value: Any, vector: ir.VectorType) -> Any:
    """The same eight numbers in the other precision, or as they are."""
    if value.type == vector:
        return value
    return builder.fpext(value, vector) if vector == _VALUE else builder.fptrunc(value, vector)


@intrinsic
def splat(typingctx: Any, x: Any) -> Any:
    """The number `x` in all eight lanes: a float32 value from a `numpy.float32`, else a float64 value."""
    kind = values_of(x)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _spread(
            builder, context.cast(builder, arguments[0], signature.args[0], kind.element), kind.vector
        )

    return kind(x), emit


@intrinsic
def wide(typingctx: Any, x: Any) -> Any:
    """`x.astype(numpy.float64)`."""
    return lanes(x), lambda context, builder, signature, arguments: _converted(builder, arguments[0], _VALUE)


@intrinsic
def narrow(typingctx: Any, x: Any) -> Any:
    """`x.astype(numpy.float32)`."""
    return singles(x), lambda context, builder, signature, arguments: _converted(
        builder, arguments[0], _SINGLE
    )


# --- memory ----------------------------------------------------------------------------------------------------------------------------------


def _row_pointer(context: Any, builder: Any, array: tuple[Any, Any], row: Any) -> Any:
    """Address of `array[row, 0]`, as an address of eight elements."""
    kind, value = array
    data = context.make_array(kind)(context, builder, value=value).data
    element = builder.gep(data, [builder.mul(row, ir.Constant(ir.IntType(64), LANES))])
    return builder.bitcast(element, ir.VectorType(context.get_data_type(kind.dtype), LANES).as_pointer())


@intrinsic
def load(typingctx: Any, rows: Any, row: Any) -> Any:
    """`rows[row, :]`."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = builder.load(_row_pointer(context, builder, (rows, arguments[0]), arguments[1]))
        value.align = rows.dtype.bitwidth // 8
        return value

    return values_of(rows.dtype)(rows, types.int64), emit


@intrinsic
def store(typingctx: Any, rows: Any, row: Any, value: Any) -> Any:
    """`rows[row, :] = value`, converted to the type of the rows."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = _converted(builder, arguments[2], values_of(rows.dtype).vector)
        builder.store(number, _row_pointer(context, builder, (rows, arguments[0]), arguments[1])).align = (
            rows.dtype.bitwidth // 8
        )
        return context.get_dummy_value()

    return types.void(rows, types.int64, value), emit


@intrinsic
def load_run(typingctx: Any, samples: Any, start: Any) -> Any:
    """`samples[start : start + 8]`, widened to float64: here a lane is no frame, but every eighth sample."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(samples)(context, builder, value=arguments[0]).data
        vector = ir.VectorType(context.get_data_type(samples.dtype), LANES)
        value = builder.load(builder.bitcast(builder.gep(data, [arguments[1]]), vector.as_pointer()))
        value.align = samples.dtype.bitwidth // 8
        return value if samples.dtype == types.float64 else builder.fpext(value, _VALUE)

    return lanes(samples, types.int64), emit


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """The transpose of an 8 × 8 square in three rounds: swap off-diagonal 1 × 1 squares, then 2 × 2, then 4 × 4."""
    lane = range(LANES)
    for size in (1, 2, 4):
        upper = [k + LANES - size if k & size else k for k in lane]
        lower = [k + LANES if k & size else k + size for k in lane]
        swapped = list(rows)
        for i in (i for i in lane if not i & size):
            for target, order in ((i, upper), (i | size, lower)):
                indices = ir.Constant(ir.VectorType(_INDEX, LANES), order)
                swapped[target] = builder.shuffle_vector(rows[i], rows[i | size], indices)
        rows = swapped
    return rows


@intrinsic
def load_frames(typingctx: Any, samples: Any, start: Any, hop: Any) -> Any:
    """Eight samples of each of eight frames: a tuple of eight values, value `j` being `samples[start + j + hop * [0, 1, …, 7]]`.

    This is where frames become lanes: memory holds the samples of a frame one after the other, a value holds one sample of each frame.
    """
    result = types.UniTuple(lanes, LANES)  # type: ignore[no-untyped-call]

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value, start, hop = arguments
        data = context.make_array(samples)(context, builder, value=value).data
        vector = ir.VectorType(context.get_data_type(samples.dtype), LANES)
        frames = []
        for frame in range(LANES):
            offset = builder.add(start, builder.mul(hop, ir.Constant(ir.IntType(64), frame)))
            frames.append(builder.load(builder.bitcast(builder.gep(data, [offset]), vector.as_pointer())))
            frames[-1].align = samples.dtype.bitwidth // 8
        columns = _transposed(builder, frames)
        if samples.dtype != types.float64:
            columns = [builder.fpext(column, _VALUE) for column in columns]
        return context.make_tuple(builder, result, columns)

    return result(samples, types.int64, types.int64), emit


# --- operators -------------------------------------------------------------------------------------------------------------------------------


def _operator(python_operator: Any, emit: Callable[..., Any], operand: LanesType, result: LanesType) -> None:
    """Teaches numba a Python operator of two values `operand`, or of one and a number, which is spread over the lanes first.

    (`numba.extending.overload` would do in fewer lines, and compile a function for every pair of types: a quarter of the time of all kernels.)
    """

    def type_of(context: Any) -> Any:
        def typer(a: Any, b: Any) -> Any:
            other = b if a == operand else a
            fits = operand in (a, b) and (
                other == operand or (operand != mask and isinstance(other, types.Number))
            )
            return result if fits else None

        return typer

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors = [
            value
            if kind == operand
            else _spread(builder, context.cast(builder, value, kind, operand.element), operand.vector)
            for kind, value in zip(signature.args, arguments, strict=True)
        ]
        return emit(builder, *vectors)

    _extending.type_callable(python_operator)(type_of)
    for kinds in ((operand, operand), (operand, types.Number), (types.Number, operand)):
        _extending.lower_builtin(python_operator, *kinds)(generate)


def _arithmetic(instruction: str, *python_operators: Any) -> None:
    for python_operator in python_operators:
        for kind in (lanes, singles):
            _operator(python_operator, lambda builder, x, y: getattr(builder, instruction)(x, y), kind, kind)


def _comparison(symbol: str, python_operator: Any) -> None:
    for kind in (lanes, singles):
        _operator(python_operator, lambda builder, x, y: builder.fcmp_ordered(symbol, x, y), kind, mask)


_arithmetic("fadd", operator.add, operator.iadd)
_arithmetic("fsub", operator.sub, operator.isub)
_arithmetic("fmul", operator.mul, operator.imul)
_arithmetic("fdiv", operator.truediv, operator.itruediv)
_comparison("<", operator.lt)
_comparison("<=", operator.le)
_comparison(">", operator.gt)
_comparison(">=", operator.ge)
_operator(operator.and_, lambda builder, x, y: builder.and_(x, y), mask, mask)
_operator(operator.or_, lambda builder, x, y: builder.or_(x, y), mask, mask)


def _negation() -> None:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fneg(arguments[0])

    _extending.type_callable(operator.neg)(lambda context: lambda x: x if x in (lanes, singles) else None)
    _extending.lower_builtin(operator.neg, LanesType)(generate)


_negation()


# --- functions -------------------------------------------------------------------------------------------------------------------------------


@intrinsic
def select(typingctx: Any, condition: Any, a: Any, b: Any) -> Any:
    """`numpy.where(condition, a, b)`: lane by lane `a` where the mask is true, else `b`."""
    return a(condition, a, b), lambda context, builder, signature, arguments: builder.select(*arguments)


@intrinsic
def minimum(typingctx: Any, a: Any, b: Any) -> Any:
    """`numpy.minimum(a, b)`; `b` where `a` is not a number."""
    return a(a, b), lambda context, builder, signature, x: builder.select(
        builder.fcmp_ordered("<", x[0], x[1]), x[0], x[1]
    )


@intrinsic
def maximum(typingctx: Any, a: Any, b: Any) -> Any:
    """`numpy.maximum(a, b)`; `b` where `a` is not a number."""
    return a(a, b), lambda context, builder, signature, x: builder.select(
        builder.fcmp_ordered(">", x[0], x[1]), x[0], x[1]
    )


def _unary(llvm_name: str) -> Callable[..., Any]:
    """The code generator that calls LLVM's own function of one vector argument."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = arguments[0].type
        kind = ir.FunctionType(vector, [vector])
        function = builder.module.declare_intrinsic(
            f"llvm.{llvm_name}.v{LANES}f{signature.args[0].element.bitwidth}", (), kind
        )
        return builder.call(function, arguments)

    return emit


@intrinsic
def sqrt(typingctx: Any, x: Any) -> Any:
    """`numpy.sqrt(x)`."""
    return x(x), _unary("sqrt")


@intrinsic
def floor(typingctx: Any, x: Any) -> Any:
    """`numpy.floor(x)`."""
    return x(x), _unary("floor")


@intrinsic
def absolute(typingctx: Any, x: Any) -> Any:
    """`numpy.abs(x)`."""
    return x(x), _unary("fabs")


def _folded(join: Callable[[Any, Any, Any], Any]) -> Callable[..., Any]:
    """The code generator that makes one number of eight: halves are laid onto each other, three times."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = arguments[0]
        for half in (4, 2, 1):
            undefined, indices = ir.Constant(vector.type, ir.Undefined), ir.VectorType(_INDEX, half)
            low = builder.shuffle_vector(vector, undefined, ir.Constant(indices, list(range(half))))
            high = builder.shuffle_vector(
                vector, undefined, ir.Constant(indices, list(range(half, 2 * half)))
            )
            vector = join(builder, low, high)
        return builder.extract_element(vector, ir.Constant(_INDEX, 0))

    return emit


@intrinsic
def across(typingctx: Any, x: Any) -> Any:
    """`numpy.sum(x)`, as a number."""
    return x.element(x), _folded(lambda builder, low, high: builder.fadd(low, high))


@intrinsic
def across_largest(typingctx: Any, x: Any) -> Any:
    """`numpy.max(x)`, as a number."""
    return x.element(x), _folded(
        lambda builder, low, high: builder.select(builder.fcmp_ordered(">", low, high), low, high)
    )


@intrinsic
def mask_bits(typingctx: Any, condition: Any) -> Any:
    """The mask as one integer: bit `i` is set where lane `i` is true; 0 where none is."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.zext(builder.bitcast(arguments[0], ir.IntType(LANES)), ir.IntType(64))

    return types.int64(mask), emit


@intrinsic
def split_exponent(typingctx: Any, x: Any) -> Any:
    """`(m, e)` with `x = m * 2**e` and `sqrt(1/2) <= m < sqrt(2)`, both lanes of the type of `x`, for positive normal `x`.

    Such a number *is* a fraction and an exponent side by side in its bits; subtracting the bits of `sqrt(1/2)` first makes the cut fall there.
    """
    result = types.UniTuple(x, 2)  # type: ignore[no-untyped-call]
    digits, root_half_bits = (52, 0x3FE6A09E667F3BCD) if x == lanes else (23, 0x3F3504F3)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        integers = ir.VectorType(ir.IntType(x.element.bitwidth), LANES)
        root_half = _constant(integers, root_half_bits)
        bits = builder.sub(builder.bitcast(arguments[0], integers), root_half)
        exponent = builder.ashr(bits, _constant(integers, digits))
        fraction = builder.add(builder.and_(bits, _constant(integers, 2**digits - 1)), root_half)
        return context.make_tuple(
            builder, result, [builder.bitcast(fraction, x.vector), builder.sitofp(exponent, x.vector)]
        )

    return result(x), emit
