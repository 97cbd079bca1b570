"""What the words of the command line mean: pairs, names, limits and settings, as the functions of the package want them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quintet.errors import ConfigError

if TYPE_CHECKING:
    from quintet.features.parameters import FeatureParameters

Jobs = Annotated[int, typer.Option("--jobs", "-j", min=0, help="Worker processes; 0 takes every core.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only results and errors.")]
Seed = Annotated[int, typer.Option(min=0, help="Fixes splits, members and intervals.")]


def resolve_cores(jobs: int) -> int:
    return jobs or os.cpu_count() or 1


def parse_names(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def parse_pairs(texts: list[str] | None, what: str) -> dict[str, str] | None:
    pairs = {}
    for text in texts or []:
        key, equals, value = text.partition("=")
        if not equals or not key or not value:
            raise ConfigError(f"A {what} must be given as name=value. Received '{text}'.")
        pairs[key.strip()] = value.strip()
    return pairs or None


def value_of(text: str) -> Any:
    import json

    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def parse_parameters(features: str, families: str | None, settings: list[str] | None) -> FeatureParameters:
    from quintet.features.parameters import FeatureParameters

    chosen = {key: value_of(value) for key, value in (parse_pairs(settings, "parameter") or {}).items()}
    return FeatureParameters(feature_set=features, families=tuple(parse_names(families)) or None, **chosen)


def member_settings(settings: list[str] | None) -> dict[str, dict[str, Any]]:
    result: dict[str, dict[str, Any]] = {}
    for key, value in (parse_pairs(settings, "setting") or {}).items():
        member, dot, name = key.partition(".")
        if not dot:
            raise ConfigError(
                f"A member's setting must be given as member.name=value. Received '{key}={value}'."
            )
        result.setdefault(member, {})[name] = value_of(value)
    return result


def all_settings(
    file: Path | None, texts: list[str] | None, members: Any, err: Any
) -> dict[str, dict[str, Any]]:
    """Settings of a file, for the members that take part; those of the command line come last."""
    if file is None:
        return member_settings(texts)
    from quintet.tuning.tune import read_settings

    found = read_settings(file)
    if idle := [name for name in found if name not in members]:
        err.print(
            f"{file} also has settings of members that do not take part: {', '.join(idle)}.",
            markup=False,
            soft_wrap=True,
        )
    result = {name: settings for name, settings in found.items() if name in members}
    for name, settings in member_settings(texts).items():
        result[name] = result.get(name, {}) | settings
    return result


def find_search(file: Path | None) -> Path | None:
    """The folder of the search that a file of settings came from; None for any other file."""
    found = file is not None and all(
        (file.parent / name).is_file() for name in ("tuning.json", "trials.parquet")
    )
    return file.parent if file is not None and found else None


def refuse_options(context: Any, names: tuple[str, ...], why: str) -> None:
    """Refuse options that were written on the command line and mean nothing here."""
    for option in context.command.params:
        source = context.get_parameter_source(option.name)
        if option.name in names and source is not None and source.name == "COMMANDLINE":
            raise ConfigError(f"{option.opts[0]} {why}")


def parse_limit(text: str | None) -> int | float | None:
    if text is None:
        return None
    try:
        limit = float(text[:-1]) / 100 if text.endswith("%") else int(text)
    except ValueError:
        limit = -1
    if limit < 0 or (text.endswith("%") and not limit < 1):
        raise ConfigError(
            f"--max-failures must be a number of clips or a share below 100 %, such as 5%. Received '{text}'."
        )
    return limit


def all_members() -> tuple[str, ...]:
    from quintet.ensemble.classifier import DEFAULT_MEMBERS

    return DEFAULT_MEMBERS


def table_members(err: Any, quiet: bool) -> tuple[str, ...]:
    from quintet.ensemble.classifier import TABLE_MEMBERS

    if not quiet:
        err.print(
            "This table was not made by quintet, so there is no audio for a CNN: training the four table members."
        )
    return TABLE_MEMBERS
