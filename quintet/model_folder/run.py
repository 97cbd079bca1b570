"""The model folder as a report sees it: everything read once, nothing computed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from quintet.ensemble.calibration import Calibration
from quintet.ensemble.conformal import ConformalPredictor
from quintet.errors import ArtefactError
from quintet.evaluation.scores import Scores
from quintet.features.storage.table import META_COLUMNS
from quintet.model_folder.scores import ENSEMBLE_PREDICTION, RunScores
from quintet.predictions.predictions import Predictions, read_predictions

__all__ = ["ENSEMBLE_PREDICTION", "Run", "read_run"]


@dataclass(frozen=True)
class Run:
    """What one training run left behind (docs/architecture.md, "The model folder").

    Args:
        path: the folder.
        bundle, config, environment, scores, fusion: content of the JSON files of those names.
        split: columns `id, label, group, part, fold`.
        failures: the ledger; empty where nothing failed.
        features: the rows that were used, indexed by id, metadata columns included; empty where the run had no table.
        history: network → epochs.
        embeddings: network → its last layer on clips that it never saw, columns `id, part, 0 … d - 1`.
        oof, test: member, rule or `ENSEMBLE_PREDICTION` → `Predictions`.
        trust: content of trust.json: calibration and prediction sets; empty in folders that are older than these.
        tuning, trials: content of tuning/tuning.json and tuning/trials.parquet: the search that found the settings; empty where there was none.
        out_of_class: columns `id, part, out_of_class, distance` (NaN without a feature table); empty for label sets and in older folders.
    """

    path: Path
    bundle: Mapping[str, Any]
    config: Mapping[str, Any]
    environment: Mapping[str, Any]
    scores: Mapping[str, Any]
    fusion: Mapping[str, Any]
    split: pd.DataFrame
    failures: pd.DataFrame
    features: pd.DataFrame
    history: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    embeddings: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    oof: Mapping[str, Predictions] = field(default_factory=dict)
    test: Mapping[str, Predictions] = field(default_factory=dict)
    trust: Mapping[str, Any] = field(default_factory=dict)
    tuning: Mapping[str, Any] = field(default_factory=dict)
    trials: pd.DataFrame = field(default_factory=pd.DataFrame)
    out_of_class: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the probability columns."""
        return next(iter((self.test or self.oof).values())).classes

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the members, in the bundle's order."""
        return tuple(name for name in self.bundle["members"] if name in self.parts[self.part])

    @property
    def rules(self) -> tuple[str, ...]:
        """Names of the fusion rules that were scored, the chosen one first."""
        names = [
            name
            for name in self.parts[self.part]
            if name not in self.bundle["members"] and name != ENSEMBLE_PREDICTION
        ]
        return tuple(sorted(names, key=lambda name: (name != self.bundle.get("rule"), name)))

    @property
    def names(self) -> tuple[str, ...]:
        """Ensembles, then members."""
        return self.rules + self.members

    @property
    def best(self) -> str:
        """Whose verdict the report is about: the chosen fusion rule, or the only member."""
        return self.rules[0] if self.rules else self.members[0]

    @property
    def prediction_name(self) -> str:
        """The predictions that the report is about: the calibrated verdict, or in older folders those of `best` as they are."""
        return ENSEMBLE_PREDICTION if ENSEMBLE_PREDICTION in self.parts[self.part] else self.best

    @property
    def parts(self) -> Mapping[str, Mapping[str, Predictions]]:
        """`"test"` and `"oof"` → name → predictions."""
        return {"test": self.test, "oof": self.oof}

    @property
    def part(self) -> str:
        """`"test"` where there is a held-out part, `"oof"` otherwise."""
        return "test" if self.test else "oof"

    @property
    def report_predictions(self) -> Predictions:
        """The predictions that the report is about."""
        return self.parts[self.part][self.prediction_name]

    @cached_property
    def results(self) -> RunScores:
        """The content of `scores`, typed: `run.results.split.protocol`, `run.results.parts["test"]["svm"].n`."""
        return RunScores.from_json(dict(self.scores))

    @property
    def report_scores(self) -> Scores | None:
        """Scores of `report_predictions`; None if the run has none for them."""
        return self.results.parts.get(self.part, {}).get(self.prediction_name)

    @property
    def headline(self) -> Mapping[str, Any]:
        """The scores that the report is about."""
        return dict(self.scores.get(self.part, {}).get(self.prediction_name, {}))

    @cached_property
    def calibration(self) -> Calibration | None:
        """What `predict` does to the fused probabilities; None in older folders."""
        return Calibration.from_json(self.trust["calibration"]) if self.trust.get("calibration") else None

    @cached_property
    def conformal(self) -> ConformalPredictor | None:
        """What prediction sets are made with; None for label sets and in older folders."""
        return ConformalPredictor.from_json(self.trust["conformal"]) if self.trust.get("conformal") else None

    def out_of_class_of(self, ids: Any) -> pd.DataFrame:
        """`out_of_class` and `distance` of these clips of the part that the report is about, in their order."""
        table = self.out_of_class[self.out_of_class["part"] == self.part].set_index("id")
        return table.loc[list(ids), ["out_of_class", "distance"]]

    @property
    def multilabel(self) -> bool:
        """Whether clips carry label sets."""
        return self.report_predictions.multilabel

    @cached_property
    def weights(self) -> Mapping[str, Mapping[str, float]]:
        """Fusion rule → member → weight."""
        return {
            rule: content["weights"]
            for rule, content in self.fusion.get("rules", {}).items()
            if content.get("weights")
        }

    @cached_property
    def values(self) -> pd.DataFrame:
        """The features alone, `(n, d)`, indexed by id."""
        kept = [
            c
            for c in self.features.columns
            if c not in META_COLUMNS and pd.api.types.is_numeric_dtype(self.features[c])
        ]
        return self.features[kept]

    def member_settings(self, name: str) -> Mapping[str, Any]:
        """The settings that were given for a member."""
        return dict((self.config.get("train") or {}).get("settings", {}).get(name, {}))

    @property
    def random_weights(self) -> tuple[str, ...]:
        """Networks that started from random weights although their architecture is known for pretrained ones."""
        return tuple(name for name in self.members if self.member_settings(name).get("weights") == "random")


def read_run(folder: str | Path) -> Run:
    """The content of a model folder.

    Raises:
        ArtefactError: if the folder is not a finished model folder, or a file of it is damaged.
    """
    path = Path(folder)
    if not (path / "bundle.json").is_file():
        raise ArtefactError(
            f"A report needs a finished model folder (bundle.json, scores.json, predictions). Received '{path}'. Run `quintet train` first."
        )
    predictions = {
        part: {
            file.stem: read_predictions(file)
            for file in sorted((path / "predictions" / part).glob("*.parquet"))
        }
        for part in ("oof", "test")
    }
    if not any(predictions.values()):
        raise ArtefactError(f"A report needs predictions. '{path / 'predictions'}' has none. Train again.")
    scores = _json(path / "scores.json")
    for part, table in predictions.items():
        if (file := path / ENSEMBLE_PREDICTION / f"{part}.parquet").is_file() and part in scores.get(
            ENSEMBLE_PREDICTION, {}
        ):
            table[ENSEMBLE_PREDICTION] = read_predictions(file)
            scores[part][ENSEMBLE_PREDICTION] = scores[ENSEMBLE_PREDICTION][part]
    features = _frame(path / "features.parquet")
    return Run(
        path=path,
        bundle=_json(path / "bundle.json"),
        config=_json(path / "config.json"),
        environment=_json(path / "environment.json"),
        scores=scores,
        fusion=_json(path / "fusion.json"),
        split=_frame(path / "split.parquet"),
        failures=_frame(path / "failures.parquet"),
        features=features.set_index("id") if "id" in features else features,
        history={file.stem: pd.read_parquet(file) for file in sorted((path / "history").glob("*.parquet"))},
        embeddings={
            file.stem: pd.read_parquet(file) for file in sorted((path / "embeddings").glob("*.parquet"))
        },
        oof=predictions["oof"],
        test=predictions["test"],
        trust=_json(path / "trust.json"),
        tuning=_json(path / "tuning" / "tuning.json"),
        trials=_frame(path / "tuning" / "trials.parquet"),
        out_of_class=_frame(path / ENSEMBLE_PREDICTION / "strangeness.parquet"),
    )


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except json.JSONDecodeError as error:
        raise ArtefactError(
            f"'{path}' must hold JSON. It cannot be read: {error}. Restore the model folder, or train again."
        ) from error


def _frame(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path) if path.is_file() else pd.DataFrame()
