"""README and docs: the Python example runs, linked files exist, commands and options exist."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer.main

from quintet.cli import app

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    t = np.arange(22050) / 22050
    names = [f"music/{label}/{i}.wav" for label in ("high", "low") for i in range(6)] + ["new/song.wav"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        frequency = 300 if "low" in name else 2000
        soundfile.write(
            tmp_path / name, 0.3 * np.sin(2 * np.pi * frequency * t) + 0.05 * rng.normal(size=t.size), 22050
        )
    monkeypatch.chdir(tmp_path)
    example = re.search(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert example is not None
    exec(compile(example.group(1), "README.md", "exec"), {})
    output = capsys.readouterr().out
    assert "high" in output
    assert "low" in output


def test_linked_files_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        file = re.sub(r"^https://.+?/(?:blob|raw)/[^/]+/", "", target)  # the README of a release
        assert (ROOT / file).exists(), target


@cache
def options_of(command: str) -> set[str]:
    """Options of a command, and of its sub-commands if it has any."""
    group = typer.main.get_command(app)
    parent = group.commands[command]  # type: ignore[attr-defined]
    options: set[str] = set()
    for one in (parent, *getattr(parent, "commands", {}).values()):
        for parameter in one.params:
            options.update(parameter.opts, parameter.secondary_opts)
    return options


def command_lines() -> list[list[str]]:
    """The words of each line in README and docs that starts with `quintet`."""
    lines: list[str] = []
    for file in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for block in re.findall(r"```bash\n(.*?)```", file.read_text(encoding="utf-8"), re.DOTALL):
            lines += block.replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith("quintet ")]


def test_every_command_and_option_exists() -> None:
    lines = command_lines()
    assert len(lines) > 10
    for _, command, *words in lines:
        for word in words:
            if word.startswith("-"):
                assert word.split("=")[0] in options_of(command), f"quintet {command} {word}"
