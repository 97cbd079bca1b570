"""Quintet: audio features, five kinds of classifier, their ensemble, and explained predictions.

A public name is imported when it is first used. `import quintet` alone imports no TensorFlow, librosa or
matplotlib.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quintet.audio.clip import Clip
    from quintet.audio.decode import load_clip
    from quintet.auditing.run import audit
    from quintet.classifiers.registry import make_member
    from quintet.datasets.manifest import Manifest
    from quintet.datasets.source import load_source
    from quintet.ensemble.fuse_files import fuse
    from quintet.features.parameters import FeatureParameters
    from quintet.features.storage.read import read_feature_table
    from quintet.features.storage.spectrograms import SpectrogramStore
    from quintet.features.storage.table import FeatureTable
    from quintet.features.transformer import FeatureExtractor
    from quintet.files.provenance import environment
    from quintet.labelling.suggest import suggest
    from quintet.model.estimator import EnsembleClassifier
    from quintet.model.loaded import Model, load_model
    from quintet.pipeline.recipe import load_recipe
    from quintet.predictions.evaluate import evaluate
    from quintet.predictions.predictions import Predictions, read_predictions
    from quintet.robustness.stress import stress
    from quintet.training.settings import TrainSettings
    from quintet.workflow import explain, extract, predict, report, run, tag, train, tune

__version__ = "0.1.0"

_HOMES = {
    "Clip": "quintet.audio.clip",
    "load_clip": "quintet.audio.decode",
    "Manifest": "quintet.datasets.manifest",
    "load_source": "quintet.datasets.source",
    "FeatureExtractor": "quintet.features.transformer",
    "FeatureParameters": "quintet.features.parameters",
    "FeatureTable": "quintet.features.storage.table",
    "read_feature_table": "quintet.features.storage.read",
    "SpectrogramStore": "quintet.features.storage.spectrograms",
    "make_member": "quintet.classifiers.registry",
    "EnsembleClassifier": "quintet.model.estimator",
    "Predictions": "quintet.predictions.predictions",
    "read_predictions": "quintet.predictions.predictions",
    "load_model": "quintet.model.loaded",
    "Model": "quintet.model.loaded",
    "environment": "quintet.files.provenance",
    "TrainSettings": "quintet.training.settings",
    "load_recipe": "quintet.pipeline.recipe",
    "extract": "quintet.workflow",
    "train": "quintet.workflow",
    "report": "quintet.workflow",
    "predict": "quintet.workflow",
    "explain": "quintet.workflow",
    "run": "quintet.workflow",
    "tune": "quintet.workflow",
    "fuse": "quintet.ensemble.fuse_files",
    "evaluate": "quintet.predictions.evaluate",
    "tag": "quintet.workflow",
    "audit": "quintet.auditing.run",
    "suggest": "quintet.labelling.suggest",
    "stress": "quintet.robustness.stress",
}

__all__ = [
    "Clip",
    "load_clip",
    "Manifest",
    "load_source",
    "FeatureExtractor",
    "FeatureParameters",
    "FeatureTable",
    "read_feature_table",
    "SpectrogramStore",
    "make_member",
    "EnsembleClassifier",
    "Predictions",
    "read_predictions",
    "load_model",
    "Model",
    "environment",
    "TrainSettings",
    "load_recipe",
    "extract",
    "train",
    "report",
    "predict",
    "explain",
    "run",
    "tune",
    "fuse",
    "evaluate",
    "tag",
    "audit",
    "suggest",
    "stress",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'quintet' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    own = [name for name in globals() if name.startswith("__")]
    return sorted([*own, *_HOMES])
