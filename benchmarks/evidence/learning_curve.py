"""What more data would bring: the mean of the table members after a quarter, a half, three quarters and all of the training groups, by artist.

    python -m benchmarks.evidence.learning_curve [--factor 2] [--members logistic_regression svm]

Groups are drawn at random, the smaller parts lie within the larger ones; judged are always the same tracks, the three published artist folds.
Errors are bootstrap errors by artist; `outlook` is what `quintet.evaluation.learning_curve` makes of the four points.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.evidence.corpora import Corpus, arguments, artists, opinions
from benchmarks.evidence.gtzan97 import listed, table_of
from quintet.evaluation.learning_curve import outlook
from quintet.evaluation.scores import score

SHARES = (0.25, 0.5, 0.75, 1.0)
SHOWN = ("accuracy", "macro_auc", "log_loss")


def thinned(train: NDArray[np.intp], groups: NDArray[np.str_], y: NDArray[np.str_], share: float) -> NDArray[np.intp]:
    """The rows of this share of each class's groups, the same groups for every larger share."""
    kept: list[np.intp] = []
    for label in np.unique(y[train]):
        rows = train[y[train] == label]
        order = np.random.default_rng(0).permutation(np.unique(groups[rows]))
        chosen = order[: max(2, round(share * len(order)))]
        kept += rows[np.isin(groups[rows], chosen)].tolist()
    return np.sort(np.array(kept))


def main() -> None:
    """Print a row per size, then the outlook."""
    parser = arguments(__doc__)
    parser.add_argument("--factor", type=float, default=2.0)
    parser.add_argument("--members", nargs="+", default=["logistic_regression", "svm"])
    given = parser.parse_args()
    table, lists = table_of(given.data / "gtzan97"), given.data / "gtzan97" / "splits"
    y, ids = table.meta["label"].to_numpy(str), table.meta.index.str.removesuffix(".wav")
    groups = artists(given.data).reindex(ids).fillna(ids.to_series()).to_numpy(str)
    sides = [(listed(ids, lists / f"artist_fold{k}_train.csv"), listed(ids, lists / f"artist_fold{k}_test.csv")) for k in (1, 2, 3)]
    points = []
    for share in SHARES:
        folds = [(thinned(train, groups, y, share), judged) for train, judged in sides]
        corpus = Corpus("gtzan97", table.features, y, groups, folds)
        rows = corpus.judged
        found = score(y[rows], opinions(corpus, given.members)["mean"], corpus.classes, groups[rows]).scores
        size = np.mean([len(train) for train, _ in folds])
        points.append(
            {"tracks": size} | {name: found[name].value for name in SHOWN} | {f"±{name}": found[name].high - found[name].low for name in SHOWN}
        )
    curve = pd.DataFrame(points)
    print(curve[["tracks", *SHOWN]].round(3).to_string(index=False))
    for name in SHOWN:
        seen = outlook(curve["tracks"], curve[name], curve[f"±{name}"] / 3.92, factor=given.factor)
        print(f"{name}: {given.factor:g} times the data: {seen.gain:+.3f} [{seen.low:+.3f}, {seen.high:+.3f}]")


if __name__ == "__main__":
    main()
