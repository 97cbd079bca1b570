"""Strict TOML: bounded size and depth."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from quintet.files.text import find_encoding
from quintet.files.untrusted import limits
from quintet.files.untrusted.strict_json import require_depth

TOML_ERRORS = (tomllib.TOMLDecodeError, UnicodeDecodeError)
"""What `read_toml` raises for a file that is there and is no TOML."""


def read_toml(path: Path) -> dict[str, Any]:
    """Content of a TOML file that a stranger may have written, in any usual encoding.

    Args:
        path: the file.

    Raises:
        OSError: the file cannot be read.
        tomllib.TOMLDecodeError: it is not TOML, is larger than `limits.TOML_BYTES`, or is nested deeper than
            `limits.JSON_DEPTH`.
        UnicodeDecodeError: it is damaged.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "a.toml"
        ...     _ = file.write_text("[train]\\nfolds = 5")
        ...     read_toml(file)
        {'train': {'folds': 5}}
    """
    with path.open("rb") as file:
        encoding, _ = find_encoding(file)
        file.seek(0)
        data = file.read(limits.TOML_BYTES + 1)
    if len(data) > limits.TOML_BYTES:
        raise tomllib.TOMLDecodeError(f"it has more than {limits.TOML_BYTES >> 20} MB")
    try:
        content = tomllib.loads(data.decode(encoding).replace("\r\n", "\n").replace("\r", "\n"))
        require_depth(content)
    except RecursionError:
        raise tomllib.TOMLDecodeError("it is nested too deeply") from None
    except TOML_ERRORS:
        raise
    except ValueError as error:
        raise tomllib.TOMLDecodeError(str(error)) from None
    return content
