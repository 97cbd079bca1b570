"""Every network on the 300 instrument recordings: random weights, CPU, float32, folds that no recording session crosses.

    python -m benchmarks.evidence.networks [NETWORK …] [--folds 1]

All read the same store (96 mel bands to 11,025 Hz, hop 512 at 22,050 Hz) with the settings of the registry, save those of `CHANGED`. A fold
that was done before is not done again: run it in pieces, in any order; the table is of what there is. Seconds are of one core, over all
threads, for the fit and the predictions of one fold (mean over the folds that were run), so that they hold on a machine that others use too.
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
from quintet.features.extraction.extract import extract
from quintet.features.parameters import FeatureParameters
from quintet.features.storage.spectrograms import SpectrogramStore

FEATURES = "bahuleyan2018"  # of no network; rows, groups and folds are those of the other scripts
CHANGED: dict[
    str, dict[str, Any]
] = {  # against the registry: nothing is pretrained here, and two cores are few
    "vgg16_transfer": {"weights": "random", "size": 96},
    "vgg16_fine_tune": {"weights": "random", "size": 64, "batch_size": 8, "max_patches": 1},
    "feed_forward": {"max_patches": 1},
    "densenet121": {"weights": "random", "size": 96},
    "musicnn": {"epochs": 4, "batch_size": 8, "max_patches": 2},
    "pons2017": {"epochs": 6, "batch_size": 8, "patch_frames": 323, "max_patches": 1},
    "lachmish_mel": {"epochs": 10, "max_patches": 1},
}


def main() -> None:
    """Do what is not done yet, then print the table."""
    parser = arguments(__doc__)
    parser.add_argument("networks", nargs="*", help="default: all")
    parser.add_argument("--folds", type=int, default=1, help="how many of the five folds to judge")
    given = parser.parse_args()
    inputs, corpus = material(given)
    rows = []
    for name in given.networks or NETWORKS:
        for fold in range(given.folds):
            judge(name, fold, inputs, corpus, given.work / "networks")
        rows.append(row(name, corpus, given.work / "networks"))
        print(rows[-1], flush=True)
    print(pd.DataFrame(rows).to_string(index=False))


def material(given: Namespace) -> tuple[Inputs, Corpus]:
    """Spectrograms, and who is judged by whom."""
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


def judge(name: str, fold: int, inputs: Inputs, corpus: Corpus, folder: Path) -> None:
    """One network, fitted without one fold and judged on it; kept as `NAME.FOLD.json` unless there is one of the same settings."""
    settings, file = CHANGED.get(name, {}), folder / f"{name}.{fold}.json"
    if file.is_file() and json.loads(file.read_text())["settings"] == settings:
        return
    began, clock = time.process_time(), time.perf_counter()
    trainer = Trainer(name, settings, seed=0, n_folds=len(corpus.folds))
    found = trainer.predict_fold(inputs, corpus.y, corpus.groups, fold, corpus.folds[fold], corpus.classes)
    seconds = {"seconds": time.process_time() - began, "elapsed": time.perf_counter() - clock}
    kept = {
        "settings": settings,
        **seconds,
        "epochs": len(found.history),
        "probabilities": found.probabilities.tolist(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(".tmp")
    temporary.write_text(json.dumps(kept))
    os.replace(temporary, file)


def row(name: str, corpus: Corpus, folder: Path) -> dict[str, Any]:
    """A network's line of the table, from the folds that are there."""
    folds = {
        k: json.loads(file.read_text())
        for k in range(len(corpus.folds))
        if (file := folder / f"{name}.{k}.json").is_file()
    }
    rows = np.concatenate([corpus.folds[k][1] for k in folds])
    said = np.concatenate([kept["probabilities"] for kept in folds.values()])
    found = score(corpus.y[rows], said, corpus.classes, corpus.groups[rows]).scores
    shown = {
        key: f"{s.value:.3f} [{s.low:.3f}, {s.high:.3f}]"
        for key in ("accuracy", "macro_auc")
        for s in [found[key]]
    }
    seconds = round(_mean([kept["seconds"] for kept in folds.values()]))
    changed = ", ".join(f"{key} {value}" for key, value in next(iter(folds.values()))["settings"].items())
    epochs = round(_mean([kept["epochs"] for kept in folds.values()]))
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
