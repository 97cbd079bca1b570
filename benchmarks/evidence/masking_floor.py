"""What the masking floor of the features gives and costs, by its level (`masking_floor_db`).

    python -m benchmarks.evidence.masking_floor [--gtzan FOLDER] [--levels -24 -18 -15 -12] [--corpora demo …]

Out-of-fold log loss of the same members on the same folds, without a floor and with each level, and the
paired difference with its 95 % interval by group. `--gtzan` is a folder that `../shared/tools` made.
`python -m benchmarks.lossy` measures how much a lossy copy then differs from its wav.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.evidence.blocks import mean_interval
from benchmarks.evidence.corpora import CORPORA, arguments, demo, predict_out_of_fold
from quintet.classifiers.registry import TABLE_MEMBERS
from quintet.evaluation.losses import log_losses

MAKERS = {"demo": demo, **CORPORA}
LEVELS = (-24.0, -18.0, -15.0, -12.0)


def main() -> None:
    """Print the table."""
    parser = arguments(__doc__)
    parser.add_argument("--gtzan", type=Path, help="folder of the excerpts")
    parser.add_argument("--levels", nargs="+", type=float, default=LEVELS, metavar="DB")
    parser.add_argument("--corpora", nargs="+", choices=MAKERS, default=list(MAKERS))
    parser.add_argument("--members", nargs="+", default=TABLE_MEMBERS)
    given = parser.parse_args()
    table = []
    for name in given.corpora:
        if name == "gtzan" and given.gtzan is None:
            continue
        without = {}
        for level in (None, *given.levels):
            given.settings = {"masking_floor_db": level}
            corpus = MAKERS[name](given, "wide")
            rows = corpus.scored_rows
            codes = np.searchsorted(corpus.classes, corpus.y[rows])
            for member, probabilities in predict_out_of_fold(corpus, given.members).items():
                losses = log_losses(codes, probabilities)
                change = ""
                if level is None:
                    without[member] = losses
                else:
                    difference = losses - without[member]
                    interval = mean_interval(difference, corpus.groups[rows])
                    change = f"{difference.mean():+.3f} [{interval.low[0]:+.3f}, {interval.high[0]:+.3f}]"
                right = np.mean(probabilities.argmax(axis=1) == codes)
                table.append((corpus.name, level, member, f"{right:.3f}", f"{losses.mean():.3f}", change))
    columns = ["corpus", "floor, dB", "member", "accuracy", "log loss", "difference"]
    print(pd.DataFrame(table, columns=columns).to_string(index=False))


if __name__ == "__main__":
    main()
