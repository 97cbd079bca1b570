"""Options and commands that messages, help texts and documents name: they exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from quintet import cli
from quintet.features.storage.read import read_feature_table

ROOT = Path(__file__).parents[2]
GROUP = typer.main.get_command(cli.app)
COMMANDS = GROUP.commands  # type: ignore[attr-defined]
OPTION = re.compile(r"(?<![\w-])(?<!var\()--[a-z][a-z-]*[a-z]\b")
OF_OTHERS = {
    *(
        "--ignore-config",
        "--no-playlist",
        "--no-warnings",
        "--quiet",
        "--no-progress",
        "--format",
        "--output",
    ),
    *("--require-hashes", "--no-deps", "--only-binary", "--dest", "--requirement", "--hash"),
}
"""Options of programs that quintet starts or writes files for (yt-dlp, pip)."""
SENTENCE = re.compile(r"`quintet ([a-z-]+)|(?<![\w.])quintet ([a-z]+) (?=[-A-Z{])")


def options_of(command: object) -> set[str]:
    found = {name for part in command.params for name in (*part.opts, *part.secondary_opts)}  # type: ignore[attr-defined]
    return found.union(*map(options_of, getattr(command, "commands", {}).values()))


@cache
def texts(path: Path) -> tuple[tuple[int, str], ...]:
    """Strings of a module, with their lines; docstrings and the parts of f-strings are strings, too."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    strings = (node for node in nodes if isinstance(node, ast.Constant))
    return tuple((node.lineno, node.value) for node in strings if isinstance(node.value, str))


def mentions(pattern: re.Pattern[str], *, folder: str = "quintet") -> Iterator[tuple[str, str]]:
    for path in sorted((ROOT / folder).rglob("*.py")):
        for line, text in texts(path):
            for match in pattern.finditer(text):
                yield f"{path.relative_to(ROOT)}:{line}", next(filter(None, match.groups()), match[0])


def test_every_option_in_a_message_exists() -> None:
    known = options_of(GROUP) | {"--help"}
    found = list(mentions(OPTION))
    assert len(found) > 150
    assert [(place, name) for place, name in found if name not in known | OF_OTHERS] == []


def test_every_command_in_a_message_exists() -> None:
    found = list(mentions(SENTENCE))
    assert len(found) > 40
    assert [(place, name) for place, name in found if name not in COMMANDS] == []


def test_every_option_of_a_command_line_belongs_to_its_command() -> None:
    """`quintet train FEATURES --set …` in messages, help texts and documents."""
    line = re.compile(r"quintet ([a-z]+)((?: (?!quintet)[^\s`;&|#]+)*)")
    sources = [(place, text) for place, text in _all_texts()]
    n_options = 0
    for place, text in sources:
        for name, rest in line.findall(text):
            if name in COMMANDS:
                options = OPTION.findall(rest)
                n_options += len(options)
                assert set(options) <= options_of(COMMANDS[name]) | {"--help"}, (place, name, options)
    assert n_options > 60


def _all_texts() -> Iterator[tuple[str, str]]:
    for path in sorted((ROOT / "quintet").rglob("*.py")):
        for number, text in texts(path):
            yield f"{path.relative_to(ROOT)}:{number}", text
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        yield path.name, path.read_text(encoding="utf-8")


def test_what_the_sentence_about_a_text_column_says_helps(tmp_path: Path) -> None:
    """`--ignore-column` and `exclude` are what it says."""
    table = tmp_path / "t.csv"
    table.write_text("id,label,f,day\na,x,1,monday\nb,y,2,friday\n")
    with pytest.raises(ValueError, match="--ignore-column; in Python exclude"):
        read_feature_table(table)
    read = read_feature_table(table, exclude="day")
    assert read.feature_names == ("f",)
    assert "'day'" in " ".join(read.metadata["notes"])
    for slip in ("days", "label"):
        with pytest.raises(ValueError, match=f"'{slip}'"):
            read_feature_table(table, exclude=[slip])


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("train t.csv -o model -m svm --members xgboost", "--members"),
        ("predict model a.wav --jobs 2 -j 2", "--jobs"),
        ("library tags my.library --plan a.csv --plan b.csv", "--plan"),
    ],
)
def test_an_option_of_one_value_that_is_given_twice_is_refused(words: str, name: str) -> None:
    result = CliRunner().invoke(cli.app, words.split(), env={"COLUMNS": "200"})
    assert (result.exit_code, f"{name} must be given once. Received it 2 times" in result.output) == (2, True)


def test_flags_and_options_of_many_values_may_be_given_twice() -> None:
    words = "train none.csv -o model --set svm.C=1 --set svm.gamma=2 --json --json -q -q"
    result = CliRunner().invoke(cli.app, words.split())
    assert (result.exit_code, "must exist" in str(result.exception)) == (1, True)


def paths_of(words: list[str], command: object) -> Iterator[list[str]]:
    """Command lines in which one path is an empty text: of every option, and of the first argument."""
    for name, inner in getattr(command, "commands", {}).items():
        yield from paths_of([*words, name], inner)
    parts = [
        part
        for part in command.params  # type: ignore[attr-defined]
        if "Path" in str(part.type_descriptor.annotation)
    ]
    for part in parts:
        is_option = part.opts[0].startswith("-")
        if is_option or part is command.params[0]:  # type: ignore[attr-defined]
            yield [*words, *([part.opts[0]] if is_option else []), ""]


EMPTY_PATHS = list(paths_of([], GROUP))


def test_no_command_takes_an_empty_path_for_the_current_folder() -> None:
    """As of a shell variable that is not set: `library scan ""` scanned the current folder."""
    assert len(EMPTY_PATHS) > 40
    for words in EMPTY_PATHS:
        result = CliRunner().invoke(cli.app, words)
        assert (words, result.exit_code) == (words, 1)
        assert "Received an empty text" in str(result.exception), words
