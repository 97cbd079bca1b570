"""CSV that a spreadsheet opens: no cell of it is a formula, and nothing else changes."""

from __future__ import annotations

import csv
import io
import re

import pandas as pd

from quintet.files.display.spreadsheets import count_formulas, is_formula, spreadsheet_csv

FORMULAS = [
    *("=cmd|' /C calc'!A0.flac", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1+1"),
    *("-0RWZT-miFs.flac", "=1,2", "=1;=2", '="a"', "rock;=1", "a; @x", "b\n=1"),
]
PLAIN = ["rock", "a=b.wav", "-0.5", "+3", "-1e-5", "1,5", "", "日本.wav", "'=1", "a;b", 'a",b', "a\nb"]


def test_no_cell_is_a_formula_whatever_the_separator() -> None:
    """Attack C2: names and classes of strangers in a file that people open."""
    table = pd.DataFrame({"=1+1|class": FORMULAS, "p": [-0.25] * len(FORMULAS), "-x": FORMULAS})
    text = spreadsheet_csv(table)
    assert count_formulas(table) == 2 * len(FORMULAS) + 2
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    cells += re.split(r"[;\t\r\n]", text)  # as a spreadsheet does that knows no quotation marks
    assert len(cells) > 50
    assert [cell for cell in cells if is_formula(cell.lstrip('" '))] == []
    read = pd.read_csv(io.StringIO(text), dtype={0: "str", 2: "str"})
    assert read["p"].tolist() == [-0.25] * len(FORMULAS)
    assert [cell.replace("'", "") for cell in read.iloc[:, 0]] == [cell.replace("'", "") for cell in FORMULAS]


def test_what_is_no_formula_stays_as_it_is() -> None:
    table = pd.DataFrame({"name": PLAIN, "n": range(len(PLAIN)), "p": [0.5, *[None] * (len(PLAIN) - 1)]})
    written = pd.read_csv(io.StringIO(spreadsheet_csv(table)), keep_default_na=False, na_values={"p": [""]})
    pd.testing.assert_frame_equal(written, table, check_dtype=False)
    assert count_formulas(table) == 0
