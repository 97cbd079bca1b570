"""Learning curve of table members on the 97 published GTZAN features, by artist.

    python -m benchmarks.evidence.learning_curve [--members logistic_regression svm]

The computation of `quintet train --learning-curve` on the three published artist folds. Intervals are by
artist.
"""

from __future__ import annotations

from benchmarks.evidence.corpora import arguments, artists
from benchmarks.evidence.gtzan97 import listed, read_gtzan97
from quintet.commands.terminal.console import out
from quintet.commands.terminal.tables import curve_table
from quintet.ensemble.crossfit import Inputs
from quintet.training.data import TrainingPart
from quintet.training.learning_curve import learning_curve
from quintet.training.settings import LearningCurveSettings, TrainSettings


def main() -> None:
    """Print a row per size, then the outlook of every score."""
    parser = arguments(__doc__)
    parser.add_argument("--members", nargs="+", default=["logistic_regression", "svm"])
    given = parser.parse_args()
    table, lists = read_gtzan97(given.data / "gtzan97"), given.data / "gtzan97" / "splits"
    y, ids = table.meta["label"].to_numpy(str), table.meta.index.str.removesuffix(".wav")
    groups = artists(given.data).reindex(ids).fillna(ids.to_series()).to_numpy(str)
    folds = tuple(
        (listed(ids, lists / f"artist_fold{k}_train.csv"), listed(ids, lists / f"artist_fold{k}_test.csv"))
        for k in (1, 2, 3)
    )
    names, classes = ids.to_numpy(str), tuple(sorted(set(y)))
    part = TrainingPart(Inputs(table.features), names, y, y, groups, groups, classes, folds)
    settings = TrainSettings(members=tuple(given.members), learning_curve=LearningCurveSettings())
    curve = learning_curve(part, settings)
    out.print(curve_table(curve))
    for name, outlook in curve.outlook.items():
        interval = f"[{outlook.low:+.3f}, {outlook.high:+.3f}]"
        print(f"{name}: {outlook.factor:g} times the data: {outlook.gain:+.3f} {interval}")


if __name__ == "__main__":
    main()
