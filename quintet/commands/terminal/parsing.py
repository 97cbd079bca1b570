"""Values of options: the texts of the command line as names, pairs, limits, parameters and settings."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from quintet.errors import ConfigError

if TYPE_CHECKING:
    from quintet.embeddings.front_end import Windows
    from quintet.features.parameters import FeatureParameters
    from quintet.settings import TomlTable


def resolve_cores(jobs: int) -> int:
    """Number of worker processes. 0 stands for one per core."""
    return jobs or os.cpu_count() or 1


def read_file_names(files: list[str] | None) -> list[str]:
    """The files of a command. A single `-` stands for names from standard input, one a line or ended by NUL.

    Raises:
        ConfigError: standard input has no name.
    """
    if files != ["-"]:
        return files or []
    data = sys.stdin.buffer.read()
    names = [os.fsdecode(name) for name in data.split(b"\0" if b"\0" in data else b"\n")]
    found = [name.removesuffix("\r") for name in names if name.strip()]
    if not found:
        raise ConfigError("Standard input must have names of files, one a line. It has none.")
    return found


def parse_names(text: str | None) -> list[str]:
    """Names between commas, without blanks around them; none if there is no text.

    Raises:
        ConfigError: a text without names.

    Example:
        >>> parse_names("svm, xgboost"), parse_names(None)
        (['svm', 'xgboost'], [])
    """
    names = [name.strip() for name in (text or "").split(",")]
    chosen = [name for name in names if name]
    if text is not None and not chosen:
        raise ConfigError(f"A list of names must have at least one, such as 'a,b'. Received '{text}'.")
    return chosen


def parse_pairs(texts: list[str] | None, what: str) -> dict[str, str] | None:
    """Pairs from texts of the form `name=value`; None if there are none.

    Args:
        texts: values of a repeatable option.
        what: noun for the error message.

    Raises:
        ConfigError: a text without name, equals sign or value.
        BadParameter: a name with two values (exit code 2).

    Example:
        >>> parse_pairs(["label=genre", "group=artist"], "column")
        {'label': 'genre', 'group': 'artist'}
    """
    pairs: dict[str, str] = {}
    for text in texts or []:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name or not value:
            raise ConfigError(f"A {what} must be given as name=value. Received '{text}'.")
        if pairs.get(name, value) != value:
            raise typer.BadParameter(
                f"a {what} must be given once. Received {name}={pairs[name]} and {name}={value}."
            )
        pairs[name] = value
    return pairs or None


def parse_split_files(texts: list[str] | None) -> dict[str, str] | str | None:
    """Files with the clips of each part, or one file with all of them; None if there is none.

    Args:
        texts: values of `--split-file`.

    Raises:
        ConfigError, BadParameter: as `parse_pairs`.

    Example:
        >>> parse_split_files(["train=a.csv", "test=b.csv"]), parse_split_files(["parts.csv"])
        ({'train': 'a.csv', 'test': 'b.csv'}, 'parts.csv')
    """
    if texts and len(texts) == 1 and "=" not in texts[0]:
        return texts[0]
    return parse_pairs(texts, "split file")


def parse_value(text: str) -> object:
    """A JSON value, or the text itself if it is not JSON.

    Example:
        >>> parse_value("4096"), parse_value("true"), parse_value("scale")
        (4096, True, 'scale')
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def parse_parameters(features: str, families: str | None, settings: list[str] | None) -> FeatureParameters:
    """Parameters of the features.

    Args:
        features: name of the feature set.
        families: feature families between commas. None means all.
        settings: `name=value` texts.

    Raises:
        ConfigError: an unknown name, or a value that is not valid.
    """
    from quintet.features.parameters import FeatureParameters

    pairs = parse_pairs(settings, "parameter") or {}
    for name, option in (("feature_set", "--features"), ("families", "--families")):
        if name in pairs:
            raise typer.BadParameter(
                f"a parameter must be given once. {name} is the option {option}: use that one."
            )
    values: TomlTable = {name: parse_value(text) for name, text in pairs.items()}
    chosen_families = tuple(parse_names(families)) or None
    return FeatureParameters(feature_set=features, families=chosen_families, **values)


def parse_joins(texts: list[str] | None) -> dict[str, str]:
    """Name → file of the tables to join, from `FILE` and `NAME=FILE`. The default name is the file's stem.

    Raises:
        ConfigError: a name comes twice.

    Example:
        >>> parse_joins(["made/mert.parquet", "clap=b.csv"])
        {'mert': 'made/mert.parquet', 'clap': 'b.csv'}
    """
    joins: dict[str, str] = {}
    for text in texts or []:
        name, equals, file = text.partition("=")
        if not equals or "/" in name or Path(text).is_file():
            name, file = Path(text).stem, text
        if not name or not file:
            raise ConfigError(f"A joined table must be given as FILE or NAME=FILE. Received '{text}'.")
        if name in joins:
            raise ConfigError(
                f"Joined tables must have different names. '{name}' comes twice: give one as NAME=FILE."
            )
        joins[name] = file
    return joins


def parse_windows(text: str) -> Windows:
    """Windows of a clip: a number, or `all`.

    Raises:
        BadParameter: something else.

    Example:
        >>> parse_windows("10"), parse_windows("all")
        (10, 'all')
    """
    if text == "all":
        return "all"
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise typer.BadParameter("must be a number of windows, or all", param_hint="--windows")


def parse_member_settings(texts: list[str] | None) -> dict[str, TomlTable]:
    """Member → settings, from texts of the form `member.name=value`.

    Raises:
        ConfigError: a text of another form.

    Example:
        >>> parse_member_settings(["svm.C=3.0", "svm.gamma=scale"])
        {'svm': {'C': 3.0, 'gamma': 'scale'}}
        >>> parse_member_settings(["svm@tags_msd.std.C=3.0"])
        {'svm@tags_msd.std': {'C': 3.0}}
    """
    settings: dict[str, TomlTable] = {}
    for key, value in (parse_pairs(texts, "setting") or {}).items():
        # The view of a member may hold dots; settings of the members that have views hold none.
        member, dot, name = key.rpartition(".") if "@" in key else key.partition(".")
        if not dot:
            raise ConfigError(
                f"A member's setting must be given as member.name=value. Received '{key}={value}'."
            )
        settings.setdefault(member, {})[name] = parse_value(value)
    return settings


def read_member_settings(
    file: Path | None, texts: list[str] | None, members: Collection[str]
) -> dict[str, TomlTable]:
    """Member → settings of a file and of the command line. The command line takes precedence.

    Settings in the file for other members are not used; a message names these members.

    Args:
        file: TOML file with settings, or None.
        texts: `member.name=value` texts.
        members: members that are trained.

    Raises:
        ConfigError: if the file cannot be read, or a setting is unknown.
    """
    if file is None:
        return parse_member_settings(texts)
    from quintet.commands.terminal.console import err, print_plain
    from quintet.tuning.settings_file import read_settings

    stored = read_settings(file)
    unused = [name for name in stored if name not in members]
    if unused:
        print_plain(err, f"{file} also has settings of members that are not trained: {', '.join(unused)}.")
    settings = {name: chosen for name, chosen in stored.items() if name in members}
    for name, chosen in parse_member_settings(texts).items():
        settings[name] = settings.get(name, {}) | chosen
    return settings


def find_search(file: Path | None) -> Path | None:
    """Folder of the search that wrote a file of settings; None for any other file."""
    if file is None:
        return None
    names = ("tuning.json", "trials.parquet")
    is_search = all((file.parent / name).is_file() for name in names)
    return file.parent if is_search else None


def parse_limit(text: str | None) -> int | float | None:
    """Limit of failures: a number of clips (int), or a share of all clips (float between 0 and 1).

    Raises:
        ConfigError: a text of another form.

    Example:
        >>> parse_limit("20"), parse_limit("5%"), parse_limit(None)
        (20, 0.05, None)
    """
    if text is None:
        return None
    is_share = text.endswith("%")
    try:
        limit = float(text[:-1]) / 100 if is_share else int(text)
    except ValueError:
        limit = -1
    if limit < 0 or (is_share and not limit < 1):
        raise ConfigError(
            f"--max-failures must be a number of clips or a share below 100 %, such as 5%. Received '{text}'."
        )
    return limit
