"""Planted wrong labels are found: the support of confident learning against plain self-confidence.

    python -m benchmarks.evidence.wrong_labels --tables FOLDER [--seeds 10]

Five percent of the labels are changed. `any`: to any other class. `alike`: to the class that clean
out-of-fold predictions find most probable besides the true one, the errors that people make. `group`: whole
groups (artists, recordings) to any other class. Logistic regression (or the mean of `--members`) predicts out
of fold on five folds that keep groups whole, with the wrong labels, as `train` does. Their predictions are
kept in `--work`, so that the script can run in pieces.

Rankings: `support` (p of the label over its threshold and over the largest other p: what the product uses;
the exponent of the latter, 1, was chosen among 0, 1/4, 1/2, 1 and 2 on these corpora), `self` (p of the
label), `threshold` (p of the label over its threshold), `margin` (p of the label minus the largest other
p), `paper` (p minus threshold, normalised; Northcutt et al. 2021). Scores: precision among the first 20 and
50, area under the ROC curve of the ranking, average precision; means over seeds with 95 % intervals, and
the paired difference to `self`. `precision` and `recall` are those of the clips that the confident joint
takes for wrong, `count` is its estimate, `named` the share of planted errors among these whose suggestion
is the true label.

The last table is about gtzan97 as it is: which tracks of the published lists of faults come first.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmarks.evidence.corpora import Corpus, arguments
from benchmarks.evidence.gtzan97 import listed
from benchmarks.evidence.tables import add_tables, out_of_fold, read_corpus, with_interval
from quintet.auditing.labels.confident import class_doubts

CORPORA = ("esc10", "instruments", "demo", "gtzan97")
KINDS = ("any", "alike", "group")
SHARE = 0.05


def plant(corpus: Corpus, clean: NDArray[Any], kind: str, rng: np.random.Generator) -> NDArray[Any]:
    """Labels of which five percent are wrong."""
    y, classes = corpus.y.copy(), np.unique(corpus.y)
    n_wrong = round(SHARE * len(y))
    if kind == "group":
        for group in rng.permutation(np.unique(corpus.groups)):
            rows = np.flatnonzero(corpus.groups == group)
            if len(rows) <= n_wrong - int(np.sum(y != corpus.y)):
                y[rows] = rng.choice(classes[classes != y[rows[0]]])
        return y
    for row in rng.choice(len(y), n_wrong, replace=False):
        others = clean[row] * (classes != y[row])
        y[row] = classes[others.argmax()] if kind == "alike" else rng.choice(classes[classes != y[row]])
    return y


def rankings(p: NDArray[Any], codes: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Name → how well each label is supported; the smallest is the most doubtful."""
    rows = np.arange(len(p))
    own, others = p[rows, codes], p.copy()
    others[rows, codes] = -1
    thresholds = np.array([own[codes == k].mean() for k in range(p.shape[1])])
    shifted = p - thresholds + thresholds.max()
    shifted /= shifted.sum(axis=1, keepdims=True)
    return {
        "support": class_doubts(p, codes).support,
        "self": own,
        "threshold": own / thresholds[codes],
        "margin": own - others.max(axis=1),
        "paper": shifted[rows, codes],
    }


def predicted(
    given: argparse.Namespace, corpus: Corpus, y: NDArray[Any], name: str, *, seed: int
) -> NDArray[Any]:
    """Out-of-fold probabilities for some labels, kept in a file for the next run."""
    file = given.work / f"wrong_labels_{corpus.name}_{name}_{'-'.join(given.members)}.npz"
    if file.exists() and np.array_equal((kept := np.load(file))["y"], y):
        return np.asarray(kept["p"])
    p = out_of_fold(corpus, y, given.members, seed=seed)
    given.work.mkdir(parents=True, exist_ok=True)
    np.savez(file, y=y, p=p)
    return p


def score_seed(
    given: argparse.Namespace, corpus: Corpus, clean: NDArray[Any], kind: str, seed: int
) -> list[dict[str, object]]:
    """Scores of each ranking for one set of planted errors."""
    y = plant(corpus, clean, kind, np.random.default_rng(seed))
    classes, codes = np.unique(y, return_inverse=True)
    p, is_wrong = predicted(given, corpus, y, f"{kind}{seed}", seed=seed), y != corpus.y
    found, rows = class_doubts(p, codes), []
    for name, support in rankings(p, codes).items():
        order = np.argsort(support, kind="stable")
        row = {"corpus": corpus.name, "kind": kind, "seed": seed, "ranking": name}
        row |= {f"p@{n}": float(is_wrong[order[:n]].mean()) for n in (20, 50)}
        row |= {"auc": roc_auc_score(is_wrong, -support), "ap": average_precision_score(is_wrong, -support)}
        rows.append(row)
    caught = found.is_suspect & is_wrong
    named = classes[found.rival[caught]] == corpus.y[caught]
    rows[0] |= {
        "precision": caught.sum() / max(found.is_suspect.sum(), 1),
        "recall": caught.sum() / is_wrong.sum(),
        "count": found.n_wrong,
        "planted": int(is_wrong.sum()),
        "named": named.mean() if len(named) else np.nan,
    }
    return rows


def summary(scores: pd.DataFrame) -> pd.DataFrame:
    """Means with intervals, a row per corpus, kind and ranking."""
    rows = []
    for (corpus, kind), part in scores.groupby(["corpus", "kind"], sort=False):
        base = part[part["ranking"] == "self"]
        for name, own in part.groupby("ranking", sort=False):
            row = {"corpus": corpus, "kind": kind, "ranking": name}
            row |= {key: with_interval(own[key]) for key in ("p@20", "p@50", "auc", "ap")}
            row["ap - self"] = with_interval(own["ap"].to_numpy() - base["ap"].to_numpy(), "+")
            rows.append(row)
    return pd.DataFrame(rows)


def sets(scores: pd.DataFrame) -> pd.DataFrame:
    """What the confident joint takes for wrong, a row per corpus and kind."""
    part = scores[scores["ranking"] == "support"]
    keys = ["precision", "recall", "count", "planted", "named"]
    return part.groupby(["corpus", "kind"], sort=False)[keys].agg(with_interval).reset_index()


def known_faults(given: argparse.Namespace) -> pd.DataFrame:
    """Place of known faults of gtzan97 among its 999 tracks, by rank of their support."""
    corpus = read_corpus(given, "gtzan97")
    _, codes = np.unique(corpus.y, return_inverse=True)
    tables = [predicted(given, corpus, corpus.y, f"clean{seed}", seed=seed) for seed in range(3)]
    p = np.mean(tables, axis=0)
    doubts = class_doubts(p, codes)
    rank = pd.Series(doubts.support.argsort(kind="stable").argsort() + 1, corpus.X.index.str[:-4])
    lists = given.data / "gtzan97" / "splits"
    ids = pd.Index(rank.index)
    kept = np.concatenate(
        [listed(ids, lists / f"filtered_{part}.csv") for part in ("train", "valid", "test")]
    )
    excluded = ~np.isin(np.arange(len(ids)), kept)
    rows = [
        {
            "fault": "one recording under two labels: metal.00058",
            "tracks": 1,
            "median rank": rank["metal.00058"],
        },
        {"fault": "the same: rock.00016", "tracks": 1, "median rank": rank["rock.00016"]},
    ]
    auc = roc_auc_score(excluded, -doubts.support)
    first, median = int(excluded[rank.to_numpy() <= 50].sum()), float(np.median(rank[excluded]))
    name = "left out by the fault-filtered split"
    counts = {"tracks": int(excluded.sum()), "median rank": median, "auc": auc, "in the first 50": first}
    rows.append({"fault": name, **counts})
    print(f"gtzan97: estimate {doubts.n_wrong:.0f} wrong labels, {doubts.is_suspect.sum()} suspects")
    return pd.DataFrame(rows)


def main() -> None:
    """Print the tables."""
    parser = arguments(__doc__)
    add_tables(parser)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--members", nargs="+", default=["logistic_regression"])
    parser.add_argument("--corpora", nargs="+", default=list(CORPORA), choices=CORPORA)
    given = parser.parse_args()
    scores = []
    for name in given.corpora:
        corpus = read_corpus(given, name)
        clean = predicted(given, corpus, corpus.y, "clean0", seed=0)
        accuracy = np.mean(np.unique(corpus.y)[clean.argmax(axis=1)] == corpus.y)
        print(f"{name}: {len(corpus.y)} clips, accuracy out of fold {accuracy:.3f}", flush=True)
        for kind in KINDS:
            for seed in range(given.seeds):
                scores += score_seed(given, corpus, clean, kind, seed)
        own = pd.DataFrame(scores)[lambda frame: frame["corpus"] == name]  # noqa: B023
        print(summary(own).to_string(index=False), sets(own).to_string(index=False), sep="\n", flush=True)
    if "gtzan97" in given.corpora:
        print(known_faults(given).to_string(index=False))


if __name__ == "__main__":
    main()
