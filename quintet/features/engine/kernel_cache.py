"""Where compiled kernels are kept, and who compiles them.

The kernels are Python; numba compiles them on the first use on a machine (some seconds, announced in one line on stderr) and keeps the machine
code in a *cache folder* from which every later process loads it in milliseconds:

    <user's cache directory>/quintet/kernels-<digest>/

The digest covers the engine's source files and where they lie, Python, numba, llvmlite and the processor: whatever could make the code wrong gives it
another folder, so nothing stale is ever loaded. `QUINTET_CACHE_DIR` names another directory. Without a writable one the kernels are compiled in
memory, once per process.

Of several processes that start on an empty cache one compiles and the others wait for it (a lock that ends with its process, however that ends).
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import llvmlite.binding
import numba
from numba.core.compiler_lock import global_compiler_lock
from numba.core.runtime.nrt import rtsys

from quintet.files.cache import cache_directory

SOURCES = (
    "kernel_cache.py",
    "kernels/simd.py",
    "kernels/fourier.py",
    "kernels/extremes.py",
    "kernels/frames.py",
    "kernels/series.py",
    "kernels/waveform.py",
    "../descriptors/temporal.py",
    "../descriptors/tonal.py",
    "../../audio/mel.py",
)
"""The files whose text decides about the machine code (the last three for the constants that kernels take from them)."""

_njit: Any = numba.njit
_config: Any = numba.config

_OPTIONS: dict[str, Any] = {
    "_nrt": False,  # nothing is allocated in a kernel, so nobody need count who holds an array: that cost a tenth
    "nogil": True,
    "error_model": "numpy",  # x / 0 is inf or nan, as in NumPy
    "boundscheck": False,
    "fastmath": {
        "contract",
        "nsz",
        "arcp",
    },  # a*b+c in one step; sums stay in the order in which they are written
}


def digest() -> str:
    """Sixteen hex digits of everything that decides about the machine code."""
    state = hashlib.sha256()
    for part in (
        sys.version,
        version("numba"),
        version("llvmlite"),
        llvmlite.binding.get_host_cpu_name(),
        llvmlite.binding.get_host_cpu_features().flatten(),
        str(
            Path(__file__).parent
        ),  # numba files machine code under the path of its source: another installation would find nothing of ours
    ):
        state.update(part.encode() + b"\0")
    for name in SOURCES:
        state.update((Path(__file__).parent / name).read_bytes())
    return state.hexdigest()[:16]


def writable_cache_folder() -> Path | None:
    """The folder of this digest, made if need be; None where nothing can be written."""
    try:
        folder = cache_directory() / f"kernels-{digest()}"
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except (OSError, RuntimeError):  # RuntimeError: there is no home directory
        return None


JIT_ENABLED = not _config.DISABLE_JIT
"""False where the environment has switched numba's compiler off."""

FOLDER = writable_cache_folder()
"""Where this process keeps and finds its kernels, or None."""


_KERNELS: list[Any] = []


def inline(function: Callable[..., Any]) -> Any:
    """A part of kernels, compiled into each of them; it cannot be called from Python.

    Always into each: a part that several kernels call under its name is, in every process, the copy of the kernel that was there first, and copies
    may differ in the last bit.
    """
    return _njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, forceinline=True, **_OPTIONS)(function)


def kernel(function: Callable[..., Any]) -> Any:
    """A compiled function that Python calls, kept in `FOLDER`.

    numba reads the place of its cache from its configuration at this moment, so it is set for this moment only: the caches of other libraries stay
    where they are.
    """
    if FOLDER is None:
        return _njit(**_OPTIONS)(function)
    before, _config.CACHE_DIR = _config.CACHE_DIR, str(FOLDER)
    try:
        _KERNELS.append(_njit(cache=True, no_cfunc_wrapper=True, **_OPTIONS)(function))
    finally:
        _config.CACHE_DIR = before
    return _KERNELS[-1]


def load_kernels() -> bool:
    """Loads the machine code of every kernel from `FOLDER`; True if all are there.

    To load a function numba first learns everything that it could compile, which takes three times as long as the loading itself and imports
    scipy.linalg. Machine code needs only numba's runtime, so it is fetched from numba's cache directly. These are numba's own inner parts: with a
    numba that has others the answer is False, and the kernels are loaded by calling them.
    """
    try:
        with global_compiler_lock:
            for function in _KERNELS:
                rtsys.initialize(function.targetctx)
                cache = function._cache
                signatures = [key[0] for key in cache._cache_file._load_index()]
                found = [cache._load_overload(signature, function.targetctx) for signature in signatures]
                if not found or None in found:
                    return False
                for compiled in found:
                    function.add_overload(compiled)
    except (AttributeError, TypeError, LookupError, OSError):
        return False
    return bool(_KERNELS)


def compile_once(compile_all: Callable[[], None], folder: Path | None) -> None:
    """Runs `compile_all`, which calls every kernel once, in such a way that one process per machine compiles and all others load.

    Args:
        compile_all: loads each kernel from the cache or, where it is not there, compiles it.
        folder: the cache folder, or None to compile in memory.
    """
    if folder is None:
        announce(
            "compiling the feature kernels (about 10 s; no writable cache folder, so every process does: set QUINTET_CACHE_DIR)"
        )
        compile_all()
        return
    complete = folder / "complete"
    while not complete.exists():
        with (folder / "lock").open("w") as lock:
            if not _locked(lock):
                time.sleep(0.05)
            elif not complete.exists():  # another process may have finished between the two looks
                announce(
                    f"compiling the feature kernels once for this machine (about 10 s), kept in {folder}"
                )
                compile_all()
                complete.touch()
                return
    if folder != FOLDER or not load_kernels():
        compile_all()


def is_compiled(folder: Path | None) -> bool:
    """True where loading takes milliseconds, not seconds."""
    return folder is not None and (folder / "complete").exists()


def _locked(file: IO[str]) -> bool:
    """True if this file is now locked, for as long as it stays open; also where the file system knows no locks (then several may compile)."""
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
    """One line on stderr."""
    print(f"quintet: {text}", file=sys.stderr, flush=True)
