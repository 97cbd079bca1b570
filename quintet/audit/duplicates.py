"""Clips that are one recording, by four kinds of evidence, and the groups that follow from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from quintet.audio.clip import Clip
from quintet.audio.decode import ClipSource
from quintet.audit.alignment import align
from quintet.audit.candidates import candidate_pairs
from quintet.audit.fingerprints import HOP_S, RATE, Fingerprint

SAME_AUDIO, SAME_ROW, SAME_SOUND = "same audio", "same row", "same recording"
KINDS = {
    SAME_AUDIO: "the decoded samples are equal",
    SAME_ROW: "the feature rows are equal",
    SAME_SOUND: "the same recording after re-encoding, gain or trimming",
}
PAIR_COLUMNS = ("first", "second", "kind", "agreement", "shift_s")
AGREEMENT = 0.8  # copies reach 0.92 and more, two takes of one drum 0.7
ROW_TOLERANCE = 1e-4  # of a column's standard deviation
MIN_COLUMNS = 8  # equal rows of fewer numbers prove nothing
CACHED_CLIPS = 64


def empty_pairs() -> pd.DataFrame:
    """A table of pairs without rows: first, second, kind, agreement, shift_s."""
    return pd.DataFrame(
        {
            name: pd.Series(dtype="float64" if name in ("agreement", "shift_s") else "str")
            for name in PAIR_COLUMNS
        }
    )


def _pairs(
    first: Sequence[str],
    second: Sequence[str],
    kind: str,
    agreement: Sequence[float],
    shift_s: Sequence[float],
) -> pd.DataFrame:
    if not len(first):
        return empty_pairs()
    return pd.DataFrame(
        {
            "first": list(first),
            "second": list(second),
            "kind": kind,
            "agreement": np.asarray(agreement, float),
            "shift_s": np.asarray(shift_s, float),
        }
    )


def find_equal_digests(digests: pd.Series) -> pd.DataFrame:
    """Pairs of clips whose decoded audio is equal: each repetition with the first of its kind.

    Args:
        digests: indexed by clip id; missing ones are equal to nothing.

    Example:
        >>> find_equal_digests(pd.Series({"a": "07", "b": "1f", "c": "07"}))[["first", "second"]].values.tolist()
        [['a', 'c']]
    """
    known = digests.dropna()
    first = known.groupby(known).transform(lambda same: same.index[0])
    again = first[first != first.index]
    return _pairs(
        again.tolist(),
        again.index.tolist(),
        SAME_AUDIO,
        np.ones(len(again)).tolist(),
        np.zeros(len(again)).tolist(),
    )


def find_equal_rows(features: pd.DataFrame) -> pd.DataFrame:
    """Pairs of clips whose features are equal but for rounding: `|a_j - b_j| <= 1e-4 sd_j + 1e-6 |a_j|` in every column j.

    Rows are sorted along one random direction, in which equal rows must be neighbours, so that only neighbours are compared.

    Args:
        features: `(clips, features)`, finite, indexed by clip id. With fewer than eight columns that vary, nothing is reported.

    Example:
        >>> table = pd.DataFrame(np.random.default_rng(0).normal(size=(5, 10)), index=list("abcde"))
        >>> table.loc["d"] = table.loc["b"] + 1e-6
        >>> find_equal_rows(table)[["first", "second"]].values.tolist()
        [['b', 'd']]
    """
    values = features.to_numpy(np.float64)
    spread = values.std(axis=0) if len(values) else np.zeros(values.shape[1])
    varies = spread > 1e-9 * np.abs(values).max(axis=0, initial=0.0)
    if varies.sum() < MIN_COLUMNS:
        return empty_pairs()
    scaled = (values[:, varies] - values[:, varies].mean(axis=0)) / spread[varies]
    tolerance = ROW_TOLERANCE + 1e-6 * np.abs(values[:, varies]).max(axis=0) / spread[varies]
    found = np.array(_neighbours(scaled, tolerance), dtype=np.int64).reshape(-1, 2)
    ids = features.index.to_numpy()
    return _pairs(
        ids[found[:, 0]].tolist(),
        ids[found[:, 1]].tolist(),
        SAME_ROW,
        np.ones(len(found)).tolist(),
        np.full(len(found), np.nan).tolist(),
    )


def _neighbours(rows: NDArray[np.float64], tolerance: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Positions (a < b) of rows that differ by no more than the tolerance in every column; of equal rows, each with the first."""
    direction = np.random.default_rng(0).normal(size=rows.shape[1])
    along = rows @ direction
    reach = float(np.abs(direction) @ tolerance)
    order = np.argsort(along, kind="stable")
    found: dict[int, int] = {}
    for k in range(1, len(rows)):
        near = np.flatnonzero(along[order[k:]] - along[order[:-k]] <= reach)
        if not len(near):
            break
        a, b = order[near], order[near + k]
        equal = (np.abs(rows[a] - rows[b]) <= tolerance).all(axis=1)
        for low, high in zip(np.minimum(a, b)[equal].tolist(), np.maximum(a, b)[equal].tolist(), strict=True):
            found[high] = min(low, found.get(high, low))
    return sorted((low, high) for high, low in found.items())


def find_same_recordings(sources: Sequence[ClipSource], prints: Sequence[Fingerprint]) -> pd.DataFrame:
    """Pairs of clips that are one recording after re-encoding, gain or trimming.

    Those that share marks are read again, at 8 kHz, laid over one another, and must agree by at least 0.8. Changes of speed and
    pitch are not seen through.

    Args:
        sources: the clips, `(n,)`, with ids.
        prints: their fingerprints, `(n,)`.

    Returns:
        One row per pair: first, second, kind, agreement, and `shift_s`: where the second begins in the first.
    """
    candidates = candidate_pairs(prints)
    load = lru_cache(maxsize=CACHED_CLIPS)(_load)
    order = np.lexsort((candidates.second, candidates.first))
    rows = []
    for first, second, _, shift in (np.stack(candidates, axis=1)[order]).tolist():
        found = align(load(sources[first]), load(sources[second]), near_s=(shift + 0.5) * HOP_S)
        if found.agreement >= AGREEMENT:
            rows.append((sources[first].key, sources[second].key, found.agreement, found.shift_s))
    first_ids, second_ids, agreements, shifts = zip(*rows, strict=True) if rows else ((), (), (), ())
    return _pairs(first_ids, second_ids, SAME_SOUND, agreements, shifts)


def _load(source: ClipSource) -> Clip:
    return source.load(sample_rate=RATE).clip


def join_groups(
    ids: Sequence[str], pairs: pd.DataFrame, *, known: Mapping[str, str] | None = None
) -> pd.Series:
    """The group of every clip: connected through pairs, and through the groups that were known before.

    A group is called by the first of its known groups, in alphabetical order, or by the first of its ids where none is known.

    Args:
        ids: all clips.
        pairs: with the columns `first` and `second`.
        known: clip id → group, where groups are known.

    Returns:
        Indexed by id.

    Example:
        >>> pairs = pd.DataFrame({"first": ["a"], "second": ["c"]})
        >>> join_groups(list("abcd"), pairs).to_dict()
        {'a': 'a', 'b': 'b', 'c': 'a', 'd': 'd'}
        >>> join_groups(list("abcd"), pairs, known={"a": "X", "b": "X", "c": "Y", "d": "Z"}).to_dict()
        {'a': 'X', 'b': 'X', 'c': 'X', 'd': 'Z'}
    """
    index = pd.Index(ids)
    given = known or {}
    names = pd.Series([given.get(id, id) for id in ids], index=index)
    codes, _ = pd.factorize(names)
    n = len(index)
    rows = np.concatenate([np.arange(n), index.get_indexer(pd.Index(pairs["first"]))])
    columns = np.concatenate([n + codes, index.get_indexer(pd.Index(pairs["second"]))])
    size = n + int(codes.max(initial=-1)) + 1
    graph = coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(size, size))
    component = pd.Series(connected_components(graph, directed=False)[1][:n], index=index)
    return names.groupby(component.to_numpy()).transform("min" if given else "first").rename("group")
