"""The docs speak of what exists: packages, files and names in docs/architecture.md and CONTRIBUTING.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "quintet"
PATH = re.compile(r"`((?:quintet/)?[a-z_0-9]+(?:/[a-z_0-9]+)*(?:/|\.py))`")


def paths_in(text: str) -> list[str]:
    return [match.removeprefix("quintet/") for match in PATH.findall(text)]


@pytest.mark.parametrize("name", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_every_path_exists(name: str) -> None:
    paths = paths_in((ROOT / name).read_text(encoding="utf-8"))
    assert len(paths) > 5
    absent = [path for path in paths if not (PACKAGE / path).exists() and not (ROOT / path).exists()]
    assert absent == []


def test_the_tree_names_every_package() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    tree = text[text.index("## The tree") : text.index("## The way of a clip")]
    packages = {path.parent.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("__init__.py")} - {"."}
    assert {path.rstrip("/") for path in paths_in(tree) if path.endswith("/")} == packages
