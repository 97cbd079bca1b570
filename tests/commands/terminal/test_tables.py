"""Tables of the terminal: each number is whole, names are shown as they are."""

from __future__ import annotations

import io
import math

import pytest
from rich.console import Console
from rich.table import Table

from quintet.commands.terminal.predictions import probability_table
from quintet.commands.terminal.tables import gate_tables, new_table, print_table
from quintet.evaluation.scores import Difference, Estimate, Scores
from quintet.model_folder.scores import LeakGap, LeakGate

WIDTH = 80


def text_of(*tables: Table) -> str:
    """The tables as a terminal of 80 columns shows them."""
    file = io.StringIO()
    Console(file=file, width=WIDTH, highlight=False).print(*tables)
    return file.getvalue()


def test_a_table_without_rows_prints_no_heading(capsys: pytest.CaptureFixture[str]) -> None:
    table = new_table("song", "genre")
    print_table(table)
    assert capsys.readouterr().out == ""
    table.add_row("a.mp3", "rock")
    print_table(table)
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["song", "genre"],
        ["a.mp3", "rock"],
    ]


def test_the_leak_gate_fits_a_terminal() -> None:
    """Two splits and their gap are one table on 80 columns. Three splits need two tables."""
    member = "logistic_regression"
    accuracy = {"accuracy": Estimate(0.853, 0.81, 0.89)}
    scores = {member: Scores(9, 3, {}, accuracy, {}, {}, {}, {})}
    gap = Difference(0.853, 0.81, 0.89, math.nan)
    for protocols in (["random", "group"], ["random", "group", "given"]):
        gaps = tuple(LeakGap("random", other, member, 9, 3, "accuracy", gap) for other in protocols[1:])
        gate = LeakGate(dict.fromkeys(protocols, scores), gaps, ungrouped=("random",))
        text = text_of(*gate_tables(gate))
        assert "…" not in text
        assert text.count("0.853 [0.81, 0.89]") == len(protocols)
        assert text.count("+0.853 [+0.81, +0.89]") == len(protocols) - 1


def test_names_with_brackets_are_not_markup() -> None:
    row = {"file": "[red]a[x].mp3", "probabilities": {"[bold]rock": 0.75, "[/]": 0.25}, "set": "[/]"}
    text = text_of(probability_table([row], ["[bold]rock", "[/]"], width=WIDTH))
    assert "[red]a[x].mp3" in text
    assert "[bold]rock 0.75" in text
    assert text.count("[/]") == 2


def test_long_names_leave_room_for_the_probabilities() -> None:
    classes = ["a very long name of a genre " + letter for letter in "abc"]
    probabilities = dict(zip(classes, (0.5, 0.3, 0.2), strict=True))
    row = {"file": "x" * 300 + "\n.mp3", "probabilities": probabilities}
    lines = text_of(probability_table([row], classes, width=WIDTH)).splitlines()
    assert len(lines) == 2
    assert all(number in lines[1] for number in ("0.50", "0.30", "0.20"))
