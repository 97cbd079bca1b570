"""The compiled kernels, called as machine code: a process that finds them in the cache imports no numba.

numba compiles a kernel once on a machine (`kernels/`). Its machine code is then written to a JSON file of
the cache folder, and every later process lets LLVM (llvmlite) load it from there, which takes a tenth of the
time that numba's import takes. A kernel is called in the way of numba's own code: the numbers of an array
(size, address, shape, strides) one by one, tuples of arrays one array after the other.
"""

from __future__ import annotations

import base64
import ctypes
import hashlib
import json
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from quintet.features.engine.kernel_cache import FOLDER, JIT_ENABLED, save_privately
from quintet.features.engine.kernels.lanes import address
from quintet.files.atomic import write_bytes

FILE = "kernels.json"
"""File of the cache folder: a digest, and in the next line the machine code of all kernels as JSON."""

_RESULT_BYTES = 64
"""Room for the results of a kernel: at most eight numbers."""
_PREPARING = threading.RLock()
"""Threads that call the same kernel first wait for one of them to prepare it."""
_ABSENT = 0
"""Address of what a kernel does not get: the owner of an array's memory, and the parent of the array."""


@dataclass(frozen=True)
class MachineCode:
    """Machine code of one kernel.

    Args:
        symbol: name of its function.
        layout: kinds of its arguments, as `_lay_out` gives them, in words: `int`, `float` or `bool`; type and
            number of axes of an array, such as `float32, 2`.
        n_results: number of float64 that it returns.
        content: a relocatable object file.
    """

    symbol: str
    layout: tuple[str | int, ...]
    n_results: int
    content: bytes


class Kernel:
    """A compiled function. Its first call compiles it, if its machine code is not loaded.

    Args:
        module: full name of the module that defines it.
        name: its name there.
    """

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.name = name
        self.code: MachineCode | None = None
        self._kinds: list[object] = []
        self._function: Callable[..., int] | None = None

    def __call__(self, *arguments: object) -> tuple[float, ...]:
        """Call it: with C-contiguous arrays of the types that it was compiled for. Results: see the kernel.

        Raises:
            TypeError: an argument has another type.
            RuntimeError: the kernel reports an error.
        """
        if self.code is None or self._function is None:
            self._prepare(arguments)
            return self(*arguments)
        numbers: list[float] = []
        kinds: list[object] = []
        _lay_out(arguments, numbers, kinds)
        if kinds != self._kinds:
            raise TypeError(f"The kernel {self.name} must get {self.code.layout}. Received {_words(kinds)}.")
        results = (ctypes.c_double * (_RESULT_BYTES // 8))()
        error = ctypes.c_void_p()
        if self._function(ctypes.addressof(results), ctypes.addressof(error), *numbers):
            raise RuntimeError(f"The kernel {self.name} reports an error.")
        return tuple(results[: self.code.n_results])

    def _prepare(self, arguments: tuple[object, ...]) -> None:
        """Compile it for the types of its arguments."""
        code = _compile(self, arguments)
        self.bind(code, _load([code])[0])

    def bind(self, code: MachineCode, address: int) -> None:
        """Call this machine code from now on, which is in memory at an address."""
        self._kinds = [_KINDS.get(part, part) for part in code.layout]
        self._function = ctypes.CFUNCTYPE(ctypes.c_int32, *_c_types(self._kinds))(address)
        self.code = code  # last: another thread calls the function from here on


class StoredKernel(Kernel):
    """A kernel with a file of its own in the cache folder. Its first call reads the file, or compiles it.

    Where numba's compiler is switched off, Python runs the function.
    """

    def __call__(self, *arguments: object) -> tuple[float, ...]:
        """Call it: with C-contiguous arrays of the types that it was compiled for."""
        if not JIT_ENABLED:
            return getattr(import_module(self.module), self.name)(*arguments) or ()
        return super().__call__(*arguments)

    def _prepare(self, arguments: tuple[object, ...]) -> None:
        """Read its machine code from its file; if there is none for these arguments, compile and write it."""
        with _PREPARING:
            if self.code is None:
                self._read_or_compile(arguments)

    def _read_or_compile(self, arguments: tuple[object, ...]) -> None:
        kinds: list[object] = []
        _lay_out(arguments, [], kinds)
        file = None if FOLDER is None else FOLDER / f"{self.name}-{_source_digest(self.module)}.json"
        if file is not None and read_code([self], file) and kinds == self._kinds:
            return
        super()._prepare(arguments)
        if file is not None:
            save_privately(partial(write_code, [self]), file)


def _source_digest(module: str) -> str:
    """Sixteen hex digits of the text of a module, which is not imported."""
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest()[:16]


_FRAMES, _MEDIANS, _SERIES, _WAVEFORM = (
    f"quintet.features.engine.kernels.{k}" for k in ("frames", "medians", "series", "waveform")
)
measure, chroma = Kernel(_FRAMES, "measure"), Kernel(_FRAMES, "chroma")
find_peaks = Kernel(_FRAMES, "find_peaks")
add_power = Kernel(_FRAMES, "add_power")
median_gaps = Kernel(_MEDIANS, "median_gaps")
decibels, decibels_single = Kernel(_SERIES, "decibels"), Kernel(_SERIES, "decibels_single")
weighted_sums, row_moments = Kernel(_SERIES, "weighted_sums"), Kernel(_SERIES, "row_moments")
mean_normalised_power = Kernel(_SERIES, "mean_normalised_power")
waveform_frames, sums = Kernel(_WAVEFORM, "waveform_frames"), Kernel(_WAVEFORM, "sums")
power_sums = Kernel(_WAVEFORM, "power_sums")
count_beginnings, count_endings = Kernel(_WAVEFORM, "count_beginnings"), Kernel(_WAVEFORM, "count_endings")

KERNELS = (
    measure,
    chroma,
    find_peaks,
    add_power,
    median_gaps,
    decibels,
    decibels_single,
    weighted_sums,
    row_moments,
    mean_normalised_power,
    waveform_frames,
    sums,
    power_sums,
    count_beginnings,
    count_endings,
)
"""All kernels."""


def save_kernels(folder: Path) -> None:
    """Write the machine code of all kernels, which are compiled, into a folder.

    Raises:
        OSError: the folder cannot be written.
    """
    write_code(KERNELS, folder / FILE)


def load_kernels(folder: Path) -> bool:
    """Load the machine code of all kernels from a folder. False if it is not what `save_kernels` wrote."""
    return read_code(KERNELS, folder / FILE)


def write_code(kernels: Sequence[Kernel], file: Path) -> None:
    """Write the machine code of some kernels, those that are compiled.

    Raises:
        OSError: the file cannot be written.
    """
    content = {}
    for kernel in kernels:
        if kernel.code is not None:
            content[f"{kernel.module}.{kernel.name}"] = {
                "symbol": kernel.code.symbol,
                "layout": kernel.code.layout,
                "n_results": kernel.code.n_results,
                "content": base64.b64encode(kernel.code.content).decode(),
            }
    text = json.dumps(content)
    whole = f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}"
    write_bytes(file, whole.encode("ascii"))


def read_code(kernels: Sequence[Kernel], file: Path) -> bool:
    """Load the machine code of some kernels. False if the file is not what `write_code` wrote of them.

    LLVM crashes over damaged machine code, so its digest is compared before.
    """
    try:
        digest, _, text = file.read_text(encoding="ascii").partition("\n")
        if digest != hashlib.sha256(text.encode()).hexdigest():
            return False
        content = json.loads(text)
        codes = []
        for kernel in kernels:
            stored = content[f"{kernel.module}.{kernel.name}"]
            codes.append(
                MachineCode(
                    symbol=stored["symbol"],
                    layout=tuple(stored["layout"]),
                    n_results=stored["n_results"],
                    content=base64.b64decode(stored["content"]),
                )
            )
        addresses = _load(codes)
        for kernel, code, address in zip(kernels, codes, addresses, strict=True):
            kernel.bind(code, address)
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError, ImportError):
        return False
    return True


_ENGINES: list[Any] = []
"""LLVM's engines. They own the memory of the machine code."""


def _empty_engine() -> Any:
    """An engine of LLVM for this processor."""
    from llvmlite import binding

    with suppress(RuntimeError, AttributeError):  # from llvmlite 0.45 on it is done already
        binding.initialize()
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    target = binding.Target.from_triple(binding.get_process_triple())
    machine = target.create_target_machine(codemodel="jitdefault", jit=True)
    return binding.create_mcjit_compiler(binding.parse_assembly(""), machine)


def _load(codes: list[MachineCode]) -> list[int]:
    """Load machine code. Returns the address of each function.

    Raises:
        RuntimeError: a function is not in its object file.
    """
    from llvmlite import binding

    engine = _empty_engine()
    for code in codes:
        engine.add_object_file(binding.ObjectFileRef.from_data(code.content))
    engine.finalize_object()
    _ENGINES.append(engine)
    addresses = [engine.get_function_address(code.symbol) for code in codes]
    if not all(addresses):
        raise RuntimeError("A kernel must be in its object file.")
    return addresses


def _compile(kernel: Kernel, arguments: tuple[object, ...]) -> MachineCode:
    """Compile a kernel for the types of its arguments. The machine code is that of numba.

    Raises:
        TypeError: numba passes its arguments or its results in another way than `Kernel` does.
        RuntimeError: its machine code would need more than itself.
    """
    from llvmlite import binding

    numba: Any = import_module("numba")
    dispatcher: Any = getattr(import_module(kernel.module), kernel.name)
    signature = tuple(numba.typeof(argument) for argument in arguments)
    dispatcher.compile(signature)
    compiled = dispatcher.overloads[signature]
    _, _, (content, _) = compiled.library.serialize_using_object_code()
    symbol = compiled.fndesc.llvm_func_name
    module = binding.parse_assembly(compiled.library.get_llvm_str())
    needed = {f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")}
    if needed:
        raise RuntimeError(f"The kernel {kernel.name} must stand alone. It needs {sorted(needed)}.")
    kinds: list[object] = []
    _lay_out(arguments, [], kinds)
    expected = [_LLVM_TYPES[kind] for kind in _c_types(kinds)]
    received = [_llvm_type(argument) for argument in module.get_function(symbol).arguments]
    returned = compiled.signature.return_type
    results: tuple[object, ...] | None = () if returned == numba.none else getattr(returned, "types", None)
    n_most = _RESULT_BYTES // ctypes.sizeof(ctypes.c_double)
    is_fit = results is not None and {*results} <= {numba.float64} and len(results) <= n_most
    if received != expected or results is None or not is_fit:
        raise TypeError(
            f"The kernel {kernel.name} must get {expected} and return a tuple of at most {n_most} float64. "
            f"It gets {received} and returns {returned}."
        )
    return MachineCode(symbol, _words(kinds), len(results), content)


def _llvm_type(argument: Any) -> str:
    """Type of an argument in LLVM; older versions of LLVM say to what an address leads."""
    name = str(argument.type)
    return "ptr" if name.endswith("*") else name


_KINDS: dict[object, object] = {
    "int": int,
    "float": float,
    "bool": bool,
    **{name: np.dtype(name) for name in ("float32", "float64", "int64", "uint32")},
}
_WORDS = {kind: word for word, kind in _KINDS.items()}
_SCALARS: dict[object, Any] = {int: ctypes.c_int64, float: ctypes.c_double, bool: ctypes.c_uint8}
_LLVM_TYPES = {
    ctypes.c_void_p: "ptr",
    ctypes.c_int64: "i64",
    ctypes.c_double: "double",
    ctypes.c_uint8: "i8",
}


def _words(kinds: Sequence[object]) -> tuple[str | int, ...]:
    """The kinds of some arguments as `MachineCode.layout`."""
    return tuple(kind if isinstance(kind, int) else str(_WORDS.get(kind, kind)) for kind in kinds)


def _c_types(kinds: Sequence[object]) -> list[Any]:
    """Types of the numbers that a function gets: addresses of its results and its error, then arguments."""
    numbers: list[Any] = [ctypes.c_void_p, ctypes.c_void_p]
    for kind in kinds:
        if isinstance(kind, int):  # the axes of an array: its shape and its strides
            numbers += [ctypes.c_int64] * (2 * kind)
        elif kind in _SCALARS:
            numbers.append(_SCALARS[kind])
        else:  # owner, parent, size, bytes of an element, address
            numbers += [ctypes.c_void_p] * 2 + [ctypes.c_int64] * 2 + [ctypes.c_void_p]
    return numbers


_BOOLS, _INTEGERS, _FLOATS = (bool, np.bool_), (int, np.integer), (float, np.floating)


def _lay_out(values: tuple[object, ...], numbers: list[float], kinds: list[object]) -> None:
    """Append the numbers that stand for some arguments, and their kinds.

    Args:
        values: the arguments, or a tuple among them.
        numbers: of each argument, in their order.
        kinds: `int`, `float` or `bool`; of an array its type and its number of axes.

    Raises:
        TypeError: an array is not C-contiguous, or an argument is of no kind that a kernel gets.
    """
    for value in values:
        if isinstance(value, np.ndarray):
            if not value.flags.c_contiguous:
                raise TypeError("An array for a kernel must be C-contiguous.")
            try:
                begin = address(value)
            except TypeError:  # it is read-only; this way to its address takes longer
                begin = value.__array_interface__["data"][0]
            numbers += (_ABSENT, _ABSENT, value.size, value.itemsize, begin, *value.shape, *value.strides)
            kinds += (value.dtype, value.ndim)
        elif isinstance(value, tuple):
            _lay_out(value, numbers, kinds)
        elif isinstance(value, _BOOLS):
            numbers.append(int(value))
            kinds.append(bool)
        elif isinstance(value, _INTEGERS):
            numbers.append(int(value))
            kinds.append(int)
        elif isinstance(value, _FLOATS):
            numbers.append(float(value))
            kinds.append(float)
        else:
            raise TypeError(f"A kernel gets arrays and numbers. Received {type(value).__name__}.")
