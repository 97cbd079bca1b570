"""Names in the documentation exist: files, packages, functions, parameters and classes."""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import quintet

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "quintet"
ARCHITECTURE = ROOT / "docs/architecture.md"
PATH = re.compile(r"`((?:quintet/)?[a-z_0-9]+(?:/[a-z_0-9]+)*(?:/|\.py))`")
HEADING = re.compile(r"^#+ ([a-z_]+)/$|^#+ ", re.MULTILINE)
CODE = re.compile(r"`([^`]+)`")
CALL = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)(?:\(([^()]*)\))?")
CLASS_NAME = re.compile(r"\b[A-Z]+[a-z]\w*\b")
FILE_SUFFIXES = ("csv", "html", "json", "npz", "parquet", "py", "toml")


def paths_in(text: str) -> list[str]:
    return [match.removeprefix("quintet/") for match in PATH.findall(text)]


@pytest.mark.parametrize("name", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_every_path_exists(name: str) -> None:
    paths = paths_in((ROOT / name).read_text(encoding="utf-8"))
    assert len(paths) > 5
    absent = [path for path in paths if not (PACKAGE / path).exists() and not (ROOT / path).exists()]
    assert absent == []


def test_the_tree_names_every_package() -> None:
    text = ARCHITECTURE.read_text(encoding="utf-8")
    tree = text[text.index("## The tree") : text.index("## The way of a clip")]
    packages = {path.parent.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("__init__.py")} - {"."}
    assert {path.rstrip("/") for path in paths_in(tree) if path.endswith("/")} == packages


class Mention(NamedTuple):
    """A dotted name in the text, below the heading of a package (`""`: below another heading)."""

    package: str
    name: str
    parameters: str


def mentions() -> list[Mention]:
    text = ARCHITECTURE.read_text(encoding="utf-8")
    headings = list(HEADING.finditer(text))
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    found = []
    for heading, end in zip(headings, ends, strict=True):
        for code in CODE.findall(text[heading.end() : end]):
            call = CALL.match(code)
            if call and not call[1].endswith(FILE_SUFFIXES):
                found.append(Mention(heading[1] or "", call[1], call[2] or ""))
    return found


def class_homes() -> dict[str, str]:
    """Class name → its module. If several modules have a class of that name, the last one counts."""
    homes = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        module = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                homes[node.name] = module
    return homes


def resolve(start: str, name: str) -> object | None:
    """The object with a dotted name below the module `start`. A field of a class is its annotation."""
    value: object = importlib.import_module(start)
    for part in name.split("."):
        annotations = inspect.get_annotations(value) if inspect.isclass(value) else {}
        if hasattr(value, part):
            value = getattr(value, part)
        elif part in annotations:
            value = annotations[part]
        elif inspect.ismodule(value) and is_module(f"{value.__name__}.{part}"):
            value = importlib.import_module(f"{value.__name__}.{part}")
        else:
            return None
    return value


def is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


def find(mention: Mention, homes: dict[str, str]) -> object | None:
    first = mention.name.split(".")[0]
    if first in homes:
        return resolve(homes[first], mention.name)
    if first == "quintet":
        return resolve("quintet", mention.name.removeprefix("quintet."))
    return resolve(f"quintet.{mention.package}".rstrip("."), mention.name)


def test_every_dotted_name_exists() -> None:
    homes = class_homes()
    absent = [mention.name for mention in mentions() if find(mention, homes) is None]
    assert len(mentions()) > 80
    assert absent == []


def parameter_names(text: str) -> Iterator[str]:
    for part in text.split(","):
        name = part.split("=")[0].strip()
        if name.isidentifier():
            yield name


def test_every_parameter_exists() -> None:
    homes = class_homes()
    absent = []
    for mention in mentions():
        function = find(mention, homes)
        if mention.parameters and callable(function):
            real = inspect.signature(function).parameters
            absent += [f"{mention.name}({p})" for p in parameter_names(mention.parameters) if p not in real]
    assert absent == []


def test_every_class_exists() -> None:
    known = {*class_homes(), *vars(builtins), "DataFrame", "Explanation", "NaN"}
    text = ARCHITECTURE.read_text(encoding="utf-8")
    names = {name for code in CODE.findall(text) for name in CLASS_NAME.findall(code)}
    assert sorted(names - known) == []


def test_the_python_page_documents_every_public_name() -> None:
    text = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    documented = []
    for name in re.findall(r"^::: quintet\.([\w.]+)$", text, re.MULTILINE):
        value = resolve("quintet", name)
        documented += vars(value).values() if inspect.ismodule(value) else [value]
    identities = {id(value) for value in documented}
    absent = [name for name in quintet.__all__ if id(getattr(quintet, name)) not in identities]
    assert absent == []
