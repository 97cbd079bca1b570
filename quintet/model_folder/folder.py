"""Model folder of a trained ensemble: its files, without pickles, with a digest of each.

docs/architecture.md ("The model folder") shows the layout. While training runs, finished folds lie in
`work/`. `finalise` removes them and writes `bundle.json` with the digest of every file. `verify` checks every
digest before anything else is read.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.errors import ArtefactError
from quintet.files.atomic import atomic_replace, write_bytes
from quintet.files.digests import file_digest
from quintet.files.json_types import JsonObject

SCHEMA_VERSION = 1
BUNDLE = "bundle.json"
DISTANCE = "distance.npz"
OUR_FOLDERS = ("work", "members", "history", "embeddings", "predictions", "verdict", "tuning")
SEARCH_FILES = ("tuning.json", "trials.parquet")
OUR_FILES = (
    BUNDLE,
    "config.json",
    "environment.json",
    "split.parquet",
    "failures.parquet",
    "features.parquet",
    "fusion.json",
    "trust.json",
    DISTANCE,
    "scores.json",
)
REQUIRED_FILES = frozenset({"config.json", "fusion.json", "trust.json", "split.parquet", "features.parquet"})
SHORTEST_CLIP_S, LONGEST_CLIP_S = 0.01, 1e9


def search_digests(search: str | Path) -> dict[str, str]:
    """Digests of the history of a search: file name → digest.

    Args:
        search: the folder that `quintet tune` wrote.

    Raises:
        ArtefactError: if the folder holds no finished search.
    """
    files = [Path(search) / name for name in SEARCH_FILES]
    absent = [file.name for file in files if not file.is_file()]
    if absent:
        raise ArtefactError(
            "A search must be a folder that `quintet tune` finished. "
            f"{search} has no {' and no '.join(absent)}: tune again."
        )
    return {file.name: file_digest(file) for file in files}


class ModelFolder:
    """Reads and writes the files of one model folder.

    Args:
        path: the folder. It need not exist yet.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def is_finished(self) -> bool:
        """Whether training has finished in this folder."""
        return (self.path / BUNDLE).is_file()

    def write_json(self, name: str, content: JsonObject) -> None:
        """Write `content` as indented JSON. NaN and infinity are errors; unknown objects become text."""
        text = json.dumps(content, indent=2, default=str, allow_nan=False)
        write_bytes(self.path / name, (text + "\n").encode())

    def read_json(self, name: str) -> JsonObject:
        """Content of a JSON file of the folder.

        Raises:
            ArtefactError: if the file is missing or is not JSON.
        """
        try:
            content: JsonObject = json.loads((self.path / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ArtefactError(
                f"A model folder must hold {name}. {self.path} does not: "
                "is it a folder made by `quintet train`?"
            ) from None
        except (ValueError, RecursionError) as error:
            raise ArtefactError(
                f"{self.path / name} must be JSON ({error}). "
                "It is damaged: train again, or restore it from a copy."
            ) from None
        return content

    def write_frame(self, name: str, frame: pd.DataFrame) -> None:
        """Write a table as parquet."""
        with atomic_replace(self.path / name) as temporary:
            frame.to_parquet(temporary, index=False)

    def write_arrays(self, name: str, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Write arrays as `.npz`."""
        content = io.BytesIO()
        np.savez(content, **arrays)  # type: ignore[arg-type]
        write_bytes(self.path / name, content.getvalue())

    def copy_search(self, search: str | Path) -> None:
        """Copy the history of the search that found the settings, from the folder of `quintet tune`."""
        for name in SEARCH_FILES:
            write_bytes(self.path / "tuning" / name, (Path(search) / name).read_bytes())

    def clear(self) -> None:
        """Remove the files and folders that a training run writes, and nothing else."""
        for name in (*OUR_FOLDERS, *OUR_FILES):
            target = self.path / name
            if target.is_dir():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)

    def finalise(self, description: JsonObject) -> None:
        """Remove the working files and write `bundle.json` with the digest of every file.

        Args:
            description: the entries of `bundle.json` except `schema_version` and `files`.
        """
        shutil.rmtree(self.path / "work", ignore_errors=True)
        digests = {file.relative_to(self.path).as_posix(): file_digest(file) for file in self._list_files()}
        self.write_json(BUNDLE, {"schema_version": SCHEMA_VERSION, **description, "files": digests})

    def verify(self) -> JsonObject:
        """Check the digest of every file, and return the content of `bundle.json`.

        Raises:
            ArtefactError: if training has not finished here, the version is unknown, or a file is missing or
                has changed.
        """
        if not self.path.is_dir():
            raise ArtefactError(
                f"A model must be a folder made by `quintet train`. There is no folder {self.path}."
            )
        if not self.is_finished:
            raise ArtefactError(
                f"{self.path} holds no finished model ({BUNDLE} is missing). "
                "Finish it with `quintet train … --resume`."
            )
        bundle = self.read_json(BUNDLE)
        self._require_version(bundle)
        _require_kinds(bundle, self.path / BUNDLE)
        self._require_entries(bundle)
        self._check_digests(bundle["files"])
        return bundle

    def _list_files(self) -> list[Path]:
        """Files of a training run except `bundle.json`, in the order of their paths."""
        candidates = [self.path / name for name in OUR_FILES]
        for name in OUR_FOLDERS:
            candidates += (self.path / name).rglob("*")
        files = [path for path in sorted(candidates) if path.is_file()]
        return [file for file in files if file.name != BUNDLE]

    def _require_version(self, bundle: JsonObject) -> None:
        if not isinstance(bundle, dict):
            raise ArtefactError(
                f"{self.path / BUNDLE} must be a JSON object. "
                "It is damaged: train again, or restore it from a copy."
            )
        version = bundle.get("schema_version")
        if version != SCHEMA_VERSION:
            raise ArtefactError(
                f"This version of quintet reads model folders of schema {SCHEMA_VERSION}. "
                f"{self.path} has {version}: use the quintet version named in its environment.json, "
                "or train again."
            )

    def _require_entries(self, bundle: JsonObject) -> None:
        """Refuse a bundle that does not list the files that every model has."""
        files = bundle["files"]
        unlisted = REQUIRED_FILES - set(files)
        if unlisted:
            raise ArtefactError(
                f"{self.path / BUNDLE} must list every file with its digest. "
                f"It lacks {', '.join(sorted(unlisted))}: train again."
            )
        without_files = [
            name for name in bundle["members"] if not _starts_any(files, prefix=f"members/{name}/")
        ]
        if without_files:
            raise ArtefactError(
                f"{self.path / BUNDLE} must list the files of every member. "
                f"It lacks those of {', '.join(map(str, without_files))}."
            )

    def _check_digests(self, digests: Mapping[str, str]) -> None:
        for name, digest in digests.items():
            file = self.path / name
            if not file.is_file():
                raise ArtefactError(
                    "The model folder must be complete. "
                    f"{file} is missing: restore it from a copy, or train again."
                )
            if file_digest(file) != digest:
                raise ArtefactError(
                    "A file of the model must be as it was written. "
                    f"{file} has changed since: restore it, or train again."
                )


def _starts_any(files: Mapping[str, str], *, prefix: str) -> bool:
    return any(file.startswith(prefix) for file in files)


def _require_kinds(bundle: JsonObject, file: Path) -> None:
    """Refuse a bundle with an entry that `finalise` cannot have written."""
    wrong = [key for key in ("members", "classes", "feature_names") if not _are_names(bundle.get(key))]
    if not _are_inner_paths(bundle.get("files")):
        wrong.append("files")
    if not _is_clip_length(bundle.get("clip_seconds")):
        wrong.append("clip_seconds")
    required = ("rule", "multilabel", "feature_hash", "feature_parameters", "clip_seconds")
    wrong += [key for key in required if key not in bundle]
    if wrong:
        raise ArtefactError(
            f"{file} must be what `quintet train` wrote. These entries are not: {', '.join(wrong)}. "
            "Copy it again, or train again."
        )


def _are_names(value: object) -> bool:
    """Whether a value is a list of one text or more."""
    if not isinstance(value, list) or not value:
        return False
    return all(isinstance(entry, str) for entry in value)


def _are_inner_paths(files: object) -> bool:
    """Whether a value is a JSON object whose keys are paths inside the folder."""
    if not isinstance(files, dict):
        return False
    paths = [Path(name) for name in files]
    return not any(".." in path.parts or path.is_absolute() for path in paths)


def _is_clip_length(seconds: object) -> bool:
    """Whether a value is None or a plausible number of seconds."""
    if seconds is None:
        return True
    return isinstance(seconds, int | float) and SHORTEST_CLIP_S <= seconds < LONGEST_CLIP_S
