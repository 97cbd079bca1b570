"""Crashes and hangs of workers, and a killed run: one ledger row at most, and the same table in the end."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quintet.datasets.source import load_source
from quintet.features.extraction import extract as extraction
from quintet.features.extraction.extract import ExtractionSummary, Options, run_extraction
from quintet.features.extraction.worker import Job
from quintet.features.parameters import FeatureParameters
from quintet.features.storage.read import read_feature_table
from quintet.features.storage.spectrograms import SpectrogramStore

sys.path.insert(0, str(Path(__file__).parent))
import stand_ins

PARAMETERS = FeatureParameters(feature_set="bahuleyan2018", families=("temporal",))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    for k in range(8):
        stand_ins.tone(tmp_path / "corpus" / ("rock", "jazz")[k % 2] / f"{k:03d}.wav", k)
    return tmp_path / "corpus"


def run(corpus: Path, output: Path, **options: Any) -> ExtractionSummary:
    return run_extraction(
        load_source(corpus), output, Options(Job(PARAMETERS, load=stand_ins.load), **options)
    )


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("death", ["segfault", "exit", "leave"])
def test_a_dying_worker_costs_its_clip_only(corpus: Path, tmp_path: Path, death: str, jobs: int) -> None:
    stand_ins.tone(corpus / "rock" / f"{death}.wav", 0)
    summary = run(corpus, tmp_path / "f.parquet", n_jobs=jobs)
    assert (summary.n_ok, summary.n_failed) == (8, 1)
    row = summary.failures.iloc[0]
    assert (row["id"], row["stage"], row["error"]) == (f"rock/{death}.wav", "worker", "ProcessExpired")
    assert "segmentation fault" in row["reason"]
    again = run(corpus, tmp_path / "f.parquet", n_jobs=jobs)
    assert (again.n_reused, again.n_failed) == (9, 1)


def test_several_dying_and_hanging_files_among_good_ones(corpus: Path, tmp_path: Path) -> None:
    for name in ("segfault1", "segfault2", "exit1", "hang1"):
        stand_ins.tone(corpus / "rock" / f"{name}.wav", 0)
    summary = run(corpus, tmp_path / "f.parquet", n_jobs=2, timeout_s=1.0)
    assert (summary.n_ok, summary.n_failed) == (8, 4)
    assert summary.failures.set_index("id")["error"].to_dict() == {
        "rock/exit1.wav": "ProcessExpired",
        "rock/hang1.wav": "TimeoutError",
        "rock/segfault1.wav": "ProcessExpired",
        "rock/segfault2.wav": "ProcessExpired",
    }
    assert "longer than 1 s" in summary.failures.set_index("id").loc["rock/hang1.wav", "reason"]


@pytest.mark.slow
def test_a_script_without_a_main_guard_may_extract(corpus: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from quintet.datasets.source import load_source\n"
        "from quintet.workflow import extract\n"
        "from quintet.features.parameters import FeatureParameters\nprint('started')\n"
        f"manifest, output = load_source({str(corpus)!r}), {str(tmp_path / 'f.parquet')!r}\n"
        "print(extract(manifest, output, parameters=FeatureParameters(), n_jobs=2).n_ok)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout.split(), done.returncode) == (["started", "8"], 0), done.stderr


DRIVER = """
import sys
sys.path.insert(0, sys.argv[1])
import stand_ins
from quintet.datasets.source import load_source
from quintet.features.extraction import extract as extraction
from quintet.features.extraction.extract import Options, run_extraction
from quintet.features.parameters import FeatureParameters
from quintet.features.extraction.worker import Job
from pathlib import Path

extraction.FLUSH_S, extraction.CHUNK_CLIPS = 0.02, 2
corpus, output, jobs = Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
parameters = FeatureParameters(feature_set="bahuleyan2018", families=("temporal",))
job = Job(parameters, log_mel=True, load=stand_ins.load)
manifest = load_source(corpus)
print("begun", flush=True)
run_extraction(manifest, output, Options(job, spectrograms=output.with_suffix(".store"), n_jobs=jobs))
"""


def killed_run(
    corpus: Path, output: Path, *, jobs: int, decodes: int, after_s: float = 0.0, how: int = signal.SIGKILL
) -> bool:
    """Start an extraction in a new process, and kill it after `decodes` decodes and `after_s` seconds.

    Returns:
        Whether it was still running.
    """
    command = [sys.executable, "-c", DRIVER, str(Path(__file__).parent), str(corpus), str(output), str(jobs)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        target = log_size(corpus) + decodes * len("slow000.wav\n")
        while process.poll() is None and log_size(corpus) < target:
            time.sleep(0.001)
        time.sleep(after_s)
        running = process.poll() is None
        process.send_signal(how)
    return running


def log_size(corpus: Path) -> int:
    log = corpus / "decoded.log"
    return log.stat().st_size if log.exists() else 0


def wait_for_orphans(corpus: Path) -> None:
    """Workers of a killed run finish the chunk they have and go: wait until the log is quiet."""
    size = -1
    while size != (size := log_size(corpus)):
        time.sleep(0.15)


def kill_and_resume(corpus: Path, tmp_path: Path, *, repetitions: int, seed: int) -> None:
    chance = random.Random(seed)
    undisturbed, output = tmp_path / "undisturbed.parquet", tmp_path / "killed.parquet"
    run_extraction(load_source(corpus), undisturbed, Options(Job(PARAMETERS, load=stand_ins.load), n_jobs=0))
    (corpus / "decoded.log").unlink()
    deaths = 0
    for _ in range(repetitions):
        deaths += killed_run(
            corpus,
            output,
            jobs=chance.choice([0, 1, 2]),
            decodes=chance.randrange(12),
            after_s=chance.uniform(0.0, 0.03),
        )
        wait_for_orphans(corpus)
        if output.exists():
            assert output.read_bytes() == undisturbed.read_bytes()  # whole or absent
    summary = run_extraction(
        load_source(corpus),
        output,
        Options(
            Job(PARAMETERS, log_mel=True, load=stand_ins.load),
            spectrograms=output.with_suffix(".store"),
            n_jobs=0,
        ),
    )
    assert output.read_bytes() == undisturbed.read_bytes()
    assert summary.n_failed == 0
    assert deaths
    decoded = stand_ins.counts(corpus)
    in_flight = (
        2 * 2 * 2 + 2 * 2
    )  # chunks under way × clips, and those that came back but were not yet in a part
    assert sum(decoded.values()) <= len(decoded) + deaths * in_flight
    table, store = read_feature_table(output), SpectrogramStore(output.with_suffix(".store"))
    assert set(store.ids) == set(table.meta.index)
    assert all(np.isfinite(store[id]).all() and store[id].shape[0] == 96 for id in store.ids)


@pytest.fixture
def slow_corpus(tmp_path: Path) -> Path:
    for k in range(40):
        stand_ins.tone(tmp_path / "corpus" / ("rock", "jazz")[k % 2] / f"slow{k:03d}.wav", k)
    return tmp_path / "corpus"


def test_killed_at_random_moments_and_resumed(slow_corpus: Path, tmp_path: Path) -> None:
    kill_and_resume(slow_corpus, tmp_path, repetitions=1, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 11))
def test_killed_again_and_again(slow_corpus: Path, tmp_path: Path, seed: int) -> None:
    kill_and_resume(slow_corpus, tmp_path, repetitions=5, seed=seed)


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is a signal on POSIX")
def test_ctrl_c_flushes_and_leaves_no_process(slow_corpus: Path, tmp_path: Path) -> None:
    output = tmp_path / "f.parquet"
    assert killed_run(slow_corpus, output, jobs=2, decodes=15, how=signal.SIGINT)
    wait_for_orphans(slow_corpus)
    decoded = sum(stand_ins.counts(slow_corpus).values())
    summary = run_extraction(
        load_source(slow_corpus),
        output,
        Options(
            Job(PARAMETERS, log_mel=True, load=stand_ins.load),
            spectrograms=output.with_suffix(".store"),
            n_jobs=0,
        ),
    )
    assert summary.n_ok == 40
    assert summary.n_reused >= decoded - 12


def test_flushes_are_whole_even_if_a_part_is_cut_off(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part's features without its facts do not exist; what else lies in the folder does no harm."""
    monkeypatch.setattr(extraction, "CHUNK_CLIPS", 2)

    def interrupt(progress: extraction.Progress) -> None:
        if progress.done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(corpus, tmp_path / "f.parquet", n_jobs=0, progress=interrupt)
    folder = tmp_path / "f.parquet.parts"
    (folder / "part-000007.npy").write_bytes(b"cut off")
    (folder / ".part-000008.parquet.123.tmp").write_bytes(b"cut off")
    (folder / "part-of-my-thesis.parquet").write_bytes(b"mine")
    assert run(corpus, tmp_path / "f.parquet", n_jobs=0).n_reused == 4
    assert [path.name for path in folder.iterdir()] == ["part-of-my-thesis.parquet"]
    run(corpus, tmp_path / "fresh.parquet", n_jobs=0)
    assert (tmp_path / "f.parquet").read_bytes() == (tmp_path / "fresh.parquet").read_bytes()
