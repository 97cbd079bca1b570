"""TOML files with settings of members, in sections `[train.settings.MEMBER]`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeGuard

import numpy as np

from quintet.classifiers.registry import make_member
from quintet.errors import ConfigError
from quintet.files.untrusted.strict_toml import TOML_ERRORS, read_toml
from quintet.settings import TomlTable


def read_settings(path: str | Path) -> dict[str, TomlTable]:
    """Member → settings in the sections `[train.settings.MEMBER]` of a TOML file.

    Args:
        path: the best.toml of a search, or a recipe.

    Raises:
        ConfigError: no such file, not TOML, no such section, or an unknown member or setting.
    """
    file = Path(path)
    content = _read_toml(file)
    train = content.get("train")
    sections = train.get("settings") if isinstance(train, dict) else None
    if not _is_table_of_tables(sections):
        names = ", ".join(content) or "nothing"
        raise ConfigError(
            f"A file of settings must have sections such as [train.settings.svm]. {file} has: {names}."
        )
    for name, chosen in sections.items():
        make_member(name, **chosen)
    return sections


def _is_table_of_tables(value: object) -> TypeGuard[dict[str, TomlTable]]:
    return isinstance(value, dict) and all(isinstance(inner, dict) for inner in value.values())


def _read_toml(file: Path) -> TomlTable:
    try:
        return read_toml(file)
    except (FileNotFoundError, IsADirectoryError):
        raise ConfigError(
            "Settings must be in a TOML file, for example the best.toml of `quintet tune`. "
            f"There is no file {file}."
        ) from None
    except TOML_ERRORS as error:
        raise ConfigError(f"Settings must be in a TOML file. {file} is not one: {error}.") from None


def settings_section(member: str, settings: TomlTable, *, comment: str) -> list[str]:
    """Lines of the section of one member.

    Args:
        member: its name.
        settings: its settings.
        comment: comment below the heading, on one line.

    Example:
        >>> settings_section("svm", {"C": 3.0}, comment="best of 9 trials")
        ['[train.settings.svm]', '# best of 9 trials', 'C = 3.0']
        >>> settings_section("svm@tags", {}, comment="best of 9 trials")[0]
        '[train.settings."svm@tags"]'
    """
    values = [f"{name} = {toml_value(value)}" for name, value in settings.items()]
    key = json.dumps(member) if "@" in member else member  # TOML quotes such a key
    return [f"[train.settings.{key}]", f"# {comment}", *values]


def toml_value(value: object) -> str:
    """A setting in TOML notation. Numbers of NumPy become plain numbers.

    Example:
        >>> toml_value({"mixup": 0.25, "names": ["a", True]})
        '{mixup = 0.25, names = ["a", true]}'
    """
    if isinstance(value, str | bool):
        return json.dumps(value)
    if isinstance(value, Mapping):
        entries = [f"{name} = {toml_value(inner)}" for name, inner in value.items()]
        return "{" + ", ".join(entries) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    return repr(np.asarray(value).item())
