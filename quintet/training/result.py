"""Result of a training run: the model folder, the scores, and how a notebook shows them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from quintet.files.display.notebook import notebook_html
from quintet.files.json_text import table_rows
from quintet.files.json_types import JsonObject
from quintet.files.paths import text_name
from quintet.model_folder.folder import ModelFolder
from quintet.model_folder.scores import PARTS, RunScores

HEADLINES = ("accuracy", "subset_accuracy", "macro_auc", "log_loss")
"""Metrics that a notebook shows of a run."""

COLUMNS = ("part", "name", "metric", "value", "low", "high", "n", "n_groups")


@dataclass(frozen=True)
class TrainingResult:
    """Result of a training run.

    Args:
        folder: the model folder.
        results: the scores.
        rule: name of the chosen fusion rule.
        reused: whether the folder held the finished model of this configuration already.
        notes: what was done with the data before training, and which rows were left out.
    """

    folder: Path
    results: RunScores
    rule: str
    reused: bool = False
    notes: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        scores = self.frame
        headlines = scores[scores["metric"].isin(HEADLINES)]
        facts = f"Model in {self.folder}, fusion rule {self.rule}"
        return notebook_html(facts, headlines, notes=self.notes)

    @property
    def frame(self) -> pd.DataFrame:
        """Scores of the ensemble, the members and the rules: one row per part, name and metric.

        The test part comes first, and in each part the ensemble, which has the name `ensemble`.

        Returns:
            Columns `part` (`test`, `oof`), `name` (`ensemble`, a member or a rule), `metric`, `value`, `low`,
            `high` (NaN without an interval), `n` (clips) and `n_groups`.
        """
        ensemble = {} if self.results.ensemble is None else self.results.ensemble.parts
        rows: list[tuple[object, ...]] = []
        for part in reversed(PARTS):
            named = {"ensemble": ensemble[part]} if part in ensemble else {}
            for name, scores in {**named, **self.results.parts.get(part, {})}.items():
                for metric, estimate in scores.scores.items():
                    interval = estimate.value, estimate.low, estimate.high
                    rows.append((part, name, metric, *interval, scores.n, scores.n_groups))
        return pd.DataFrame(rows, columns=list(COLUMNS))

    @property
    def scores(self) -> JsonObject:
        """Content of scores.json."""
        return self.results.to_json()

    def to_json(self) -> JsonObject:
        """JSON object: the model folder, its classes and members, clips per part, failed rows, scores."""
        folder = ModelFolder(self.folder)
        bundle = folder.read_json("bundle.json")
        with text_name(folder.path / "split.parquet") as file:
            parts = pd.read_parquet(file, columns=["part"])["part"].value_counts()
        with text_name(folder.path / "failures.parquet") as file:
            failures = pd.read_parquet(file)
        return {
            "model": str(self.folder),
            "reused": self.reused,
            "classes": bundle["classes"],
            "multilabel": bundle["multilabel"],
            "members": bundle["members"],
            "rule": self.rule,
            "n": {part: int(parts.get(part, 0)) for part in ("train", "test", "unused")},
            "n_failed": len(failures),
            "failures": table_rows(failures[["id", "stage", "error", "reason"]]),
            "notes": list(self.notes),
            "scores": self.scores,
        }
