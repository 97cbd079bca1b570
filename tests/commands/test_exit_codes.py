"""Exit codes of every command, and errors of the operating system as sentences."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import typer.main
from typer.core import TyperGroup

from quintet import cli
from quintet.commands.terminal import faults
from quintet.errors import ArtefactError, MachineError
from quintet.files import machine
from quintet.labelling.suggest import COLUMNS as SUGGESTED
from quintet.labelling.suggest import Suggestions
from quintet.robustness.report import COLUMNS as STRESSED
from quintet.robustness.report import StressReport

ROOT = Path(__file__).parents[2]
MISSING = {
    "extract": ["nowhere", "-o", "f.parquet"],
    "train": ["nowhere.parquet", "-o", "m"],
    "tune": ["nowhere.csv", "-o", "t"],
    "report": ["nowhere", "-o", "r"],
    "predict": ["nowhere", "a.wav"],
    "explain": ["nowhere", "a.wav", "-o", "e"],
    "suggest": ["nowhere", "a.wav"],
    "stress": ["nowhere", "a.wav"],
    "serve": ["nowhere", "--port", "0"],
    "export": ["nowhere", "-o", "x"],
    "run": ["nowhere.toml", "-o", "r"],
    "audit": ["nowhere"],
    "fuse": ["nowhere.csv", "-o", "f.csv"],
    "evaluate": ["nowhere.csv"],
    "fetch": ["nowhere", "folder"],
    "tag": ["nowhere.wav"],
    "weights": ["remove", "nowhere"],
    "library": ["tags", "--apply", "none.csv"],
    "list": ["nowhere"],
}
"""Command → words that name data or configuration that does not exist."""
COMMANDS = sorted(typer.main.get_command(cli.app).commands)  # type: ignore[attr-defined]


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> object:
    """Run a command and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["quintet", *words])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    return exit_.value.code or 0


def test_the_rule_is_in_the_docs() -> None:
    text = (ROOT / "docs" / "main-job.md").read_text(encoding="utf-8")
    section = text[text.index("## Exit codes") :]
    codes = [int(code) for code in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)]
    assert codes == [
        faults.EXIT_OK,
        faults.EXIT_DATA,
        faults.EXIT_USAGE,
        faults.EXIT_INTERRUPTED,
        faults.EXIT_CLOSED_PIPE,
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_the_same_exit_codes(
    command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QUINTET_WEIGHTS_DIR", str(tmp_path))  # whatever networks this machine has
    assert call(monkeypatch, command, "--help") == faults.EXIT_OK
    assert call(monkeypatch, command, "--no-such-option") == faults.EXIT_USAGE
    assert call(monkeypatch, command) == faults.EXIT_USAGE
    capsys.readouterr()
    assert call(monkeypatch, command, *MISSING[command]) == faults.EXIT_DATA
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("Error: ")
    assert "Traceback" not in printed.err


@pytest.mark.parametrize("command", COMMANDS)
def test_an_interrupt_is_130_in_every_command(
    command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        error = KeyboardInterrupt()
        error.add_note("What is kept is in x.")
        raise error

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(TyperGroup, "invoke", interrupt)
    assert call(monkeypatch, command, *MISSING[command]) == faults.EXIT_INTERRUPTED
    assert "What is kept is in x." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device", "/disk/x.parquet"), "disk is full"),
        (PermissionError(13, "Permission denied", "/disk/x.parquet"), "/disk/x.parquet"),
        (UnicodeEncodeError("charmap", "\u65e5", 0, 1, "no such character"), "UTF-8"),
        (UnicodeEncodeError("utf-8", "caf\udce9.csv", 3, 4, "surrogates not allowed"), r"caf\xe9.csv"),
        (MemoryError(), "memory"),
        (RecursionError("maximum recursion depth exceeded"), "Please report it"),
        (OSError(24, "Too many open files"), "--jobs"),
        (OSError("nothing more is known"), "nothing more is known"),
        (RuntimeError("a fault of ours"), "Please report it"),
    ],
)
def test_no_error_becomes_a_traceback(
    error: Exception,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.delenv(faults.TRACEBACK_VARIABLE, raising=False)
    monkeypatch.setattr(TyperGroup, "invoke", fail)
    assert call(monkeypatch, "list", "members") == faults.EXIT_DATA
    printed = capsys.readouterr().err
    assert printed.startswith("Error: ")
    assert words in printed
    assert "Traceback" not in printed


def run_process(
    *words: str, cwd: Path | None = None, stdout: int | None = subprocess.PIPE, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", "from quintet.cli import main; main()", *words],
        cwd=cwd,
        stdout=stdout,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        timeout=120,
        check=False,
    )


def test_a_closed_pipe_is_141_without_a_message() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = run_process("list", "members", stdout=write_end)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (faults.EXIT_CLOSED_PIPE, b"")


@pytest.mark.skipif(os.name == "nt", reason="Windows deletes no current folder")
def test_a_model_that_is_missing_in_a_deleted_folder_names_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = ArtefactError("'my.library' is no library.")
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    assert faults.explain_error(error) == str(error)
    (tmp_path / "gone").rmdir()
    assert faults.explain_error(error) == f"{error} {faults.FOLDER_GONE}"
    monkeypatch.chdir(tmp_path)


def test_an_error_without_memory_for_a_console_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "quintet.commands.terminal.console", None)
    cli._print_error(MemoryError())
    assert capsys.readouterr().err == f"Error: {faults.explain_error(MemoryError())}\n"


def test_a_page_is_not_opened_in_too_little_address_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_free_in_limits", lambda: 2.0**29)
    with pytest.raises(MachineError, match=r"1,024 MB .* `ulimit -v`"):
        cli.app(["library", "open", str(tmp_path), "--no-browser"], standalone_mode=False)


@pytest.mark.skipif(os.name == "nt", reason="Windows deletes no current folder")
def test_a_page_is_not_opened_in_a_deleted_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(MachineError, match="current folder"):
        cli.app(["library", "open", str(tmp_path), "--no-browser"], standalone_mode=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_under_standard_output_is_one_sentence() -> None:
    with open("/dev/full", "wb") as full:
        done = run_process("list", "members", stdout=full.fileno())
    assert done.returncode == faults.EXIT_DATA
    assert done.stderr.decode().startswith("Error: The disk is full")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows deletes no current folder")
def test_a_deleted_current_folder_is_one_sentence(tmp_path: Path) -> None:
    program = (
        "import os, sys; os.mkdir('gone'); os.chdir('gone'); os.rmdir(os.getcwd());"
        "sys.argv = ['quintet', 'predict', 'model', 'a.wav', '-o', 'x.csv'];"
        "from quintet.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=120,
        check=False,
    )
    assert done.returncode == faults.EXIT_DATA
    assert done.stderr.decode().startswith("Error: The current folder does not exist any more")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.slow
def test_any_encoding_and_any_width_of_the_terminal_will_do() -> None:
    words = ("list", "members")
    plain = run_process(*words, PYTHONIOENCODING="utf-8")
    assert plain.returncode == 0
    for variables in ({"PYTHONIOENCODING": "cp1252", "COLUMNS": "0"}, {"PYTHONIOENCODING": "ascii"}):
        done = run_process(*words, **variables)
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.count(b"\n") == plain.stdout.count(b"\n")
    refused = run_process("report", "\u65e5", "-o", "x", PYTHONIOENCODING="cp1252")
    assert refused.returncode == faults.EXIT_DATA
    assert b"\\u65e5" in refused.stderr
    assert b"Traceback" not in refused.stderr


@pytest.mark.parametrize("error", [SystemError("returned NULL"), ImportError("cannot map the library")])
def test_an_error_without_a_reason_is_a_lack_of_memory_where_there_is_none(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `ulimit -v 300000` an import ends in such an error."""
    monkeypatch.setattr(machine, "_free_memory", lambda: 5e7)
    assert faults.explain_error(error) == faults.explain_error(MemoryError())
    monkeypatch.setattr(machine, "_free_memory", lambda: 5e9)
    assert type(error).__name__ in faults.explain_error(error)


@pytest.mark.parametrize("command", ["suggest", "stress"])
def test_a_file_that_cannot_be_read_is_named_and_is_1(
    command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failure = {"file": "no.wav", "stage": "decode", "reason": "It holds text."}
    clips = Suggestions(pd.DataFrame(columns=SUGGESTED), 3, failures=(failure,))
    report = StressReport(pd.DataFrame(columns=STRESSED), 3, failures=(failure,))
    monkeypatch.setattr("quintet.labelling.suggest.suggest", lambda *_, **__: clips)
    monkeypatch.setattr("quintet.robustness.stress.stress", lambda *_, **__: report)
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, command, "model", "no.wav", "--json", "-q") == faults.EXIT_DATA
    printed = capsys.readouterr()
    assert json.loads(printed.out)["failures"] == [failure]
    assert "no.wav: It holds text." in printed.err
