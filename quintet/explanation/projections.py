"""Two-dimensional maps of clips in feature space: principal components, t-SNE and UMAP."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd

from quintet.errors import MissingExtraError
from quintet.explanation.contracts import Floats
from quintet.explanation.neighbours import standardise

MAX_COMPONENTS = 30
"""Principal components that t-SNE and UMAP receive. The components beyond are mostly noise."""

EXACT_CLIPS = 400
"""Number of clips up to which t-SNE is computed without the Barnes-Hut approximation."""


def standardise_columns(features: pd.DataFrame) -> Floats:
    """Columns with mean 0 and variance 1, clipped to ±8, shape (n, columns that vary).

    Missing values lie at the mean. Constant columns are left out.

    Example:
        >>> standardise_columns(pd.DataFrame({"a": [1.0, 3.0], "b": [5.0, 5.0]})).tolist()
        [[-1.0], [1.0]]
    """
    return standardise(features, features)


def principal_map(features: pd.DataFrame) -> tuple[pd.DataFrame, tuple[float, float]]:
    """The first two principal components of the standardised features.

    The sign is fixed: the largest loading is positive.

    Returns:
        A table `x, y` indexed as `features`, and the share of variance of each component, in [0, 1].
    """
    values = standardise_columns(features)
    u, s, vt = np.linalg.svd(values, full_matrices=False)
    largest = np.abs(vt).argmax(axis=1)
    loadings = vt[np.arange(len(vt)), largest]
    components = u * s * np.sign(loadings)
    width = min(2, len(s))
    points = np.zeros((len(features), 2))
    points[:, :width] = components[:, :width]
    variance = s**2
    shares = variance / max(variance.sum(), 1e-300)
    first, second = np.append(shares, [0.0, 0.0])[:2]
    return _table(points, features), (float(first), float(second))


def neighbour_map(features: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """t-SNE of the standardised features: near clips stay near, and large distances mean nothing.

    Args:
        features: (n, d), one row per clip.
        seed: seed of the components and of t-SNE.

    Returns:
        A table `x, y` indexed as `features`.

    Source:
        van der Maaten and Hinton, "Visualizing data using t-SNE", JMLR 2008; scikit-learn's implementation,
        which starts from the principal components here.
    """
    from sklearn.manifold import TSNE

    values = _main_components(features, seed)
    if values.shape[1] < 2:  # t-SNE starts from two components
        values = np.pad(values, ((0, 0), (0, 2 - values.shape[1])))
    spread = float(values[:, 0].std())
    perplexity = float(min(30, max(2, (len(values) - 1) / 3.5)))
    tsne = TSNE(
        2,
        perplexity=perplexity,
        init=values[:, :2] / (spread or 1.0) * 1e-4,
        method="exact" if len(values) <= EXACT_CLIPS else "barnes_hut",
        max_iter=600,
        random_state=seed,
        n_jobs=1,
    )
    return _table(tsne.fit_transform(values), features)


def umap_map(features: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """UMAP of the standardised features: like t-SNE, but the places of whole groups of clips mean more.

    Args:
        features: (n, d), one row per clip.
        seed: seed of the components and of UMAP.

    Returns:
        A table `x, y` indexed as `features`.

    Raises:
        MissingExtraError: if umap-learn is not installed.

    Source:
        McInnes, Healy & Melville, "UMAP: uniform manifold approximation and projection for dimension
        reduction", 2018; umap-learn, which starts from the principal components here.
    """
    with warnings.catch_warnings():
        # umap-learn warns about TensorFlow, threads and sparse neighbours
        warnings.simplefilter("ignore")
        try:
            with _without_tensorflow():
                from umap import UMAP
        except ImportError as error:
            raise MissingExtraError("A UMAP map", "umap") from error
        values = _main_components(features, seed)
        mapper = UMAP(n_neighbors=min(15, len(values) - 1), init="pca", random_state=seed, n_jobs=1)
        points = np.asarray(mapper.fit_transform(values), dtype=np.float64)
    return _table(points, features)


@contextmanager
def _without_tensorflow() -> Iterator[None]:
    """Let `import umap` leave out its part that imports TensorFlow, which takes seconds and is not used."""
    name = "umap.parametric_umap"
    is_new = name not in sys.modules
    if is_new:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if is_new:
            del sys.modules[name]


def _table(points: Floats, features: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(points, columns=["x", "y"], index=features.index)


def _main_components(features: pd.DataFrame, seed: int) -> Floats:
    """At most `MAX_COMPONENTS` principal components of the standardised features."""
    from sklearn.decomposition import PCA

    values = standardise_columns(features)
    components = min(MAX_COMPONENTS, *values.shape)
    if not components:
        return values
    return np.asarray(PCA(components, random_state=seed).fit_transform(values))
