"""Cache of the compiled kernels: where they are kept, and which process compiles them.

A *kernel* is a function that computes features and that numba compiles to machine code. It is written in
Python. The first process on a machine compiles all kernels, which takes some seconds (one line on stderr says
so), and their machine code is kept in a *cache folder*. Every later process loads it from there in
milliseconds:

    <user's cache directory>/quintet/kernels-<digest>/

(`native.py` loads it, so that such a process imports no numba.)

The digest covers the source files of the engine and their location, Python, numba, llvmlite and the
processor. Whatever could make the machine code wrong leads to another folder, so stale code is never loaded.
`QUINTET_CACHE_DIR` names another directory.

Who can write the cache files decides what runs here. So the folder is made with mode
0700, and it is used only if the user owns it and everything in it, and no other user else can write there.
Otherwise, and if no directory is writable, every process compiles the kernels in memory, and one line says
so. All compiled code of quintet is kept in this folder.

If several processes start on an empty cache, the first one that gets the file lock compiles, and the others
wait for it. If that process is killed, the system releases the lock, and another process compiles.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Protocol, TypeVar

from quintet.errors import ArtefactError
from quintet.files.cache import cache_directory, make_private
from quintet.files.notices import announce

Function = TypeVar("Function", bound=Callable[..., object])

SOURCES = (
    "kernel_cache.py",
    "native.py",
    "kernels/simd_types.py",
    "kernels/simd.py",
    "kernels/lanes.py",
    "kernels/plans.py",
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

COMPILER_VARIABLES = (
    "NUMBA_CPU_NAME",
    "NUMBA_CPU_FEATURES",
    "NUMBA_ENABLE_AVX",
    "NUMBA_OPT",
    "NUMBA_LOOP_VECTORIZE",
    "NUMBA_SLP_VECTORIZE",
)
"""Environment variables of numba that decide the machine code."""

_OPTIONS: dict[str, object] = {
    # Without numba's memory manager (NRT): kernels allocate nothing, and to count the references to arrays
    # would take a tenth of the time.
    "_nrt": False,
    "nogil": True,
    "error_model": "numpy",  # x / 0 is inf or nan, as in NumPy
    "boundscheck": False,
    # contract: a * b + c in one step; nsz: the sign of a zero does not matter; arcp: a / b as a * (1 / b).
    # The order of the sums stays as written.
    "fastmath": {"contract", "nsz", "arcp"},
}


def digest() -> str:
    """Sixteen hex digits of everything that decides the machine code."""
    from llvmlite import __version__ as llvmlite_version
    from llvmlite import binding

    here = Path(__file__).parent
    facts = (
        sys.version,
        _version_of_numba(),
        llvmlite_version,
        binding.get_host_cpu_name(),
        binding.get_host_cpu_features().flatten(),
        # two installations with other libraries do not share a folder
        str(here),
        *(os.environ.get(name, "") for name in COMPILER_VARIABLES),
    )
    state = hashlib.sha256()
    for fact in facts:
        state.update(fact.encode() + b"\0")
    for name in SOURCES:
        state.update((here / name).read_bytes())
    return state.hexdigest()[:16]


def _version_of_numba() -> str:
    """Text of the file that states it: numba itself is not imported."""
    spec = find_spec("numba")
    assert spec is not None
    assert spec.origin is not None
    file = Path(spec.origin).with_name("_version.py")
    if file.is_file():
        return file.read_text(encoding="utf-8")
    from importlib.metadata import version

    return version("numba")


def find_cache_folder() -> tuple[Path | None, str]:
    """Cache folder for the current digest, made if it is missing, and why there is none.

    Returns:
        The folder and an empty text, or None and the reason.
    """
    try:
        folder = cache_directory() / f"kernels-{digest()}"
        make_private(folder)
        with tempfile.TemporaryFile(dir=folder):
            return folder, ""
    except ArtefactError as error:
        return None, str(error)
    except (OSError, RuntimeError):  # RuntimeError: there is no home directory
        return None, "No cache folder is writable: name one with QUINTET_CACHE_DIR."


JIT_ENABLED = os.environ.get("NUMBA_DISABLE_JIT", "").strip() in ("", "0")
"""False if the environment switches numba's compiler off."""

FOLDER, REFUSAL = find_cache_folder()
"""Cache folder of this process, or None and the reason."""

IN_MEMORY_VARIABLE = "QUINTET_KERNELS_IN_MEMORY"
"""Environment variable that is set after the line about it is printed, for this process and its children."""


def inline(function: Function) -> Function:
    """Decorator for a helper function that kernels call. Python cannot call it.

    The helper is always inlined: its code is copied into each kernel. Otherwise each kernel would bring a
    compiled helper of the same name. A process would use the one that it loads first, and the results of the
    compiled helpers may differ in the last bit.
    """
    numba: Any = import_module("numba")
    compiler = numba.njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, forceinline=True, **_OPTIONS)
    helper: Function = compiler(function)
    return helper


def kernel(function: Function) -> Function:
    """Decorator for a compiled function that `native.py` calls. Python cannot call it directly."""
    return compiled()(function)


class Compiler(Protocol):
    """A decorator that returns a compiled function of the same signature."""

    def __call__(self, function: Function, /) -> Function:
        """The compiled function."""
        ...


def compiled(**options: object) -> Compiler:
    """Decorator as `kernel`, with options of `numba.njit` in the place of those of the features' kernels."""
    numba: Any = import_module("numba")
    made = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, **_OPTIONS, **options}
    compiler: Compiler = numba.njit(**made)
    return compiler


_UNSAVED: list[OSError] = []
"""Why compiled code could not be kept on the disk."""

_UMASK_LOCK = threading.RLock()


@contextmanager
def private_files() -> Iterator[None]:
    """Files that are made in this block can be read and written by this user only, whatever the umask is."""
    with _UMASK_LOCK:
        before = os.umask(0o077)
        try:
            yield
        finally:
            os.umask(before)


def save_privately(save: Callable[[Path], None], folder: Path) -> None:
    """Save machine code so that only this user can read and write it. A fault is kept for `compile_once`."""
    try:
        with private_files():
            save(folder)
    except OSError as error:  # a full disk: the code is in memory and can be called
        _UNSAVED.append(error)


def compile_once(
    compile_all: Callable[[], None], folder: Path | None, load: Callable[[Path], bool] = lambda folder: False
) -> None:
    """Compile the kernels in one process per machine, and load them in all others.

    Args:
        compile_all: compiles every kernel and saves its machine code.
        load: loads the machine code of all kernels from the folder. Where it cannot (False), `compile_all`
            does the work.
        folder: the cache folder (`FOLDER`; tests use others), or None to compile in memory. A file `complete`
            in it says that all kernels are compiled.
    """
    if folder is None:
        if IN_MEMORY_VARIABLE not in os.environ:
            announce(f"compiling the feature kernels in memory (about 10 s in every process). {REFUSAL}")
            os.environ[IN_MEMORY_VARIABLE] = "1"
        compile_all()
        return
    complete = folder / "complete"
    while not complete.exists():
        try:
            with private_files():
                lock_file = (folder / "lock").open("w")
        except OSError as error:
            _UNSAVED.append(error)
            compile_all()
            _announce_unsaved(folder)
            return
        with lock_file as lock:
            if not _lock(lock):
                time.sleep(0.05)
            elif not complete.exists():  # another process may have finished between the two checks
                announce(
                    f"compiling the feature kernels once for this machine (about 10 s), kept in {folder}"
                )
                compile_all()
                if not _UNSAVED:
                    with suppress(OSError):
                        complete.touch(mode=0o600)
                _announce_unsaved(folder)
                return
    if not load(folder):
        compile_all()


def _announce_unsaved(folder: Path) -> None:
    """Say once why compiled code is in memory only."""
    if _UNSAVED and IN_MEMORY_VARIABLE not in os.environ:
        announce(
            f"the compiled kernels cannot be kept in {folder} ({_UNSAVED[0].strerror or _UNSAVED[0]}), so "
            "every process compiles them: make room, or name another folder with QUINTET_CACHE_DIR"
        )
        os.environ[IN_MEMORY_VARIABLE] = "1"


def is_compiled(folder: Path | None) -> bool:
    """Whether all kernels are compiled in a cache folder, so that loading them takes milliseconds."""
    return folder is not None and (folder / "complete").exists()


def _lock(file: IO[str]) -> bool:
    """Lock a file until it is closed. False if another process holds the lock.

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
