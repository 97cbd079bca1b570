"""Cache of the compiled kernels: where they are kept, and which process compiles them.

The kernels are Python. numba compiles them on the first use on a machine, which takes some seconds (one line
on stderr says so), and keeps the machine code in a *cache folder*. Every later process loads it from there in
milliseconds:

    <user's cache directory>/quintet/kernels-<digest>/

The digest covers the source files of the engine and their location, Python, numba, llvmlite and the
processor. Whatever could make the machine code wrong leads to another folder, so stale code is never loaded.
`QUINTET_CACHE_DIR` names another directory. If no directory is writable, every process compiles the kernels
in memory, once.

If several processes start on an empty cache, one compiles and the others wait for it. A lock, which ends with
its process even if the process is killed, decides which one.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, TypeVar

import llvmlite.binding
import numba
from numba.core.compiler_lock import global_compiler_lock
from numba.core.runtime.nrt import rtsys

from quintet.files.cache import cache_directory

Function = TypeVar("Function", bound=Callable[..., object])

SOURCES = (
    "kernel_cache.py",
    "kernels/simd_types.py",
    "kernels/simd.py",
    "kernels/fourier.py",
    "kernels/arguments.py",
    "kernels/extremes.py",
    "kernels/frames.py",
    "kernels/series.py",
    "kernels/waveform.py",
    "../descriptors/temporal.py",
    "../descriptors/tonal.py",
    "../../audio/mel.py",
)
"""Files whose text decides the machine code (the last three because kernels take constants from them)."""

_njit: Any = numba.njit
_config: Any = numba.config

_OPTIONS: dict[str, object] = {
    "_nrt": False,  # kernels allocate nothing; reference counts of arrays would cost a tenth of the time
    "nogil": True,
    "error_model": "numpy",  # x / 0 is inf or nan, as in NumPy
    "boundscheck": False,
    # a * b + c in one step; the order of the sums stays as written
    "fastmath": {"contract", "nsz", "arcp"},
}


def digest() -> str:
    """Sixteen hex digits of everything that decides the machine code."""
    here = Path(__file__).parent
    facts = (
        sys.version,
        version("numba"),
        version("llvmlite"),
        llvmlite.binding.get_host_cpu_name(),
        llvmlite.binding.get_host_cpu_features().flatten(),
        str(
            here
        ),  # numba files machine code under the path of its source: installations cannot share a folder
    )
    state = hashlib.sha256()
    for fact in facts:
        state.update(fact.encode() + b"\0")
    for name in SOURCES:
        state.update((here / name).read_bytes())
    return state.hexdigest()[:16]


def writable_cache_folder() -> Path | None:
    """Folder of this digest. It is created if it is missing. None if nothing can be written."""
    try:
        folder = cache_directory() / f"kernels-{digest()}"
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except (OSError, RuntimeError):  # RuntimeError: there is no home directory
        return None


JIT_ENABLED = not _config.DISABLE_JIT
"""False if the environment switches numba's compiler off."""

FOLDER = writable_cache_folder()
"""Cache folder of this process, or None."""

_KERNELS: list[Any] = []
"""numba's dispatchers of all kernels, whose private parts `load_kernels` uses."""


def inline(function: Function) -> Function:
    """Decorator for a part of kernels. It is compiled into each of them; Python cannot call it.

    It is always inlined. If several kernels called a part by its name, every process would use the copy of
    the kernel that was loaded first, and copies may differ in the last bit.
    """
    compiler = _njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, forceinline=True, **_OPTIONS)
    part: Function = compiler(function)
    return part


def kernel(function: Function) -> Function:
    """Decorator for a compiled function that Python calls. Its machine code is kept in `FOLDER`.

    numba reads the place of its cache from its configuration when it decorates a function. So the place is
    set during that moment only, and the caches of other libraries stay where they are.
    """
    if FOLDER is None:
        in_memory: Function = _njit(**_OPTIONS)(function)
        return in_memory
    before = _config.CACHE_DIR
    _config.CACHE_DIR = str(FOLDER)
    try:
        compiled: Function = _njit(cache=True, no_cfunc_wrapper=True, **_OPTIONS)(function)
    finally:
        _config.CACHE_DIR = before
    _KERNELS.append(compiled)
    return compiled


def load_kernels() -> bool:
    """Load the machine code of every kernel from `FOLDER`. True if all are there.

    Before numba loads a function by itself, it initialises everything that it could compile. That takes three
    times as long as the loading and imports scipy.linalg. Machine code needs only numba's runtime, so this
    function reads it from numba's cache directly. It uses private parts of numba: if a version of numba has
    others, the answer is False, and the kernels are loaded by calling them.
    """
    try:
        with global_compiler_lock:
            for function in _KERNELS:
                if not _load_kernel(function):
                    return False
    except (AttributeError, TypeError, LookupError, OSError):
        return False
    return bool(_KERNELS)


def _load_kernel(function: Any) -> bool:
    """Load the machine code of one of numba's dispatchers. False if a signature is missing."""
    rtsys.initialize(function.targetctx)
    cache = function._cache
    signatures = [key[0] for key in cache._cache_file._load_index()]
    overloads = [cache._load_overload(signature, function.targetctx) for signature in signatures]
    if not overloads or None in overloads:
        return False
    for overload in overloads:
        function.add_overload(overload)
    return True


def compile_once(compile_all: Callable[[], None], folder: Path | None) -> None:
    """Compile the kernels in one process per machine, and load them in all others.

    Args:
        compile_all: calls every kernel once: numba loads it from the cache or, if it is not there, compiles
            it.
        folder: the cache folder, or None to compile in memory.
    """
    if folder is None:
        announce(
            "compiling the feature kernels (about 10 s; no cache folder is writable, so every process "
            "compiles: set QUINTET_CACHE_DIR)"
        )
        compile_all()
        return
    complete = folder / "complete"
    while not complete.exists():
        with (folder / "lock").open("w") as lock:
            if not _lock(lock):
                time.sleep(0.05)
            elif not complete.exists():  # another process may have finished between the two checks
                announce(
                    f"compiling the feature kernels once for this machine (about 10 s), kept in {folder}"
                )
                compile_all()
                complete.touch()
                return
    if folder != FOLDER or not load_kernels():
        compile_all()


def is_compiled(folder: Path | None) -> bool:
    """Whether the kernels of a cache folder are compiled, so that loading takes milliseconds."""
    return folder is not None and (folder / "complete").exists()


def _lock(file: IO[str]) -> bool:
    """Lock a file for as long as it stays open. False if another process holds the lock.

    If the file system has no locks, the answer is True, and several processes may compile.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True
    return True


def announce(text: str) -> None:
    """Print one line to stderr."""
    print(f"quintet: {text}", file=sys.stderr, flush=True)
