"""The leak gate on the 97 published GTZAN features, and the fusion that the tool chooses by itself.

    python -m benchmarks.evidence.gtzan97

Random: ten folds over all 999 tracks. By artist: the three published folds, 948 tracks. Fault-filtered: fitted on train and valid, judged on test.
Intervals and gaps by artist (a track of no known artist counts by itself). The gap is taken on the tracks that both protocols judge.
The last table is `quintet train` with the filtered lists: rule, weights and calibration are chosen on train and valid alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.evidence.corpora import Corpus, arguments, artists, opinions
from quintet.datasets.splits.folds import grouped_folds
from quintet.evaluation.comparisons import metric_differences
from quintet.evaluation.scores import score
from quintet.features.storage.read import read_feature_table
from quintet.features.storage.table import FeatureTable
from quintet.training.settings import TrainSettings
from quintet.training.train import TrainOptions, train

MEMBERS = ("logistic_regression", "random_forest", "xgboost", "svm")
SHOWN = ("accuracy", "macro_auc", "log_loss")


class Judged(NamedTuple):
    rows: NDArray[Any]
    opinions: dict[str, NDArray[Any]]


def table_of(folder: Path, **lists: Path) -> FeatureTable:
    return read_feature_table(
        folder / "gtzan97.csv",
        id_column="file_name",
        label_from=r"^([a-z]+)\.",
        splits={k: str(v) for k, v in lists.items()},
    )


def listed(ids: pd.Index, file: Path) -> NDArray[Any]:
    """Positions of the tracks in a list."""
    return np.flatnonzero(ids.isin(pd.read_csv(file)["track"]))


def protocols(table: FeatureTable, data: Path) -> tuple[Corpus, dict[str, Judged]]:
    """Everything that was said under each protocol. `groups` are artists throughout, though `random` ignores them when it fits."""
    y, ids = table.meta["label"].to_numpy(str), table.meta.index.str.removesuffix(".wav")
    groups = artists(data).reindex(ids).fillna(ids.to_series()).to_numpy(str)
    clips, lists = np.arange(len(y)).astype(str), data / "gtzan97" / "splits"
    train_rows = np.concatenate([listed(ids, lists / f"filtered_{part}.csv") for part in ("train", "valid")])
    sides = [(f"artist_fold{k}_train.csv", f"artist_fold{k}_test.csv") for k in (1, 2, 3)]
    divisions = {
        "random": (clips, grouped_folds(y, clips.tolist(), n_splits=10, seed=0)),
        "filtered": (clips, [(train_rows, listed(ids, lists / "filtered_test.csv"))]),
        "artist": (groups, [(listed(ids, lists / a), listed(ids, lists / b)) for a, b in sides]),
    }
    said = {}
    for name, (units, folds) in divisions.items():
        corpus = Corpus(name, table.features, y, units, folds)
        said[name] = Judged(corpus.scored_rows, opinions(corpus, MEMBERS))
    return Corpus("gtzan97", table.features, y, groups, []), said


def cell(found: Any, sign: str = "") -> str:
    return f"{found.value:{sign}.3f} [{found.low:{sign}.3f}, {found.high:{sign}.3f}]"


def leak_table(corpus: Corpus, said: dict[str, Judged]) -> pd.DataFrame:
    """A row per member and score: each protocol, and the gaps from random to the others."""
    rows = []
    for member in (*MEMBERS, "mean"):
        found = {
            name: score(
                corpus.y[judged.rows], judged.opinions[member], corpus.classes, corpus.groups[judged.rows]
            ).scores
            for name, judged in said.items()
        }
        gaps = {name: gap(corpus, said["random"], said[name], member) for name in said if name != "random"}
        for key in SHOWN:
            levels = {name: cell(scores[key]) for name, scores in found.items()}
            rows.append(
                {"member": member, "score": key}
                | levels
                | {f"random - {name}": cell(d[key], "+") for name, d in gaps.items()}
            )
    return pd.DataFrame(rows)


def gap(corpus: Corpus, first: Judged, second: Judged, member: str) -> dict[str, Any]:
    rows, in_first, in_second = np.intersect1d(first.rows, second.rows, return_indices=True)
    return metric_differences(
        corpus.y[rows],
        first.opinions[member][in_first],
        second.opinions[member][in_second],
        corpus.classes,
        corpus.groups[rows],
    )


def own_choice(data: Path, work: Path) -> None:
    """The rule that the tool chooses, calibrated, against the plain mean on the 290 test tracks."""
    lists = {
        part: data / "gtzan97" / "splits" / f"filtered_{part}.csv" for part in ("train", "valid", "test")
    }
    table = table_of(data / "gtzan97", **lists)
    result = train(
        table, work / "gtzan97", settings=TrainSettings(members=MEMBERS), options=TrainOptions(overwrite=True)
    )
    verdict, test = result.scores["verdict"], result.scores["test"]
    print(f"\nchosen on train and valid: {result.rule}, calibration {verdict['calibration']['method']}")
    for name, found in (("verdict", verdict["test"]), ("mean", test["mean"])):
        print(f"{name:8}", *(f"{key} {found['scores'][key]['value']:.4f}" for key in (*SHOWN, "ece")))
    print(
        "log loss of rules on train and valid, out of fold:",
        {k: round(v, 4) for k, v in comparison(result.folder)["losses"].items()},
    )
    means = [verdict["test"]["scores"][k]["value"] - test["mean"]["scores"][k]["value"] for k in SHOWN]
    print("verdict - mean:", dict(zip(SHOWN, np.round(means, 4).tolist(), strict=True)))


def comparison(folder: Path) -> dict[str, Any]:
    from quintet.model_folder.folder import ModelFolder

    found: dict[str, Any] = ModelFolder(folder).read_json("fusion.json")["comparison"]
    return found


def main() -> None:
    """Print both tables."""
    given = arguments(__doc__).parse_args()
    corpus, said = protocols(table_of(given.data / "gtzan97"), given.data)
    print(
        {name: len(judged.rows) for name, judged in said.items()},
        f"tracks judged, {len(np.unique(corpus.groups))} groups",
    )
    print(leak_table(corpus, said).to_string(index=False), flush=True)
    own_choice(given.data, given.work)


if __name__ == "__main__":
    main()
