"""The trained ensemble on disk: a folder without pickles, hashed, versioned, refusing what it does not know.

The layout is drawn in docs/architecture.md ("The model folder"). While training runs, finished folds lie under `work/`;
`finalise` removes them and writes `bundle.json` with a digest of every file, which `load_model` checks before it reads anything.
"""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.classifiers.storage import DAMAGE_ERRORS, load_member, read_arrays, save_member
from quintet.ensemble.calibration import Calibration
from quintet.ensemble.classifier import EnsembleClassifier
from quintet.ensemble.conformal import ConformalPredictor
from quintet.ensemble.crossfit import FoldResult
from quintet.ensemble.fusion import Fusion
from quintet.ensemble.novelty import Distance
from quintet.errors import ArtefactError
from quintet.files.atomic import atomic_replace, write_bytes
from quintet.files.digests import file_digest

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


def search_digests(search: str | Path) -> dict[str, str]:
    """The history of a search (the folder of `quintet tune`): file → digest.

    Raises:
        ArtefactError: if there is no finished search.
    """
    files = [Path(search) / name for name in SEARCH_FILES]
    if absent := [file.name for file in files if not file.is_file()]:
        raise ArtefactError(
            f"A search must be a folder that `quintet tune` finished. {search} has no {' and no '.join(absent)}: tune again."
        )
    return {file.name: file_digest(file) for file in files}


class ModelFolder:
    """Reads and writes the files of one model folder.

    Args:
        path: the folder; it need not exist yet.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def is_finished(self) -> bool:
        """Whether training has finished here."""
        return (self.path / BUNDLE).is_file()

    def write_json(self, name: str, content: Any) -> None:
        """Write `content` as indented JSON."""
        write_bytes(
            self.path / name, (json.dumps(content, indent=2, default=str, allow_nan=False) + "\n").encode()
        )

    def read_json(self, name: str) -> Any:
        """The content of a JSON file of the folder.

        Raises:
            ArtefactError: if the file is missing or is not JSON.
        """
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ArtefactError(
                f"A model folder must hold {name}. {self.path} does not: is it a folder made by `quintet train`?"
            ) from None
        except (ValueError, RecursionError) as error:
            raise ArtefactError(
                f"{self.path / name} must be JSON ({error}). It is damaged: train again, or restore it from a copy."
            ) from None

    def write_frame(self, name: str, frame: pd.DataFrame) -> None:
        """Write a table as parquet."""
        with atomic_replace(self.path / name) as temporary:
            frame.to_parquet(temporary, index=False)

    def write_arrays(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write arrays as `.npz`."""
        content = io.BytesIO()
        np.savez(content, **arrays)  # type: ignore[arg-type]
        write_bytes(self.path / name, content.getvalue())

    def read_frame(self, name: str) -> pd.DataFrame:
        """A parquet table of the folder."""
        if not (self.path / name).is_file():
            raise ArtefactError(f"A model folder must hold {name}. {self.path} does not.")
        return pd.read_parquet(self.path / name)

    def keep_search(self, search: str | Path) -> None:
        """Copy the history of the search that found the settings, from the folder of `quintet tune`."""
        for name in SEARCH_FILES:
            write_bytes(self.path / "tuning" / name, (Path(search) / name).read_bytes())

    def clear(self) -> None:
        """Remove what a training run writes here, and nothing else."""
        for name in (*OUR_FOLDERS, *OUR_FILES):
            target = self.path / name
            if target.is_dir():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)

    def finalise(self, description: Mapping[str, Any]) -> None:
        """Remove the working files and write `bundle.json` with the digest of every file."""
        shutil.rmtree(self.path / "work", ignore_errors=True)
        ours = [p for name in OUR_FOLDERS for p in (self.path / name).rglob("*")] + [
            self.path / name for name in OUR_FILES
        ]
        files = {
            p.relative_to(self.path).as_posix(): file_digest(p)
            for p in sorted(ours)
            if p.is_file() and p.name != BUNDLE
        }
        self.write_json(BUNDLE, {"schema_version": SCHEMA_VERSION, **description, "files": files})

    def verify(self) -> dict[str, Any]:
        """The content of `bundle.json`, after every file's digest has been checked.

        Raises:
            ArtefactError: if training has not finished here, the version is unknown, or a file is missing or changed.
        """
        if not self.path.is_dir():
            raise ArtefactError(
                f"A model must be a folder made by `quintet train`. There is no folder {self.path}."
            )
        if not self.is_finished:
            raise ArtefactError(
                f"{self.path} holds no finished model ({BUNDLE} is missing). Finish it with `quintet train … --resume`."
            )
        bundle: dict[str, Any] = self.read_json(BUNDLE)
        if not isinstance(bundle, dict):
            raise ArtefactError(
                f"{self.path / BUNDLE} must be a JSON object. It is damaged: train again, or restore it from a copy."
            )
        if bundle.get("schema_version") != SCHEMA_VERSION:
            raise ArtefactError(
                f"This version of quintet reads model folders of schema {SCHEMA_VERSION}. {self.path} has {bundle.get('schema_version')}: "
                "use the quintet version named in its environment.json, or train again."
            )
        _require_whole(bundle, self.path / BUNDLE)
        if unlisted := {
            "config.json",
            "fusion.json",
            "trust.json",
            "split.parquet",
            "features.parquet",
        } - set(bundle["files"]):
            raise ArtefactError(
                f"{self.path / BUNDLE} must list every file with its digest. It lacks {', '.join(sorted(unlisted))}: train again."
            )
        if strays := [
            name
            for name in bundle["members"]
            if not any(file.startswith(f"members/{name}/") for file in bundle["files"])
        ]:
            raise ArtefactError(
                f"{self.path / BUNDLE} must list the files of every member. It lacks those of {', '.join(map(str, strays))}."
            )
        for name, digest in bundle["files"].items():
            file = self.path / name
            if not file.is_file():
                raise ArtefactError(
                    f"The model folder must be complete. {file} is missing: restore it from a copy, or train again."
                )
            if file_digest(file) != digest:
                raise ArtefactError(
                    f"A file of the model must be as it was written. {file} has changed since: restore it, or train again."
                )
        return bundle


class FoldFiles:
    """The fold cache on disk: `work/MEMBER/fold-K.npz` and, at the end, `members/MEMBER/`."""

    def __init__(self, folder: ModelFolder) -> None:
        self.root = folder.path / "work"
        self.members = folder.path / "members"

    def load(self, member: str, fold: int) -> FoldResult | None:
        """A finished fold, or None."""
        file = self.root / member / f"fold-{fold}.npz"
        if not file.is_file():
            return None
        with np.load(file, allow_pickle=False) as kept:
            embedding = kept.get("embedding")
            return FoldResult(
                kept["probabilities"], json.loads(str(kept["history"])), float(kept["seconds"]), embedding
            )

    def save(self, member: str, fold: int, result: FoldResult) -> None:
        """Keep a finished fold; its epochs' checkpoint is not needed any more."""
        folder = self.root / member
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".fold-{fold}.tmp.npz"
        kept: dict[str, Any] = {} if result.embedding is None else {"embedding": result.embedding}
        np.savez(
            temporary,
            probabilities=result.probabilities,
            history=json.dumps(result.history, default=float),
            seconds=result.seconds,
            **kept,
        )
        os.replace(temporary, folder / f"fold-{fold}.npz")
        shutil.rmtree(self.checkpoint(member, fold), ignore_errors=True)

    def checkpoint(self, member: str, fold: int) -> Path:
        """Where a network keeps its state after each epoch."""
        return self.root / member / f"checkpoint-{fold}"

    def load_member(self, member: str) -> Any | None:
        """The member fitted on the whole training part, or None."""
        if not (self.members / member / ".complete").is_file():
            return None
        return load_member(self.members / member)

    def save_member(self, member: str, estimator: Any) -> None:
        """Keep the member fitted on the whole training part."""
        folder = self.members / member
        shutil.rmtree(folder, ignore_errors=True)
        save_member(estimator, folder)
        (folder / ".complete").write_bytes(b"")


def load_model(path: str | Path) -> EnsembleClassifier:
    """The trained ensemble of a model folder, ready to predict.

    Args:
        path: a folder made by `quintet train`.

    Returns:
        A fitted `EnsembleClassifier`; `bundle_` holds the content of `bundle.json` (feature parameters, hashes, classes).

    Raises:
        ArtefactError: if the folder is unfinished, damaged, or of another version.
    """
    folder = ModelFolder(path)
    bundle = folder.verify()
    try:
        return _assembled(folder, bundle)
    except DAMAGE_ERRORS as error:
        if isinstance(error, ArtefactError):
            raise
        raise ArtefactError(
            f"A model folder must be what `quintet train` wrote. {folder.path} is not ({type(error).__name__}: {error}). Copy it, or train, again."
        ) from error


def _require_whole(bundle: Mapping[str, Any], file: Path) -> None:
    """Refuses a description of a model whose entries are not of the kind that `finalise` writes."""

    def names(value: Any) -> bool:
        return isinstance(value, list) and bool(value) and all(isinstance(entry, str) for entry in value)

    files, seconds = bundle.get("files"), bundle.get("clip_seconds")
    wrong = [key for key in ("members", "classes", "feature_names") if not names(bundle.get(key))]
    wrong += (
        []
        if isinstance(files, dict)
        and not any(".." in Path(name).parts or Path(name).is_absolute() for name in files)
        else ["files"]
    )
    wrong += (
        []
        if seconds is None or (isinstance(seconds, (int, float)) and 0.01 <= seconds < 1e9)
        else ["clip_seconds"]
    )
    wrong += [
        key
        for key in ("rule", "multilabel", "feature_hash", "feature_parameters", "clip_seconds")
        if key not in bundle
    ]
    if wrong:
        raise ArtefactError(
            f"{file} must be what `quintet train` wrote. Not so: {', '.join(wrong)}. Copy it again, or train again."
        )


def _assembled(folder: ModelFolder, bundle: dict[str, Any]) -> EnsembleClassifier:
    """The ensemble from the files of a folder whose digests were checked."""
    config, fusion = folder.read_json("config.json"), folder.read_json("fusion.json")
    settings = config["train"]
    ensemble = EnsembleClassifier(
        members=tuple(bundle["members"]),
        rule=bundle["rule"],
        rules=tuple(fusion["rules"]),
        n_splits=settings["folds"] or 5,
        settings=settings["settings"],
        seed=settings["seed"],
    )
    ensemble.classes_ = np.asarray(bundle["classes"], dtype=object)
    ensemble.members_ = {name: load_member(folder.path / "members" / name) for name in bundle["members"]}
    ensemble.fusions_ = {rule: Fusion.from_json(content) for rule, content in fusion["rules"].items()}
    ensemble.rule_ = bundle["rule"]
    trust = folder.read_json("trust.json")
    ensemble.calibration_ = Calibration.from_json(trust["calibration"])
    ensemble.conformal_ = (
        None if trust["conformal"] is None else ConformalPredictor.from_json(trust["conformal"])
    )
    ensemble.distance_ = (
        _distance(folder, bundle)
        if ensemble.conformal_ is not None and ensemble.conformal_.familiarity
        else None
    )
    ensemble.bundle_ = bundle
    return ensemble


def _distance(folder: ModelFolder, bundle: Mapping[str, Any]) -> Distance:
    if DISTANCE not in bundle["files"]:
        raise ArtefactError(
            f"Prediction sets that look at the features need {DISTANCE}. {folder.path / BUNDLE} does not list it: train again."
        )
    return Distance.restore(read_arrays(folder.path / DISTANCE), n_features=len(bundle["feature_names"]))
