"""Training rows that give the values of absent columns, wherever a model is explained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from quintet.classifiers.registry import reads_table
from quintet.ensemble.array_types import Floats, Positions
from quintet.ensemble.classifier import EnsembleClassifier
from quintet.model_folder.folder import OpenFolder
from quintet.model_folder.run import content_used
from quintet.predictions.predictions import Predictions, read_predictions

MOST_KEPT = 100
"""Training rows that an ensemble keeps of its fit."""


@dataclass(frozen=True)
class Background:
    """Training rows, and what the networks predict for them.

    Args:
        rows: `(m, d)` features.
        networks: network → probabilities `(m, K)`, out of fold.
        folds: `(m,)` the fold that predicts each row out of fold; None if it is not known.
    """

    rows: pd.DataFrame
    networks: Mapping[str, Floats]
    folds: Positions | None = None

    def draw(self, limit: int, seed: int) -> Background:
        """At most `limit` of the rows, drawn at random, in their order.

        Args:
            limit: most rows.
            seed: of the draw.
        """
        n_rows = len(self.rows)
        if n_rows <= limit:
            return self
        rng = np.random.default_rng(seed)
        chosen = np.sort(rng.choice(n_rows, limit, replace=False))
        networks = {name: values[chosen] for name, values in self.networks.items()}
        folds = None if self.folds is None else self.folds[chosen]
        return Background(self.rows.iloc[chosen], networks, folds)

    @classmethod
    def of_fit(cls, ensemble: EnsembleClassifier, table: pd.DataFrame) -> Background:
        """Rows of a fit: at most `MOST_KEPT` of those that were predicted out of fold.

        Args:
            ensemble: just fitted.
            table: the rows of its fit, `(n, d)`.
        """
        networks = {name: ensemble.oof_[name] for name in ensemble.members_ if not reads_table(name)}
        folds = np.zeros(len(ensemble.plan_.rows), dtype=np.intp)
        for k, (_, held_out) in enumerate(ensemble.plan_.folds):
            folds[held_out] = k
        whole = cls(table.iloc[ensemble.plan_.rows], networks, folds)
        return whole.draw(MOST_KEPT, ensemble.seed)

    @classmethod
    def of_folder(cls, folder: OpenFolder) -> Background:
        """All training rows of a model folder. With networks, those that have out-of-fold predictions.

        Args:
            folder: an open folder with a model.

        Raises:
            ArtefactError: a file has changed, or is not what was written.
        """
        with content_used(folder.files.root):
            return _read(folder)


def _read(folder: OpenFolder) -> Background:
    names, classes = folder.bundle["feature_names"], tuple(folder.bundle["classes"])
    split = folder.read_frame("split.parquet", ["id", "part"])
    trained = split.loc[split["part"] == "train", "id"]
    features = folder.read_frame("features.parquet", ["id", *names]).set_index("id")
    ids = features.index.intersection(pd.Index(trained), sort=False)
    networks: dict[str, Predictions] = {}
    for name in folder.bundle["members"]:
        file = f"predictions/oof/{name}.parquet"
        if not reads_table(name) and file in folder.files:
            found = read_predictions(folder.files.path(file), content=folder.files.read(file))
            networks[name] = found.in_classes(classes)
            ids = ids.intersection(pd.Index(found.clip_ids), sort=False)
    return Background(
        features.loc[ids, names],
        {name: found.take(list(ids)).probabilities.astype(np.float64) for name, found in networks.items()},
    )
