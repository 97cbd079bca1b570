"""Tag sets keep their promise of recall or precision on 200 random splits by group of three corpora.

    python -m benchmarks.evidence.tag_sets --tables FOLDER [--splits 200]

No corpus here has label sets of its own, so that each clip gets its class and the families of its class as
tags (`FAMILIES`: a cello is `Cello;string;bowed`). Logistic regressions predict out of fold on five folds by
group. In each split, two thirds of the groups calibrate the sets, and the others test them. Each group has
one vote. `recall` and `precision` are means over splits with 95 % intervals, `below` is the share of splits
whose test groups reach less than the promise. Recall is promised on average; precision for nine of ten
calibrations. The test groups of different splits overlap, so that the intervals are somewhat too narrow.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.evidence.corpora import arguments
from benchmarks.evidence.tables import add_tables, read_corpus, with_interval
from quintet.datasets.labels import label_indicator
from quintet.datasets.splits.folds import grouped_folds
from quintet.ensemble.crossfit import Inputs, Trainer
from quintet.ensemble.label_sets.risk_control import PROMISES, fit_tag_sets, score_tag_sets

FAMILIES = {
    "esc10": {
        "animal": ("Dog_bark", "Rooster"),
        "human": ("Baby_cry", "Person_sneeze"),
        "nature": ("Rain", "Sea_waves", "Fire_crackling"),
        "machine": ("Clock_tick", "Helicopter", "Chainsaw"),
        "steady": ("Rain", "Sea_waves", "Helicopter", "Chainsaw", "Fire_crackling"),
    },
    "instruments": {
        "string": ("Acoustic_guitar", "Cello", "Double_bass", "Violin_or_fiddle"),
        "bowed": ("Cello", "Double_bass", "Violin_or_fiddle"),
        "wind": ("Clarinet", "Flute", "Saxophone", "Trumpet"),
        "drum": ("Bass_drum", "Hi_hat", "Snare_drum"),
    },
    "gtzan97": {
        "guitar": ("blues", "country", "metal", "rock"),
        "dance": ("disco", "hiphop", "pop", "reggae"),
        "acoustic": ("blues", "classical", "country", "jazz"),
    },
}
"""Corpus → family → its classes; names that a corpus has not are ignored."""
CONFIDENCES = (0.8, 0.9)


def label_sets(corpus: str, y: NDArray[Any]) -> list[str]:
    """Each class with its families, as a label set."""
    families = FAMILIES[corpus]
    return [";".join([name, *(tag for tag, classes in families.items() if name in classes)]) for name in y]


def predict(
    given: argparse.Namespace, name: str
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], tuple[str, ...]]:
    """Out-of-fold probabilities, indicator, groups and names of the tags."""
    corpus = read_corpus(given, name)
    indicator, tags = label_indicator(label_sets(name, corpus.y))
    folds = grouped_folds(indicator, corpus.groups.tolist(), n_splits=5, seed=0)
    trainer = Trainer("logistic_regression")
    p, _ = trainer.out_of_fold(Inputs(corpus.X), indicator, corpus.groups, folds, tags)
    return p, indicator.astype(bool), corpus.groups, tags


def evaluate_split(
    p: NDArray[Any], truth: NDArray[Any], groups: NDArray[Any], tags: tuple[str, ...], seed: int
) -> list[dict[str, object]]:
    """Scores of one split, a row per promise and confidence."""
    names = np.unique(groups)
    chosen = np.random.default_rng(seed).permutation(names)[: round(len(names) * 2 / 3)]
    inside = np.isin(groups, chosen)
    sets = fit_tag_sets(p[inside], truth[inside], groups[inside], classes=tags)
    rows = []
    for promise in PROMISES:
        for confidence in CONFIDENCES:
            found = sets.sets(p[~inside], confidence, promise=promise)
            scores = score_tag_sets(found, truth[~inside], groups[~inside])
            rows.append({"promise": promise, "confidence": confidence, **scores._asdict()})
    return rows


def main() -> None:
    """Print the table of each corpus."""
    parser = arguments(__doc__)
    add_tables(parser)
    parser.add_argument("--splits", type=int, default=200)
    given = parser.parse_args()
    for name in FAMILIES:
        p, truth, groups, tags = predict(given, name)
        rows = [row for seed in range(given.splits) for row in evaluate_split(p, truth, groups, tags, seed)]
        print(f"{name}: {len(p)} clips, {len(np.unique(groups))} groups, {len(tags)} tags")
        table = []
        for (promise, confidence), part in pd.DataFrame(rows).groupby(["promise", "confidence"], sort=False):
            row = {"promise": promise, "confidence": confidence}
            row |= {key: with_interval(part[key]) for key in ("recall", "precision", "size", "empty")}
            table.append(row | {"below": float((part[promise] < confidence).mean())})
        print(pd.DataFrame(table).to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
