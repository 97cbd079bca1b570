"""Replacement of a finished model by its successor, and reading of a model while it is replaced.

The successor is trained in the folder `.next` of the model folder, so the old model can be used until the new
one is whole. Then the old files are removed, `.next` becomes `.new`, and its files move to their places,
`bundle.json` last. If the process is killed in between, `finish_replacement` does the rest.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from quintet.errors import ArtefactError
from quintet.model_folder.folder import BUNDLE, ModelFolder

NEXT, NEW = ".next", ".new"
ATTEMPTS = 10
PAUSE_S = 0.05

Content = TypeVar("Content")


def successor(folder: ModelFolder) -> ModelFolder:
    """The folder in which the successor of a model is trained."""
    return ModelFolder(folder.path / NEXT)


def replace_model(folder: ModelFolder) -> None:
    """Put the finished successor in the place of a model. The caller holds the lock of the folder.

    Files of the user in the folder stay.
    """
    (folder.path / BUNDLE).unlink(missing_ok=True)
    folder.clear()
    os.rename(folder.path / NEXT, folder.path / NEW)
    _move_in(folder)


def finish_replacement(folder: ModelFolder) -> None:
    """Do the rest of a replacement that was interrupted, if there is one.

    The caller holds the lock of the folder.
    """
    if (folder.path / NEW).is_dir():
        _move_in(folder)
    elif _is_being_replaced(folder.path):
        replace_model(folder)


def read_unchanged(path: str | Path, read: Callable[[], Content]) -> Content:
    """Read a model folder. If the model is replaced meanwhile, read again, so that two models never mix.

    Args:
        path: the model folder.
        read: reads it, and may be called again.

    Raises:
        ArtefactError: the model was replaced again and again.
        Exception: what `read` raises on a model that was not replaced.
    """
    folder = Path(path)
    for _ in range(ATTEMPTS):
        before = _version(folder)
        if before is None and _is_being_replaced(folder):
            time.sleep(PAUSE_S)
            before = _version(folder)
        try:
            content = read()
        except Exception:
            if _version(folder) == before and not (before is None and _is_being_replaced(folder)):
                raise
            continue
        if _version(folder) == before:
            return content
    raise ArtefactError(
        f"A model folder must stay as it is while it is read. {folder} was replaced {ATTEMPTS} times, or its "
        "replacement was interrupted: run the command again, or finish `quintet train … --resume`."
    )


def _move_in(folder: ModelFolder) -> None:
    """Move the files of `.new` to their places, `bundle.json` last."""
    new = folder.path / NEW
    names = sorted((entry.name for entry in new.iterdir()), key=lambda name: name == BUNDLE)
    for name in names:
        os.replace(new / name, folder.path / name)
    shutil.rmtree(new)


def _is_being_replaced(path: Path) -> bool:
    """Whether the old model is gone, or partly, and the new one is not yet in its place."""
    if (path / BUNDLE).is_file():
        return False
    return (path / NEW).is_dir() or (path / NEXT / BUNDLE).is_file()


def _version(path: Path) -> tuple[int, int, int] | None:
    """What differs between a model and its successor; None if there is no finished model."""
    try:
        facts = os.stat(path / BUNDLE)
    except OSError:
        return None
    return facts.st_ino, facts.st_mtime_ns, facts.st_size
