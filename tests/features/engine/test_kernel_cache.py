"""Tests of the kernel cache: one process compiles, the others wait, and no stale code is loaded."""

from __future__ import annotations

import hashlib
import importlib
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from quintet.features.engine import kernel_cache as compilation
from quintet.features.engine import native
from quintet.features.engine.kernel_cache import (
    compile_once,
    digest,
    find_cache_folder,
    is_compiled,
)
from quintet.features.engine.warm_up import kernels_available

posix = pytest.mark.skipif(os.name == "nt", reason="owners and modes of files")


def test_one_of_several_processes_compiles(tmp_path, capsys):
    inside, most, calls = [], [], []

    def compile_all() -> None:
        inside.append(1)
        most.append(len(inside) if not is_compiled(tmp_path) else 0)
        calls.append(is_compiled(tmp_path))
        time.sleep(0.1)
        inside.pop()

    threads = [threading.Thread(target=compile_once, args=(compile_all, tmp_path)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1  # never two that compile
    assert calls.count(False) == 1
    assert calls.count(True) == 4  # the others load
    assert capsys.readouterr().err.count("\n") == 1


def test_a_compiled_folder_is_loaded_without_a_message(tmp_path, capsys):
    (tmp_path / "complete").touch()
    calls = []
    compile_once(lambda: calls.append(1), tmp_path)
    assert calls == [1]
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_the_lock_of_a_killed_process_ends_with_it(tmp_path):
    code = f"""
import time
from pathlib import Path
from quintet.features.engine.kernel_cache import compile_once
def compile_all():
    print("compiling", flush=True)
    time.sleep(60)
compile_once(compile_all, Path({str(tmp_path)!r}))
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
    began = time.monotonic()
    compile_once(lambda: None, tmp_path)
    assert is_compiled(tmp_path)
    assert time.monotonic() - began < 1


def test_a_failed_compilation_releases_the_lock_and_marks_nothing(tmp_path):
    def fail() -> None:
        raise ValueError("no such instruction")

    with pytest.raises(ValueError, match="instruction"):
        compile_once(fail, tmp_path)
    assert not is_compiled(tmp_path)
    compile_once(lambda: None, tmp_path)
    assert is_compiled(tmp_path)


def test_without_a_folder_every_process_compiles_and_one_of_them_says_so(capsys, monkeypatch):
    monkeypatch.setenv(compilation.IN_MEMORY_VARIABLE, "")
    monkeypatch.delenv(compilation.IN_MEMORY_VARIABLE)
    monkeypatch.setattr(compilation, "REFUSAL", find_cache_folder()[1] or "because")
    calls = []
    for _ in range(2):
        compile_once(lambda: calls.append(1), None)
    assert calls == [1, 1]
    assert capsys.readouterr().err.count("\n") == 1  # the environment tells it to child processes


def test_the_environment_names_the_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("QUINTET_CACHE_DIR", str(tmp_path))
    folder, _ = find_cache_folder()
    assert folder == tmp_path / f"kernels-{digest()}"
    assert folder.is_dir()
    assert list(folder.iterdir()) == []


def test_a_directory_that_cannot_be_made_is_none(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("QUINTET_CACHE_DIR", str(tmp_path / "file" / "below"))
    folder, reason = find_cache_folder()
    assert folder is None
    assert "QUINTET_CACHE_DIR" in reason


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a file that of another user: in fact where the tests may, else as the program sees it."""
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534, follow_symlinks=False)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)


def plant(folder: Path) -> Path:
    """A cache file such as another user would write: a pickle that touches a file when it is loaded."""
    inner = folder / "frames_1"
    inner.mkdir(mode=0o700, exist_ok=True)
    file = inner / "frames.kernel-1.py311.nbi"
    file.write_bytes(b"cos\nsystem\n(S'touch PWNED'\ntR.")
    file.chmod(0o600)
    return file


@posix
@pytest.mark.parametrize(
    "attack",
    [
        "a file of another user",
        "a file that all can write",
        "a folder of another user",
        "a folder that all can write",
        "a folder that its group can write",
        "a folder above that all can write",
        "a link to another folder",
        "a link in the folder",
    ],
)
def test_a_cache_that_another_user_can_write_is_not_used(tmp_path, monkeypatch, attack):
    """Attack A1: the cache files are pickles, so whoever writes them runs code here."""
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o700)
    monkeypatch.setenv("QUINTET_CACHE_DIR", str(cache))
    folder = find_cache_folder()[0]
    assert folder is not None
    assert find_cache_folder()[0] == folder  # as long as nobody touches it
    planted = plant(folder)
    assert find_cache_folder()[0] == folder
    match attack:
        case "a file of another user":
            give_away(planted, monkeypatch)
        case "a file that all can write":
            planted.chmod(0o666)
        case "a folder of another user":
            give_away(folder, monkeypatch)
        case "a folder that all can write":
            folder.chmod(0o777)
        case "a folder that its group can write":
            monkeypatch.setattr("quintet.files.cache._is_own_group", lambda facts: False)
            cache.chmod(0o770)
        case "a folder above that all can write":
            cache.chmod(0o777)
        case "a link to another folder":
            folder.rename(tmp_path / "elsewhere")
            folder.symlink_to(tmp_path / "elsewhere", target_is_directory=True)
        case "a link in the folder":
            planted.rename(tmp_path / "planted")
            planted.symlink_to(tmp_path / "planted")
    refused, reason = find_cache_folder()
    assert refused is None
    assert str(tmp_path) in reason


PROGRAM = """
from quintet.features.engine.kernel_cache import compiled

@compiled(fastmath=False)
def double(numbers):
    for k in range(len(numbers)):
        numbers[k] *= 2
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Makes a kernel that no other test has compiled, which keeps its machine code in a new cache folder."""
    (tmp_path / "program.py").write_text(PROGRAM)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("QUINTET_CACHE_DIR", str(tmp_path / "a" / "b"))
    monkeypatch.setattr(native, "FOLDER", find_cache_folder()[0])
    yield lambda: native.StoredKernel("program", "double")
    sys.modules.pop("program", None)


def doubled(kernel: native.Kernel, numbers: np.ndarray) -> list[float]:
    kernel(numbers)
    return numbers.tolist()


@posix
def test_a_cache_is_private_whatever_the_umask(tmp_path, monkeypatch, program):
    before = os.umask(0)
    try:
        assert doubled(program(), np.array([1.0, 2.0])) == [2.0, 4.0]
        compile_once(lambda: None, native.FOLDER)
        assert os.umask(0) == 0
    finally:
        os.umask(before)
    monkeypatch.setattr(native, "_compile", None)  # the next process finds the machine code
    assert doubled(program(), np.array([3.0])) == [6.0]
    made = list((tmp_path / "a").rglob("*"))
    assert {"complete", "lock"} <= {path.name for path in made}
    assert len([path for path in made if path.name.startswith("double-")]) == 1
    assert {oct(path.stat().st_mode & 0o077) for path in (tmp_path / "a", *made)} == {"0o0"}
    assert find_cache_folder()[0] == native.FOLDER


def test_a_stored_kernel_is_compiled_again_if_its_file_does_not_fit(tmp_path, monkeypatch, program):
    assert doubled(program(), np.array([1.0])) == [2.0]
    (file,) = native.FOLDER.glob("double-*")
    written = file.read_bytes()
    assert doubled(program(), np.array([1], np.int64)) == [2]  # another type of its numbers
    file.write_bytes(written[:-9])
    assert doubled(program(), np.array([1.0])) == [2.0]
    assert file.read_bytes() == written
    (tmp_path / "program.py").write_text(PROGRAM.replace("*= 2", "*= 30"))
    del sys.modules["program"]
    importlib.invalidate_caches()
    assert doubled(program(), np.array([1.0])) == [30.0]
    monkeypatch.setattr(native, "FOLDER", None)
    assert doubled(program(), np.array([1.0])) == [30.0]


def test_a_stored_kernel_runs_as_python_if_the_compiler_is_switched_off(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    code = (
        "import numpy; from quintet.features.engine.native import StoredKernel; x = numpy.ones(2); "
        "StoredKernel('program', 'double')(x); print(x.tolist())"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={
            **os.environ,
            "NUMBA_DISABLE_JIT": "1",
            "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == "[2.0, 2.0]\n"


def test_all_compiled_code_of_the_package_is_in_the_one_cache():
    from quintet.explanation.shapley import compiled, forest_kernels, kernels

    members = {**vars(kernels), **vars(forest_kernels)}
    loops = {name for name, value in members.items() if hasattr(value, "py_func") and name[0] != "_"}
    stored = {name for name, value in vars(compiled).items() if isinstance(value, native.StoredKernel)}
    assert stored == loops
    package = Path(compilation.__file__).parents[2]
    assert not [path for path in package.rglob("*.py") if "cache=True" in path.read_text()]


def test_changed_sources_have_another_digest(tmp_path, monkeypatch):
    before = digest()
    assert digest() == before
    (tmp_path / "extra.py").write_text("a = 1")
    monkeypatch.setattr(compilation, "SOURCES", (*compilation.SOURCES, str(tmp_path / "extra.py")))
    one = digest()
    (tmp_path / "extra.py").write_text("a = 2")
    assert len({before, one, digest()}) == 3


def test_another_installation_has_another_digest(tmp_path, monkeypatch):
    before, here = digest(), Path(compilation.__file__).parent
    shutil.copytree(here.parent, tmp_path / "features")
    (tmp_path / "audio").mkdir()
    shutil.copy(here.parents[1] / "audio" / "mel.py", tmp_path / "audio")
    monkeypatch.setattr(compilation, "__file__", str(tmp_path / "features" / "engine" / "kernel_cache.py"))
    assert digest() != before


def test_the_digest_covers_every_module_that_kernels_are_made_of():
    code = (
        "import quintet.features.engine.kernels.frames, quintet.features.engine.kernels.waveform, sys; "
        "print(*[m.__file__ for n, m in sys.modules.items() if n.startswith('quintet.features.')])"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    with_kernels = {
        Path(name).name
        for name in loaded
        if "@inline" in Path(name).read_text() or "@intrinsic" in Path(name).read_text()
    }
    assert with_kernels <= {Path(name).name for name in compilation.SOURCES}


CACHED = """
import sys
from quintet.features.engine import native
from quintet.features.engine.warm_up import kernels_available
print(kernels_available(), "numba" in sys.modules, [k.name for k in native.KERNELS if k.code is None])
"""


IMPORTED = """
import sys
import quintet.features.describe, quintet.features.engine.streaming
from quintet.features.engine import native
from quintet.features.engine.warm_up import kernels_available
loaded = [kernel.name for kernel in native.KERNELS if kernel.code]
print(loaded, kernels_available.cache_info().currsize, "numba" in sys.modules)
"""


def test_an_import_compiles_and_loads_no_kernel():
    result = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["[]", "0", "False"]
    assert result.stderr == ""


def test_a_warm_cache_is_loaded_without_numba():
    subprocess.run(
        [sys.executable, "-c", CACHED], capture_output=True, check=True
    )  # compiles if the cache is empty
    result = subprocess.run([sys.executable, "-c", CACHED], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["True", "False", "[]"]
    assert result.stderr == ""


@pytest.mark.slow
def test_kernels_that_were_loaded_leave_numba_able_to_compile():
    code = (
        CACHED
        + "import numba, numpy\nprint(numba.njit(lambda x: numpy.dot(x, x) + len({1: 2}))(numpy.ones(3)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split()[-1] == "4.0"


def test_kernels_are_compiled_if_their_machine_code_cannot_be_loaded(tmp_path):
    calls = []
    (tmp_path / "complete").touch()
    compile_once(lambda: calls.append(1), tmp_path, lambda folder: False)
    assert calls == [1]
    compile_once(lambda: calls.append(1), tmp_path, lambda folder: True)
    assert calls == [1]


@pytest.fixture
def kept(tmp_path):
    """A folder with the machine code of this machine, which is bound again at the end."""
    assert kernels_available()
    native.save_kernels(tmp_path)
    before = [(kernel.code, kernel._function) for kernel in native.KERNELS]
    yield tmp_path
    for kernel, (code, function) in zip(native.KERNELS, before, strict=True):
        kernel.code, kernel._function = code, function


def test_saved_machine_code_is_loaded(kept):
    for kernel in native.KERNELS:
        kernel.code = kernel._function = None
    assert native.load_kernels(kept)
    assert native.sums(np.array([1, -3, 2, 0.5], np.float32)) == (0.5, 6.5, -3.0, 2.0)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[:-9],
        lambda text: text.replace("AAAA", "AAAB", 1),
        lambda text: text.partition("\n")[2],
        lambda text: f"{hashlib.sha256(b'{}').hexdigest()}\n{{}}",
    ],
    ids=["empty", "torn", "changed", "no digest", "no kernel"],
)
def test_damaged_machine_code_is_not_loaded(kept, damage):
    text = (kept / native.FILE).read_text()
    (kept / native.FILE).write_text(damage(text))
    assert not native.load_kernels(kept)
    (kept / native.FILE).unlink()
    assert not native.load_kernels(kept)


def test_a_kernel_refuses_arguments_that_it_was_not_compiled_for():
    assert kernels_available()
    single = np.ones((1, 8), np.float32)
    for power, floor in (
        (single.astype(np.float64), 1.0),
        (single[0], 1.0),
        (single, 1),
        (np.ones((8, 2), np.float32).T[:, ::2], 1.0),
        (single.tolist(), 1.0),
    ):
        with pytest.raises(TypeError):
            native.decibels(power, floor, np.ones((1, 8)))
    read_only = single.copy()
    read_only.flags.writeable = False
    result = np.empty((1, 8))
    native.decibels(read_only, np.float64(0.1), result)
    assert (result == 0).all()


MADE = """
import math
from quintet.features.engine.kernel_cache import kernel

@kernel
def halves(numbers, factor, is_negative):
    sign = -1.0 if is_negative else 1.0
    return sign * numbers[0] * factor, sign * numbers[1] / 2.0

@kernel
def whole(n):
    return n + 1, n

@kernel
def single(x):
    return x / 2.0

@kernel
def many(x):
    return x, x, x, x, x, x, x, x, x

@kernel
def bell(x):
    return math.erf(x), x
"""


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Compiles kernels that no other test has compiled."""
    (tmp_path / "made_kernels.py").write_text(MADE)
    monkeypatch.syspath_prepend(tmp_path)
    yield lambda name: native.Kernel("made_kernels", name)
    sys.modules.pop("made_kernels", None)


def test_two_threads_may_call_a_kernel_for_the_first_time(made):
    halves = made("halves")
    begin, results = threading.Barrier(2), []

    def call(k: int) -> None:
        begin.wait(20)
        results.append((k, halves(np.array([2.0, k]), 8.0 * k, k == 1)))

    threads = [threading.Thread(target=call, args=(k,)) for k in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [(1, (-16.0, -0.5)), (2, (32.0, 1.0))]


@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("halves", (np.ones(2), np.float32(8), True), "'double', 'i8'"),
        ("whole", (np.int32(3),), "'i64'"),
        ("whole", (3,), "int64"),
        ("single", (3.0,), "tuple"),
        ("many", (3.0,), "at most 8"),
        ("bell", (3.0,), "needs .*erf"),
    ],
)
def test_a_kernel_that_cannot_be_called_as_machine_code_is_refused(made, name, arguments, error):
    with pytest.raises((TypeError, RuntimeError), match=error):
        made(name)(*arguments)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
def test_a_forked_process_calls_the_kernels_of_its_parent():
    code = """
import os, numpy
from quintet.features.engine import native
from quintet.features.engine.warm_up import kernels_available
assert kernels_available()
child = os.fork()
assert native.sums(numpy.array([1, -3, 2, 0.5], numpy.float32)) == (0.5, 6.5, -3.0, 2.0)
if child:
    assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_kernels_are_not_used_if_the_compiler_is_switched_off():
    result = subprocess.run(
        [sys.executable, "-c", CACHED],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.startswith("False False")
    assert result.stderr == ""


@pytest.mark.parametrize("fact", ["get_host_cpu_name", "get_host_cpu_features", "__version__"])
def test_another_processor_or_compiler_has_another_digest(monkeypatch, fact):
    llvmlite = pytest.importorskip("llvmlite")
    before = digest()
    if fact == "__version__":
        monkeypatch.setattr(llvmlite, fact, "0.1")
    else:
        facts = type(getattr(llvmlite.binding, fact)())({"avx9": True} if "features" in fact else "new")
        monkeypatch.setattr(llvmlite.binding, fact, lambda: facts)
    assert digest() != before


@pytest.mark.parametrize("variable", compilation.COMPILER_VARIABLES)
def test_settings_of_the_compiler_have_another_digest(monkeypatch, variable):
    before = digest()
    monkeypatch.setenv(variable, "generic")
    assert digest() != before


DESCRIBED = """
import hashlib
import numpy as np
from quintet.audio.clip import Clip
from quintet.features.describe import describe
from quintet.features.parameters import FeatureParameters
samples = np.random.default_rng(3).standard_normal(66150).astype(np.float32)
described = describe(Clip(samples / 5, 22050), FeatureParameters(), log_mel=True)
print(hashlib.sha256(repr(described.features).encode() + described.log_mel.tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_compiled_and_loaded_code_give_the_same_bits(tmp_path):
    (tmp_path / "file").touch()
    result = [
        subprocess.run(
            [sys.executable, "-c", DESCRIBED],
            env={**os.environ, "QUINTET_CACHE_DIR": str(place)},
            capture_output=True,
            text=True,
            check=True,
        )
        for place in (tmp_path, tmp_path, tmp_path / "file" / "below")
    ]
    texts = ["once for this machine", "", "in memory"]
    assert [text in process.stderr for text, process in zip(texts, result, strict=True)] == [True] * 3
    assert result[1].stderr == ""
    assert len({process.stdout for process in result}) == 1


@pytest.mark.slow
def test_processes_on_an_empty_cache_compile_once(tmp_path):
    code = "from quintet.features.engine.warm_up import kernels_available; assert kernels_available()"
    environment = {**os.environ, "QUINTET_CACHE_DIR": str(tmp_path)}
    started = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    result = "".join(process.communicate()[1] for process in started)
    assert all(process.returncode == 0 for process in started)
    assert result.count("compiling") == 1
    second = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert second.stderr == ""
