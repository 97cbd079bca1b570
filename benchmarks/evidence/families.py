"""Feature families: each one alone, `wide` without it, and with families that the product does not have.

    python -m benchmarks.evidence.families --tables FOLDER [--corpora gtzan esc10 …] [--seeds 3] [--short]

FOLDER has NAME.parquet, which `quintet extract` made with the true groups (artist, recording, session),
and NAME.more.parquet of `more_families.py`. Probabilities are the mean of a logistic regression and an SVM,
the members of the product, out of fold by group; loss and hits of a clip are means over the seeds of the
folds. `- wide` are paired differences of the set to `wide`. Intervals (95 %) are by group. Classes of one
group are left out. `views` is the mean of members that see one family each.

Probabilities are kept in --work and reused: delete them after a change of the sets.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.evidence.blocks import mean_interval
from benchmarks.evidence.corpora import Corpus, arguments
from benchmarks.evidence.more_families import FAMILIES
from benchmarks.evidence.pair import predict_pair
from benchmarks.evidence.tables import add_tables, read_corpus
from quintet.evaluation.losses import log_losses
from quintet.features.catalogue import feature_family
from quintet.features.columns import feature_names
from quintet.features.parameters import FeatureParameters

Matrix = NDArray[np.float64]
CORPORA = ("gtzan", "esc10", "instruments", "demo")
BASE = "wide"
"""The set of all columns, to which the others are compared."""
VIEWS = "views"
"""The mean of the members of each family, in place of members of all columns."""
GROUPS = ("cepstral.delta_", "cepstral.delta2_", "tonal.chroma_", "tonal.tonnetz_", "spectral.contrast_")
STATISTICS = ("min", "max", "median", "skew", "kurtosis")


def without_single_groups(corpus: Corpus) -> Corpus:
    """The corpus without the classes whose clips all have one group: they cannot be learnt and tested."""
    groups = pd.Series(corpus.groups).groupby(corpus.y).nunique()
    kept = np.isin(corpus.y, groups.index[groups > 1])
    return Corpus(corpus.name, corpus.X[kept], corpus.y[kept], corpus.groups[kept], [])


def column_sets(columns: list[str], further: list[str], *, short: bool) -> Iterator[tuple[str, list[str]]]:
    """Name and columns of each set; of a short list, only the sets of the product and single families."""
    yield BASE, columns
    for name in ("full", "bahuleyan2018"):
        yield name, list(feature_names(FeatureParameters(feature_set=name)))
    families = list(dict.fromkeys(map(feature_family, columns)))
    for family in families:
        yield f"{family} alone", [c for c in columns if feature_family(c) == family]
    if short:
        return
    for family in families:
        yield f"{BASE} - {family}", [c for c in columns if feature_family(c) != family]
    for group in GROUPS:
        yield f"{BASE} - {group.rstrip('_')}", [c for c in columns if not c.startswith(group)]
    for statistic in STATISTICS:
        yield f"{BASE} - {statistic}", [c for c in columns if not c.endswith(f".{statistic}")]
    for family in FAMILIES:
        own = [c for c in further if feature_family(c) == family]
        if own:
            yield f"{family} alone", own
            yield f"{BASE} + {family}", columns + own


def compare(corpus: Corpus, further: pd.DataFrame, given: argparse.Namespace) -> pd.DataFrame:
    """A row per set."""
    table = pd.concat([corpus.X, further], axis=1)
    own = list(feature_names(FeatureParameters(feature_set=BASE)))
    others = [column for column in table.columns if column not in set(own)]
    codes = np.unique(corpus.y, return_inverse=True)[1]
    found: dict[str, list[Matrix]] = {}
    sizes: dict[str, int] = {}
    for name, columns in column_sets(own, others, short=given.short):
        X = table[columns].to_numpy(np.float64)
        found[name] = []
        for seed in range(given.seeds):
            kept = given.work / "families" / f"{corpus.name}, {name}, {seed}.npy"
            if not kept.exists():
                kept.parent.mkdir(parents=True, exist_ok=True)
                np.save(kept, predict_pair(X, codes, corpus.groups, seed).mean(axis=0))
            found[name].append(np.load(kept))
        sizes[name] = len(columns)
        print(f"{corpus.name}: {name:30}", end="\r", file=sys.stderr, flush=True)
    families = [f"{family} alone" for family in dict.fromkeys(map(feature_family, own))]
    for name, parts in ((VIEWS, families), (f"{BASE} and views", [*families, BASE])):
        if all(part in found for part in parts):
            found[name] = [np.mean([found[p][seed] for p in parts], axis=0) for seed in range(given.seeds)]
            sizes[name] = len(own)
    return pd.DataFrame([row(name, found, codes, corpus, sizes[name]) for name in found])


def row(
    name: str, found: dict[str, list[Matrix]], codes: NDArray[np.int64], corpus: Corpus, size: int
) -> dict[str, object]:
    """Scores of a set and their differences to those of `wide`."""
    own, reference = (np.mean([per_clip(p, codes) for p in found[one]], axis=0) for one in (name, BASE))
    numbers: dict[str, object] = {"corpus": corpus.name, "set": name, "columns": size}
    for k, score in enumerate(("accuracy", "log loss")):
        numbers[score] = cell(own[k], corpus.groups)
    for k, score in enumerate(("accuracy", "log loss")):
        numbers[f"{score} - {BASE}"] = cell(own[k] - reference[k], corpus.groups, "+") if name != BASE else ""
    return numbers


def per_clip(probabilities: Matrix, codes: NDArray[np.int64]) -> Matrix:
    """Whether each clip is right, and its loss, `(2, n)`."""
    return np.stack([probabilities.argmax(axis=1) == codes, log_losses(codes, probabilities)])


def cell(values: Matrix, groups: NDArray[np.str_], sign: str = "") -> str:
    """Mean with its interval."""
    interval = mean_interval(values, groups)
    return f"{values.mean():{sign}.3f} [{interval.low[0]:{sign}.3f}, {interval.high[0]:{sign}.3f}]"


def further_columns(corpus: Corpus, given: argparse.Namespace) -> pd.DataFrame:
    """Columns of `more_families.py`; none without its table."""
    file = given.tables / f"{corpus.name}.more.parquet"
    if not file.exists():
        return pd.DataFrame(index=corpus.X.index)
    return pd.read_parquet(file).set_index("id").loc[corpus.X.index]


def main() -> None:
    """Print a table per corpus, as soon as it is finished."""
    parser = arguments(__doc__)
    add_tables(parser)
    parser.add_argument("--corpora", nargs="+", default=list(CORPORA))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--short", action="store_true", help="only the sets of the product and single families"
    )
    given = parser.parse_args()
    for name in given.corpora:
        corpus = without_single_groups(read_corpus(given, name))
        print(compare(corpus, further_columns(corpus, given), given).to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
