"""Fine-tuning of musicnn on the GTZAN excerpts, against its frozen base and a regression on its embedding.

    quintet weights fetch musicnn
    python -m benchmarks.evidence.fine_tuning --gtzan FOLDER [--epochs 4] [TRIAL …]

Each trial is fitted on train alone (networks take minutes), judged on valid by the log loss after a
temperature, and scored on the 135 test clips; the differences are those to the regression. The network reads
patches of 3 s. *frozen*: only the last layer learns. *fine-tuned*: the base learns at a tenth of the rate,
from one random patch of each clip per epoch. *random*: the same without published weights, and with one rate.
No trial stops early: the number of epochs is given.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

from benchmarks.evidence.corpora import arguments
from benchmarks.evidence.views import (
    LADDER,
    Excerpts,
    columns_of,
    manifest,
    regression,
    show_trial,
    split_excerpts,
    table_predictors,
    try_out,
)
from quintet.classifiers.networks.music_weights import FRONT_END
from quintet.classifiers.registry import make_member
from quintet.datasets.source import load_source
from quintet.features.parameters import FeatureParameters
from quintet.features.storage.read import read_feature_table
from quintet.features.storage.spectrograms import Spectrograms, SpectrogramStore
from quintet.features.storage.table import FeatureTable
from quintet.workflow import extract

NETWORK = "musicnn_msd"
TRIALS: dict[str, dict[str, Any]] = {
    "frozen": {"weights": "msd", "frozen": True, "patches_per_clip": 4, "epochs": 60},
    "fine-tuned": {"weights": "msd", "base_rate": 0.1},
    "random": {"weights": "random"},
}


def read_excerpts(given: argparse.Namespace) -> tuple[FeatureTable, SpectrogramStore]:
    """Columns of the network, and the spectrograms that it reads."""
    given.work.mkdir(parents=True, exist_ok=True)
    clips, store = given.work / "fine_tuning.csv", given.work / "fine_tuning.spectrograms"
    manifest("gtzan", given).to_csv(clips, index=False)
    target = given.work / "fine_tuning.parquet"
    parameters = FeatureParameters(log_mel=FRONT_END)
    extract(
        load_source(str(clips)),
        target,
        parameters=parameters,
        embeddings=[NETWORK],
        spectrograms=store,
        n_jobs=-1,
    )
    return read_feature_table(target), SpectrogramStore(store)


def predict(
    settings: dict[str, Any],
    clips: Spectrograms,
    parts: Excerpts,
    fit_on: NDArray[np.int64],
    rows: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Probabilities `(n, K)` of some rows by a network that is fitted on others."""
    began = time.process_time()
    member = make_member("musicnn", seed=0, validation_share=0.0, **settings)
    member.fit(clips[fit_on], parts.y[fit_on], parts.groups[fit_on])
    found = np.zeros((len(rows), len(parts.classes)))
    found[:, [parts.classes.index(name) for name in member.classes_]] = member.predict_proba(clips[rows])
    print(f"    {len(fit_on)} clips: {time.process_time() - began:.0f} s of CPU", flush=True)
    return found


def main() -> None:
    """Print a row per trial."""
    parser = arguments(__doc__)
    parser.add_argument("trials", nargs="*", help=f"of {', '.join(TRIALS)}; default: all")
    parser.add_argument("--gtzan", type=Path, required=True, help="folder of the excerpts, with manifest.csv")
    parser.add_argument("--epochs", type=int, default=4, help="of trials whose base learns")
    given = parser.parse_args()
    table, store = read_excerpts(given)
    table, parts = split_excerpts(table)
    clips = store.take(list(table.features.index))
    X = np.nan_to_num(columns_of(table, ("embedding",)))
    makers = [regression(C, StandardScaler()) for C in LADDER]
    reference = try_out(parts, table_predictors(makers, X, parts), refit=False)
    print("trial | valid log loss, calibrated | test accuracy, AUC, log loss | not calibrated")
    show_trial("reference: logistic regression on the embedding, C searched", parts, reference)
    for name in given.trials or TRIALS:
        settings = {"epochs": given.epochs, "batch_size": 16, **TRIALS[name]}
        trial = try_out(parts, [partial(predict, settings, clips, parts)], refit=False)
        show_trial(f"musicnn, {name}", parts, trial, reference)


if __name__ == "__main__":
    main()
