"""Margin of a calibration: the out-of-fold gain from which members that are fitted on all clips gain too.

    python -m benchmarks.evidence.calibration_margin [--corpora gtzan97 instruments esc10] [--splits 4]

Each hold-out keeps 30 % of the groups (artists, sessions) for the test. A temperature is learnt on the
out-of-fold mean of the members, on five folds and on one division into 70 and 30 %. `z` is its out-of-fold
gain in log loss over the standard error of the gain, by group, and by clip as if clips were independent.
`test` is the gain on the test groups. The last lines show the mean gain on the test groups if a calibration
is used from so many standard errors on.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import pandas as pd

from benchmarks.evidence.corpora import CORPORA, Corpus, arguments, artists
from benchmarks.evidence.gtzan97 import read_gtzan97
from quintet.classifiers.registry import TABLE_MEMBERS
from quintet.datasets.splits.folds import grouped_folds, hold_out
from quintet.ensemble.calibration import cross_calibrate, fit_calibration
from quintet.ensemble.crossfit import Inputs, Trainer
from quintet.ensemble.fusion import RULES, LabelledPredictions, fit_fusion
from quintet.ensemble.selection import standard_error
from quintet.evaluation.intervals import group_codes
from quintet.evaluation.losses import clip_losses
from quintet.evaluation.metrics import encode_labels


def read_corpus(name: str, given: argparse.Namespace) -> Corpus:
    """A corpus by name. Of gtzan97, the tracks with a known artist."""
    if name != "gtzan97":
        return CORPORA[name](given, "bahuleyan2018")
    table = read_gtzan97(given.data / "gtzan97")
    artist = artists(given.data).reindex(table.meta.index.str.removesuffix(".wav"))
    known = artist.notna().to_numpy()
    y = table.meta["label"].to_numpy(str)
    return Corpus(name, table.features[known], y[known], artist[known].to_numpy(str), [])


def trials(corpus: Corpus, seed: int) -> Iterator[dict[str, object]]:
    """One row per kind of folds and per rule that is not learnt."""
    train, test = hold_out(corpus.y, corpus.groups.tolist(), test_size=0.3, seed=seed)
    y, groups, classes = corpus.y[train], corpus.groups[train], corpus.classes
    inputs, target = Inputs(corpus.X.iloc[train]), encode_labels(corpus.y[test], classes)
    a, b = hold_out(y, groups.tolist(), test_size=0.3, seed=seed)
    kinds = {"five": grouped_folds(y, groups.tolist(), n_splits=5, seed=seed), "70:30": [(a, b), (b, a)]}
    trainers = [Trainer(member, seed=seed) for member in TABLE_MEMBERS]
    final = np.stack([t.fit(inputs, y, groups).predict_proba(corpus.X.iloc[test]) for t in trainers])
    for kind, folds in kinds.items():
        stack = np.stack([t.out_of_fold(inputs, y, groups, folds, classes)[0] for t in trainers])
        labelled = LabelledPredictions.from_labels(stack, y, groups, members=TABLE_MEMBERS, classes=classes)
        for rule in (rule for rule in RULES if not RULES[rule].learnt):
            fusion = fit_fusion(rule, labelled)
            oof, held_out = fusion.apply(stack), fusion.apply(final)
            calibration = fit_calibration(oof, y, groups, classes=classes, method="temperature")
            calibrated = cross_calibrate(oof, y, groups, classes=classes, method="temperature", folds=folds)
            codes = encode_labels(y, classes)
            gain = clip_losses(codes, oof) - clip_losses(codes, calibrated)
            loss = clip_losses(target, held_out).mean()
            test_gain = loss - clip_losses(target, calibration.apply(held_out)).mean()
            z = {
                f"z by {by}": gain.mean() / standard_error(gain, *group_codes(g, len(y)))
                for by, g in (("group", groups), ("clip", None))
            }
            yield {
                "corpus": corpus.name,
                "folds": kind,
                "rule": rule,
                "T": calibration.temperature,
                "gain": gain.mean(),
                **z,
                "test": test_gain,
            }


def main() -> None:
    """Print the trials, and the mean gain on the test groups for each margin."""
    parser = arguments(__doc__)
    parser.add_argument("--corpora", nargs="+", default=["gtzan97", "instruments", "esc10"])
    parser.add_argument("--splits", type=int, default=4)
    given = parser.parse_args()
    table = pd.DataFrame(
        [
            row
            for name in given.corpora
            for seed in range(given.splits)
            for row in trials(read_corpus(name, given), seed)
        ]
    )
    print(table.round(4).to_string(index=False))
    for by in ("group", "clip"):
        means = {
            margin: round(float(table["test"].where(table[f"z by {by}"] > margin, 0).mean()), 4)
            for margin in (0, 1, 1.5, 2, 2.5, 3)
        }
        print(f"mean gain on the test groups, by margin in standard errors by {by}: {means}")


if __name__ == "__main__":
    main()
