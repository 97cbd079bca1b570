"""Folder of a search: its configuration, the database of its studies, its trials and its result."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from quintet.errors import ArtefactError, MachineError
from quintet.files.locks import is_vacant
from quintet.files.provenance import environment
from quintet.model_folder.folder import ModelFolder
from quintet.model_folder.replacement import NEW, successor

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

    from quintet.files.json_types import JsonObject
from quintet.files.paths import text_name

STUDY_FILE = "study.sqlite"
CONFIGURATION, RESULT = "config.json", "tuning.json"
OUR_FILES = (STUDY_FILE, "trials.parquet", "best.toml", RESULT, CONFIGURATION, "environment.json")
SQLITE_ENDINGS = ("-journal", "-wal", "-shm")
"""Files that sqlite keeps beside a database. An old one would be applied to a new database."""
TRIAL_COLUMNS = ("member", "number", "state", "value", "settings", "fold_values", "seconds", "best")


def claim_folder(folder: ModelFolder, configuration: JsonObject, *, overwrite: bool) -> ModelFolder:
    """Start a search in an empty folder, or check that the folder holds a search of the same configuration.

    Args:
        folder: the folder of the search. It need not exist.
        configuration: everything that must be equal if a search continues.
        overwrite: whether to replace a search of another configuration.

    Returns:
        Where to search: the folder itself, or the folder `.next` in it. There a search is made that replaces
        the one of another configuration, which stays until the new one is whole (`replace_search`).

    Raises:
        ArtefactError: the folder holds something else, or a search of another configuration.
    """
    finish_replacement_of_search(folder)
    if is_vacant(folder.path):
        return _begin(folder, configuration)
    earlier = _read_configuration(folder)
    if "tune" not in earlier:
        raise ArtefactError(
            f"A search needs a folder of its own. {folder.path} holds something else: choose another folder."
        )
    wanted = _as_json(configuration)
    if earlier == wanted:
        return folder
    if not overwrite:
        changes = "; ".join(differences(earlier, wanted))
        raise ArtefactError(
            f"A search continues with the same configuration only. {folder.path} has another "
            f"({changes}): use another folder, or --overwrite."
        )
    following = successor(folder)
    if _read_configuration(following) == wanted:
        return following
    shutil.rmtree(following.path, ignore_errors=True)
    return _begin(following, configuration)


def replace_search(folder: ModelFolder) -> None:
    """Put the finished search in `.next` in the place of the earlier one. The caller holds the lock.

    Files of the user in the folder stay.
    """
    (folder.path / CONFIGURATION).unlink(missing_ok=True)  # from here on the rest is done by the next command
    finish_replacement_of_search(folder)


def finish_replacement_of_search(folder: ModelFolder) -> None:
    """Do the rest of a replacement that was interrupted, if there is one. The caller holds the lock.

    The earlier search is removed, `.next` becomes `.new`, and its files move to their places.
    """
    following, new = successor(folder).path, folder.path / NEW
    is_half_removed = not (folder.path / CONFIGURATION).is_file() and (following / RESULT).is_file()
    if not new.is_dir() and is_half_removed:
        _clear(folder.path)
        os.rename(following, new)
    if new.is_dir():
        for file in sorted(new.rglob("*"), key=lambda file: file.name == CONFIGURATION):
            if file.is_file():
                place = folder.path / file.relative_to(new)
                place.parent.mkdir(exist_ok=True)
                os.replace(file, place)
        shutil.rmtree(new)


def _begin(folder: ModelFolder, configuration: JsonObject) -> ModelFolder:
    """Write what a search begins with."""
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.write_json(CONFIGURATION, configuration)
    versions = {**environment(), "optuna": importlib.metadata.version("optuna")}
    folder.write_json("environment.json", versions)
    return folder


def _read_configuration(folder: ModelFolder) -> JsonObject:
    """The configuration of a search; empty if there is none."""
    return folder.read_json(CONFIGURATION) if (folder.path / CONFIGURATION).is_file() else {}


def _as_json(configuration: JsonObject) -> JsonObject:
    """The configuration as it is read back from its file."""
    content: JsonObject = json.loads(json.dumps(configuration))
    return content


def _clear(folder: Path) -> None:
    """Remove the files of a search, and no others."""
    for name in (*OUR_FILES, *(f"{STUDY_FILE}{ending}" for ending in SQLITE_ENDINGS)):
        (folder / name).unlink(missing_ok=True)
    for file in (folder / "predictions").glob("*/*.parquet"):
        file.unlink()


def differences(earlier: Mapping[str, object], wanted: Mapping[str, object], place: str = "") -> list[str]:
    """One text per difference between two JSON objects.

    Args:
        earlier: the object before.
        wanted: the object now.
        place: dotted name of these objects, with a dot at its end.

    Example:
        >>> differences({"tune": {"seed": 0, "folds": 5}}, {"tune": {"seed": 1, "folds": 5}})
        ['tune.seed: 0, now 1']
    """
    texts: list[str] = []
    for key in dict.fromkeys([*earlier, *wanted]):
        before, now = earlier.get(key), wanted.get(key)
        if isinstance(before, dict) and isinstance(now, dict):
            texts += differences(before, now, f"{place}{key}.")
        elif before != now:
            texts.append(f"{place}{key}: {before}, now {now}")
    return texts


@contextmanager
def open_studies(path: Path) -> Iterator[RDBStorage]:
    """Database of the studies. The log messages of optuna are off while it is open."""
    import optuna
    from sqlalchemy import URL
    from sqlalchemy.exc import DBAPIError

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with text_name(path.absolute()) as name:
            address = URL.create("sqlite", database=os.fspath(name)).render_as_string()
            storage = optuna.storages.RDBStorage(address)
            try:
                yield storage
            finally:
                storage.remove_session()
                storage.engine.dispose()
    except (DBAPIError, optuna.exceptions.StorageInternalError) as error:
        raise MachineError(
            f"The database of a search must be readable and writable. {path} is not "
            f"({_reason(error)}): make room, or choose another folder. Finished trials are kept: the same "
            "command goes on."
        ) from error
    finally:
        optuna.logging.set_verbosity(level)


def _reason(error: BaseException) -> str:
    """What sqlite says about an error."""
    cause: BaseException = error.__cause__ or error
    return " ".join(str(getattr(cause, "orig", None) or cause).split())[:200]


def write_trials(folder: ModelFolder, rows: list[JsonObject]) -> pd.DataFrame:
    """Write `trials.parquet` with one row per trial, and return it.

    Args:
        folder: the folder of the search.
        rows: one mapping per trial, with the names of `TRIAL_COLUMNS`.
    """
    frame = pd.DataFrame(rows, columns=list(TRIAL_COLUMNS))
    frame = frame.astype({"value": "float64", "seconds": "float64", "best": "bool"})
    folder.write_frame("trials.parquet", frame)
    return frame
