"""Hybrids of clips and background clips, predicted by one walk per tree: as if their rows were mixed."""

from __future__ import annotations

import numpy as np
import pytest

from quintet.explanation.shapley import sampled_shapley
from quintet.explanation.shapley.forests import Mixture, TreeWalk
from quintet.frozen.quick_table import QuickTable
from tests.frozen.test_table_member import freeze


@pytest.mark.parametrize("kind", ["random_forest", "xgboost"])
@pytest.mark.parametrize("n_classes", [2, 4, -3], ids=["two", "four", "label_sets"])
@pytest.mark.parametrize("n_players", [1, 62, 63])
def test_hybrids_are_predicted_as_their_mixed_rows(
    kind: str, n_classes: int, n_players: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen, _, table = freeze(kind, n_classes)
    rng = np.random.default_rng(0)
    rows, background = frozen.prepare(table.iloc[:5]), frozen.prepare(table.iloc[20:24])
    clips, backgrounds = np.repeat(rng.integers(0, 5, 8), 6), np.repeat(rng.integers(0, 4, 8), 6)
    player = rng.integers(0, n_players, rows.shape[1])
    mixture = Mixture(rows, background, clips, backgrounds, rng.random((48, n_players)) < 0.5, player)
    mixed = np.where(mixture.present[:, player], rows[clips], background[backgrounds])
    walk = QuickTable(frozen, TreeWalk)
    expected = walk.predict_prepared(mixed)
    if n_players <= 62:  # then no row is mixed
        monkeypatch.setattr(walk, "predict_prepared", None)
    received = sampled_shapley._predict_mixture(walk, mixture)
    np.testing.assert_array_equal(received, expected)
    np.testing.assert_allclose(received, QuickTable(frozen).predict_prepared(mixed), atol=1e-6)
    assert len(np.unique(received.round(9), axis=0)) > 1
