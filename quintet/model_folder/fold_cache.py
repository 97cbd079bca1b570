"""Fold cache on disk: finished folds of a training run, so that an interrupted run continues."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quintet.classifiers.member import Member
from quintet.classifiers.storage import load_member, save_member
from quintet.ensemble.crossfit import FoldResult
from quintet.model_folder.folder import ModelFolder

COMPLETE = ".complete"  # an empty file that is written last


class FoldFiles:
    """The fold cache of a model folder: `work/MEMBER/fold-K.npz`, and `members/MEMBER/` after the final fit.

    Args:
        folder: the model folder.
    """

    def __init__(self, folder: ModelFolder) -> None:
        self.root = folder.path / "work"
        self.members = folder.path / "members"

    def load(self, member: str, fold: int) -> FoldResult | None:
        """Result of a finished fold, or None."""
        file = self.root / member / f"fold-{fold}.npz"
        if not file.is_file():
            return None
        with np.load(file, allow_pickle=False) as arrays:
            history = json.loads(str(arrays["history"]))
            seconds = float(arrays["seconds"])
            return FoldResult(arrays["probabilities"], history, seconds, arrays.get("embedding"))

    def save(self, member: str, fold: int, result: FoldResult) -> None:
        """Write the result of a finished fold, and remove the checkpoint of its epochs."""
        folder = self.root / member
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".fold-{fold}.tmp.npz"
        arrays: dict[str, NDArray[np.generic]] = {
            "probabilities": result.probabilities,
            "history": np.asarray(json.dumps(result.history, default=float)),
            "seconds": np.asarray(result.seconds),
        }
        if result.embedding is not None:
            arrays["embedding"] = result.embedding
        np.savez(temporary, **arrays)  # type: ignore[arg-type]
        os.replace(temporary, folder / f"fold-{fold}.npz")
        shutil.rmtree(self.checkpoint(member, fold), ignore_errors=True)

    def checkpoint(self, member: str, fold: int) -> Path:
        """Folder in which a network stores its state after each epoch."""
        return self.root / member / f"checkpoint-{fold}"

    def load_member(self, member: str) -> Member | None:
        """The member that was fitted on the whole training part, or None."""
        folder = self.members / member
        return load_member(folder) if (folder / COMPLETE).is_file() else None

    def save_member(self, member: str, estimator: Member) -> None:
        """Write the member that was fitted on the whole training part."""
        folder = self.members / member
        shutil.rmtree(folder, ignore_errors=True)
        save_member(estimator, folder)
        (folder / COMPLETE).write_bytes(b"")
