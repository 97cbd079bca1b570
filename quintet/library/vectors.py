"""The space of songs: a short vector per sound, in which near songs sound alike.

Features are standardised, and their 64 strongest principal components are kept. The features are the
embeddings of pretrained networks if the library has them, or else the hand-made ones. The components stay as
they are until the library has grown by a quarter, so that adding a song projects one vector.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from quintet.files.atomic import atomic_replace
from quintet.library.feature_parts import DIGEST
from quintet.library.store import Library
from quintet.library.stored import damaged, read_columns

DIMENSIONS = 64
LEARNT_FROM = 20_000
"""Songs from which the components are learnt, drawn at random if there are more."""
GROWTH = 1.25
"""Growth of the library after which the components are learnt anew."""
FURTHEST = 5.0
"""Standardised features are cut at so many standard deviations."""

SPACE_FILE, VECTORS_FILE = "space.parquet", "vectors.parquet"
REMEDY = "Remove it and scan again."
_FACTS = b"quintet.space"
_NUMBER = re.compile(rb"\d{1,9}")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Space:
    """How features become a vector.

    Args:
        names: features, length d.
        mean: their means.
        scale: their standard deviations.
        components: `(d, k)`.
        n_songs: songs that were there when it was learnt.
    """

    names: tuple[str, ...]
    mean: Floats
    scale: Floats
    components: Floats
    n_songs: int

    def project(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Vectors of length 1 `(n, k)` of features `(n, d)`."""
        standard = np.clip((values - self.mean) / self.scale, -FURTHEST, FURTHEST)
        # Not by matrix product, whose last bits depend on the number of rows: a song's vector is its own.
        # They depend on the layout of the components, too, which is another one after reading.
        components = np.ascontiguousarray(self.components)
        vectors = np.einsum("nd,dk->nk", np.nan_to_num(standard), components)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.maximum(norms, 1e-12), np.float32)


def space_columns(feature_names: list[str]) -> list[str]:
    """The features that span the space.

    Args:
        feature_names: names of all features.

    Example:
        >>> space_columns(["temporal.rms.mean", "embedding_x.1.mean", "embedding_x.1.std"])
        ['embedding_x.1.mean']
    """
    from quintet.features.embedding_columns import split_column  # it imports pydantic; readers need neither

    parts = {name: split_column(name) for name in feature_names}
    embeddings = [
        name
        for name, part in parts.items()
        if part is not None and not part.is_tag and part.statistic != "std"
    ]
    return embeddings or [name for name, part in parts.items() if part is None]


def learn_space(names: list[str], values: NDArray[np.float32], n_songs: int) -> Space:
    """The space of these songs.

    Args:
        names: features.
        values: their values `(n, d)`.
        n_songs: songs of the library.
    """
    mean = values.mean(axis=0, dtype=np.float64)
    scale = values.std(axis=0, dtype=np.float64)
    scale = np.where(scale > 1e-9 * np.maximum(1.0, np.abs(mean)), scale, np.inf)
    standard = np.clip((values - mean) / scale, -FURTHEST, FURTHEST)
    with threadpool_limits(limits=1, user_api="blas"):  # the last bits depend on the number of threads
        _, vectors = np.linalg.eigh(standard.T @ standard)
    strongest = vectors[:, ::-1][:, :DIMENSIONS]
    signs = np.sign(strongest[np.abs(strongest).argmax(axis=0), np.arange(strongest.shape[1])])
    return Space(tuple(names), mean, scale, strongest * signs, n_songs)


def update_vectors(library: Library) -> None:
    """Give every sound a vector. The caller holds the lock.

    Args:
        library: the library, whose features are complete.
    """
    names = space_columns(library.facts.feature_names)
    wanted = dict.fromkeys(library.table("songs").column("audio_digest").to_pylist())
    if not wanted or not names:
        return
    space = read_space(library.folder)
    known: dict[str, NDArray[np.float32]] = {}
    if space is not None and space.names == tuple(names) and len(wanted) <= GROWTH * space.n_songs:
        digests, vectors = read_vectors(library.folder)
        if vectors.shape[1] == space.components.shape[1]:
            known = dict(zip(digests, vectors, strict=True))
    else:
        some = list(wanted)
        if len(some) > LEARNT_FROM:
            places = np.random.default_rng(0).choice(len(some), LEARNT_FROM, replace=False)
            some = [some[k] for k in places]
        values = library.feature_parts.read(some, names)
        values = values[~np.isnan(values).any(axis=1)]
        if not len(values):
            return
        space = learn_space(names, values, len(wanted))
        _write_space(library.folder, space)
    missing = [digest for digest in wanted if digest not in known]
    for some in library.feature_parts.by_part(missing):
        values = library.feature_parts.read(some, names)
        known |= dict(zip(some, space.project(values), strict=True))
    kept = [digest for digest in wanted if digest in known]
    if missing or len(kept) != len(known):
        _write_vectors(library.folder, kept, np.stack([known[digest] for digest in kept]))


def read_space(folder: Path) -> Space | None:
    """The space of a library; None if it has none.

    Args:
        folder: the library.

    Raises:
        ArtefactError: the file is damaged.
    """
    path = folder / SPACE_FILE
    if not path.is_file():
        return None
    table = read_columns(path, ["feature"], remedy=REMEDY)
    if len(table.column_names) < 4:
        raise damaged(path, "it has no components", REMEDY)
    facts = (table.schema.metadata or {}).get(_FACTS, b"")
    n_songs = int(facts) if _NUMBER.fullmatch(facts) else 0
    mean, scale, *components = _numbers(table)
    matrix = np.reshape(components, (len(components), -1)).T
    return Space(tuple(table.column("feature").to_pylist()), mean, scale, matrix, n_songs)


def read_digests(folder: Path) -> pa.Array:
    """Digests of the sounds that have vectors, in their order; no vector is read.

    Args:
        folder: the library.

    Raises:
        ArtefactError: the file is damaged.
    """
    path = folder / VECTORS_FILE
    if not path.is_file():
        return pa.nulls(0, pa.string())
    return read_columns(path, [DIGEST], [], remedy=REMEDY).column(DIGEST).combine_chunks()


def read_vectors(folder: Path) -> tuple[list[str], NDArray[np.float32]]:
    """Digests of sounds and their vectors `(n, k)`, of length 1.

    Args:
        folder: the library.

    Raises:
        ArtefactError: the file is damaged.
    """
    path = folder / VECTORS_FILE
    if not path.is_file():
        return [], np.empty((0, DIMENSIONS), np.float32)
    table = read_columns(path, [DIGEST], remedy=REMEDY)
    vectors = np.column_stack(_numbers(table)).astype(np.float32)
    if not np.isfinite(vectors).all():
        raise damaged(path, "a vector is not finite", REMEDY)
    return table.column(DIGEST).to_pylist(), vectors


def _numbers(table: pa.Table) -> list[Floats]:
    """All columns but the first."""
    return [table.column(name).to_numpy() for name in table.column_names[1:]]


def _write_space(folder: Path, space: Space) -> None:
    columns: dict[str, object] = {"feature": list(space.names), "mean": space.mean, "scale": space.scale}
    columns |= {f"component_{k:02d}": column for k, column in enumerate(space.components.T)}
    table = pa.table(columns).replace_schema_metadata({_FACTS: str(space.n_songs)})
    with atomic_replace(folder / SPACE_FILE) as temporary:
        pq.write_table(table, temporary)


def _write_vectors(folder: Path, digests: list[str], vectors: NDArray[np.float32]) -> None:
    columns: dict[str, object] = {DIGEST: digests}
    columns |= {f"v{k:02d}": column for k, column in enumerate(vectors.T)}
    with atomic_replace(folder / VECTORS_FILE) as temporary:
        pq.write_table(pa.table(columns), temporary, compression="zstd", use_dictionary=False)
