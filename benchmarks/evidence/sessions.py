"""How far the recording sessions of the instruments reach: likeness and licences by distance of the ids.

    python -m benchmarks.evidence.sessions --tables FOLDER

Pairs of clips of one class, by the distance of their Freesound ids. `likeness` is the mean cosine of their
principal components without the mean of the class, `one licence` the share of pairs with the same licence,
which an uploader usually keeps. Sessions reach about as far as both are above the last row. FOLDER has
`instruments.parquet`, with paths as ids.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.evidence.corpora import arguments
from benchmarks.evidence.tables import add_tables
from quintet.features.storage.read import read_feature_table
from quintet.training.blocks.sound_blocks import _components, _deviations, _normal_scores

EDGES = (0, 5, 20, 50, 100, 200, 400, 800, 2000, 10_000, 10_000_000)


def main() -> None:
    """Print the table."""
    parser = arguments(__doc__)
    add_tables(parser)
    given = parser.parse_args()
    table = read_feature_table(given.tables / "instruments.parquet")
    clips = pd.read_csv(given.data / "instruments" / "clips.csv").set_index("path").loc[table.meta.index]
    classes = [np.flatnonzero(clips["label"] == name) for name in clips["label"].unique()]
    values = table.features.to_numpy(np.float64)
    scores = np.zeros(values.shape)
    for rows in classes:
        scores[rows] = _normal_scores(values[rows])
    sound = _deviations(_components(scores), classes)
    sound /= np.linalg.norm(sound, axis=1, keepdims=True)
    ids, licences = clips["freesound_id"].to_numpy(), clips["licence"].to_numpy(str)
    pairs = np.concatenate([rows[np.stack(np.triu_indices(len(rows), 1), axis=1)] for rows in classes])
    first, second = pairs.T
    found = pd.DataFrame(
        {
            "ids apart": pd.cut(np.abs(ids[first] - ids[second]), EDGES),
            "likeness": (sound[first] * sound[second]).sum(axis=1),
            "one licence": licences[first] == licences[second],
        }
    ).groupby("ids apart", observed=True)
    print(found.mean().assign(pairs=found.size()).round(3))


if __name__ == "__main__":
    main()
