"""Two-dimensional maps of clips in feature space: principal components, t-SNE and UMAP."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd

from quintet.errors import MissingExtraError
from quintet.explanation.contracts import Floats, Positions
from quintet.explanation.neighbours import standardise

MAX_COMPONENTS = 30
"""Principal components that t-SNE and UMAP receive. The components beyond are mostly noise."""

EXACT_CLIPS = 400
"""Number of clips up to which t-SNE is computed without the Barnes-Hut approximation."""
FULL_PCA, TALL, OVERSAMPLES = 500, 10, 10
"""Most clips and columns that are decomposed as a whole; clips per column from which scikit-learn decomposes
the covariance; columns of the random subspace beyond the components."""
ITERATIONS, EARLY_ITERATIONS, EXAGGERATION, PATIENCE = 600, 250, 12.0, 300
"""Steps of t-SNE; those at the start, in which neighbours attract each other so many times as much; steps
without progress after which it ends."""
CHECKED_ITERATIONS, LEAST_SLOPE = 50, 1e-7
"""Steps between two looks at the progress, and the norm of a gradient with which t-SNE ends."""
TINY = float(np.finfo(np.float64).eps)


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
    values = _main_components(features, seed)
    if values.shape[1] < 2:  # t-SNE starts from two components
        values = np.pad(values, ((0, 0), (0, 2 - values.shape[1])))
    spread = float(values[:, 0].std())
    perplexity = float(min(30, max(2, (len(values) - 1) / 3.5)))
    start = values[:, :2] / (spread or 1.0) * 1e-4
    if len(values) <= EXACT_CLIPS:
        return _table(exact_tsne(values, start, perplexity), features)
    from sklearn.manifold import TSNE

    tsne = TSNE(2, perplexity=perplexity, init=start, max_iter=ITERATIONS, random_state=seed, n_jobs=1)
    return _table(tsne.fit_transform(values), features)


def exact_tsne(values: Floats, start: Floats, perplexity: float) -> Floats:
    """t-SNE without approximation, without the second that scikit-learn takes to import.

    Args:
        values: `(n, d)`.
        start: places to begin with, `(n, 2)`.
        perplexity: number of neighbours of each clip, less than n.

    Returns:
        Places `(n, 2)`.

    Source:
        Equal to `sklearn.manifold.TSNE(method="exact")` to the last bit. Every operation is scikit-learn's,
        in its order: t-SNE is chaotic, and a difference of one bit gives another map.
    """
    near = _joint_shares(values, perplexity)
    near *= EXAGGERATION
    places, last = _descend(start.ravel(), near, momentum=0.5, first=0, end=EARLY_ITERATIONS)
    near /= EXAGGERATION
    places, _ = _descend(places, near, momentum=0.8, first=last + 1, end=ITERATIONS)
    return places.reshape(len(values), 2)


def _joint_shares(values: Floats, perplexity: float) -> Floats:
    """How much each pair of rows are neighbours, `(n, n)`: Gaussians of the wanted perplexity."""
    from quintet.explanation.shapley.compiled import fill_neighbour_shares

    squares = np.einsum("ij,ij->i", values, values)
    distances = -2 * (values @ values.T)
    distances += squares[:, None]
    distances += squares[None]
    np.maximum(distances, 0, out=distances)
    np.fill_diagonal(distances, 0)
    shares = np.zeros(distances.shape)
    fill_neighbour_shares(distances.astype(np.float32), float(np.float32(perplexity)), shares)
    both = shares + shares.T
    return np.asarray(np.maximum(both / np.maximum(np.sum(both), TINY), TINY))


def _descend(start: Floats, near: Floats, *, momentum: float, first: int, end: int) -> tuple[Floats, int]:
    """Places `(2 n,)` after the steps `first` to `end`, or fewer without progress, and the last step."""
    places = start.copy()
    n_clips = len(places) // 2
    pairs = np.ravel_multi_index(np.triu_indices(n_clips, 1), (n_clips, n_clips))
    rate = max(n_clips / EXAGGERATION / 4, 50)
    patience = PATIENCE if first else EARLY_ITERATIONS
    update, gains = np.zeros_like(places), np.ones_like(places)
    best, best_at, step = np.inf, first, first
    for step in range(first, end):
        is_checked = (step + 1) % CHECKED_ITERATIONS == 0
        loss, slope = _divergence(places.reshape(n_clips, 2), near, pairs, with_loss=is_checked)
        falls = update * slope < 0.0
        gains[falls] += 0.2
        gains[~falls] *= 0.8
        np.clip(gains, 0.01, np.inf, out=gains)
        slope *= gains
        update = momentum * update - rate * slope
        places += update
        if not is_checked:
            continue
        if loss < best:
            best, best_at = loss, step
        elif step - best_at > patience:
            break
        if np.linalg.norm(slope) <= LEAST_SLOPE:
            break
    return places, step


def _divergence(places: Floats, near: Floats, pairs: Positions, *, with_loss: bool) -> tuple[float, Floats]:
    """Kullback-Leibler divergence of a map from the shares `near`, and its gradient `(2 n,)`.

    Sums run over the flat positions `pairs` of the pairs of clips, in the order of scikit-learn.
    """
    x, y = places.T
    closeness = (x[:, None] - x) ** 2 + (y[:, None] - y) ** 2
    closeness += 1.0
    closeness **= -1.0
    shares = np.maximum(closeness / (2.0 * np.sum(closeness.take(pairs))), TINY)
    loss = np.nan
    if with_loss:
        own, on_map = near.take(pairs), shares.take(pairs)
        loss = 2.0 * float(np.dot(own, np.log(np.maximum(own, TINY) / on_map)))
    pull = (near - shares) * closeness
    away = places[:, None] - places
    slope = np.matmul(pull[:, None], away).ravel()  # a product per clip: the bits of scikit-learn's loop
    slope *= 4.0
    return loss, slope


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
    values = standardise_columns(features)
    components = min(MAX_COMPONENTS, *values.shape)
    if not components:
        return values
    if len(values) >= TALL * values.shape[1]:
        from sklearn.decomposition import PCA

        return np.asarray(PCA(components, random_state=seed).fit_transform(values))
    is_randomised = max(values.shape) > FULL_PCA and components < 0.8 * min(values.shape)
    return (
        _randomised_components(values, components, seed) if is_randomised else _components(values, components)
    )


def _components(values: Floats, n: int) -> Floats:
    """Principal components, from the whole decomposition; equal to the last bit to scikit-learn's `PCA`."""
    from scipy.linalg import svd

    u, s, vt = svd(values - np.mean(values, axis=0), full_matrices=False)
    u *= _row_signs(vt)
    return np.asarray(u[:, :n] * s[:n])


def _randomised_components(values: Floats, n: int, seed: int) -> Floats:
    """The same for large matrices, from a random subspace (Halko et al. 2009), as scikit-learn chooses it."""
    from scipy.linalg import lu, qr, svd

    matrix = values - np.mean(values, axis=0)
    n_rounds = 7 if n < 0.1 * min(matrix.shape) else 4
    is_wide = matrix.shape[0] < matrix.shape[1]
    if is_wide:
        matrix = matrix.T
    basis = np.random.RandomState(seed).normal(size=(matrix.shape[1], n + OVERSAMPLES))
    for _ in range(n_rounds):
        basis, _ = lu(matrix @ basis, permute_l=True, check_finite=False)
        basis, _ = lu(matrix.T @ basis, permute_l=True, check_finite=False)
    basis, _ = qr(matrix @ basis, mode="economic", check_finite=False)
    inner, s, vt = svd(basis.T @ matrix, full_matrices=False)
    u = basis @ inner
    left, right = (vt[:n].T, u[:, :n].T) if is_wide else (u[:, :n], vt[:n])
    left *= _row_signs(right)
    left *= s[:n]
    return np.asarray(left)


def _row_signs(rows: Floats) -> Floats:
    """The sign of the largest number of each row."""
    return np.asarray(np.sign(rows[np.arange(len(rows)), np.abs(rows).argmax(axis=1)]))
