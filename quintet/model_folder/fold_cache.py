"""Fold cache on disk: finished folds of a training run, so that an interrupted run continues.

Everything in it carries the hash of the configuration that made it, and is taken over only if that is equal.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.classifiers.member import Member
from quintet.classifiers.storage import load_member, save_member
from quintet.ensemble.crossfit import FINAL_FIT, FoldResult
from quintet.files.atomic import atomic_replace, write_text
from quintet.model_folder.folder import ModelFolder

FoldImportance = Callable[[str, int, Member, pd.DataFrame], NDArray[np.float64] | None]
"""`(member, fold, estimator, table) -> importance of the columns`, shape `(d,)`, or None."""
COMPLETE = ".complete"  # written last, with the hash of the configuration


class FoldFiles:
    """The fold cache of a model folder: `work/MEMBER/fold-K.npz`, and `members/MEMBER/` after the final fit.

    Args:
        folder: the model folder.
        configuration: hash of everything that decides the result (config.json).
        importance: computes the importance of the columns for the member of each fold. Default: none is kept.
    """

    def __init__(
        self, folder: ModelFolder, configuration: str, importance: FoldImportance | None = None
    ) -> None:
        self.folder = folder
        self.root = folder.path / "work"
        self.members = folder.path / "members"
        self.configuration = configuration
        self._importance = importance

    def importance(
        self, member: str, fold: int, estimator: Member, table: pd.DataFrame
    ) -> NDArray[np.float64] | None:
        """Importance of the columns of a table for the member of a fold; None if it is not kept."""
        return None if self._importance is None else self._importance(member, fold, estimator, table)

    def load(self, member: str, fold: int) -> FoldResult | None:
        """Result of a finished fold of the same configuration, or None."""
        file = self.root / member / f"fold-{fold}.npz"
        if not file.is_file():
            return None
        with np.load(file, allow_pickle=False) as arrays:
            if "configuration" not in arrays or str(arrays["configuration"]) != self.configuration:
                return None
            history = json.loads(str(arrays["history"]))
            seconds = float(arrays["seconds"])
            embedding, importance = arrays.get("embedding"), arrays.get("importance")
            return FoldResult(arrays["probabilities"], history, seconds, embedding, importance)

    def save(self, member: str, fold: int, result: FoldResult) -> None:
        """Write the result of a finished fold, and remove the checkpoint of its epochs."""
        arrays: dict[str, NDArray[np.generic]] = {
            "configuration": np.asarray(self.configuration),
            "probabilities": result.probabilities,
            "history": np.asarray(json.dumps(result.history, default=float)),
            "seconds": np.asarray(result.seconds),
        }
        if result.embedding is not None:
            arrays["embedding"] = result.embedding
        if result.importance is not None:
            arrays["importance"] = result.importance
        target = self.root / member / f"fold-{fold}.npz"
        with atomic_replace(target) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        shutil.rmtree(self.checkpoint(member, fold), ignore_errors=True)

    def is_finished(self, member: str, fold: int) -> bool:
        """Whether the result of a fold is kept; for the fold -1, the member fitted on all rows."""
        return self._has_member(member) if fold == FINAL_FIT else self.load(member, fold) is not None

    def checkpoint(self, member: str, fold: int) -> Path:
        """Folder in which a network stores its state after each epoch."""
        return self.root / member / f"checkpoint-{fold}"

    def load_member(self, member: str) -> Member | None:
        """The member that this configuration fitted on the whole training part, or None."""
        return load_member(self.members / member) if self._has_member(member) else None

    def _has_member(self, member: str) -> bool:
        mark = self.members / member / COMPLETE
        return mark.is_file() and mark.read_text(encoding="utf-8") == self.configuration

    def save_member(self, member: str, estimator: Member) -> None:
        """Write the member that was fitted on the whole training part."""
        folder = self.members / member
        shutil.rmtree(folder, ignore_errors=True)
        save_member(estimator, folder)
        write_text(folder / COMPLETE, self.configuration)
