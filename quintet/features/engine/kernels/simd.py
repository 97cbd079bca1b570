"""SIMD values: eight frames of a recording, computed side by side.

A current processor adds eight float64 numbers in one instruction if they are adjacent in memory. Along the
bins of *one* spectrum, neighbours seldom need the same operation (a filter begins here, a band ends there).
Along *eight frames* they always do. So the engine puts frame 0 into lane 0, frame 1 into lane 1, …, and
computes with values of eight numbers each:

    value = load(rows, 3)            # rows[3, :], eight numbers: bin 3 of eight frames
    power = value * value + 1e-10    # eight multiplications, eight additions
    store(rows, 3, select(power > 1.0, power, splat(0.0)))

Inside an `@njit` function a value behaves like a NumPy array of shape `(8,)`: `+ - * /`, comparisons (which
give a *mask* of eight truth values), `&`, `|`, unary minus, scalars on either side. Memory is a C-contiguous
array of shape `(n, 8)`, one *row* per value. A value is float64 or float32, as its rows are; a float32 value
costs half. The two types do not mix: `wide` and `narrow` convert one into the other.

Every function here is an *intrinsic*: it names the LLVM instruction that numba emits, instead of a Python
body to compile. The module uses `numba.extending` and `llvmlite.ir` only. Each intrinsic is one or two
instructions and is tested against NumPy (`tests/features/engine/test_simd.py`). If the processor has no
registers of 512 bits, LLVM splits a value into two or four by itself.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from llvmlite.ir import IRBuilder as Builder
from llvmlite.ir import Value
from numba import extending, types
from numba.core.typing.templates import Signature

from quintet.features.engine.kernels.lanes import LANES
from quintet.features.engine.kernels.simd_types import (
    DOUBLES_VECTOR,
    SINGLES_VECTOR,
    Arguments,
    Code,
    Context,
    Emit,
    LanesType,
    lanes,
    mask,
    singles,
    values_of,
)


def intrinsic(generator: Callable[..., Code]) -> Callable[..., Any]:
    """A function for kernels, from the function that generates its code.

    numba's own annotations confuse the arguments of the two.
    """
    function: Callable[..., Any] = extending.intrinsic(generator)
    return function


_extending: Any = extending  # numba's annotations are incomplete
_INDEX = ir.IntType(32)


def _constant(vector: ir.VectorType, number: float) -> ir.Constant:
    return ir.Constant(vector, [number] * vector.count)


def _spread(builder: Builder, scalar: Value, vector: ir.VectorType) -> Value:
    """The scalar in every lane."""
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(_INDEX, 0))
    zeros = _constant(ir.VectorType(_INDEX, vector.count), 0)
    return builder.shuffle_vector(first, undefined, zeros)


def _convert(builder: Builder, value: Value, vector: ir.VectorType) -> Value:
    """The same eight numbers in the precision of `vector`."""
    if value.type == vector:
        return value
    return builder.fpext(value, vector) if vector == DOUBLES_VECTOR else builder.fptrunc(value, vector)


@intrinsic
def splat(typingctx: object, x: types.Type) -> Code:
    """The number `x` in all eight lanes: float32 if it is a `numpy.float32`, otherwise float64."""
    kind = values_of(x)

    def emit(context: Context, builder: Builder, signature: Signature, arguments: Arguments) -> Value:
        number = context.cast(builder, arguments[0], signature.args[0], kind.element)
        return _spread(builder, number, kind.vector)

    return kind(x), emit


@intrinsic
def wide(typingctx: object, x: types.Type) -> Code:
    """`x.astype(numpy.float64)`."""
    return lanes(x), lambda context, builder, signature, x: _convert(builder, x[0], DOUBLES_VECTOR)


@intrinsic
def narrow(typingctx: object, x: types.Type) -> Code:
    """`x.astype(numpy.float32)`."""
    return singles(x), lambda context, builder, signature, x: _convert(builder, x[0], SINGLES_VECTOR)


# --- memory ----------------------------------------------------------------------------------------------


def _data(context: Context, builder: Builder, kind: types.Array, array: Value) -> Value:
    """Address of the first element of an array."""
    return context.make_array(kind)(context, builder, value=array).data


def _vector_pointer(
    context: Context, builder: Builder, kind: types.Array, data: Value, offset: Value
) -> Value:
    """Address of the element `offset` of an array, as an address of eight elements."""
    vector = ir.VectorType(context.get_data_type(kind.dtype), LANES)
    element = builder.gep(data, [offset])
    return builder.bitcast(element, vector.as_pointer())


def _load_vector(context: Context, builder: Builder, kind: types.Array, data: Value, offset: Value) -> Value:
    """Eight elements of an array from `offset` on."""
    value = builder.load(_vector_pointer(context, builder, kind, data, offset))
    value.align = _alignment(kind)
    return value


def _bit_width(element: types.Type) -> int:
    bits: int = element.bitwidth  # type: ignore[attr-defined]
    return bits


def _alignment(kind: types.Array) -> int:
    """Alignment of the elements of an array, bytes."""
    return _bit_width(kind.dtype) // 8


def _row_offset(builder: Builder, row: Value) -> Value:
    return builder.mul(row, ir.Constant(ir.IntType(64), LANES))


@intrinsic
def load(typingctx: object, rows: types.Array, row: types.Type) -> Code:
    """`rows[row, :]`."""

    def emit(context: Context, builder: Builder, signature: Signature, arguments: Arguments) -> Value:
        data = _data(context, builder, rows, arguments[0])
        return _load_vector(context, builder, rows, data, _row_offset(builder, arguments[1]))

    return values_of(rows.dtype)(rows, types.int64), emit


@intrinsic
def store(typingctx: object, rows: types.Array, row: types.Type, value: LanesType) -> Code:
    """`rows[row, :] = value`, converted to the type of the rows."""

    def emit(context: Context, builder: Builder, signature: Signature, arguments: Arguments) -> Value:
        number = _convert(builder, arguments[2], values_of(rows.dtype).vector)
        data = _data(context, builder, rows, arguments[0])
        pointer = _vector_pointer(context, builder, rows, data, _row_offset(builder, arguments[1]))
        builder.store(number, pointer).align = _alignment(rows)
        return context.get_dummy_value()

    return types.void(rows, types.int64, value), emit


@intrinsic
def store_every_other(
    typingctx: object, rows: types.Array, row: types.Type, column: types.Type, value: LanesType
) -> Code:
    """`rows[row, column : column + 4] = value[::2]`, for a value of the type of the rows."""

    def emit(context: Context, builder: Builder, signature: Signature, arguments: Arguments) -> Value:
        vector = arguments[3]
        undefined = ir.Constant(vector.type, ir.Undefined)
        even = ir.Constant(ir.VectorType(_INDEX, LANES // 2), list(range(0, LANES, 2)))
        half = builder.shuffle_vector(vector, undefined, even)
        data = _data(context, builder, rows, arguments[0])
        offset = builder.add(_row_offset(builder, arguments[1]), arguments[2])
        pointer = builder.bitcast(builder.gep(data, [offset]), half.type.as_pointer())
        builder.store(half, pointer).align = _alignment(rows)
        return context.get_dummy_value()

    return types.void(rows, types.int64, types.int64, value), emit


@intrinsic
def load_run(typingctx: object, samples: types.Array, start: types.Type) -> Code:
    """`samples[start : start + 8]`, widened to float64. Here a lane is every eighth sample, not a frame."""

    def emit(context: Context, builder: Builder, signature: Signature, arguments: Arguments) -> Value:
        data = _data(context, builder, samples, arguments[0])
        value = _load_vector(context, builder, samples, data, arguments[1])
        return value if samples.dtype == types.float64 else builder.fpext(value, DOUBLES_VECTOR)

    return lanes(samples, types.int64), emit


def _transpose(builder: Builder, rows: list[Value]) -> list[Value]:
    """Transpose of an 8 × 8 square in three rounds, which swap off-diagonal squares of 1, 2 and 4 rows."""
    lane = range(LANES)
    for size in (1, 2, 4):
        upper = [k + LANES - size if k & size else k for k in lane]
        lower = [k + LANES if k & size else k + size for k in lane]
        swapped = list(rows)
        for i in lane:
            if i & size:
                continue
            for target, order in ((i, upper), (i | size, lower)):
                indices = ir.Constant(ir.VectorType(_INDEX, LANES), order)
                swapped[target] = builder.shuffle_vector(rows[i], rows[i | size], indices)
        rows = swapped
    return rows


@intrinsic
def load_frames(
    typingctx: object, samples: types.Array, start: types.Type, hop: types.Type, rows: types.Array
) -> Code:
    """Eight samples of each of eight frames: a tuple of eight values of the type of `rows`.

    Value `j` is `samples[start + j + hop * [0, 1, …, 7]]`. This function turns frames into lanes: in memory
    the samples of a frame are adjacent; a value holds one sample of each frame.
    """
    kind = values_of(rows.dtype)
    result = types.UniTuple(kind, LANES)  # type: ignore[no-untyped-call]

    def emit(context: Context, builder: Builder, signature: Signature, arguments: Arguments) -> Value:
        value, start, hop, _ = arguments
        data = _data(context, builder, samples, value)
        frames = []
        for frame in range(LANES):
            offset = builder.add(start, builder.mul(hop, ir.Constant(ir.IntType(64), frame)))
            frames.append(_load_vector(context, builder, samples, data, offset))
        columns = [_convert(builder, column, kind.vector) for column in _transpose(builder, frames)]
        return context.make_tuple(builder, result, columns)

    return result(samples, types.int64, types.int64, rows), emit


# --- operators -------------------------------------------------------------------------------------------


def _operator(
    python_operator: Callable[..., object],
    emit: Callable[..., Value],
    operand: LanesType,
    result: LanesType,
) -> None:
    """Register a Python operator in numba for two values, or for a value and a number.

    A number is first spread over the lanes. (`numba.extending.overload` would need fewer lines, but it
    compiles a function for every pair of types, which took a quarter of the compile time of all kernels.)

    Args:
        python_operator: a function of the module `operator`.
        emit: emits the instruction from the builder and two vectors.
        operand: type of the value.
        result: type of the result.
    """

    def fits(kind: types.Type) -> bool:
        return kind == operand or (operand != mask and isinstance(kind, types.Number))

    def type_of(context: object) -> Callable[..., LanesType | None]:
        def typer(a: types.Type, b: types.Type) -> LanesType | None:
            other = b if a == operand else a
            return result if operand in (a, b) and fits(other) else None

        return typer

    def as_vector(context: Context, builder: Builder, kind: types.Type, value: Value) -> Value:
        if kind == operand:
            return value
        return _spread(builder, context.cast(builder, value, kind, operand.element), operand.vector)

    def generate(context: Context, builder: Builder, signature: Signature, arguments: Arguments) -> Value:
        pairs = zip(signature.args, arguments, strict=True)
        vectors = [as_vector(context, builder, kind, value) for kind, value in pairs]
        return emit(builder, *vectors)

    _extending.type_callable(python_operator)(type_of)
    for kinds in ((operand, operand), (operand, types.Number), (types.Number, operand)):
        _extending.lower_builtin(python_operator, *kinds)(generate)


def _arithmetic(instruction: str, *python_operators: Callable[..., object]) -> None:
    for python_operator in python_operators:
        for kind in (lanes, singles):
            _operator(python_operator, lambda builder, x, y: getattr(builder, instruction)(x, y), kind, kind)


def _comparison(symbol: str, python_operator: Callable[..., object]) -> None:
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
    def generate(context: Context, builder: Builder, signature: Signature, arguments: Arguments) -> Value:
        return builder.fneg(arguments[0])

    _extending.type_callable(operator.neg)(lambda context: lambda x: x if x in (lanes, singles) else None)
    _extending.lower_builtin(operator.neg, LanesType)(generate)


_negation()


# --- functions -------------------------------------------------------------------------------------------


@intrinsic
def select(typingctx: object, condition: LanesType, a: LanesType, b: LanesType) -> Code:
    """`numpy.where(condition, a, b)`: in each lane `a` if the mask is true, otherwise `b`."""
    return a(condition, a, b), lambda context, builder, signature, x: builder.select(*x)


def _pick(builder: Builder, symbol: str, x: Value, y: Value) -> Value:
    """In each lane `x` if `x symbol y`, otherwise `y`."""
    return builder.select(builder.fcmp_ordered(symbol, x, y), x, y)


@intrinsic
def minimum(typingctx: object, a: LanesType, b: LanesType) -> Code:
    """`numpy.minimum(a, b)`; `b` if `a` is not a number."""
    return a(a, b), lambda context, builder, signature, x: _pick(builder, "<", x[0], x[1])


@intrinsic
def maximum(typingctx: object, a: LanesType, b: LanesType) -> Code:
    """`numpy.maximum(a, b)`; `b` if `a` is not a number."""
    return a(a, b), lambda context, builder, signature, x: _pick(builder, ">", x[0], x[1])


def _unary(llvm_name: str, kind: LanesType) -> Emit:
    """Code generator that calls LLVM's own function of one vector argument."""

    def emit(context: Context, builder: Builder, signature: Signature, arguments: Arguments) -> Value:
        vector = arguments[0].type
        name = f"llvm.{llvm_name}.v{LANES}f{_bit_width(kind.element)}"
        function = builder.module.declare_intrinsic(name, (), ir.FunctionType(vector, [vector]))
        return builder.call(function, arguments)

    return emit


@intrinsic
def sqrt(typingctx: object, x: LanesType) -> Code:
    """`numpy.sqrt(x)`."""
    return x(x), _unary("sqrt", x)


@intrinsic
def floor(typingctx: object, x: LanesType) -> Code:
    """`numpy.floor(x)`."""
    return x(x), _unary("floor", x)


@intrinsic
def absolute(typingctx: object, x: LanesType) -> Code:
    """`numpy.abs(x)`."""
    return x(x), _unary("fabs", x)


def _fold(join: Callable[[Builder, Value, Value], Value]) -> Emit:
    """Code generator that makes one number of eight: it joins the two halves, three times."""

    def emit(context: Context, builder: Builder, signature: Signature, arguments: Arguments) -> Value:
        vector = arguments[0]
        for half in (4, 2, 1):
            undefined = ir.Constant(vector.type, ir.Undefined)
            indices = ir.VectorType(_INDEX, half)
            first_half = ir.Constant(indices, list(range(half)))
            second_half = ir.Constant(indices, list(range(half, 2 * half)))
            low = builder.shuffle_vector(vector, undefined, first_half)
            high = builder.shuffle_vector(vector, undefined, second_half)
            vector = join(builder, low, high)
        return builder.extract_element(vector, ir.Constant(_INDEX, 0))

    return emit


@intrinsic
def across(typingctx: object, x: LanesType) -> Code:
    """`numpy.sum(x)`, as a number."""
    return x.element(x), _fold(lambda builder, low, high: builder.fadd(low, high))


@intrinsic
def across_largest(typingctx: object, x: LanesType) -> Code:
    """`numpy.max(x)`, as a number."""
    return x.element(x), _fold(lambda builder, low, high: _pick(builder, ">", low, high))


@intrinsic
def mask_bits(typingctx: object, condition: LanesType) -> Code:
    """The mask as one integer: bit `i` is set if lane `i` is true. 0 if no lane is."""

    def emit(context: Context, builder: Builder, signature: Signature, arguments: Arguments) -> Value:
        bits = builder.bitcast(arguments[0], ir.IntType(LANES))
        return builder.zext(bits, ir.IntType(64))

    return types.int64(mask), emit


@intrinsic
def split_exponent(typingctx: object, x: LanesType) -> Code:
    """`(m, e)` with `x = m * 2**e` and `sqrt(1/2) <= m < sqrt(2)`, both of the type of `x`, for positive
    normal `x`.

    The bits of such a number are an exponent next to a fraction. Subtracting the bits of `sqrt(1/2)` first
    moves the border between two exponents to that number.
    """
    result = types.UniTuple(x, 2)  # type: ignore[no-untyped-call]
    digits, root_half_bits = (52, 0x3FE6A09E667F3BCD) if x == lanes else (23, 0x3F3504F3)

    def emit(context: Context, builder: Builder, signature: Signature, arguments: Arguments) -> Value:
        integers = ir.VectorType(ir.IntType(_bit_width(x.element)), LANES)
        root_half = _constant(integers, root_half_bits)
        bits = builder.sub(builder.bitcast(arguments[0], integers), root_half)
        exponent = builder.ashr(bits, _constant(integers, digits))
        fraction_bits = builder.and_(bits, _constant(integers, 2**digits - 1))
        fraction = builder.bitcast(builder.add(fraction_bits, root_half), x.vector)
        return context.make_tuple(builder, result, [fraction, builder.sitofp(exponent, x.vector)])

    return result(x), emit
