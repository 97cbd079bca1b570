"""Leak gate on the 97 published GTZAN features, and the fusion rule that `quintet train` chooses.

    python -m benchmarks.evidence.gtzan97

Random: ten folds over all 999 tracks. By artist: the three published folds, 947 tracks. Fault-filtered:
fitted on train and valid, scored on test. Intervals and gaps are by artist; a track without a known artist is
its own group. A gap is computed on the tracks that both protocols score. The last table is `quintet train`
with the filtered lists: rule, weights and calibration are learnt on valid alone, by members fitted on train.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.evidence.corpora import Corpus, arguments, artists, predict_out_of_fold
from quintet.datasets.splits.folds import grouped_folds
from quintet.evaluation.comparisons import metric_differences
from quintet.evaluation.scores import Difference, Estimate, score
from quintet.features.storage.read import read_feature_table
from quintet.features.storage.table import FeatureTable
from quintet.model_folder.folder import ModelFolder
from quintet.training.settings import TrainSettings
from quintet.training.train import TrainOptions, train

MEMBERS = ("logistic_regression", "random_forest", "xgboost", "svm")
SHOWN = ("accuracy", "macro_auc", "log_loss")


class MemberPredictions(NamedTuple):
    """Predictions of each member and of their mean under one protocol.

    Args:
        rows: positions of the predicted tracks.
        probabilities: member → `(rows, K)`.
    """

    rows: NDArray[Any]
    probabilities: dict[str, NDArray[Any]]


def read_gtzan97(folder: Path, **lists: Path) -> FeatureTable:
    """The table of the published features. `lists`: part → file with its tracks."""
    return read_feature_table(
        folder / "gtzan97.csv",
        id_column="file_name",
        label_from=r"^([a-z]+)\.",
        splits={k: str(v) for k, v in lists.items()},
    )


def listed(ids: pd.Index, file: Path) -> NDArray[Any]:
    """Positions of the tracks in a list."""
    return np.flatnonzero(ids.isin(pd.read_csv(file)["track"]))


def predict_by_protocol(table: FeatureTable, data: Path) -> tuple[Corpus, dict[str, MemberPredictions]]:
    """The corpus with artists as groups, and the predictions under each protocol.

    `random` and `filtered` fit without these groups.
    """
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
    predictions = {}
    for name, (units, folds) in divisions.items():
        corpus = Corpus(name, table.features, y, units, folds)
        predictions[name] = MemberPredictions(corpus.scored_rows, predict_out_of_fold(corpus, MEMBERS))
    return Corpus("gtzan97", table.features, y, groups, []), predictions


def cell(estimate: Estimate, sign: str = "") -> str:
    """Text of a number with its interval."""
    return f"{estimate.value:{sign}.3f} [{estimate.low:{sign}.3f}, {estimate.high:{sign}.3f}]"


def leak_table(corpus: Corpus, predictions: dict[str, MemberPredictions]) -> pd.DataFrame:
    """A row per member and score: each protocol, and the gaps from random to the others."""
    rows = []
    for member in (*MEMBERS, "mean"):
        scores = {name: member_scores(corpus, p, member) for name, p in predictions.items()}
        gaps = {
            name: gap(corpus, predictions["random"], p, member)
            for name, p in predictions.items()
            if name != "random"
        }
        for key in SHOWN:
            row = {"member": member, "score": key}
            row |= {name: cell(values[key]) for name, values in scores.items()}
            row |= {f"random - {name}": cell(values[key], "+") for name, values in gaps.items()}
            rows.append(row)
    return pd.DataFrame(rows)


def member_scores(corpus: Corpus, predictions: MemberPredictions, member: str) -> dict[str, Estimate]:
    """Scores of a member under one protocol."""
    rows, probabilities = predictions.rows, predictions.probabilities[member]
    return score(corpus.y[rows], probabilities, corpus.classes, corpus.groups[rows]).scores


def gap(
    corpus: Corpus, first: MemberPredictions, second: MemberPredictions, member: str
) -> dict[str, Difference]:
    """Scores under the first protocol minus scores under the second, on the tracks that both predict."""
    rows, in_first, in_second = np.intersect1d(first.rows, second.rows, return_indices=True)
    return metric_differences(
        corpus.y[rows],
        first.probabilities[member][in_first],
        second.probabilities[member][in_second],
        corpus.classes,
        corpus.groups[rows],
    )


def compare_with_mean(data: Path, work: Path) -> None:
    """Print the scores of the chosen rule, calibrated, and of the plain mean on the 290 test tracks."""
    lists = {
        part: data / "gtzan97" / "splits" / f"filtered_{part}.csv" for part in ("train", "valid", "test")
    }
    table = read_gtzan97(data / "gtzan97", **lists)
    result = train(
        table, work / "gtzan97", settings=TrainSettings(members=MEMBERS), options=TrainOptions(overwrite=True)
    )
    ensemble, mean = result.scores["verdict"], result.scores["test"]["mean"]["scores"]
    chosen = ensemble["test"]["scores"]
    print(f"\nchosen on valid: {result.rule}, calibration {ensemble['calibration']['method']}")
    for name, scores in (("ensemble", chosen), ("mean", mean)):
        print(f"{name:8}", *(f"{key} {scores[key]['value']:.4f}" for key in (*SHOWN, "ece")))
    losses = {rule: round(loss, 4) for rule, loss in rule_losses(result.folder).items()}
    print("log loss of rules on valid, cross-fitted:", losses)
    differences = [chosen[key]["value"] - mean[key]["value"] for key in SHOWN]
    print("ensemble - mean:", dict(zip(SHOWN, np.round(differences, 4).tolist(), strict=True)))


def rule_losses(folder: Path) -> dict[str, float]:
    """Fusion rule → log loss on the validation part, from a model folder."""
    losses: dict[str, float] = ModelFolder(folder).read_json("fusion.json")["comparison"]["losses"]
    return losses


def main() -> None:
    """Print both tables."""
    given = arguments(__doc__).parse_args()
    corpus, predictions = predict_by_protocol(read_gtzan97(given.data / "gtzan97"), given.data)
    print(
        {name: len(p.rows) for name, p in predictions.items()},
        f"tracks predicted, {len(np.unique(corpus.groups))} groups",
    )
    print(leak_table(corpus, predictions).to_string(index=False), flush=True)
    compare_with_mean(given.data, given.work)


if __name__ == "__main__":
    main()
