"""docs/security.md: every promise names its tests, and the tests exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs/security.md").read_text(encoding="utf-8")
TEST_ID = re.compile(r"`(tests/[a-z0-9_/]+\.py(?:::\w+)+)`")
HEAD = "| promise | test |"


def promises(text: str) -> list[str]:
    """Rows of the tables of promises."""
    rows = []
    for table in text.split(HEAD)[1:]:
        lines = table.splitlines()[2:]
        ends = [k for k, line in enumerate(lines) if not line.startswith("|")]
        rows += lines[: ends[0]]
    return rows


@cache
def defined_tests(file: Path) -> set[str]:
    """`test_x` and `TestClass::test_x` of a file of tests."""
    found = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {
                f"{node.name}::{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)
            }
    return found


def absent_tests(text: str) -> list[str]:
    absent = []
    for name in TEST_ID.findall(text):
        path, _, test = name.partition("::")
        is_there = (ROOT / path).is_file() and test in defined_tests(ROOT / path)
        absent += [] if is_there and "test_" in test else [name]
    return absent


def test_every_promise_names_a_test() -> None:
    rows = promises(TEXT)
    assert len(rows) > 20
    assert [row for row in rows if not TEST_ID.search(row)] == []


def test_every_test_that_is_named_exists() -> None:
    assert len(TEST_ID.findall(TEXT)) > 25
    assert absent_tests(TEXT) == []


@pytest.mark.parametrize(
    "name",
    ["tests/test_nowhere.py::test_x", "tests/test_security.py::test_x", "tests/test_security.py::HEAD"],
)
def test_the_checker_finds_what_is_absent(name: str) -> None:
    assert absent_tests(f"`{name}`") == [name]
    assert promises(f"{HEAD}\n|---|---|\n| a | b |\n| c | d |\n\n") == ["| a | b |", "| c | d |"]


def test_every_attack_that_was_grave_or_weak_has_a_test() -> None:
    section = TEXT.split("## Attacks that were tried")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ") and "mark" not in line]
    marks = {row.split("|")[1].strip() for row in rows}
    wanted = {f"{kind}{number}" for kind in "AB" for number in range(1, 10)}
    assert wanted - marks == set()
    assert [row for row in rows if not TEST_ID.search(row)] == []


def test_every_variable_that_allows_more_is_one_of_the_program() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "quintet").rglob("*.py"))
    names = set(re.findall(r"`(QUINTET_[A-Z_]+)=", TEXT))
    assert len(names) >= 5
    assert {name for name in names if f'"{name}"' not in sources} == set()


def test_a_stranger_finds_the_way_to_report() -> None:
    policy = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert "docs/security.md" in policy
    assert "security.md" in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
