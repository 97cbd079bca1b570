"""Faults of the machine end a run; a clip is never blamed for them."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quintet.audio.decode import ClipSource, DecodedClip, load_clip
from quintet.audio.isolation import processes
from quintet.auditing.clip_facts import measure_clip
from quintet.errors import DecodeError, MachineError
from quintet.features.engine import kernel_cache
from quintet.features.extraction.worker import ClipTask, Job, describe_clip
from quintet.features.parameters import FeatureParameters
from quintet.files import machine


@dataclass(frozen=True)
class Failing:
    """A decoder that raises an error."""

    error: BaseException

    def __call__(self, *args: object, **options: object) -> DecodedClip:
        raise self.error


def outcome(error: BaseException) -> str:
    """What an error of a decoder becomes: a row of the ledger, or the end of the run."""
    job = Job(FeatureParameters(), load=Failing(error))
    try:
        row = describe_clip(ClipTask(0, ClipSource("a.wav")), job)
    except MachineError:
        return "run"
    return str(row.facts["status"])


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "full"), "run"),
        (OSError(errno.EMFILE, "many"), "run"),
        (caused(DecodeError("not readable"), OSError(errno.ENFILE, "many")), "run"),
        (caused(RuntimeError("x"), OSError(errno.EDQUOT, "full")), "run"),
        (ImportError("libx", name="quintet.audio.decode"), "run"),
        (OSError(errno.EACCES, "no"), "failed"),
        (OSError(errno.EIO, "bad sector"), "failed"),
        (DecodeError("damaged"), "failed"),
        (ValueError("damaged"), "failed"),
    ],
    ids=str,
)
def test_only_faults_of_the_clip_become_rows(error: BaseException, expected: str) -> None:
    if isinstance(error, ImportError):
        assert machine.machine_fault(error) is not None
    else:
        assert outcome(error) == expected


@pytest.mark.parametrize(("free", "expected"), [(1 << 20, "run"), (64 << 30, "failed")])
def test_too_little_memory_is_a_fault_of_the_machine_if_little_is_free(
    free: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_free_memory", lambda: float(free))
    assert outcome(MemoryError()) == expected


def test_a_healthy_clip_is_not_blamed_if_no_file_can_be_opened(tmp_path: Path) -> None:
    """libsndfile reports "System error" without a number, so the machine is asked."""
    resource = pytest.importorskip("resource")
    path = tmp_path / "a.wav"
    soundfile.write(path, np.sin(np.arange(4000) / 9), 8000)
    load_clip(path, sample_rate=None)  # imports everything
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
    try:
        with pytest.raises(MachineError, match="ulimit -n"):
            describe_clip(
                ClipTask(0, ClipSource(str(path))), Job(FeatureParameters(), describe=Failing(OSError()))
            )
        with pytest.raises(MachineError, match="ulimit -n"):
            measure_clip(ClipSource(str(path)), fingerprints=False)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_compiled_code_that_cannot_be_kept_is_used_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(kernel_cache, "_UNSAVED", [])
    monkeypatch.setenv(kernel_cache.IN_MEMORY_VARIABLE, "1")
    kernel_cache.compile_once(lambda: kernel_cache.save_privately(save, tmp_path), tmp_path)
    assert not kernel_cache.is_compiled(tmp_path)
    monkeypatch.setattr(kernel_cache, "_UNSAVED", [])
    kernel_cache.compile_once(lambda: None, tmp_path)
    assert kernel_cache.is_compiled(tmp_path)


def test_a_process_that_cannot_start_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    for reason, match in (
        ("AF_UNIX path too long", "TMPDIR"),
        ("Resource temporarily unavailable", "ulimit -u"),
    ):

        def refuse(*_: object, reason: str = reason) -> None:
            raise OSError(reason)

        monkeypatch.setattr(processes, "_start", refuse)
        with pytest.raises(MachineError, match=match):
            processes.start_process(print)


STREAMS = """
import os, sys
from quintet.commands.terminal.faults import accept_all_characters, keep_streams_open
from quintet.files.notices import announce
keep_streams_open(); accept_all_characters()
file = open(sys.argv[1], "w")
print("a message", file=sys.stderr, flush=True); announce("a notice")
print("result"); sys.stdout.flush()
file.write("table"); file.close()
assert file.name and open(sys.argv[1]).read() == "table"
"""


@pytest.mark.parametrize("streams", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_closed_and_full_streams_stop_nothing(streams: str, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    command = f"exec '{sys.executable}' -c '{STREAMS}' '{tmp_path}/table' {streams}"
    assert subprocess.run(["sh", "-c", command], check=False).returncode == 0
    assert (tmp_path / "table").read_text() == "table"


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [0, 2])
def test_no_clip_fails_if_the_kernels_cannot_be_kept(jobs: int, tmp_path: Path) -> None:
    """The limit of the size of files stands for a full disk: the kernels are larger. The table is not, nor is
    the probe of `prepare_file`, 64 kB."""
    (tmp_path / "music" / "a").mkdir(parents=True)
    for k in range(6):
        soundfile.write(tmp_path / "music" / "a" / f"{k}.wav", np.sin(np.arange(16000) / (9 + k)), 16000)
    words = ["extract", "music", "-o", "f.parquet", "--families", "temporal", "--jobs", str(jobs)]
    command = f"ulimit -f 66; exec '{sys.executable}' -m quintet {' '.join(words)} 2>&-"
    environment = {**os.environ, "QUINTET_CACHE_DIR": str(tmp_path / "cache")}
    run = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=environment, check=False)
    assert run.returncode == 0
    from quintet.features.storage.read import read_feature_table

    assert len(read_feature_table(tmp_path / "f.parquet").meta) == 6
    assert not list((tmp_path / "cache").glob("kernels-*/complete"))
