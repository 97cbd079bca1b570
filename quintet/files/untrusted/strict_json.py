"""Strict JSON: finite numbers, unique keys, bounded size and depth."""

from __future__ import annotations

import json
import math
from collections import Counter

from quintet.errors import ArtefactError
from quintet.files.json_types import JsonObject
from quintet.files.untrusted import limits
from quintet.files.untrusted.reasons import reason

MOST_DIGITS = 300
"""Characters of an integer that is certainly within float64."""


def parse_json(data: bytes, where: object) -> object:
    """Content of a JSON file that a stranger may have written.

    Args:
        data: UTF-8 text.
        where: name of the file, for the message.

    Raises:
        ArtefactError: for text that is not JSON, is larger than `limits.JSON_BYTES`, is nested deeper than
            `limits.JSON_DEPTH`, names a key twice, or holds NaN, an infinity or a number beyond float64.

    Example:
        >>> parse_json(b'{"a": [1, 2.5]}', "x.json")
        {'a': [1, 2.5]}
    """
    if len(data) > limits.JSON_BYTES:
        raise _damaged(where, f"it has {len(data)} bytes, and at most {limits.JSON_BYTES} are read")
    try:
        text = data.decode("utf-8")
        content: object = json.loads(
            text,
            object_pairs_hook=_unique_keys,
            parse_float=_finite,
            parse_int=_whole,
            parse_constant=_refuse_constant,
        )
        require_depth(content)
    except (ValueError, RecursionError) as error:
        too_deep = isinstance(error, RecursionError)
        raise _damaged(where, "it is nested too deeply" if too_deep else reason(error)) from None
    return content


def parse_object(data: bytes, where: object) -> JsonObject:
    """A JSON file whose content is an object, see `parse_json`.

    Raises:
        ArtefactError: also for another content.
    """
    content = parse_json(data, where)
    if not isinstance(content, dict):
        raise _damaged(where, f"it holds a {type(content).__name__}, not an object")
    return content


def require_depth(content: object) -> None:
    """Refuse lists and objects that are nested deeper than `limits.JSON_DEPTH`.

    Raises:
        ValueError: if they are.
    """
    level: list[object] = [content]
    for _ in range(limits.JSON_DEPTH):
        inner: list[object] = []
        for value in level:
            if isinstance(value, dict):
                inner.extend(value.values())
            elif isinstance(value, list):
                inner.extend(value)
        level = [value for value in inner if isinstance(value, dict | list)]
        if not level:
            return
    raise ValueError(f"it is nested deeper than {limits.JSON_DEPTH} levels")


def _unique_keys(pairs: list[tuple[str, object]]) -> JsonObject:
    result: JsonObject = dict(pairs)
    if len(result) < len(pairs):
        (twice, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {twice[:60]!r} is there twice")
    return result


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:30]} is beyond float64")
    return value


def _whole(text: str) -> int:
    if len(text) > MOST_DIGITS:
        _finite(text)
    return int(text)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _damaged(where: object, fault: str) -> ArtefactError:
    return ArtefactError(
        f"{where} must be JSON that Quintet wrote. It is not ({fault}). "
        "It is damaged: make it again, or restore it from a copy."
    )
