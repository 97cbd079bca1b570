"""Drift: how often new clips of the same source are called unlike, and how often clips that differ are.

    python -m benchmarks.evidence.drift --tables FOLDER [--splits 200] [--corpora esc10,instruments,gtzan]

`gtzan97` stands for rows of `predict --table`: a table of another program, whose families are the first words
of its columns.

In each split, half of the groups are the training clips, and new clips are drawn from the other half, one
per group, at most 40. `same` is the share of splits in which the test of `predict` calls these unlike
(nominal level 0.1 %). The other columns are the shares when the new clips are changed in one way, or come
from elsewhere: `half sd` and `one sd`: the columns of one family are moved by half a standard deviation and
by one; `named` is the share of the latter in which this family is named; the names of corpora: clips of
another corpus. Each share has its 95 % interval (Wilson).
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd

from benchmarks.evidence.corpora import Corpus, arguments
from benchmarks.evidence.tables import add_tables, read_corpus
from quintet.evaluation.percentile_intervals import wilson_interval
from quintet.features.catalogue import column_family
from quintet.inference.drift.two_sample import Drift, find_drift

CORPORA = "esc10,instruments,gtzan"
MOST_NEW = 40
MOVED = {"gtzan97": "mfccs"}
"""Families that are moved; in other corpora `cepstral`."""


def run_split(corpus: Corpus, others: dict[str, Corpus], seed: int) -> dict[str, bool]:
    """Which sets of new clips are called unlike in one split."""
    rng = np.random.default_rng(seed)
    X, names = corpus.X.to_numpy(np.float64), list(corpus.X.columns)
    groups = rng.permutation(np.unique(corpus.groups))
    is_training = np.isin(corpus.groups, groups[: len(groups) // 2])
    order = rng.permutation(np.flatnonzero(~is_training))
    _, first = np.unique(corpus.groups[order], return_index=True)
    new = X[order[first][:MOST_NEW]]
    training = X[is_training]

    def test(values: np.ndarray) -> Drift:
        found = find_drift(training, corpus.groups[is_training], values, names, seed=seed)
        assert found is not None
        return found

    moved = MOVED.get(corpus.name, "cepstral")
    in_family = np.array([column_family(name) == moved for name in names])
    step = np.nanstd(training, axis=0) * in_family
    one = test(new + step)
    answers = {
        "same": bool(test(new).unlike),
        "half sd": bool(test(new + step / 2).unlike),
        "one sd": bool(one.unlike),
    }
    answers["named"] = moved in {shift.family for shift in one.unlike}
    for name, other in others.items():
        drawn = rng.choice(len(other.X), len(new), replace=False)
        answers[name] = bool(test(other.X[names].to_numpy(np.float64)[drawn]).unlike)
    return answers


def main() -> None:
    """Print the table."""
    parser = arguments(__doc__)
    add_tables(parser)
    parser.add_argument("--splits", type=int, default=200)
    parser.add_argument(
        "--corpora", default=CORPORA, help="between commas; gtzan97 is compared with no other"
    )
    given: argparse.Namespace = parser.parse_args()
    corpora = {name: read_corpus(given, name) for name in given.corpora.split(",")}
    rows = []
    for name, corpus in corpora.items():
        others = {other: table for other, table in corpora.items() if "gtzan97" not in (name, other)}
        others.pop(name, None)
        found = pd.DataFrame([run_split(corpus, others, seed) for seed in range(given.splits)])
        row = {"corpus": name, "groups": len(np.unique(corpus.groups)) // 2}
        for key, share in found.mean().items():
            low, high = wilson_interval(float(share), given.splits)
            row[str(key)] = f"{share:.3f} [{low:.3f}, {high:.3f}]"
        rows.append(row)
        print(pd.DataFrame(rows).to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
