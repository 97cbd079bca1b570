"""Settings models: the base class, parsing with errors for people, and tables within tables as dotted names."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from quintet.errors import ConfigError, unknown_name

M = TypeVar("M", bound=BaseModel)


class Stage(BaseModel):
    """A frozen, complete, validated set of options."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def parse_settings(kind: type[M], content: dict[str, Any], *, where: str) -> M:
    """`content` as a settings model, with errors for people.

    Raises:
        ConfigError: with one line per fault: the key, what is wrong with it, and the nearest valid key.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        lines = [_fault(kind, fault) for fault in error.errors()]
        raise ConfigError(f"{where}: " + "; ".join(lines)) from None


def _fault(kind: type[BaseModel], fault: Any) -> str:
    *parents, key = [str(part) for part in fault["loc"]] or [""]
    place = ".".join([*parents, key])
    if fault["type"] == "extra_forbidden":
        valid = _fields_at(kind, parents)
        near = difflib.get_close_matches(key, valid, n=1)
        return f"unknown key '{place}'" + (
            f" (did you mean '{near[0]}'?)" if near else f" (valid: {', '.join(valid)})"
        )
    if fault["type"] == "missing":
        return f"'{place}' is missing"
    received = fault["input"]
    if fault["type"] == "value_error":
        message = fault["msg"].removeprefix("Value error, ")
        return f"'{place}': {message}" if place else message
    if fault["type"] == "literal_error":
        message = str(
            unknown_name("value here", str(received), re.findall(r"'([^']*)'", fault["ctx"]["expected"]))
        ).removeprefix("A value here ")
        return f"'{place}' {message}"
    kinds = {
        "tuple_type": 'a list, such as ["a", "b"]',
        "dict_type": "a table",
        "model_type": "a table",
        "model_attributes_type": "a table",
    }
    wanted = kinds.get(fault["type"]) or fault["msg"].removeprefix("Input should be ")
    return f"'{place}' must be {wanted}. Received {received!r}"


def _fields_at(kind: type[BaseModel], parents: list[str]) -> list[str]:
    fields: Any = kind
    for parent in parents:
        annotation = fields.model_fields[parent].annotation
        fields = next(
            (
                a
                for a in getattr(annotation, "__args__", (annotation,))
                if isinstance(a, type) and issubclass(a, BaseModel)
            ),
            fields,
        )
    return list(fields.model_fields)


def merge_settings(settings: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """`settings` with `others` over them: tables within them are joined, everything else is replaced.

    Example:
        >>> merge_settings({"epochs": 9, "augmentation": {"mixup": 0.2, "shift": 8}}, {"augmentation": {"mixup": 0.4}})
        {'epochs': 9, 'augmentation': {'mixup': 0.4, 'shift': 8}}
    """
    joined = {
        name: {**settings[name], **value}
        for name, value in others.items()
        if isinstance(value, Mapping) and isinstance(settings.get(name), Mapping)
    }
    return {**settings, **others, **joined}


def flatten_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Tables within settings as dotted names.

    Example:
        >>> flatten_settings({"filters": 8, "augmentation": {"mixup": 0.2}})
        {'filters': 8, 'augmentation.mixup': 0.2}
    """
    result: dict[str, Any] = {}
    for name, value in settings.items():
        result |= (
            {f"{name}.{key}": inner for key, inner in value.items()}
            if isinstance(value, Mapping)
            else {name: value}
        )
    return result


def nest_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names as tables within settings: the reverse of `flatten_settings`.

    Example:
        >>> nest_settings({"filters": 8, "augmentation.mixup": 0.2})
        {'filters': 8, 'augmentation': {'mixup': 0.2}}
    """
    result: dict[str, Any] = {}
    for name, value in settings.items():
        table, dot, key = name.partition(".")
        if dot:
            result.setdefault(table, {})[key] = value
        else:
            result[name] = value
    return result
