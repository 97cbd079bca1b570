"""Public names of the package."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

import quintet

FUNCTIONS = (
    "extract",
    "train",
    "report",
    "predict",
    "explain",
    "run",
    "tune",
    "fuse",
    "evaluate",
    "tag",
    "audit",
    "suggest",
    "stress",
)
DICTIONARIES = {"RunResult"}  # a dict of results, each of which shows itself


def test_each_public_name_can_be_imported() -> None:
    for name in quintet.__all__:
        assert getattr(quintet, name).__name__ == name


def test_the_public_names_and_their_modules_are_one_list() -> None:
    assert set(quintet.__all__) == set(quintet._HOMES)


def returned(name: str) -> object:
    """The class that a public function returns, found by the name of its annotation."""
    function = getattr(quintet, name)
    annotation = str(inspect.signature(function).return_annotation)
    if annotation == "Path":
        return Path
    home = inspect.getsource(inspect.getmodule(function))  # type: ignore[arg-type]
    for line in home.splitlines():
        words = line.split()
        if words[:1] == ["from"] and annotation in line.partition(" import ")[2].split(", "):
            return getattr(__import__(words[1], fromlist=[annotation]), annotation)
    return getattr(inspect.getmodule(function), annotation)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_parameter_of_a_public_function_is_spelled_out_and_typed(name: str) -> None:
    for parameter in inspect.signature(getattr(quintet, name)).parameters.values():
        assert parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL), parameter
        assert parameter.annotation is not parameter.empty, parameter
        assert "Any" not in str(parameter.annotation), parameter


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_result_shows_itself_in_a_notebook_and_is_a_table(name: str) -> None:
    result = returned(name)
    if result is Path or getattr(result, "__name__", "") in DICTIONARIES:
        return
    assert hasattr(result, "_repr_html_"), result
    assert "frame" in {*dir(result), *getattr(result, "__annotations__", {})}, result


def test_dir_lists_public_names_only() -> None:
    names = [name for name in dir(quintet) if not name.startswith("__")]
    assert sorted(names) == sorted(quintet.__all__)
