"""Scores of a training run: members, fusion rules and the ensemble prediction, which are also written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.datasets.splits.split import Positions
from quintet.ensemble.classifier import EnsembleClassifier
from quintet.ensemble.conformal import ConformalPredictor
from quintet.ensemble.coverage import Coverage, coverage
from quintet.ensemble.crossfit import Listener, TrainingEvent
from quintet.evaluation.intervals import Resampling
from quintet.evaluation.scores import Scores, score
from quintet.model_folder.folder import ModelFolder
from quintet.model_folder.scores import ENSEMBLE_PREDICTION, EnsembleScores, PartScores, SplitFacts
from quintet.predictions.predictions import Predictions
from quintet.training.data import Material
from quintet.training.settings import TrainSettings

Floats = NDArray[np.float64]

CONFIDENCES = (0.8, 0.9, 0.95)
"""Confidences at which the coverage of prediction sets is measured."""


@dataclass(frozen=True)
class Part:
    """Predictions on one part of a run.

    Args:
        rows: positions of the n clips in the material.
        probabilities: member, fusion rule or ensemble of the settings → `(n, K)`.
    """

    rows: Positions
    probabilities: Mapping[str, Floats]


@dataclass(frozen=True)
class EnsemblePart:
    """Ensemble prediction on one part of a run.

    Args:
        rows: positions of the n clips in the material.
        probabilities: calibrated probabilities, `(n, K)`.
        distances: distance of each clip from all classes, `(n,)`; None if the sets do not use distances.
    """

    rows: Positions
    probabilities: Floats
    distances: Floats | None


@dataclass(frozen=True)
class RunScorer:
    """Scores predictions of a run and writes them into its model folder.

    Args:
        material: data of the run.
        folder: the model folder.
        settings: seed and resamples.
        listener: receives a training event before each score.
    """

    material: Material
    folder: ModelFolder
    settings: TrainSettings
    listener: Listener | None = None

    def split_facts(self) -> SplitFacts:
        """Facts about the split that stand beside the scores."""
        split = self.material.split
        n_groups = split.frame.groupby("part")["group"].nunique()
        return SplitFacts(
            protocol=split.protocol,
            grouped=bool(split.grouped),
            groups_known=bool(self.material.table.grouped),
            n_folds=split.n_folds,
            seed=self.settings.seed,
            digest=split.digest,
            parts={str(part): int(n) for part, n in split.frame["part"].value_counts().items()},
            groups={str(part): int(n) for part, n in n_groups.items()},
        )

    def score_part(self, name: str, part: Part) -> PartScores:
        """Scores of every member and rule on one part; the predictions are written to `predictions/NAME/`."""
        folder = self.folder.path / "predictions" / name
        scores = {}
        for model, probabilities in part.probabilities.items():
            if self.listener is not None:
                self.listener(TrainingEvent("score", model, -1, 0, {"part": name}))
            scores[model] = self._score(part.rows, probabilities, folder / f"{model}.parquet")
        return scores

    def score_ensemble(self, ensemble: EnsembleClassifier, parts: Mapping[str, Part]) -> EnsembleScores:
        """Scores of the ensemble prediction and the coverage of its prediction sets.

        The ensemble prediction is the chosen rule, calibrated, as `predict` gives it.

        Args:
            ensemble: the fitted ensemble.
            parts: `oof`, and `test` if a part was held out.
        """
        predictions = self._ensemble_parts(ensemble, parts)
        folder = self.folder.path / ENSEMBLE_PREDICTION
        scores = {
            name: self._score(part.rows, part.probabilities, folder / f"{name}.parquet")
            for name, part in predictions.items()
        }
        sets: tuple[Coverage, ...] = ()
        conformal = ensemble.conformal_
        if conformal is not None:
            frames = [self._out_of_class(conformal, name, part) for name, part in predictions.items()]
            out_of_class = pd.concat(frames, ignore_index=True)
            self.folder.write_frame(f"{ENSEMBLE_PREDICTION}/strangeness.parquet", out_of_class)
            if "test" in predictions:  # the sets were calibrated on the out-of-fold part
                sets = self._coverages(conformal, predictions["test"], ensemble.class_names_)
        return EnsembleScores(
            rule=ensemble.rule_,
            fold_rules=tuple(ensemble.fold_rules_),
            calibration=ensemble.calibration_,
            sets=sets,
            parts=scores,
        )

    def _ensemble_parts(
        self, ensemble: EnsembleClassifier, parts: Mapping[str, Part]
    ) -> dict[str, EnsemblePart]:
        """The ensemble prediction on each part."""
        predictions = {"oof": EnsemblePart(parts["oof"].rows, ensemble.oof_verdict_, ensemble.oof_distances_)}
        if "test" in parts:
            test = parts["test"]
            probabilities = ensemble.fuse_and_calibrate(test.probabilities)
            distances = ensemble.distances(self.material.inputs(test.rows).table)
            predictions["test"] = EnsemblePart(test.rows, probabilities, distances)
        return predictions

    def _score(self, rows: Positions, probabilities: Floats, file: Path) -> Scores:
        """Scores of these probabilities, which are written to `file`."""
        material = self.material
        file.parent.mkdir(parents=True, exist_ok=True)
        Predictions(
            clip_ids=material.ids[rows],
            classes=tuple(material.classes),
            probabilities=probabilities,
            labels=material.labels[rows],
            groups=material.groups[rows],
            multilabel=material.multilabel,
            ungrouped=not material.split.grouped,
        ).write(file)
        return score(
            material.target(rows),
            probabilities,
            tuple(material.classes),
            material.groups[rows],
            resampling=Resampling(self.settings.seed, self.settings.resamples),
            multilabel=material.multilabel,
        )

    def _out_of_class(self, conformal: ConformalPredictor, name: str, part: EnsemblePart) -> pd.DataFrame:
        """Out-of-class scores of one part: `id, part, out_of_class, distance` (NaN without distances)."""
        return pd.DataFrame(
            {
                "id": self.material.ids[part.rows],
                "part": name,
                "out_of_class": conformal.out_of_class(part.probabilities, part.distances),
                "distance": np.nan if part.distances is None else part.distances,
            }
        )

    def _coverages(
        self, conformal: ConformalPredictor, part: EnsemblePart, classes: tuple[str, ...]
    ) -> tuple[Coverage, ...]:
        """Coverage of the prediction sets at each of `CONFIDENCES`."""
        labels, groups = self.material.labels[part.rows], self.material.groups[part.rows]
        results = []
        for confidence in CONFIDENCES:
            sets = conformal.sets(part.probabilities, confidence, distances=part.distances)
            results.append(coverage(sets, labels, groups, classes=classes, confidence=confidence))
        return tuple(results)
