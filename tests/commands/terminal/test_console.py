"""Names on the terminal: control characters never reach it, whoever prints them."""

from __future__ import annotations

import ast
import io
import sys
from pathlib import Path

import pandas as pd
import pytest
import typer

from quintet import cli
from quintet.commands.pretrained.tag_output import print_tags
from quintet.commands.terminal import console, output
from quintet.commands.terminal.console import StreamConsole, lines_of, print_plain, write_data
from quintet.commands.terminal.tables import new_table
from quintet.embeddings.tagging import COLUMNS, TagResult
from quintet.files.display.names import MOST_CHARACTERS, harmless, printable
from quintet.files.notices import announce

NAMES = {
    "clears the screen": "\x1b[2J.wav",
    "sets the title": "\x1b]0;PWNED\x07.wav",
    "makes a line of its own": "a.wav\nFAKE LINE: all good.wav",
    "goes back on the line": "bad.wav\rgood.wav",
    "is an escape of one character": "\x9b2J.wav",
    "turns the direction of writing": "\u202e3pm.exe",
    "isolates a direction": "\u2066a\u2069.wav",
    "is another line end": "a\u2028b.wav",
    "is no text": "a\udcff.wav",
    "is a delete": "a\x7f.wav",
}
HARMLESS = [
    "a b.wav",
    "Ünï/日本\u3000語.flac",
    "نمی\u200cخواهم",
    "👩\u200d🎤",
    "[red]x[/red] :bomb:",
    r"C:\x",
]
hostile = pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)


def is_safe(text: str) -> bool:
    """Whether a text is one line of characters that a terminal draws."""
    return not any(ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u202e\u2066\u2069\u2028\udcff" for c in text)


@hostile
def test_a_name_is_one_line_of_characters_that_are_drawn(name: str) -> None:
    assert not is_safe(name)
    assert is_safe(printable(name))
    assert is_safe(harmless(name).replace("\n", ""))


@pytest.mark.parametrize("name", HARMLESS)
def test_names_of_all_languages_stay_as_they_are(name: str) -> None:
    assert printable(name) == harmless(name) == name


def test_a_label_of_a_million_letters_is_not_printed_whole() -> None:
    """Attack B7."""
    shown = printable("a" * 1_000_000 + "z")
    assert len(shown) < MOST_CHARACTERS
    assert "1,000,001 characters" in shown
    assert shown.endswith("z")


@hostile
def test_no_way_of_printing_lets_a_name_through(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attack B4: lists of failures and the audit printed names as they are."""
    stream = io.StringIO()
    screen = StreamConsole(file=stream, width=200, highlight=False, emoji=False)
    for module in (console, output):
        monkeypatch.setattr(module, "err", screen)
        monkeypatch.setattr(module, "out", screen)
    table = new_table("file")
    table.add_row(name)
    table.add_row(lines_of([name]))
    screen.print(table)
    screen.print(name, markup=False)
    print_plain(screen, name)
    output.print_failure(name, f"{name} cannot be read")
    output.print_truncation(name, name)
    output.print_ignored((name, f"note about {name}"))
    cli._print_error(OSError(5, "reason", name))
    monkeypatch.setattr(sys, "stderr", stream)
    announce(name)
    assert all(is_safe(line) for line in stream.getvalue().split("\n"))
    assert not any(line.startswith("FAKE") for line in stream.getvalue().split("\n"))


@hostile
def test_a_word_of_the_command_line_is_printed_likewise(
    name: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "keep_streams_open", lambda: None)
    monkeypatch.setattr(sys, "argv", ["quintet", "list", f"--{name}"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    written = capfd.readouterr().err
    assert "--" in written
    assert all(is_safe(line) for line in written.split("\n"))


def test_data_are_escaped_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for is_terminal, expected in ((False, "a\x1b[2J\n"), (True, "a\\x1b[2J\n")):
        stream = io.StringIO()
        monkeypatch.setattr(stream, "isatty", lambda answer=is_terminal: answer)
        monkeypatch.setattr(sys, "stdout", stream)
        write_data("a\x1b[2J\n")
        assert stream.getvalue() == expected


def test_a_name_is_no_emoji_and_no_markup() -> None:
    stream = io.StringIO()
    screen = StreamConsole(file=stream, width=200, highlight=False, emoji=False)
    print_plain(screen, HARMLESS[4])
    assert stream.getvalue() == HARMLESS[4] + "\n"


PRINTERS = {"print", "write", "writelines", "echo", "secho", "Text", "Console"}
ALLOWED = {
    "commands/terminal/console.py": {"Text", "write"},
    "commands/terminal/progress.py": {"Text"},  # a rate
    "cli.py": {"print", "write"},  # the version, and an error without memory for a console
}


def calls_that_print(file: Path) -> set[str]:
    """Names of the called functions that print past the consoles."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        if isinstance(function, ast.Name) and function.id in PRINTERS:
            found.add(function.id)
        elif isinstance(function, ast.Attribute) and function.attr in PRINTERS:
            owner = ast.unparse(function.value)
            is_console = function.attr == "print" and owner in (
                "out",
                "err",
                "console",
                "StreamConsole(file=text, width=ENDLESS_WIDTH)",
            )
            if not is_console and owner.split(".")[0] in ("sys", "typer", "click", "rich", "builtins"):
                found.add(function.attr)
    return found


def test_the_consoles_are_the_only_way_to_the_terminal() -> None:
    package = Path(cli.__file__).parent
    found = {}
    for file in package.rglob("*.py"):
        name = file.relative_to(package).as_posix()
        is_command = name.startswith("commands/") or name == "cli.py"
        found[name] = calls_that_print(file) & (PRINTERS if is_command else {"print", "echo", "secho"})
    assert found.pop("files/notices.py") == {"print"}
    assert {name: calls for name, calls in found.items() if calls} == ALLOWED


def test_an_end_of_a_file_is_no_silent_abort(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise EOFError("marker missing")

    monkeypatch.setattr("quintet.commands.terminal.listing.records", fail)
    monkeypatch.setattr(cli, "keep_streams_open", lambda: None)
    monkeypatch.setattr(sys, "argv", ["quintet", "list", "members", "--json"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 1
    assert "marker missing" in capfd.readouterr().err
    assert typer.Abort.__name__ not in capfd.readouterr().err


@pytest.mark.parametrize("width", ["40", "200"])
def test_a_file_holds_whole_names_without_styles_whatever_the_terminal(
    width: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    monkeypatch.setenv("FORCE_COLOR", "1")
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdout", screen)
    name = f"{'x' * 150}.mp3"
    rows = [[name, "musicnn_msd", 0.0, 1.0, tag, "genre", 0.5] for tag in ("alternative rock", "pop")]
    rows.append([" a\rb.mp3", "musicnn_msd", 0.0, 1.0, "pop", "genre", 0.5])
    nothing = pd.DataFrame(columns=["path", "reason"])
    result = TagResult(pd.DataFrame(rows, columns=list(COLUMNS)), nothing, nothing, {"musicnn_msd": ""})
    print_tags(result, "table", tmp_path / "tags.txt")
    text = (tmp_path / "tags.txt").read_text(encoding="utf-8")
    assert {name, "musicnn_msd", "alternative rock 0.50, pop 0.50"} <= set(
        text.replace("  ", "\n").split("\n")
    )
    assert "\x1b" not in text
    print_tags(result, "csv", tmp_path / "tags.csv")
    read = pd.read_csv(tmp_path / "tags.csv")
    assert read["path"].tolist() == result.frame["path"].tolist()


def test_a_colour_that_is_forced_makes_no_terminal_of_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    stream = io.StringIO()
    table = new_table("file")
    table.add_row("x" * 500)
    console_ = StreamConsole(file=stream)
    console_.print(table)
    assert not console_.is_terminal
    assert "x" * 500 in stream.getvalue()
    assert "\x1b" not in stream.getvalue()
