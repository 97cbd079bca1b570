"""A map of all songs: a point per sound, near sounds near each other.

Up to `LANDMARKS` sounds lie where t-SNE puts them. In a larger library t-SNE places so many sounds, drawn at
random, and every other one lies between the nearest of them. The map is kept beside the library, and is made
anew if the sounds have changed.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from quintet.audio.isolation.calls import call_isolated
from quintet.errors import QuintetError
from quintet.files.atomic import atomic_replace
from quintet.files.untrusted.parquet import PARQUET_ERRORS, read_parquet
from quintet.serving.browser.columns import numbers

MAP_FILE = "map.parquet"
LANDMARKS = 1_500
NEIGHBOURS = 5
PERPLEXITY = 30.0
FEWEST = 5
"""Sounds below which the first two components are the map."""
_KEY = b"quintet.sounds"

Floats = NDArray[np.float32]


def first_map(vectors: Floats) -> Floats:
    """A map that costs nothing: the first two components of the vectors, in [0, 1].

    Args:
        vectors: `(n, k)`, the strongest component first.

    Example:
        >>> first_map(np.array([[1, 0, 9], [0, 2, 9]], np.float32)).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    points = np.zeros((len(vectors), 2), np.float32)
    width = min(2, vectors.shape[1])
    points[:, :width] = vectors[:, :width]
    return _into_square(points)


def embed(vectors: Floats, seed: int = 0) -> Floats:
    """The map of vectors of length 1, in [0, 1]; a worker process calls it.

    Args:
        vectors: `(n, k)`.
        seed: of the landmarks and of t-SNE.

    Returns:
        Points `(n, 2)`.
    """
    if len(vectors) < FEWEST:
        return first_map(vectors)
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(seed)
    n = len(vectors)
    chosen = np.arange(n) if n <= LANDMARKS else np.sort(rng.choice(n, LANDMARKS, replace=False))
    landmarks = vectors[chosen]
    perplexity = min(PERPLEXITY, (len(landmarks) - 1) / 3)
    with threadpool_limits(
        limits=1
    ):  # threads that wait for each other on busy cores take fifty times as long
        placed = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(landmarks)
    points = np.empty((n, 2), np.float32)
    for start in range(0, n, 4096):
        part = vectors[start : start + 4096]
        points[start : start + len(part)] = _between(part, landmarks, placed)
    points[chosen] = placed
    spread = np.ptp(placed, axis=0) / 400
    moved = np.ones(n, bool)
    moved[chosen] = False
    points[moved] += rng.normal(size=(int(moved.sum()), 2)).astype(np.float32) * spread
    return _into_square(points)


def read_map(folder: Path, digests: list[str]) -> Floats | None:
    """The map of a library, if it is one of these sounds.

    Args:
        folder: the library.
        digests: the sounds, in the order of the vectors.
    """
    path = folder / MAP_FILE
    if not path.is_file():
        return None
    with suppress(*PARQUET_ERRORS, OSError, QuintetError):
        table = read_parquet(path)
        if (table.schema.metadata or {}).get(_KEY) == _key(digests) and table.num_rows == len(digests):
            points = np.column_stack([numbers(table.column(name)) for name in ("x", "y")]).astype(np.float32)
            return points if ((points >= 0) & (points <= 1)).all() else None
    return None


def make_map(folder: Path, digests: list[str], vectors: Floats) -> Floats:
    """Compute the map of a library in a worker process, and keep it if the library can be written.

    Args:
        folder: the library.
        digests: the sounds.
        vectors: their vectors `(n, k)`.

    Raises:
        AudioError: the worker process was lost.
    """
    points = call_isolated(embed, vectors)
    table = pa.table({"audio_digest": digests, "x": points[:, 0], "y": points[:, 1]})
    with suppress(OSError), atomic_replace(folder / MAP_FILE) as temporary:
        pq.write_table(table.replace_schema_metadata({_KEY: _key(digests)}), temporary)
    return points


def _between(part: Floats, landmarks: Floats, placed: Floats) -> Floats:
    """Points between the nearest landmarks, the nearer the heavier."""
    similarity = part @ landmarks.T
    near = np.argpartition(-similarity, NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS]
    weights = np.take_along_axis(similarity, near, axis=1)
    weights = np.exp(20 * (weights - weights.max(axis=1, keepdims=True)))
    weights /= weights.sum(axis=1, keepdims=True)
    return np.asarray((placed[near] * weights[:, :, None]).sum(axis=1), np.float32)


def _into_square(points: Floats) -> Floats:
    """Points moved and stretched into [0, 1], each axis by itself."""
    least, extent = points.min(axis=0, initial=np.inf), np.ptp(points, axis=0) if len(points) else 1.0
    return (
        np.asarray((points - least) / np.where(extent == 0, 1, extent), np.float32) if len(points) else points
    )


def _key(digests: list[str]) -> bytes:
    return hashlib.sha256("\n".join(digests).encode()).hexdigest().encode()
