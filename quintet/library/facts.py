"""What holds for a library as a whole: its file `library.json`, which is read without Arrow."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from quintet import __version__
from quintet.errors import ArtefactError
from quintet.files.display.file_names import text_path
from quintet.files.json_types import JsonObject
from quintet.files.untrusted import limits
from quintet.files.untrusted.bounded import read_bounded
from quintet.files.untrusted.strict_json import parse_object

SCHEMA_VERSION = 1
"""Version of the folder. Columns may be added without a new one: a table without them reads as missing."""
FACTS_FILE = "library.json"
FILE_SUFFIXES = (".json", ".jsonl", ".parquet", ".duckdb")
"""Of the files that Quintet writes into a library."""
_HASH = re.compile(r"(?:[0-9a-f]{16})?")


@dataclass
class LibraryFacts:
    """What holds for the whole library: the content of `library.json`.

    Args:
        roots: folders that were scanned, absolute.
        parameters: parameters of the features; None before the first scan.
        parameter_hash: 16 hex digits of them, or "".
        feature_names: names of the features, in order.
        model: the model of the predictions: `path`, `digest`, `classes`, `multilabel`, `confidence`, `score`
            (a sentence), and `drift` if the songs were compared with its training clips; None without one.
        quintet: version that wrote the library last.
    """

    roots: list[str] = field(default_factory=list)
    parameters: JsonObject | None = None
    parameter_hash: str = ""
    feature_names: list[str] = field(default_factory=list)
    model: JsonObject | None = None
    quintet: str = __version__

    @property
    def drift(self) -> JsonObject | None:
        """The comparison of the songs with the training clips of the model; None if there is none."""
        found: JsonObject | None = (self.model or {}).get("drift")
        return found

    @property
    def drift_words(self) -> str:
        """A sentence if the songs as a whole are unlike the training clips of the model, else empty."""
        found = (self.drift or {}).get("sentence")
        return "" if found is None else str(found)


def read_facts(folder: Path) -> LibraryFacts:
    """The facts of a library, and whether its folder is one.

    Args:
        folder: its folder.

    Raises:
        ArtefactError: as `Library.open`.
    """
    file = folder / FACTS_FILE
    if not file.is_file():
        raise ArtefactError(
            f"A library must be a folder that `quintet library scan` made. '{folder}' is none: "
            f"make one with `quintet library scan MUSIC -o {folder.name or 'my.library'}`."
        )
    for entry in folder.iterdir():
        if entry.is_symlink():
            raise ArtefactError(
                f"A library must hold its files itself. '{entry}' is a link to '{os.readlink(entry)}': "
                "put the file in its place, or remove the link."
            )
        if entry.suffix in FILE_SUFFIXES and entry.is_dir():
            raise ArtefactError(
                f"A library must have files where Quintet writes files. '{entry}' is a folder: remove it."
            )
    content = parse_object(read_bounded(file, limits.JSON_BYTES), file)
    if content.pop("schema_version", None) != SCHEMA_VERSION:
        raise ArtefactError(
            f"A library must have the schema version {SCHEMA_VERSION}. '{folder}' has another: "
            "use the version of quintet that made it, or scan into a new folder."
        )
    known = LibraryFacts.__dataclass_fields__
    facts = LibraryFacts(**{key: value for key, value in content.items() if key in known})
    fault = _fault(facts)
    if fault:
        raise ArtefactError(
            f"{FACTS_FILE} of a library must be as Quintet wrote it. In '{file}' {fault} is something "
            "else: restore it from a copy, or scan into a new folder."
        )
    return facts


def _fault(facts: LibraryFacts) -> str:
    """The first fact that has another type than it should; empty if all are right."""
    for name in ("roots", "feature_names"):
        values = getattr(facts, name)
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            return name
    if not all(map(_is_place, facts.roots)):
        return "roots"
    for name in ("parameters", "model"):
        if not isinstance(getattr(facts, name), dict | None):
            return name
    model = facts.model or {}
    types = {"path": str, "classes": list, "drift": dict}
    if not all(isinstance(model[name], type_) for name, type_ in types.items() if name in model):
        return "model"
    is_hash = isinstance(facts.parameter_hash, str) and _HASH.fullmatch(facts.parameter_hash)
    return "" if is_hash else "parameter_hash"


def _is_place(root: str) -> bool:
    """Whether a text may name a scanned folder."""
    path = text_path(root)
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return os.path.isabs(path) and "\0" not in path
