"""The distribution: its name, its extras, its version, and the wheel outside the checkout."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import quintet
from quintet.errors import DISTRIBUTION, MissingExtraError

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FOREIGN_NAME = re.compile(r"pip[\w -]* install [^\n`]*?(?<![\w/.-])quintet(?![\w-])")


def test_name_and_version_are_those_of_the_project() -> None:
    assert PROJECT["name"] == DISTRIBUTION
    assert PROJECT["version"] == quintet.__version__


def texts() -> Iterator[Path]:
    for pattern in (
        "*.md",
        "docs/*.md",
        "quintet/**/*.py",
        "quintet/**/*.html",
        "recipes/*.toml",
        "Makefile",
    ):
        yield from ROOT.glob(pattern)


def test_no_text_installs_the_other_project_called_quintet() -> None:
    assert FOREIGN_NAME.search("pip install 'quintet[codecs]'")
    assert not FOREIGN_NAME.search("pip install 'quintet-music[codecs]'")
    found = [file.name for file in texts() if FOREIGN_NAME.search(file.read_text(encoding="utf-8"))]
    assert found == []


def named_extras() -> set[str]:
    """Extras that the package names in `MissingExtraError` and `install_command`."""
    position = {"MissingExtraError": 1, "install_command": 0}
    found = set()
    for file in (ROOT / "quintet").rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        if not any(name in text for name in position):
            continue
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            place = position.get(node.func.id)
            if place is not None and len(node.args) > place and isinstance(node.args[place], ast.Constant):
                found.add(node.args[place].value)  # type: ignore[attr-defined]
    return found


def test_every_extra_in_a_message_exists() -> None:
    extras = named_extras()
    assert {"codecs", "tune", "embeddings"} <= extras
    assert extras <= set(PROJECT["optional-dependencies"])
    assert f"'{DISTRIBUTION}[tune]'" in str(MissingExtraError("A search for settings", "tune"))


@pytest.fixture(scope="module")
def empty_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of a new environment that has the built wheel, and the installed libraries behind it."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("quintet_music-*.whl")
    venv.create(folder / "env", with_pip=False, symlinks=True)
    (packages,) = (folder / "env/lib").glob("python*/site-packages")
    zipfile.ZipFile(wheel).extractall(packages)
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "env/bin/python"


def run_outside(python: Path, code: str, folder: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [python, "-c", code], cwd=folder, env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout


def test_the_wheel_works_outside_the_checkout(empty_python: Path, tmp_path: Path) -> None:
    code = (
        "import importlib.metadata, quintet, sys; from quintet.pipeline.recipe import find_recipe;"
        "print(importlib.metadata.version('quintet-music'), quintet.__file__, find_recipe('demo').stem)"
    )
    version, place, recipe = run_outside(empty_python, code, tmp_path).split()
    assert version == quintet.__version__
    assert empty_python.parents[1] in Path(place).parents
    assert recipe == "demo"


@pytest.mark.skipif("urls" in PROJECT, reason="these are the sources of a release, with addresses")
def test_a_release_has_addresses_and_no_relative_link(tmp_path: Path) -> None:
    for name in ("README.md", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, str(ROOT / ".ci/stamp_release.py"), "https://host/owner/name/", "v1.2.3"]
    subprocess.run(command, cwd=tmp_path, check=True)
    urls = tomllib.loads((tmp_path / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    assert urls["Source"] == "https://host/owner/name"
    assert urls["Changelog"] == "https://host/owner/name/blob/v1.2.3/CHANGELOG.md"
    targets = re.findall(r"\]\(([^)#]+)", (tmp_path / "README.md").read_text(encoding="utf-8"))
    assert len(targets) > 20
    places = re.compile(r"https://host/owner/name/(raw|blob)/v1\.2\.3/(.+)")
    for target in targets:
        found = places.fullmatch(target)
        assert found, target
        assert (ROOT / found[2]).exists(), target
        assert (found[1] == "raw") == target.endswith(".png"), target
