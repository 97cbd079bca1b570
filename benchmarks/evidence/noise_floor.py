"""Scores by the level of the noise floor of the features (`FeatureParameters.noise_floor_db`).

    python -m benchmarks.evidence.noise_floor [--gtzan FOLDER] [--levels none -50 -30 -18]

Out-of-fold scores of the same members on the same folds. `--gtzan` is a folder that `../shared/tools` made.
`python -m benchmarks.lossy` measures how much a lossy copy then differs from its wav.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmarks.evidence.corpora import CORPORA, arguments, predict_out_of_fold
from quintet.evaluation.intervals import NO_RESAMPLING
from quintet.evaluation.scores import score

SHOWN = ("accuracy", "macro_auc", "log_loss")
LEVELS = ("none", "-50", "-30", "-18")


def main() -> None:
    """Print the table."""
    parser = arguments(__doc__)
    parser.add_argument("--gtzan", type=Path, help="folder of the excerpts")
    parser.add_argument("--levels", nargs="+", default=LEVELS, metavar="DB")
    parser.add_argument("--members", nargs="+", default=("logistic_regression", "random_forest"))
    given = parser.parse_args()
    table = []
    for name, make in CORPORA.items():
        if name == "gtzan" and given.gtzan is None:
            continue
        for level in given.levels:
            given.settings = {"noise_floor_db": None if level == "none" else float(level)}
            corpus = make(given, "full")
            y, groups = corpus.y[corpus.scored_rows], corpus.groups[corpus.scored_rows]
            for member, probabilities in predict_out_of_fold(corpus, given.members).items():
                found = score(y, probabilities, corpus.classes, groups, resampling=NO_RESAMPLING).scores
                values = [round(found[metric].value, 3) for metric in SHOWN]
                table.append((corpus.name, level, member, *values))
    columns = ["corpus", "noise floor, dB", "member", *SHOWN]
    print(pd.DataFrame(table, columns=columns).to_string(index=False))


if __name__ == "__main__":
    main()
