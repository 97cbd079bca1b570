"""Settings: base class, messages for validation errors, and nested settings as dotted names."""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails

from quintet.errors import ConfigError, unknown_name

Model = TypeVar("Model", bound=BaseModel)
Given = TypeVar("Given")
TomlTable = dict[str, Any]
"""A TOML table as Python reads it: texts, numbers, booleans, lists and tables by name."""

LARGEST_SEED = 2**31 - 1
"""Largest random seed: scikit-learn and Keras take no larger ones, and some of ours are a few more."""
MOST_FOLDS = 10_000
MOST_RESAMPLES = 1_000_000
"""Most resamples of an interval: more would change no digit that is printed."""

MOST_FAULTS, LONGEST = 8, 120
"""Faults of one message, and characters of a key or a value in it."""

_EXPECTED = {
    "tuple_type": 'a list, such as ["a", "b"]',
    "dict_type": "a table",
    "mapping_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}
"""What pydantic's error types expect, in words for people."""


class Stage(BaseModel):
    """A frozen, complete, validated set of options."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, **settings: object) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise ConfigError(f"{type(self).__name__}: {validation_message(type(self), error)}") from None

    # pydantic calls an `__init__` without this mark for every inner table, and then no fault has its place
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @field_validator("*", mode="before")
    @classmethod
    def _accept_one_name(cls, given: object, info: ValidationInfo) -> object:
        """Accept a single text where a list is expected: it is one name and no list of letters."""
        if not isinstance(given, str) or info.field_name is None:
            return given
        kinds = _alternatives(cls.model_fields[info.field_name].annotation)
        takes_text = any(kind is str or typing.get_origin(kind) is Literal for kind in kinds)
        takes_list = any(typing.get_origin(kind) in (tuple, list) for kind in kinds)
        return (given,) if takes_list and not takes_text else given


def _alternatives(annotation: object) -> tuple[object, ...]:
    """The types in an annotation `A | B`, or the annotation alone."""
    is_union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    return typing.get_args(annotation) if is_union else (annotation,)


def parse_settings(kind: type[Model], content: object, *, where: str) -> Model:
    """A settings model from parsed TOML or JSON, with errors for people.

    Args:
        kind: class of the settings.
        content: the table to parse.
        where: the place that an error message names, such as the file.

    Raises:
        ConfigError: if the content is not valid. The message names each key, its fault, and the nearest
            valid key.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"{where}: {validation_message(kind, error)}") from None


def validation_message(kind: type[BaseModel], error: ValidationError) -> str:
    """Faults of a validation error in one line, separated by semicolons: `MOST_FAULTS` of them.

    Args:
        kind: class of the settings.
        error: the error of pydantic.

    Example:
        >>> class Options(Stage):
        ...     folds: int = 5
        >>> try:
        ...     Options.model_validate({"fodls": 3, "folds": "many"})
        ... except ValidationError as error:
        ...     print(validation_message(Options, error).partition(";")[2])
         unknown key 'fodls' (did you mean 'folds'?).
    """
    faults = [_fault(kind, fault).removesuffix(".") for fault in error.errors()[:MOST_FAULTS]]
    n_more = error.error_count() - len(faults)
    return "; ".join([*faults, *([f"and {n_more} more faults"] if n_more else [])]) + "."


def _fault(kind: type[BaseModel], fault: ErrorDetails) -> str:
    """One fault as a sentence: the key, what it must be, and what was received."""
    parents = [_short(str(part)) for part in fault["loc"]]
    key = parents.pop() if parents else ""
    place = ".".join([*parents, key])
    kind_of_fault = fault["type"]
    if kind_of_fault == "extra_forbidden":
        return _unknown_key(place, key, _fields_at(kind, parents))
    if kind_of_fault == "missing":
        return f"'{place}' is missing"
    if kind_of_fault == "value_error":
        message = fault["msg"].removeprefix("Value error, ")
        return f"'{place}': {message}" if place else message
    received = fault["input"]
    if kind_of_fault == "literal_error":
        return f"'{place}' {_not_among(_short(str(received)), fault['ctx']['expected'])}"
    expected = _EXPECTED.get(kind_of_fault) or fault["msg"].removeprefix("Input should be ")
    subject = f"'{place}'" if place else "the content"
    return f"{subject} must be {expected}. Received {_short(repr(received))}"


def _short(text: str) -> str:
    """A text of a file for a message: at most `LONGEST` characters, none of them a control character."""
    printable = "".join(character if character.isprintable() else "?" for character in text[: LONGEST + 1])
    return printable if len(text) <= LONGEST else f"{printable[:LONGEST]}…"


def _unknown_key(place: str, key: str, valid: Sequence[str]) -> str:
    near = difflib.get_close_matches(key, valid, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"valid: {', '.join(valid)}"
    return f"unknown key '{place}' ({hint})"


def _not_among(received: str, expected: str) -> str:
    """The end of a sentence about a value that is none of pydantic's `expected` literals."""
    literals = re.findall(r"'([^']*)'", expected)
    return str(unknown_name("value here", received, literals)).removeprefix("A value here ")


def _fields_at(kind: type[BaseModel], parents: Sequence[str]) -> list[str]:
    """Valid keys of the table that `parents` leads to.

    In the place of a table with several forms, pydantic puts the table's field and then the name of the form.
    """
    forms = [kind]
    for parent in parents:
        if parent in kind.model_fields:
            forms = _models_in(kind.model_fields[parent].annotation) or forms
        else:
            forms = [form for form in forms if _is_form(form, parent)] or forms
        kind = forms[0]
    return list(kind.model_fields)


def _models_in(annotation: object) -> list[type[BaseModel]]:
    """The settings models in a field's annotation, such as `Model | None`."""
    candidates = typing.get_args(annotation) or (annotation,)
    return [kind for kind in candidates if isinstance(kind, type) and issubclass(kind, BaseModel)]


def _is_form(kind: type[BaseModel], name: str) -> bool:
    """Whether a field of the model must have this text."""
    return any(name in typing.get_args(field.annotation) for field in kind.model_fields.values())


def given_settings(kind: type[Given], value: Given | None, name: str) -> Given:
    """The settings that a caller gave, or those by default.

    Args:
        kind: class of the settings.
        value: what the caller gave; None for the default.
        name: name of the parameter, for the message.

    Raises:
        ConfigError: they are something else, such as a dict.
    """
    chosen: object = kind() if value is None else value
    if not isinstance(chosen, kind):
        raise ConfigError(
            f"`{name}` must be {kind.__name__}(…). Received {type(chosen).__name__}: "
            f"write {kind.__name__}(name=value)."
        )
    return chosen


def merge_settings(settings: Mapping[str, object], others: Mapping[str, object]) -> TomlTable:
    """Settings updated by others: inner tables are merged, every other value is replaced.

    Args:
        settings: values by name.
        others: values by name that take precedence.

    Example:
        >>> recipe = {"epochs": 9, "augmentation": {"mixup": 0.2, "shift": 8}}
        >>> merge_settings(recipe, {"augmentation": {"mixup": 0.4}})
        {'epochs': 9, 'augmentation': {'mixup': 0.4, 'shift': 8}}
    """
    merged: TomlTable = {**settings, **others}
    for name, value in others.items():
        before = settings.get(name)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            merged[name] = {**before, **value}
    return merged


def flatten_settings(settings: Mapping[str, object]) -> TomlTable:
    """Inner tables of settings as dotted names.

    Example:
        >>> flatten_settings({"filters": 8, "augmentation": {"mixup": 0.2}})
        {'filters': 8, 'augmentation.mixup': 0.2}
    """
    result: TomlTable = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            result |= {f"{name}.{key}": inner for key, inner in value.items()}
        else:
            result[name] = value
    return result


def nest_settings(settings: Mapping[str, object]) -> TomlTable:
    """Dotted names as inner tables of settings: the reverse of `flatten_settings`.

    Example:
        >>> nest_settings({"filters": 8, "augmentation.mixup": 0.2})
        {'filters': 8, 'augmentation': {'mixup': 0.2}}
    """
    result: TomlTable = {}
    for name, value in settings.items():
        table, dot, key = name.partition(".")
        if dot:
            result.setdefault(table, {})[key] = value
        else:
            result[name] = value
    return result
