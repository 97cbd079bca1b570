"""Maps: clips in feature space, drawn flat."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.classifiers.networks.backend import load_keras
from quintet.errors import MissingExtraError
from quintet.reports.style import colour, new_figure, series

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def standardise_columns(features: pd.DataFrame) -> NDArray[np.float64]:
    """Columns with mean 0 and variance 1, gaps at the mean, constant columns left out; shape (n, columns that vary).

    Example:
        >>> standardise_columns(pd.DataFrame({"a": [1.0, 3.0], "b": [5.0, 5.0]})).tolist()
        [[-1.0], [1.0]]
    """
    values = features.to_numpy(dtype=np.float64)
    values = np.where(np.isfinite(values), values, np.nan)
    values = values[:, np.isfinite(values).any(axis=0)]
    mean, std = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    kept = std > 1e-12
    centred = (values[:, kept] - mean[kept]) / std[kept]
    return np.where(np.isfinite(centred), np.clip(centred, -8, 8), 0.0)


def principal_map(features: pd.DataFrame) -> tuple[pd.DataFrame, tuple[float, float]]:
    """The first two principal components of the standardised features, and the share of variance each explains.

    Returns:
        A table `x, y` indexed as `features`, and two shares in [0, 1]. The sign is fixed: the largest loading is positive.
    """
    values = standardise_columns(features)
    u, s, vt = np.linalg.svd(values, full_matrices=False)
    signs = np.sign(vt[np.arange(len(vt)), np.abs(vt).argmax(axis=1)])
    points = np.zeros((len(features), 2))
    width = min(2, len(s))
    points[:, :width] = (u * s * signs)[:, :width]
    shares = np.append(s**2 / max((s**2).sum(), 1e-300), [0.0, 0.0])
    return pd.DataFrame(points, columns=["x", "y"], index=features.index), (
        float(shares[0]),
        float(shares[1]),
    )


def neighbour_map(features: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """t-SNE of the standardised features: neighbours stay neighbours, distances between far points mean nothing.

    Returns:
        A table `x, y` indexed as `features`.

    Source:
        van der Maaten and Hinton, "Visualizing data using t-SNE", JMLR 2008; scikit-learn's implementation, PCA start.
    """
    from sklearn.manifold import TSNE

    values = _few_components(features, seed)
    perplexity = float(min(30, max(2, (len(values) - 1) / 3.5)))
    method = "exact" if len(values) <= 400 else "barnes_hut"
    points = TSNE(
        2,
        perplexity=perplexity,
        init=values[:, :2] / values[:, 0].std() * 1e-4,
        method=method,
        max_iter=600,
        random_state=seed,
        n_jobs=1,
    )
    points = points.fit_transform(values)
    return pd.DataFrame(points, columns=["x", "y"], index=features.index)


def umap_map(features: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """UMAP of the standardised features: as t-SNE, with more left of how groups of clips lie to one another.

    Returns:
        A table `x, y` indexed as `features`.

    Raises:
        MissingExtraError: umap-learn is not installed.

    Source:
        McInnes, Healy & Melville, "UMAP: uniform manifold approximation and projection for dimension reduction", 2018; umap-learn, PCA start.
    """
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # it tells of what it was not asked for: TensorFlow, threads, sparse neighbours
        load_keras()  # umap brings TensorFlow along, which would talk while it is loaded
        try:
            from umap import UMAP
        except ImportError as error:
            raise MissingExtraError("A UMAP map", "umap") from error
        values = _few_components(features, seed)
        mapper = UMAP(n_neighbors=min(15, len(values) - 1), init="pca", random_state=seed, n_jobs=1)
        points = np.asarray(mapper.fit_transform(values), dtype=np.float64)
    return pd.DataFrame(points, columns=["x", "y"], index=features.index)


def _few_components(features: pd.DataFrame, seed: int) -> NDArray[np.float64]:
    """At most thirty principal components of the standardised features: what lies beyond is mostly noise."""
    from sklearn.decomposition import PCA

    values = standardise_columns(features)
    return np.asarray(PCA(min(30, *values.shape), random_state=seed).fit_transform(values))


def map_figure(
    points: pd.DataFrame,
    labels: Sequence[str],
    classes: Sequence[str],
    *,
    wrong: Sequence[bool],
    axis_names: tuple[str, str] = ("", ""),
) -> Figure:
    """Points by class (colour and marker), misclassified ones ringed; every point has the gid `point-i`.

    Args:
        points: columns `x, y`.
        labels: true class per point.
        classes: order of the classes, which fixes colours and markers.
        wrong: whether the verdict on a point is wrong.
    """
    figure = new_figure(400)
    axes = figure.subplots()
    place = {name: k for k, name in enumerate(classes)}
    for i, (x, y) in enumerate(points[["x", "y"]].to_numpy()):
        paint, marker = series(place[labels[i]])
        axes.plot(x, y, marker, color=paint, markersize=5.5, alpha=0.85, markeredgewidth=0, gid=f"point-{i}")
        if wrong[i]:
            axes.plot(
                x,
                y,
                "o",
                markerfacecolor="none",
                markeredgecolor=colour("ink"),
                markersize=10.5,
                markeredgewidth=1.2,
            )
    axes.set(xticks=(), yticks=(), xlabel=axis_names[0], ylabel=axis_names[1])
    axes.xaxis.label.set(color=colour("muted"), fontsize=10)
    axes.yaxis.label.set(color=colour("muted"), fontsize=10)
    axes.margins(0.05)
    for spine in axes.spines.values():
        spine.set(color=colour("rule"))
    axes.patch.set_alpha(0)
    return figure
