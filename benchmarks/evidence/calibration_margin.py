"""How sure must a gain of calibration be out of fold, for the models that are fitted on everything to share it?

    python -m benchmarks.evidence.calibration_margin [--corpora gtzan97 instruments esc10] [--splits 4]

Each hold-out keeps 30 % of the groups (artists, sessions) apart. A temperature is learnt on the out-of-fold mean of the members, on five folds and on
one division into 70 and 30; `z` is its gain in log loss, out of fold, over its standard error, by group and as if clips were independent; `test` is
the gain on the groups kept apart. The last lines: the mean gain on the test side if a map is let in from so many standard errors on.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import pandas as pd

from benchmarks.evidence.corpora import CORPORA, Corpus, arguments, artists
from benchmarks.evidence.gtzan97 import table_of
from quintet.classifiers.registry import TABLE_MEMBERS
from quintet.datasets.splits.folds import grouped_folds, hold_out
from quintet.ensemble.calibration import cross_calibrate, fit_calibration
from quintet.ensemble.crossfit import Inputs, Trainer
from quintet.ensemble.fusion import RULES, LabelledPredictions, fit_fusion
from quintet.ensemble.selection import standard_error
from quintet.evaluation.intervals import group_codes
from quintet.evaluation.losses import clip_losses
from quintet.evaluation.metrics import encode_labels


def material(name: str, given: argparse.Namespace) -> Corpus:
    if name != "gtzan97":
        return CORPORA[name](given, "bahuleyan2018")
    table = table_of(given.data / "gtzan97")
    artist = artists(given.data).reindex(table.meta.index.str.removesuffix(".wav"))
    known = artist.notna().to_numpy()
    return Corpus(
        name, table.features[known], table.meta["label"].to_numpy(str)[known], artist[known].to_numpy(str), []
    )


def trials(corpus: Corpus, seed: int) -> Iterator[dict[str, object]]:
    """One row per kind of folds and unlearnt rule."""
    train, test = hold_out(corpus.y, corpus.groups.tolist(), test_size=0.3, seed=seed)
    y, groups, inputs, classes = (
        corpus.y[train],
        corpus.groups[train],
        Inputs(corpus.X.iloc[train]),
        corpus.classes,
    )
    a, b = hold_out(y, groups.tolist(), test_size=0.3, seed=seed)
    kinds = {"five": grouped_folds(y, groups.tolist(), n_splits=5, seed=seed), "70:30": [(a, b), (b, a)]}
    trainers = [Trainer(member, seed=seed) for member in TABLE_MEMBERS]
    final = np.stack([t.fit(inputs, y, groups).predict_proba(corpus.X.iloc[test]) for t in trainers])
    for kind, folds in kinds.items():
        stack = np.stack([t.out_of_fold(inputs, y, groups, folds, classes)[0] for t in trainers])
        labelled = LabelledPredictions.from_labels(stack, y, groups, members=TABLE_MEMBERS, classes=classes)
        for rule in (rule for rule in RULES if not RULES[rule].learnt):
            fusion = fit_fusion(rule, labelled)
            inside, outside = fusion.apply(stack), fusion.apply(final)
            found = fit_calibration(inside, y, groups, classes=classes, method="temperature")
            cut = cross_calibrate(inside, y, groups, classes=classes, method="temperature", folds=folds)
            gain = clip_losses(encode_labels(y, classes), inside) - clip_losses(
                encode_labels(y, classes), cut
            )
            target = encode_labels(corpus.y[test], classes)
            seen = clip_losses(target, outside).mean() - clip_losses(target, found.apply(outside)).mean()
            z = {
                f"z by {by}": gain.mean() / standard_error(gain, *group_codes(g, len(y)))
                for by, g in (("group", groups), ("clip", None))
            }
            yield {
                "corpus": corpus.name,
                "folds": kind,
                "rule": rule,
                "T": found.temperature,
                "gain": gain.mean(),
                **z,
                "test": seen,
            }


def main() -> None:
    """Print the trials and what each margin would have brought."""
    parser = arguments(__doc__)
    parser.add_argument("--corpora", nargs="+", default=["gtzan97", "instruments", "esc10"])
    parser.add_argument("--splits", type=int, default=4)
    given = parser.parse_args()
    table = pd.DataFrame(
        [
            row
            for name in given.corpora
            for seed in range(given.splits)
            for row in trials(material(name, given), seed)
        ]
    )
    print(table.round(4).to_string(index=False))
    for by in ("group", "clip"):
        means = {
            margin: round(float(table["test"].where(table[f"z by {by}"] > margin, 0).mean()), 4)
            for margin in (0, 1, 1.5, 2, 2.5, 3)
        }
        print(f"mean gain on the test side, let in from so many standard errors by {by}: {means}")


if __name__ == "__main__":
    main()
