"""Detection of clips of an unknown class: each class is left out of the training in turn.

    python -m benchmarks.evidence.none_of_these [--splits 1] [--features full] [--corpus instruments]

`train` fits the table members without the class; 30 % of the recording sessions of the known classes are the
test part. `predict_table` predicts the test part and the clips of the class, with a confidence of 0.9. The
table shows:

- AUROC of new clips against known clips by `out_of_class`, by doubt (1 - the highest probability) and by
  distance;
- shares of empty sets ("none of these") and of sets with one class, for new and for known clips;
- mean size of the sets of known clips, and how often they contain the class.

Other sounds: --corpus esc10.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.evidence.corpora import CORPORA, Corpus, arguments
from quintet.classifiers.registry import TABLE_MEMBERS
from quintet.evaluation.delong import delong
from quintet.features.storage.column_roles import Roles
from quintet.features.storage.external_table import foreign_table
from quintet.features.storage.table import FeatureTable
from quintet.inference.predict import predict_table
from quintet.training.settings import TrainSettings
from quintet.training.train import TrainOptions, train


def make_table(corpus: Corpus, rows: NDArray[np.intp]) -> FeatureTable:
    """Feature table of some rows, with the groups of the corpus."""
    columns = {"id": [f"clip {i}" for i in rows], "label": corpus.y[rows], "group": corpus.groups[rows]}
    features = corpus.X.iloc[rows].reset_index(drop=True)
    return foreign_table(pd.concat([pd.DataFrame(columns), features], axis=1), Roles(), name=corpus.name)


def predict_without_class(corpus: Corpus, left_out: str, seed: int) -> pd.DataFrame:
    """One row per predicted clip: whether its class is new, its scores and its set."""
    known, new = np.flatnonzero(corpus.y != left_out), np.flatnonzero(corpus.y == left_out)
    settings = TrainSettings(members=TABLE_MEMBERS, test_size=0.3, seed=seed, resamples=2)
    with tempfile.TemporaryDirectory() as folder:
        train(make_table(corpus, known), folder, settings=settings, options=TrainOptions(overwrite=True))
        parts = pd.read_parquet(Path(folder) / "split.parquet").set_index("id")["part"]
        predicted = np.concatenate([[i for i in known if parts[f"clip {i}"] == "test"], new])
        result = predict_table(folder, make_table(corpus, predicted), confidence=0.9)
    clips = result.frame.set_index("file").loc[[f"clip {i}" for i in predicted]]
    sets = clips["set"].map(lambda names: set(filter(None, names.split(";"))))
    return pd.DataFrame(
        {
            "group": corpus.groups[predicted],
            "new": corpus.y[predicted] == left_out,
            "out_of_class": clips["out_of_class"].to_numpy(),
            "doubt": 1 - clips["confidence"].to_numpy(),
            "distance": result.segments.set_index("file").loc[clips.index, "distance"].to_numpy(),
            "classes": sets.map(len).to_numpy(),
            "held": [label in names for label, names in zip(corpus.y[predicted], sets, strict=True)],
        }
    )


def summarise(clips: pd.DataFrame) -> dict[str, float]:
    """AUROC of the scores, and shares and sizes of the sets."""
    new, groups = clips["new"].to_numpy(), clips["group"].to_numpy(str)
    scores = {name: clips[name].to_numpy() for name in ("out_of_class", "doubt", "distance")}
    against = {
        name: delong(new, scores["out_of_class"], scores[name], groups) for name in ("doubt", "distance")
    }
    numbers = {
        "auroc": against["doubt"].first,
        "doubt": against["doubt"].second,
        "distance": against["distance"].second,
    }
    for kind, part in (("new", clips[new]), ("known", clips[~new])):
        numbers[f"empty {kind}"] = part["classes"].eq(0).mean()
        numbers[f"single {kind}"] = part["classes"].eq(1).mean()
    return numbers | {
        "size known": clips.loc[~new, "classes"].mean(),
        "held known": clips.loc[~new, "held"].mean(),
    }


def main() -> None:
    """Print the table: a row per class, and their mean."""
    parser = arguments(__doc__)
    parser.add_argument("--splits", type=int, default=1)
    parser.add_argument("--features", default="full")
    parser.add_argument("--corpus", choices=("instruments", "esc10"), default="instruments")
    given = parser.parse_args()
    corpus, rows = CORPORA[given.corpus](given, given.features), []
    for name in corpus.classes:
        splits = [summarise(predict_without_class(corpus, name, seed)) for seed in range(given.splits)]
        rows.append(pd.DataFrame(splits).astype(float).mean().rename(name))
        print(rows[-1].round(3).to_frame().T.to_string(header=len(rows) == 1), flush=True)
    table = pd.concat(rows, axis=1).T
    print(table.agg(["mean", "min"]).round(3).to_string(header=False))


if __name__ == "__main__":
    main()
