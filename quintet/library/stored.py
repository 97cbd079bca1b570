"""Columns of the parquet files of a library, which somebody else may have sent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from quintet.errors import ArtefactError, MachineError
from quintet.files.machine import is_memory_short
from quintet.files.untrusted.parquet import PARQUET_ERRORS, read_parquet
from quintet.files.untrusted.reasons import reason


def read_columns(
    path: Path, texts: Sequence[str], numbers: Sequence[str] | None = None, *, remedy: str
) -> pa.Table:
    """Columns of a file: texts and floating-point numbers, without gaps, in this order.

    Args:
        path: the file.
        texts: names of columns of texts.
        numbers: names of columns of numbers. Default: all others, one or more.
        remedy: what to do if the file is damaged, for the message.

    Raises:
        ArtefactError: the file is damaged, a column is missing or there twice, or it holds something else.
    """
    try:
        table = read_parquet(path, None if numbers is None else [*texts, *numbers])
        if numbers is None:
            numbers = [name for name in table.column_names if name not in texts]
            if not numbers:
                raise ValueError("it has no numbers")
        table = table.select([*texts, *numbers])
        for name in table.column_names:
            column = table.column(name)
            is_right = pa.types.is_string if name in texts else pa.types.is_floating
            if column.null_count or not is_right(column.type):
                raise ValueError(f"{name!r} is another column")
    except (*PARQUET_ERRORS, OSError, ArtefactError) as error:
        raise damaged(path, error, remedy) from error
    return table


def damaged(path: Path, why: object, remedy: str) -> ArtefactError:
    """The error for a file that Quintet has not written so.

    Args:
        path: the file.
        why: the reason.
        remedy: what to do.

    Raises:
        MachineError: so little memory is free that nothing is known to be wrong with the file.
    """
    if isinstance(why, Exception) and not isinstance(why, ArtefactError) and is_memory_short():
        raise MachineError(
            f"The memory must hold '{path}'. Too little is free: close other programs, or raise the limit."
        ) from why
    text = reason(why) if isinstance(why, Exception) and not isinstance(why, ArtefactError) else str(why)
    return ArtefactError(
        f"Tables of a library must be parquet files that Quintet wrote. '{path}' is not ({text}). {remedy}"
    )
