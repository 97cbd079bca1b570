"""Model folder of a trained ensemble: its files, without pickles, with a digest of each.

docs/architecture.md ("The model folder") shows the layout. While training runs, finished folds lie in
`work/`. `finalise` removes them and writes `bundle.json` with size and digest of every file. `open` is the
one way into a finished folder, for every command and function: it checks every digest before anything else is
read, and nothing that `bundle.json` does not list is read.
"""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from quintet.errors import ArtefactError
from quintet.files.atomic import atomic_replace, write_bytes
from quintet.files.digests import file_digest
from quintet.files.json_types import JsonObject
from quintet.files.untrusted import limits
from quintet.files.untrusted.listed_files import ListedFiles, read_inside
from quintet.files.untrusted.reasons import reason
from quintet.files.untrusted.strict_json import parse_object
from quintet.model_folder.bundle_entries import listed_records, require_kinds

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Content = TypeVar("Content")

SCHEMA_VERSION = 1
BUNDLE = "bundle.json"
DISTANCE = "distance.npz"
IMPORTANCE = "importance.parquet"
WORK = "work"
OUR_FOLDERS = (WORK, "members", "frozen", "history", "embeddings", "predictions", "verdict", "tuning")
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
    IMPORTANCE,
    "scores.json",
)
REQUIRED_FILES = frozenset({"config.json", "fusion.json", "trust.json", "split.parquet", "features.parquet"})
LISTING = ("schema_version", "files", "sizes")
"""Entries of `bundle.json` that `finalise` writes."""


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
        if not (self.path / name).is_file():
            raise ArtefactError(
                f"A model folder must hold {name}. {self.path} does not: "
                "is it a folder made by `quintet train`?"
            )
        return parse_object(read_inside(self.path, name, limit=limits.JSON_BYTES), self.path / name)

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
        """Remove the working files and write `bundle.json` with size and digest of every file.

        Args:
            description: the entries of `bundle.json` except those in `LISTING`.
        """
        shutil.rmtree(self.path / WORK, ignore_errors=True)
        files = {file.relative_to(self.path).as_posix(): file for file in self._list_files()}
        listing = {
            "files": {name: file_digest(file) for name, file in files.items()},
            "sizes": {name: file.stat().st_size for name, file in files.items()},
        }
        self.write_json(BUNDLE, {"schema_version": SCHEMA_VERSION, **description, **listing})

    def open(self) -> OpenFolder:
        """Check size and digest of every file, and give access to the listed files.

        Raises:
            ArtefactError: if training has not finished here, the version is unknown, a file is missing, is a
                link or has changed, or a file of ours is not listed.
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
        bundle_data = read_inside(self.path, BUNDLE, limit=limits.JSON_BYTES)
        bundle = parse_object(bundle_data, self.path / BUNDLE)
        self._require_version(bundle)
        require_kinds(bundle, self.path / BUNDLE)
        files = ListedFiles(self.path, listed_records(bundle, self.path / BUNDLE))
        self._require_listed(files)
        files.verify()
        return OpenFolder(bundle, files)

    def _require_listed(self, files: ListedFiles) -> None:
        """Refuse links, and files in our places that the list does not name. Nothing is opened."""
        for name, is_link in self._walk_files():
            if is_link:
                raise ArtefactError(
                    f"A model folder must hold its files itself. {self.path / name} is a link. "
                    "Copy the folder with its files, or do not use it."
                )
            is_hidden = PurePosixPath(name).name.startswith(".")
            if not is_hidden and name != BUNDLE and name not in files:
                raise ArtefactError(
                    f"{BUNDLE} must list every file of a model folder. {self.path / name} is not listed: "
                    "remove it, restore the folder from a copy, or train again."
                )

    def _walk_files(self) -> Iterator[tuple[str, bool]]:
        """Path and link or not of everything in our places that is no ordinary folder, links not followed."""
        places = [name for name in (*OUR_FILES, *OUR_FOLDERS) if name != WORK]
        pending = [name for name in places if os.path.lexists(self.path / name)]
        seen = 0
        while pending:
            name = pending.pop()
            place = self.path / name
            seen += 1
            if seen > 2 * limits.FILES:
                raise ArtefactError(
                    f"A model folder must hold at most {limits.FILES} files. {self.path} holds more. "
                    "Do not use it."
                )
            if place.is_symlink():
                yield name, True
            elif place.is_dir():
                pending += [f"{name}/{entry}" for entry in sorted(os.listdir(place))]
            else:
                yield name, False

    def foreign_files(self) -> list[str]:
        """Files among those of a finished model that training did not write, such as notes of the user.

        Hidden files do not count.

        Raises:
            ArtefactError: if `bundle.json` cannot be read.
        """
        listed = self.read_json(BUNDLE).get("files")
        ours = {BUNDLE, *(listed if isinstance(listed, dict) else ())}
        names = (name for name, _ in self._walk_files() if not PurePosixPath(name).name.startswith("."))
        return sorted(name for name in names if name not in ours)

    def _list_files(self) -> list[Path]:
        """Files of a training run except `bundle.json`, in the order of their paths."""
        candidates = [self.path / name for name in OUR_FILES]
        for name in OUR_FOLDERS:
            candidates += (self.path / name).rglob("*")
        files = [path for path in sorted(candidates) if path.is_file()]
        return [file for file in files if file.name != BUNDLE]

    def _require_version(self, bundle: JsonObject) -> None:
        version = bundle.get("schema_version")
        if version != SCHEMA_VERSION:
            raise ArtefactError(
                f"This version of quintet reads model folders of schema {SCHEMA_VERSION}. "
                f"{self.path} has {str(version)[:60]}: use the quintet version named in its "
                "environment.json, or train again."
            )


@dataclass(frozen=True)
class OpenFolder:
    """A finished model folder whose digests were checked.

    Args:
        bundle: content of `bundle.json`.
        files: the files that it lists; each is compared with its digest again when it is read.
    """

    bundle: JsonObject
    files: ListedFiles

    def require_model(self) -> None:
        """Refuse a bundle that does not list the files that a model needs for predictions.

        Raises:
            ArtefactError: if one is not listed.
        """
        bundle_path = self.files.path(BUNDLE)
        unlisted = [name for name in sorted(REQUIRED_FILES) if name not in self.files]
        if unlisted:
            raise ArtefactError(
                f"{bundle_path} must list every file with its digest. "
                f"It lacks {', '.join(unlisted)}: train again."
            )
        members = self.bundle["members"]
        without_files = [name for name in members if f"members/{name}/member.json" not in self.files]
        if without_files:
            raise ArtefactError(
                f"{bundle_path} must list the files of every member. "
                f"It lacks those of {', '.join(without_files)}."
            )

    def member(self, name: str) -> ListedFiles:
        """The files of a member."""
        return self.files.inside(f"members/{name}")

    def read_json(self, name: str) -> JsonObject:
        """A JSON file of the folder; empty if the folder has none, as those of early versions.

        Raises:
            ArtefactError: if it has changed, or is not a JSON object.
        """
        if name not in self.files:
            return {}
        return parse_object(self.files.read(name, limit=limits.JSON_BYTES), self.files.path(name))

    def read_frame(self, name: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """A table of the folder; empty if the folder has none.

        Args:
            name: path in the folder.
            columns: names of the columns. Default: all.

        Raises:
            ArtefactError: if it has changed, or is no table of a plausible size.
        """
        import pandas as pd

        if name not in self.files:
            return pd.DataFrame()
        frame: pd.DataFrame = self.read_table(name, columns, lambda table: table.to_pandas())
        return frame

    def read_table(
        self, name: str, columns: Sequence[str] | None, content: Callable[[pa.Table], Content]
    ) -> Content:
        """What a function reads from a table of the folder, for which pandas is not imported.

        Args:
            name: path in the folder, which must be listed.
            columns: names of the columns. None: all.
            content: the function. What it raises about a damaged table becomes an `ArtefactError`.

        Raises:
            ArtefactError: if it has changed, or is no table of a plausible size.
        """
        from quintet.files.untrusted.parquet import PARQUET_ERRORS, read_parquet

        data = self.files.read(name)
        try:
            return content(read_parquet(data, columns))
        except ArtefactError:
            raise
        except PARQUET_ERRORS as error:
            raise ArtefactError(
                f"A table of a model must be a parquet file. {self.files.path(name)} cannot be read "
                f"({reason(error)}). Restore the model folder, or train again."
            ) from error

    def frames(self, folder: str) -> dict[str, pd.DataFrame]:
        """Name → table, for the listed parquet files directly in a folder."""
        return {
            PurePosixPath(name).stem: self.read_frame(name) for name in self.files.names(folder, ".parquet")
        }


def relist(folder: Path) -> Path:
    """Write size and digest of every file of a finished folder anew, after one was changed on purpose.

    Args:
        folder: a model folder with `bundle.json`.

    Returns:
        The folder.
    """
    model_folder = ModelFolder(folder)
    bundle = model_folder.read_json(BUNDLE)
    model_folder.finalise({key: value for key, value in bundle.items() if key not in LISTING})
    return folder
