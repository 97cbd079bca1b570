"""What a training run's predictions are worth: scores of members and rules, and of the verdict with its prediction sets; kept in the model folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from quintet.ensemble.classifier import EnsembleClassifier
from quintet.ensemble.conformal import coverage
from quintet.evaluation.scores import score
from quintet.model_folder.folder import ModelFolder
from quintet.predictions.predictions import Predictions
from quintet.training.data import Material
from quintet.training.settings import TrainSettings

CONFIDENCES = (0.8, 0.9, 0.95)


def score_parts(
    material: Material, folder: ModelFolder, settings: TrainSettings, parts: Mapping[str, tuple[Any, Any]]
) -> dict[str, Any]:
    """Predictions and scores of every member and rule, on every part."""
    frame = material.split.frame
    scores: dict[str, Any] = {
        "split": {
            "protocol": material.split.protocol,
            "grouped": bool(material.split.grouped),
            "groups_known": bool(material.table.grouped),
            "n_folds": material.split.n_folds,
            "seed": settings.seed,
            "digest": material.split.digest,
            "parts": {str(k): int(v) for k, v in frame["part"].value_counts().items()},
            "groups": {str(k): int(v) for k, v in frame.groupby("part")["group"].nunique().items()},
        }
    }
    for part, (rows, probabilities) in parts.items():
        folder_of_part = folder.path / "predictions" / part
        scores[part] = {
            name: _scored(material, settings, rows, p, folder_of_part / f"{name}.parquet")
            for name, p in probabilities.items()
        }
    return scores


def _scored(
    material: Material, settings: TrainSettings, rows: Any, values: Any, target: Path
) -> dict[str, Any]:
    """The scores of these probabilities, which are kept at `target`."""
    classes = tuple(material.classes)
    known = {
        "labels": material.labels[rows],
        "groups": material.groups[rows],
        "multilabel": material.multilabel,
    }
    known["ungrouped"] = not material.split.grouped
    target.parent.mkdir(parents=True, exist_ok=True)
    Predictions(clip_ids=material.ids[rows], classes=classes, probabilities=values, **known).write(target)
    options: dict[str, Any] = {
        "seed": settings.seed,
        "n_resamples": settings.resamples,
        "multilabel": material.multilabel,
    }
    return score(material.target(rows), values, classes, material.groups[rows], **options).to_json()


def score_ensemble(
    material: Material, folder: ModelFolder, settings: TrainSettings, ensemble: EnsembleClassifier, parts: Any
) -> dict[str, Any]:
    """What `predict` would have said: the chosen rule, calibrated, and the coverage of its prediction sets."""
    said, far = {"oof": ensemble.oof_verdict_}, {"oof": ensemble.oof_distances_}
    if "test" in parts:
        said["test"] = ensemble.fuse_and_calibrate(parts["test"][1])
        far["test"] = ensemble.distances(material.inputs(parts["test"][0])["X"])
    judged: dict[str, Any] = {
        "rule": ensemble.rule_,
        "fold_rules": ensemble.fold_rules_,
        "calibration": ensemble.calibration_.to_json(),
        "sets": {},
    }
    strangeness: list[pd.DataFrame] = []
    for part, values in said.items():
        rows = parts[part][0]
        judged[part] = _scored(material, settings, rows, values, folder.path / "verdict" / f"{part}.parquet")
        if ensemble.conformal_ is None:
            continue
        strange = pd.DataFrame(
            {
                "id": material.ids[rows],
                "part": part,
                "out_of_class": ensemble.conformal_.out_of_class(values, far[part]),
            }
        )
        strangeness.append(strange.assign(distance=np.nan if far[part] is None else far[part]))
        if part == "test":  # on the out-of-fold part it was calibrated: no news there
            for confidence in CONFIDENCES:
                sets = ensemble.conformal_.sets(values, confidence, distances=far[part])
                found = coverage(
                    sets,
                    material.labels[rows],
                    material.groups[rows],
                    classes=ensemble.class_names_,
                    confidence=confidence,
                )
                judged["sets"][str(confidence)] = _without_nan(asdict(found))
    if strangeness:
        folder.write_frame("verdict/strangeness.parquet", pd.concat(strangeness, ignore_index=True))
    return judged


def _without_nan(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without_nan(value) for key, value in content.items()}
    return None if isinstance(content, float) and np.isnan(content) else content
