"""`vgg_small` with and without clips that are held out for early stopping, out of fold by group.

    python -m benchmarks.evidence.held_out_clips [--gtzan FOLDER] [--corpora demo instruments esc10]
                                                 [--seeds 2]

The first variant holds out 15 % of the groups in every fit, and takes the epoch with the lowest loss on them.
The others learn from all clips and end with their last epoch; one of them is the default. Losses and hits of
a clip are means over the seeds. Differences to the first variant are paired, with 95 % intervals by group.
Epochs are means over the fits.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.evidence import corpora
from benchmarks.evidence.families import cell
from quintet.datasets.source import load_source
from quintet.ensemble.crossfit import Inputs, Trainer
from quintet.evaluation.losses import log_losses
from quintet.features.parameters import FeatureParameters
from quintet.features.storage.spectrograms import SpectrogramStore
from quintet.workflow import extract

FEATURES = "selected"
VARIANTS: dict[str, dict[str, object]] = {
    "held out, up to 30 epochs": {"validation_share": 0.15, "epochs": 30, "patience": 15},
    "all clips, 30 epochs": {"epochs": 30},
    "all clips, default": {},
}


def read(given: Namespace, name: str) -> tuple[corpora.Corpus, Inputs]:
    """A corpus with its folds, and its spectrograms."""
    corpus: corpora.Corpus = getattr(corpora, name)(given, FEATURES)
    listed = {"demo": "demo", "gtzan": str(given.work / "gtzan.csv")}
    source = listed.get(name, str(given.data / name / "clips.csv"))
    store = given.work / f"{name}.spectrograms"
    table = given.work / f"{name}_spectrograms.parquet"
    extract(load_source(source), table, parameters=FeatureParameters(), spectrograms=store)
    return corpus, Inputs(spectrograms=SpectrogramStore(store).take(list(corpus.X.index)))


def predict(
    corpus: corpora.Corpus, inputs: Inputs, settings: dict[str, object], seed: int
) -> tuple[NDArray[np.float64], list[int]]:
    """Probabilities of the scored rows, and the number of epochs of each fit."""
    trainer = Trainer("vgg_small", settings, seed=seed, n_folds=len(corpus.folds))
    probabilities, epochs = np.zeros((len(corpus.y), len(corpus.classes))), []
    for k, fold in enumerate(corpus.folds):
        result = trainer.predict_fold(inputs, corpus.y, corpus.groups, k, fold, corpus.classes)
        probabilities[fold[1]] = result.probabilities
        epochs.append(len(result.history))
    return probabilities[corpus.scored_rows], epochs


def rows(corpus: corpora.Corpus, inputs: Inputs, seeds: int) -> Iterator[dict[str, object]]:
    """A row per variant."""
    scored = corpus.scored_rows
    codes, groups = np.searchsorted(corpus.classes, corpus.y[scored]), corpus.groups[scored].astype(str)
    first: dict[str, NDArray[np.float64]] = {}
    for name, settings in VARIANTS.items():
        found = [predict(corpus, inputs, settings, seed) for seed in range(seeds)]
        values = {
            "log loss": np.mean([log_losses(codes, p) for p, _ in found], axis=0),
            "accuracy": np.mean([p.argmax(axis=1) == codes for p, _ in found], axis=0),
        }
        row: dict[str, object] = {"corpus": corpus.name, "variant": name}
        row["epochs"] = round(float(np.mean([epochs for _, epochs in found])), 1)
        for score, clips in values.items():
            row[score] = cell(clips, groups)
            row[f"{score} - first"] = cell(clips - first[score], groups, "+") if first else ""
        first = first or values
        yield row


def main() -> None:
    """Print a table per corpus, as soon as it is finished."""
    parser = corpora.arguments(__doc__)
    parser.add_argument("--gtzan", type=Path, help="folder of the excerpts, for the corpus gtzan")
    parser.add_argument("--corpora", nargs="+", default=["demo", "instruments", "esc10"])
    parser.add_argument("--seeds", type=int, default=2)
    given = parser.parse_args()
    for name in given.corpora:
        corpus, inputs = read(given, name)
        print(pd.DataFrame(rows(corpus, inputs, given.seeds)).to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
