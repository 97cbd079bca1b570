"""Duplicates: clips that are one recording, and the groups that follow from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from quintet.audio.clip import Clip
from quintet.audio.decode import ClipSource
from quintet.audio.isolation.calls import call_isolated
from quintet.audio.reading.probe import LONG_S
from quintet.auditing.alignment import align
from quintet.auditing.candidates import candidate_pairs
from quintet.auditing.fingerprints import HOP_S, RATE, Fingerprint
from quintet.datasets.splits.copies import FEW_COLUMNS, copied_rows
from quintet.errors import AudioError

SAME_AUDIO, SAME_ROW, SAME_SOUND = "same audio", "same row", "same recording"
KINDS = {
    SAME_AUDIO: "the decoded samples are equal",
    SAME_ROW: "the feature rows are equal",
    SAME_SOUND: "the same recording after re-encoding, gain or trimming",
}
PAIR_COLUMNS = ("first", "second", "kind", "agreement", "shift_s")
NUMBER_COLUMNS = ("agreement", "shift_s")
AGREEMENT = 0.8  # copies reach 0.92 and more, two takes of one drum 0.7
ROW_TOLERANCE = 1e-4  # of a column's standard deviation
ROUNDING = 1e-6  # of a column's largest value
CACHED_CLIPS = 64
SHARED_S = 300.0  # of a long recording
MARGIN_S = 1.0  # the shift of the fingerprints is not exact


def empty_pairs() -> pd.DataFrame:
    """Table of pairs without rows: first, second, kind, agreement, shift_s."""
    columns = {}
    for name in PAIR_COLUMNS:
        dtype = "float64" if name in NUMBER_COLUMNS else "str"
        columns[name] = pd.Series(dtype=dtype)
    return pd.DataFrame(columns)


def find_equal_digests(digests: pd.Series) -> pd.DataFrame:
    """Pairs of clips with equal decoded audio: each copy with the first clip of its kind.

    Args:
        digests: digest of each clip, by clip id. A missing digest is equal to no other.

    Returns:
        Pairs as in `empty_pairs`.

    Example:
        >>> pairs = find_equal_digests(pd.Series({"a": "07", "b": "1f", "c": "07"}))
        >>> pairs[["first", "second"]].values.tolist()
        [['a', 'c']]
    """
    present = digests.dropna()
    first = _first_of_its_kind(pd.factorize(present)[0])
    copies = np.flatnonzero(first != np.arange(len(first)))
    ids = present.index
    n = len(copies)
    return _pairs(ids[first[copies]].tolist(), ids[copies].tolist(), SAME_AUDIO, np.ones(n), np.zeros(n))


def find_equal_rows(features: pd.DataFrame) -> pd.DataFrame:
    """Pairs of clips with equal features, except for rounding.

    Two rows are equal if `|a_j - b_j| <= 1e-4 sd_j + 1e-6 max |x_j|` in every column j. Rows are sorted along
    one random direction. Equal rows are neighbours there, so only neighbours are compared.

    Args:
        features: `(clips, features)`, finite, by clip id. With fewer than eight columns that vary, rows must
            be equal to the last digit, and not by chance (`copied_rows`).

    Returns:
        Pairs as in `empty_pairs`.

    Example:
        >>> table = pd.DataFrame(np.random.default_rng(0).normal(size=(5, 10)), index=list("abcde"))
        >>> table.loc["d"] = table.loc["b"] + 1e-6
        >>> find_equal_rows(table)[["first", "second"]].values.tolist()
        [['b', 'd']]
    """
    values = features.to_numpy(np.float64)
    if not len(values):
        return empty_pairs()
    spread = values.std(axis=0)
    largest = np.abs(values).max(axis=0, initial=0.0)
    varies = spread > 1e-9 * largest
    ids = features.index.tolist()
    if varies.sum() < FEW_COLUMNS:
        first_of = copied_rows(features)
        copies = np.flatnonzero(first_of != np.arange(len(first_of)))
        return _row_pairs(ids, list(zip(first_of[copies].tolist(), copies.tolist(), strict=True)))
    varying, deviation = values[:, varies], spread[varies]
    centred = varying - varying.mean(axis=0)
    scaled = centred / deviation
    rounding = ROUNDING * largest[varies]
    tolerance = ROW_TOLERANCE + rounding / deviation
    return _row_pairs(ids, _neighbours(scaled, tolerance))


def _row_pairs(ids: Sequence[str], positions: Sequence[tuple[int, int]]) -> pd.DataFrame:
    """Pairs of clips with equal rows from the positions of the rows."""
    first = [ids[a] for a, _ in positions]
    second = [ids[b] for _, b in positions]
    n = len(positions)
    return _pairs(first, second, SAME_ROW, np.ones(n), np.full(n, np.nan))


def find_same_recordings(
    sources: Sequence[ClipSource],
    prints: Sequence[Fingerprint],
    durations_s: Sequence[float] | None = None,
) -> pd.DataFrame:
    """Pairs of clips that are one recording after re-encoding, gain or trimming.

    Clips that share marks are read again at 8 kHz and aligned. Their agreement must be at least 0.8. Changes
    of speed or pitch are not recognised. A clip that cannot be read again has no pair. Of a pair with a long
    recording, five minutes in the middle of what both share are aligned.

    Args:
        sources: the n clips, with ids.
        prints: their n fingerprints.
        durations_s: their n durations, seconds. None: none of them is long.

    Returns:
        Pairs as in `empty_pairs`; `shift_s` is where the second clip begins in the first.
    """
    candidates = candidate_pairs(prints)
    load = lru_cache(maxsize=CACHED_CLIPS)(_load_isolated)
    order = np.lexsort((candidates.second, candidates.first))
    table = np.stack(candidates, axis=1)
    rows = table[order]
    first_ids, second_ids, agreements, shifts = [], [], [], []
    for first, second, _, shift in rows.tolist():
        near_s = (shift + 0.5) * HOP_S
        durations = (0.0, 0.0) if durations_s is None else (durations_s[first], durations_s[second])
        pair = _shared_stretch(sources[first], sources[second], durations, near_s)
        if pair is None:
            continue
        first_clip, second_clip = load(pair.first), load(pair.second)
        if first_clip is None or second_clip is None:
            continue
        alignment = align(first_clip, second_clip, near_s=near_s - pair.shift_s)
        if alignment.agreement >= AGREEMENT:
            first_ids.append(sources[first].key)
            second_ids.append(sources[second].key)
            agreements.append(alignment.agreement)
            shifts.append(alignment.shift_s + pair.shift_s)
    return _pairs(first_ids, second_ids, SAME_SOUND, agreements, shifts)


class _Stretch(NamedTuple):
    """What is read of a pair of clips.

    Args:
        first: stretch of the first clip.
        second: stretch of the second clip.
        shift_s: what the shift between the clips has more than the shift between the stretches, seconds.
    """

    first: ClipSource
    second: ClipSource
    shift_s: float


def _shared_stretch(
    first: ClipSource, second: ClipSource, durations_s: tuple[float, float], near_s: float
) -> _Stretch | None:
    """The clips of a pair as they are or, if one is long, at most five minutes of what they share.

    None: they share nothing.

    Args:
        first: clip.
        second: clip.
        durations_s: their durations, seconds.
        near_s: where the second clip begins in the first, seconds.
    """
    if max(durations_s) < LONG_S:
        return _Stretch(first, second, 0.0)
    begin, end = max(near_s, 0.0), min(durations_s[0], durations_s[1] + near_s)
    if end <= begin:
        return None
    spare = max(end - begin - SHARED_S, 0.0) / 2
    parts = []
    for source, duration_s, offset_s in zip((first, second), durations_s, (0.0, near_s), strict=True):
        begin_s = source.start_s + max(begin + spare - offset_s - MARGIN_S, 0.0)
        end_s = source.start_s + min(end - spare - offset_s + MARGIN_S, duration_s)
        parts.append(replace(source, start_s=begin_s, end_s=end_s))
    begins_s = [part.start_s - source.start_s for part, source in zip(parts, (first, second), strict=True)]
    return _Stretch(parts[0], parts[1], begins_s[0] - begins_s[1])


def join_groups(
    ids: Sequence[str], pairs: pd.DataFrame, *, known: Mapping[str, str] | None = None
) -> pd.Series:
    """Group of every clip: clips are connected through pairs, and through the groups of the source.

    A group has the name of the first of its source groups in alphabetical order. Without source groups it has
    the first of its ids.

    Args:
        ids: ids of all clips.
        pairs: table with the columns `first` and `second`.
        known: clip id → group of the source. None: the source has no groups.

    Returns:
        Group by clip id.

    Example:
        >>> pairs = pd.DataFrame({"first": ["a"], "second": ["c"]})
        >>> join_groups(list("abcd"), pairs).to_dict()
        {'a': 'a', 'b': 'b', 'c': 'a', 'd': 'd'}
        >>> join_groups(list("abcd"), pairs, known={"a": "X", "b": "X", "c": "Y", "d": "Z"}).to_dict()
        {'a': 'X', 'b': 'X', 'c': 'X', 'd': 'Z'}
    """
    index = pd.Index(ids)
    source_groups = known or {}
    names = pd.Series([source_groups.get(id, id) for id in ids], index=index)
    components = _component_numbers(index, names, pairs)
    by_component = names.groupby(components)
    groups = by_component.transform("min") if source_groups else by_component.transform("first")
    return groups.rename("group")


def _component_numbers(index: pd.Index, names: pd.Series, pairs: pd.DataFrame) -> NDArray[np.int32]:
    """Number of the connected component of each clip, `(n,)`.

    The nodes of the graph are the n clips and their groups; a clip is connected to its group and its copies.
    """
    n = len(index)
    group_numbers, _ = pd.factorize(names)
    first_ids, second_ids = pd.Index(pairs["first"]), pd.Index(pairs["second"])
    first = index.get_indexer(first_ids)
    second = index.get_indexer(second_ids)
    clips = np.arange(n)
    groups = n + group_numbers
    rows = np.concatenate([clips, first])
    columns = np.concatenate([groups, second])
    n_groups = int(group_numbers.max(initial=-1)) + 1
    size = n + n_groups
    edges = np.ones(len(rows), np.int8)
    graph = coo_array((edges, (rows, columns)), shape=(size, size))
    _, components = connected_components(graph, directed=False)
    clip_components: NDArray[np.int32] = components[:n]
    return clip_components


def _pairs(
    first: Sequence[str],
    second: Sequence[str],
    kind: str,
    agreement: Sequence[float] | NDArray[np.float64],
    shift_s: Sequence[float] | NDArray[np.float64],
) -> pd.DataFrame:
    """Table of pairs of one kind."""
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


def _neighbours(rows: NDArray[np.float64], tolerance: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Positions (a < b) of rows that differ by at most the tolerance in every column.

    If several rows are equal, each is paired with the first of them.
    """
    first = _first_of_its_kind(_row_numbers(rows))
    distinct = np.flatnonzero(first == np.arange(len(first)))  # many silent clips have one row
    first_of = _near_neighbours(rows[distinct], tolerance)
    earliest = first.copy()
    for high, low in first_of.items():
        earliest[distinct[high]] = distinct[low]
    earliest = earliest[first]
    copies = np.flatnonzero(earliest != np.arange(len(first)))
    return sorted(zip(earliest[copies].tolist(), copies.tolist(), strict=True))


def _row_numbers(rows: NDArray[np.float64]) -> NDArray[np.intp]:
    """A number for each row, `(n,)`, that equal rows share."""
    return pd.factorize(pd.util.hash_pandas_object(pd.DataFrame(rows), index=False))[0]


def _first_of_its_kind(numbers: NDArray[np.intp]) -> NDArray[np.intp]:
    """Position of the first element with the number of each element, `(n,)`."""
    _, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    return np.asarray(first[inverse], np.intp)


def _near_neighbours(rows: NDArray[np.float64], tolerance: NDArray[np.float64]) -> dict[int, int]:
    """Position of a row → position of the first row before it that differs by at most the tolerance."""
    rng = np.random.default_rng(0)
    direction = rng.normal(size=rows.shape[1])
    projections = rows @ direction
    reach = float(np.abs(direction) @ tolerance)
    order = np.argsort(projections, kind="stable")
    sorted_projections = projections[order]
    first_of: dict[int, int] = {}
    for step in range(1, len(rows)):
        distances = sorted_projections[step:] - sorted_projections[:-step]
        near = np.flatnonzero(distances <= reach)
        if not len(near):
            break
        a = order[near]
        b = order[near + step]
        differences = np.abs(rows[a] - rows[b])
        is_equal = (differences <= tolerance).all(axis=1)
        lower = np.minimum(a, b)[is_equal].tolist()
        higher = np.maximum(a, b)[is_equal].tolist()
        for low, high in zip(lower, higher, strict=True):
            earlier = first_of.get(high, low)
            first_of[high] = min(low, earlier)
    return first_of


def _load_isolated(source: ClipSource) -> Clip | None:
    """The clip at the rate of fingerprints; None if it cannot be read any more."""
    try:
        return call_isolated(_load, source)
    except AudioError:
        return None


def _load(source: ClipSource) -> Clip:
    return source.load(sample_rate=RATE).clip
