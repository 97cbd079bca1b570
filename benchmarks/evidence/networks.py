"""Scores of every network on the 300 instrument recordings: random weights, CPU, float32, folds by session.

    python -m benchmarks.evidence.networks [NETWORK …] [--folds 1]

All networks read the same store (96 mel bands to 11,025 Hz, hop 512 at 22,050 Hz) with the settings of the
registry, except those in `CHANGED`. A finished fold is kept and not repeated, so the work can be done in
pieces and in any order; the table shows the finished folds. Seconds are CPU seconds of all threads for the
fit and the predictions of one fold (mean over the finished folds), which hold on a busy machine too.
"""

from __future__ import annotations

import json
import os
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.evidence.corpora import Corpus, arguments, instruments
from quintet.classifiers.networks.registry import NETWORKS
from quintet.datasets.source import load_source
from quintet.ensemble.crossfit import Inputs, Trainer
from quintet.evaluation.scores import score
from quintet.features.parameters import FeatureParameters
from quintet.features.storage.spectrograms import SpectrogramStore
from quintet.workflow import extract

FEATURES = "bahuleyan2018"
"""Feature set of the table that gives the rows, groups and folds. No network reads it."""

CHANGED: dict[str, dict[str, Any]] = {
    "vgg16_transfer": {"weights": "random", "size": 96},
    "vgg16_fine_tune": {"weights": "random", "size": 64, "batch_size": 8, "max_patches": 1},
    "feed_forward": {"max_patches": 1},
    "densenet121": {"weights": "random", "size": 96},
    "musicnn": {"epochs": 4, "batch_size": 8, "max_patches": 2},
    "musicnn_vgg": {"weights": "random", "base_rate": 1.0, "epochs": 4, "batch_size": 8, "max_patches": 2},
    "musicnn_vgg_transfer": {"weights": "random", "max_patches": 2},
    "pons2017": {"epochs": 6, "batch_size": 8, "patch_frames": 323, "max_patches": 1},
    "lachmish_mel": {"epochs": 10, "max_patches": 1},
}
"""Settings that differ from the registry: no pretrained weights, and less work for two cores."""


def main() -> None:
    """Fit the folds that are not finished, then print the table."""
    parser = arguments(__doc__)
    parser.add_argument("networks", nargs="*", help="default: all")
    parser.add_argument("--folds", type=int, default=1, help="number of folds to predict, of five")
    given = parser.parse_args()
    inputs, corpus = read_inputs(given)
    rows = []
    for name in given.networks or NETWORKS:
        for fold in range(given.folds):
            predict_fold(name, fold, inputs, corpus, given.work / "networks")
        rows.append(table_row(name, corpus, given.work / "networks"))
        print(rows[-1], flush=True)
    print(pd.DataFrame(rows).to_string(index=False))


def read_inputs(given: Namespace) -> tuple[Inputs, Corpus]:
    """Spectrograms, and the corpus with its folds."""
    store = given.work / "instruments.spectrograms"
    source = load_source(str(given.data / "instruments" / "clips.csv"))
    extract(
        source,
        given.work / f"instruments_{FEATURES}.parquet",
        parameters=FeatureParameters(feature_set=FEATURES),
        spectrograms=store,
    )
    corpus = instruments(given, FEATURES)
    return Inputs(spectrograms=SpectrogramStore(store).take(list(corpus.X.index))), corpus


def predict_fold(name: str, fold: int, inputs: Inputs, corpus: Corpus, folder: Path) -> None:
    """Fit a network without one fold, predict the fold, and write `NAME.FOLD.json`.

    Nothing is done if the file exists and has the same settings.
    """
    settings, file = CHANGED.get(name, {}), folder / f"{name}.{fold}.json"
    if file.is_file() and json.loads(file.read_text())["settings"] == settings:
        return
    began, clock = time.process_time(), time.perf_counter()
    trainer = Trainer(name, settings, seed=0, n_folds=len(corpus.folds))
    result = trainer.predict_fold(inputs, corpus.y, corpus.groups, fold, corpus.folds[fold], corpus.classes)
    seconds = {"seconds": time.process_time() - began, "elapsed": time.perf_counter() - clock}
    content = {
        "settings": settings,
        **seconds,
        "epochs": len(result.history),
        "probabilities": result.probabilities.tolist(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(".tmp")
    temporary.write_text(json.dumps(content))
    os.replace(temporary, file)


def table_row(name: str, corpus: Corpus, folder: Path) -> dict[str, Any]:
    """Row of a network in the table, from its finished folds."""
    folds = {
        k: json.loads(file.read_text())
        for k in range(len(corpus.folds))
        if (file := folder / f"{name}.{k}.json").is_file()
    }
    rows = np.concatenate([corpus.folds[k][1] for k in folds])
    probabilities = np.concatenate([content["probabilities"] for content in folds.values()])
    scores = score(corpus.y[rows], probabilities, corpus.classes, corpus.groups[rows]).scores
    shown = {}
    for key in ("accuracy", "macro_auc"):
        estimate = scores[key]
        shown[key] = f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
    seconds = round(_mean([content["seconds"] for content in folds.values()]))
    changed = ", ".join(f"{key} {value}" for key, value in next(iter(folds.values()))["settings"].items())
    epochs = round(_mean([content["epochs"] for content in folds.values()]))
    return {
        "network": name,
        "changed": changed,
        "folds": len(folds),
        "clips": len(rows),
        **shown,
        "epochs": epochs,
        "seconds": seconds,
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


if __name__ == "__main__":
    main()
