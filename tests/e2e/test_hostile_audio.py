"""A file that crashes, hangs or bombs its decoder costs one row; the other files are done."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

import quintet
from quintet.audio.isolation import calls, processes
from quintet.audio.isolation.bounds import MEMORY_VARIABLE, SECONDS_VARIABLE
from quintet.auditing.run import audit
from quintet.commands.terminal.prediction_rows import prediction_rows
from quintet.errors import AudioError
from quintet.inference.predict import predict_files
from quintet.pipeline.explain_track import explain, make_sound
from tests.tones import PARAMETERS, train_on_tones, write_tone

sys.path.insert(0, str(Path(__file__).parent))
import decoder_hook

ERRORS = {
    "crash": "worker process died",
    "opencrash": "worker process died",
    "hang": "longer than 1.5 s",
    "bomb": "memory",
}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the hook reaches workers by a fork")


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight clips of two classes, and a model of them."""
    root = tmp_path_factory.mktemp("music")
    train_on_tones(root)
    return root


@pytest.fixture
def hostile(music: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The music, with a decoder that acts by names, in workers with small bounds."""
    calls.stop_worker()
    monkeypatch.setenv(SECONDS_VARIABLE, "1.5")
    monkeypatch.setenv(MEMORY_VARIABLE, "200")
    monkeypatch.setattr(processes, "may_fork", lambda: True)
    decoder_hook.install(monkeypatch.setattr)
    return music


def predict_and_check(model: Path, folder: Path, kinds: Sequence[str], n_good: int) -> None:
    """Predict bad files among good ones."""
    bad = [write_tone(folder / f"{kind}.wav", 0) for kind in kinds]
    good = [write_tone(folder / f"good{k}.wav", k) for k in range(n_good)]
    result = predict_files(model, [*good[: n_good // 2], *bad, *good[n_good // 2 :]])
    assert result.frame["file"].tolist() == [str(file) for file in good]
    reasons = result.failures.set_index("file")["reason"]
    assert reasons.index.tolist() == [str(file) for file in bad]
    for kind, reason in zip(kinds, reasons, strict=True):
        assert ERRORS[kind] in reason
    rows = prediction_rows(result)  # also if no file has a prediction
    assert rows.set_index("file")["status"].eq("failed").sum() == len(bad)


def test_predict_does_the_other_files(hostile: Path, tmp_path: Path) -> None:
    predict_and_check(hostile / "model", tmp_path, decoder_hook.KINDS, 3)


@pytest.mark.parametrize("kind", ["crash", "opencrash"])
def test_predict_of_one_file_does_not_die(hostile: Path, tmp_path: Path, kind: str) -> None:
    predict_and_check(hostile / "model", tmp_path, [kind], 0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", decoder_hook.KINDS)
@pytest.mark.parametrize("n_good", [0, 1, 6])
def test_predict_does_any_number_of_other_files(
    hostile: Path, tmp_path: Path, kind: str, n_good: int
) -> None:
    predict_and_check(hostile / "model", tmp_path, [kind], n_good)


def test_segments_before_a_crash_are_kept(hostile: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """A decoder that dies in the middle of a long file: its segments are predicted, the file is marked."""
    from quintet.audio.reading import segments

    file = write_tone(tmp_path / "long.wav", 1, seconds=6.0)
    monkeypatch.setattr(segments._SegmentReader, "_plan", _crash_at_the_seventh(segments))
    result = predict_files(hostile / "model", [file])
    assert result.frame["segments"].tolist() == [4]
    assert "worker process died" in result.failures["reason"].iloc[0]


def _crash_at_the_seventh(segments: Any) -> Any:
    plan = segments._SegmentReader._plan

    def crash(self: Any, number: int) -> Any:
        if number == 6:
            decoder_hook.act("crash")
        return plan(self, number)

    return crash


@pytest.mark.parametrize(
    "kind", ["crash", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("opencrash", "hang", "bomb"))]
)
def test_explain_says_why(hostile: Path, tmp_path: Path, kind: str) -> None:
    with pytest.raises(AudioError, match=ERRORS[kind]):
        explain(hostile / "model", write_tone(tmp_path / f"{kind}.wav", 0), tmp_path / "page")


def test_the_player_links_a_file_whose_copy_crashes(
    hostile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quintet.pipeline.explain_track.EMBEDDED_BYTES", 100)
    sound = make_sound(write_tone(tmp_path / "crash.wav", 0), tmp_path / "page", 0.6)
    assert sound.outside
    assert sound.source.endswith("crash.wav")


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_audit_does_the_other_clips(hostile: Path, tmp_path: Path, jobs: int) -> None:
    for k in range(6):
        write_tone(tmp_path / "corpus" / ("low", "high")[k % 2] / f"{k}.wav", k)
    for kind in decoder_hook.KINDS:
        write_tone(tmp_path / "corpus" / "low" / f"{kind}.wav", 0)
    report = audit(tmp_path / "corpus", n_jobs=jobs)
    assert len(report.clips) == 6
    problems = report.problems.set_index("id")["problem"]
    assert sorted(problems.index) == sorted(f"low/{kind}.wav" for kind in decoder_hook.KINDS)
    for kind in decoder_hook.KINDS:
        assert ERRORS[kind] in problems[f"low/{kind}.wav"]


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_extract_does_the_other_clips(hostile: Path, tmp_path: Path, jobs: int) -> None:
    for k in range(6):
        write_tone(tmp_path / "corpus" / ("low", "high")[k % 2] / f"{k}.wav", k)
    for kind in decoder_hook.KINDS:
        write_tone(tmp_path / "corpus" / "low" / f"{kind}.wav", 0)
    manifest = quintet.load_source(tmp_path / "corpus")
    summary = quintet.extract(manifest, tmp_path / "f.parquet", parameters=PARAMETERS, n_jobs=jobs)
    reasons = summary.failures.set_index("id")["reason"]
    assert summary.n_ok == 6
    for kind in decoder_hook.KINDS:
        assert ERRORS[kind] in reasons[f"low/{kind}.wav"]


def test_a_header_that_claims_2_36_frames_costs_one_row(music: Path, tmp_path: Path) -> None:
    """Attack A5: 3.6 kB of flac took all memory, and the good file was never reached."""
    claim, good = tmp_path / "claim.flac", write_tone(tmp_path / "good.wav", 1)
    soundfile.write(claim, np.random.default_rng(0).normal(size=1500) * 0.1, 1000)
    data = bytearray(claim.read_bytes())
    data[18:26] = (int.from_bytes(data[18:26], "big") >> 36 << 36 | 2**36 - 1).to_bytes(8, "big")
    claim.write_bytes(data)
    result = predict_files(music / "model", [claim, good])
    assert result.frame["file"].tolist() == [str(claim), str(good)]
    assert len(result.segments) == 4
    assert result.truncated["file"].tolist() == [str(claim)]
    assert predict_files(music / "model", [claim, good], strict=True).frame["file"].tolist() == [str(good)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", decoder_hook.KINDS)
def test_commands_survive(music: Path, tmp_path: Path, kind: str) -> None:
    """Each command as a process of its own, with the hook in all its processes."""
    decoder_hook.write_sitecustomize(tmp_path)
    path = f"{tmp_path}{os.pathsep}{Path(quintet.__file__).parents[1]}"
    settings = {"PYTHONPATH": path, SECONDS_VARIABLE: "3", MEMORY_VARIABLE: "200"}
    corpus = tmp_path / "corpus"
    shutil.copytree(music / "data", corpus)
    bad, good = write_tone(corpus / "low" / f"{kind}.wav", 0), corpus / "low" / "0.wav"

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "quintet", *map(str, words)]
        return subprocess.run(
            command, env=os.environ | settings, capture_output=True, text=True, timeout=300, check=False
        )

    for files in ([bad], [bad, good], [corpus]):
        done = run("predict", music / "model", *files, "--format", "json")
        assert done.returncode == 1, done.stderr
        rows = json.loads(done.stdout)
        rows = rows["files"] if isinstance(rows, dict) else rows
        status = {Path(row["file"]).name: row["status"] for row in rows}
        assert status.pop(bad.name) == "failed"
        assert set(status.values()) <= {"ok"}
        assert len(status) == (0, 1, 8)[[[bad], [bad, good], [corpus]].index(files)]
    done = run("explain", music / "model", bad, "-o", tmp_path / "page")
    assert done.returncode == 1, done.stderr
    assert "Error:" in done.stderr
    for jobs in (1, 2):
        done = run("audit", corpus, "--json", "--jobs", jobs)
        assert done.returncode == 0, done.stderr
        assert bad.name in done.stdout
        done = run("extract", corpus, "-o", tmp_path / f"{jobs}.parquet", "--jobs", jobs)
        assert done.returncode == 0, done.stderr
        frame = pd.read_parquet(tmp_path / f"{jobs}.parquet")
        assert (frame["status"] == "ok").sum() == 8
        assert (frame["status"] == "failed").sum() == 1


@pytest.mark.slow
def test_explain_streams_a_recording_of_any_rate(
    music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attack A9: the whole file was decoded at its own rate, 655,350 Hz, for a digest and for the player."""
    monkeypatch.setenv(MEMORY_VARIABLE, "150")
    monkeypatch.setattr("quintet.pipeline.explain_track.EMBEDDED_BYTES", 100_000)
    file, rate, seconds = tmp_path / "hirate.flac", 655_350, 90
    with soundfile.SoundFile(file, "w", rate, 1, subtype="PCM_16") as sound:
        second = np.sin(np.arange(rate) * 0.01) * 0.3
        for _ in range(seconds):
            sound.write(second)
    assert 4 * rate * seconds > 150 * 2**20  # bytes of the decoded file
    page = explain(music / "model", file, tmp_path / "page", segment_s=2.0)
    assert "hirate.flac" in page.read_text(encoding="utf-8")
