"""Maps of clips are scikit-learn's to the last bit: t-SNE is chaotic, and nothing less gives the same map."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from quintet.explanation import projections
from quintet.explanation.projections import MAX_COMPONENTS, exact_tsne, neighbour_map, standardise_columns


def clips(n: int, d: int) -> pd.DataFrame:
    rng = np.random.default_rng(n)
    values = rng.normal(size=(n, d)) @ np.diag(1 / np.arange(1, d + 1))
    values[: n // 2] += 0.5
    return pd.DataFrame(values)


@pytest.mark.parametrize(("n", "d"), [(50, 20), (120, 5), (30, 700), (600, 40), (600, 70), (8, 3), (510, 33)])
def test_components_are_those_of_scikit_learn(n: int, d: int) -> None:
    features = clips(n, d)
    values = standardise_columns(features)
    expected = PCA(min(MAX_COMPONENTS, *values.shape), random_state=3).fit_transform(values)
    np.testing.assert_array_equal(projections._main_components(features, 3), expected)


@pytest.mark.parametrize(("n", "perplexity"), [(45, 12.6), (12, 3.1), (70, 30.0)])
def test_maps_are_those_of_scikit_learn(n: int, perplexity: float) -> None:
    values = standardise_columns(clips(n, 6))
    start = values[:, :2] * 1e-4
    expected = TSNE(2, perplexity=perplexity, init=start.copy(), method="exact", max_iter=600).fit_transform(
        values
    )
    np.testing.assert_array_equal(exact_tsne(values, start, perplexity), expected)


def test_clips_of_one_kind_lie_together() -> None:
    features = clips(40, 8)
    features.iloc[:20] += 4.0
    places = neighbour_map(features).to_numpy()
    centres = places[:20].mean(axis=0), places[20:].mean(axis=0)
    nearest = [np.argmin([np.linalg.norm(place - centre) for centre in centres]) for place in places]
    assert nearest == [0] * 20 + [1] * 20
