"""Storage of a fitted member as a folder, without pickle: no content of a file can name code to run.

`member.json` holds the member's name in the registry, its settings and its classes. Beside it are arrays
(`preparation.npz`), scikit-learn parts (`model_00.skops`), trees in XGBoost's own format (`model_00.ubj`), or
the weights of a network (`network.weights.h5`), whose architecture our own code builds from the settings.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from quintet.classifiers import registry
from quintet.classifiers.views import join_name
from quintet.errors import ArtefactError, ConfigError
from quintet.files.json_types import JsonObject
from quintet.files.paths import text_name
from quintet.files.untrusted import limits
from quintet.files.untrusted.listed_files import FileSource, PlainFiles
from quintet.files.untrusted.reasons import reason
from quintet.files.untrusted.strict_json import parse_object

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quintet.classifiers.labels import Labels
    from quintet.classifiers.member import Member
    from quintet.classifiers.spectrogram.classifier import SpectrogramClassifier
    from quintet.classifiers.tabular.members import TableMember

SCHEMA = 1
DAMAGE_ERRORS = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OSError,
    EOFError,
    ImportError,
    OverflowError,
    RecursionError,
    MemoryError,
    zipfile.BadZipFile,
)
"""Errors that a damaged file causes in the libraries that read it."""


def save_member(estimator: Member, folder: str | Path) -> None:
    """Write a fitted member of the registry into `folder`, which is created if it does not exist.

    Raises:
        ArtefactError: if the estimator is not a member of the registry, or is not fitted.
    """
    name = getattr(estimator, "member", None)
    if name is None or name not in {entry.name for entry in registry.MEMBERS}:
        raise ArtefactError(
            "Only members of the registry can be stored. "
            f"Received {type(estimator).__name__}. Make one with make_member."
        )
    if not hasattr(estimator, "classes_"):
        raise ArtefactError(
            f"Only a fitted member can be stored. Received '{name}' before fit. Call fit first."
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    parameters = estimator.get_params(deep=False)
    head: JsonObject = {
        "schema": SCHEMA,
        "member": join_name(name, parameters.get("view")),
        # The member's name is the network's name, and it has the view.
        "settings": {key: value for key, value in parameters.items() if key not in ("network", "view")},
        "classes": estimator.classes_.tolist(),
        "multilabel": bool(estimator.multilabel_),
        "n_features_in": getattr(estimator, "n_features_in_", None),
    }
    with text_name(folder) as place:
        head |= _write_parts(estimator, place)
    (folder / "member.json").write_text(json.dumps(head, indent=1, allow_nan=False), encoding="utf-8")


def load_member(folder: str | Path | FileSource) -> Member:
    """Read the fitted member that `save_member` wrote into `folder`. It predicts the same numbers.

    Args:
        folder: the folder, or its listed files, which are compared with their digests as they are read.

    Raises:
        ArtefactError: if a file is missing, damaged, of another version, or asks for a type that is not
            allowed.
    """
    files = PlainFiles(folder) if isinstance(folder, str | Path) else folder
    head = read_head(files)
    place = files.path("member.json").parent
    try:
        member = registry.make_member(head["member"], **_check_settings(head["settings"]))
        member.classes_ = _read_classes(head["classes"])
        member.multilabel_ = bool(head["multilabel"])
        _read_parts(member, files, head)
    except ArtefactError:
        raise
    except ConfigError as error:
        raise ArtefactError(
            f"A stored member must be one that this version of Quintet knows. {place}: {reason(error)}."
        ) from error
    except DAMAGE_ERRORS as error:
        raise ArtefactError(
            f"A stored member must be complete and undamaged. {place}: {reason(error)}. "
            "Copy it again, or train again."
        ) from error
    return member


def read_head(files: FileSource) -> JsonObject:
    """Content of `member.json`, with its version checked.

    Raises:
        ArtefactError: if the file is missing, damaged, incomplete or of another version.
    """
    path = files.path("member.json")
    if "member.json" not in files:
        raise ArtefactError(
            f"A stored member is a folder with a file member.json. {path.parent} has none. "
            "Give the folder of a member."
        )
    head = parse_object(files.read("member.json", limit=limits.JSON_BYTES), path)
    required = {"schema", "member", "settings", "classes", "multilabel"}
    if not required <= set(head):
        raise ArtefactError(
            f"member.json must have the keys {', '.join(sorted(required))}. {path} lacks some. "
            "Copy it again, or train again."
        )
    if head["schema"] != SCHEMA:
        raise ArtefactError(
            f"This version reads members of schema {SCHEMA}. {path} has schema {head['schema']!r}. "
            "Train again, or use the version that wrote it."
        )
    return head


def _write_parts(member: Member, folder: Path) -> JsonObject:
    """Write the fitted parts of a member, and return what they add to `member.json`."""
    if registry.member_entry(member.member).input == "table":
        from quintet.classifiers.tabular.storage import write_table_member

        return {**write_table_member(cast("TableMember", member), folder)}
    from quintet.classifiers.spectrogram.storage import write_network

    return {**write_network(cast("SpectrogramClassifier", member), folder)}


def _read_parts(member: Member, files: FileSource, head: JsonObject) -> None:
    """Read the fitted parts into a member that has its settings and classes."""
    if registry.member_entry(member.member).input == "table":
        from quintet.classifiers.tabular.storage import read_table_member

        read_table_member(cast("TableMember", member), files, head)
    else:
        from quintet.classifiers.spectrogram.storage import read_network

        read_network(cast("SpectrogramClassifier", member), files, head)


def _check_settings(settings: JsonObject) -> JsonObject:
    """Settings of a member, whose number of threads is possible."""
    threads = settings.get("n_jobs")
    is_number = type(threads) is int and threads != 0 and abs(threads) <= limits.THREADS
    if threads is not None and not is_number:
        raise ValueError(f"n_jobs must be a number up to {limits.THREADS}, it is {str(threads)[:30]}")
    return settings


def _read_classes(values: Sequence[object]) -> Labels:
    are_texts = all(isinstance(value, str) for value in values)
    are_numbers = all(isinstance(value, int | float) for value in values)
    if not 1 <= len(values) <= limits.CLASSES or not (are_texts or are_numbers):
        raise ValueError("classes must all be texts or all be numbers")
    if are_texts and max(map(len, map(str, values))) * len(values) > limits.JSON_BYTES:
        raise ValueError("the name of a class is too long")
    return np.array(values)
