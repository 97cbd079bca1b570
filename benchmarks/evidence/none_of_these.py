"""Each class of the instruments held out of training in turn: are its clips told from known-class clips that are just as new?

    python -m benchmarks.evidence.none_of_these [--splits 1] [--features full] [--corpus instruments]

A table without the class is trained by `quintet.train` (table members; 30 % of the known classes' recording sessions are the test part), and
`quintet.predict_table` answers the test part and the class with a confidence of 0.9, from the model folder. AUROC of `out_of_class`, new against
known; of the same model's doubt alone (1 - its highest probability) and distance alone; and what the sets at 0.9 are: empty ("none of these") and
exactly one class, of new and of known clips; how often the set of a known clip holds its class. Other sounds: --corpus esc10.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.evidence.corpora import CORPORA, Corpus, arguments
from quintet.classifiers.registry import TABLE_MEMBERS
from quintet.evaluation.comparisons import delong
from quintet.features.storage.external_table import Roles, foreign_table
from quintet.features.storage.table import FeatureTable
from quintet.inference.predict import predict_table
from quintet.training.settings import TrainSettings
from quintet.training.train import TrainOptions, train


def table_of(corpus: Corpus, rows: np.ndarray) -> FeatureTable:
    """Rows of a corpus as a table that `train` takes, with the corpus' own groups."""
    columns = {"id": [f"clip {i}" for i in rows], "label": corpus.y[rows], "group": corpus.groups[rows]}
    return foreign_table(
        pd.concat([pd.DataFrame(columns), corpus.X.iloc[rows].reset_index(drop=True)], axis=1),
        Roles(),
        name=corpus.name,
    )


def held_out(corpus: Corpus, stranger: str, seed: int) -> pd.DataFrame:
    """One row per judged clip: whether it is a stranger, its scores and its set."""
    known, new = np.flatnonzero(corpus.y != stranger), np.flatnonzero(corpus.y == stranger)
    settings = TrainSettings(members=TABLE_MEMBERS, test_size=0.3, seed=seed, resamples=2)
    with tempfile.TemporaryDirectory() as folder:
        train(table_of(corpus, known), folder, settings=settings, options=TrainOptions(overwrite=True))
        split = pd.read_parquet(Path(folder) / "split.parquet").set_index("id")
        judged = np.concatenate([[i for i in known if split.loc[f"clip {i}", "part"] == "test"], new])
        result = predict_table(folder, table_of(corpus, judged), confidence=0.9)
    answers = result.frame.set_index("file").loc[[f"clip {i}" for i in judged]]
    members = answers["set"].map(lambda names: set(filter(None, names.split(";"))))
    return pd.DataFrame(
        {
            "group": corpus.groups[judged],
            "new": corpus.y[judged] == stranger,
            "out_of_class": answers["out_of_class"].to_numpy(),
            "doubt": 1 - answers["confidence"].to_numpy(),
            "distance": result.segments.set_index("file").loc[answers.index, "distance"].to_numpy(),
            "classes": members.map(len).to_numpy(),
            "held": [label in names for label, names in zip(corpus.y[judged], members, strict=True)],
        }
    )


def summary(clips: pd.DataFrame) -> dict[str, float]:
    """AUROC of the scores, and what the sets are."""
    new, groups = clips["new"].to_numpy(), clips["group"].to_numpy(str)
    scores = {name: clips[name].to_numpy() for name in ("out_of_class", "doubt", "distance")}
    against = {
        name: delong(new, scores["out_of_class"], scores[name], groups) for name in ("doubt", "distance")
    }
    found = {
        "auroc": against["doubt"].first,
        "doubt": against["doubt"].second,
        "distance": against["distance"].second,
    }
    for who, part in (("new", clips[new]), ("known", clips[~new])):
        found |= {f"empty {who}": part["classes"].eq(0).mean(), f"single {who}": part["classes"].eq(1).mean()}
    return found | {
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
    for stranger in corpus.classes:
        found = [summary(held_out(corpus, stranger, seed)) for seed in range(given.splits)]
        rows.append(pd.DataFrame(found).astype(float).mean().rename(stranger))
        print(rows[-1].round(3).to_frame().T.to_string(header=len(rows) == 1), flush=True)
    table = pd.concat(rows, axis=1).T
    print(table.agg(["mean", "min"]).round(3).to_string(header=False))


if __name__ == "__main__":
    main()
