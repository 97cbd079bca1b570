"""Major or minor, by feature families: a question that only tonality answers.

    python -m benchmarks.evidence.mode --gtzan FOLDER --keys FOLDER [--seeds 3]

`--gtzan` is the folder that `../shared/tools/gtzan_excerpts.py` makes, `--keys` a checkout of
alexanderlerch/gtzan_key. Excerpts of any length whose key is noted, without those of the fault list; mean of
a logistic regression and an SVM (`pair.py`), out of fold by artist. Intervals (95 %) are by artist.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from benchmarks.evidence.corpora import arguments, artists
from benchmarks.evidence.families import cell, per_clip
from benchmarks.evidence.known_answers import read_excerpts
from benchmarks.evidence.pair import predict_pair
from quintet.datasets.source import load_source
from quintet.features.catalogue import feature_family
from quintet.features.parameters import FeatureParameters
from quintet.features.storage.read import read_feature_table
from quintet.workflow import extract


def main() -> None:
    """Print a row per set of columns."""
    parser = arguments(__doc__)
    parser.add_argument("--gtzan", type=Path, required=True, help="folder of the excerpts")
    parser.add_argument("--keys", type=Path, required=True, help="folder of the noted keys")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    manifest = pd.read_csv(given.gtzan / "manifest.csv").set_index("track")
    usable = set(manifest.index[manifest["filtered_split"] != "fault_excluded"])
    noted = [e for e in read_excerpts(given.gtzan, given.keys, given.keys) if e.key and e.file.stem in usable]
    source, target = given.work / "mode.csv", given.work / "mode.parquet"
    given.work.mkdir(parents=True, exist_ok=True)
    clips = {"id": [e.file.stem for e in noted], "path": [str(e.file.resolve()) for e in noted]}
    pd.DataFrame({**clips, "label": [e.key.split()[1] for e in noted if e.key]}).to_csv(source, index=False)
    extract(load_source(str(source)), target, parameters=FeatureParameters(feature_set="wide"))
    table = read_feature_table(target)
    ids = table.meta.index.to_series()
    groups = artists(given.data).reindex(ids).fillna(ids).to_numpy(str)
    y = (table.meta["label"] == "minor").to_numpy(np.int64)
    columns = list(table.features.columns)
    tonal = [c for c in columns if feature_family(c) == "tonal"]
    sets = {"wide": columns, "tonal alone": tonal, "wide - tonal": [c for c in columns if c not in tonal]}
    print(f"{len(y)} excerpts, {y.mean():.0%} in minor")
    rows = []
    for name, chosen in sets.items():
        X = table.features[chosen].to_numpy(np.float64)
        found = [predict_pair(X, y, groups, seed).mean(axis=0) for seed in range(given.seeds)]
        right, losses = np.mean([per_clip(p, y) for p in found], axis=0)
        auc = np.mean([roc_auc_score(y, p[:, 1]) for p in found])
        rows.append((name, len(chosen), cell(right, groups), cell(losses, groups), f"{auc:.3f}"))
    print(
        pd.DataFrame(rows, columns=["set", "columns", "accuracy", "log loss", "AUC"]).to_string(index=False)
    )


if __name__ == "__main__":
    main()
