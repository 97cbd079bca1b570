"""Each class of the instruments held out of training in turn: are its clips told from known-class clips that are just as new?

    python -m benchmarks.evidence.none_of_these [--splits 1] [--features full]

70 % of the known classes' recording sessions train the four table members with the tool's own fusion, calibration and sets; the rest and the
held-out class are judged. AUROC of `Conformal.out_of_class` (the members' doubt), of the distance, and of `Novelty.out_of_class` (both),
the share of empty sets ("none of these") at 0.9, and of clips that `Novelty` calls strange at 0.9 and 0.95.
Other sounds: --corpus esc10.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.evidence.corpora import CORPORA, Corpus, arguments
from quintet.datasets.splits import grouped_folds, hold_out
from quintet.ensemble.classifier import EnsembleClassifier
from quintet.ensemble.novelty import fit_novelty
from quintet.evaluation.comparisons import delong


def held_out(corpus: Corpus, stranger: str, seed: int) -> pd.DataFrame:
    """One row per judged clip: whether it is a stranger, its three scores, whether its set is empty."""
    known, new = np.flatnonzero(corpus.y != stranger), np.flatnonzero(corpus.y == stranger)
    parts = hold_out(corpus.y[known], corpus.groups[known].tolist(), test_size=0.3, seed=seed)
    train, judged = known[parts[0]], np.concatenate([known[parts[1]], new])
    X, y, groups = corpus.X.iloc[train], corpus.y[train], corpus.groups[train]
    folds = grouped_folds(y, groups.tolist(), n_splits=5, seed=seed)
    ensemble = EnsembleClassifier(seed=seed).fit(X, y, groups, folds=folds)
    novelty = fit_novelty(X, y, groups, ensemble.oof_verdict_, folds=folds)
    said = ensemble.predict_proba(corpus.X.iloc[judged])
    assert ensemble.conformal_ is not None
    return pd.DataFrame(
        {
            "class": stranger,
            "split": seed,
            "group": corpus.groups[judged],
            "new": corpus.y[judged] == stranger,
            "members": ensemble.conformal_.out_of_class(said),
            "distance": novelty.distance(corpus.X.iloc[judged]),
            "both": novelty.out_of_class(corpus.X.iloc[judged], said),
            "empty": ~ensemble.conformal_.sets(said, 0.9).any(axis=1),
        }
    )


def summary(clips: pd.DataFrame) -> dict[str, object]:
    """AUROC of the scores, and shares of empty sets and of scores of 0.9 or more among strangers and known clips."""
    new, groups = clips["new"].to_numpy(), clips["group"].to_numpy(str)
    against = [delong(new, clips["both"].to_numpy(), clips[name].to_numpy(), groups) for name in ("members", "distance")]
    sides = (("new", clips[new]), ("known", clips[~new]))
    shares = {f"both ≥ {level}, {who}": part["both"].ge(level).mean() for level in (0.9, 0.95) for who, part in sides}
    empty = {f"empty, {who}": part["empty"].mean() for who, part in sides}
    scores = {"members": against[0].second, "distance": against[1].second, "both": against[0].first}
    return {name: round(float(value), 3) for name, value in (scores | empty | shares).items()}


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
