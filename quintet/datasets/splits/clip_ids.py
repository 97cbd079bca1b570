"""Ids of clips as two files write them: equal, in another Unicode form, or with the suffix of audio files."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_AUDIO_SUFFIX = re.compile(
    r"\.(wav|wave|flac|mp3|ogg|oga|opus|au|snd|aif|aiff|aifc|m4a|mp4|aac|wma|webm|mka)$", re.IGNORECASE
)


def unicode_form(id: str) -> str:
    """An id in the Unicode form NFC. macOS writes names of files with accents of their own (NFD).

    Example:
        >>> unicode_form("Cafe\N{COMBINING ACUTE ACCENT}") == "Café"
        True
    """
    return id if id.isascii() else unicodedata.normalize("NFC", id)


def clip_key(id: str) -> str:
    """An id without the suffix of an audio file, so that `blues.00000.wav` and `blues.00000` are equal.

    Example:
        >>> clip_key("blues.00000.wav"), clip_key("blues.00000")
        ('blues.00000', 'blues.00000')
    """
    return _AUDIO_SUFFIX.sub("", unicode_form(id))


def spell_ids(ids: pd.Index, spelling: Callable[[str], str]) -> pd.Index:
    """All ids in one of `SPELLINGS`."""
    return pd.Index([spelling(str(id)) for id in ids], dtype=object)


SPELLINGS = (unicode_form, clip_key)
"""Forms in which ids are compared, one after the other, where they are not equal as they are written."""


def match_ids(ids: pd.Index, others: pd.Index) -> NDArray[np.int64]:
    """Position of each id in `others`, `(n,)`: the equal one, or else the only one in one of `SPELLINGS`.

    Args:
        ids: unique texts, `(n,)`.
        others: unique texts.

    Returns:
        Positions; -1 for an id that has none, or that is not the only one with its spelling.

    Example:
        >>> match_ids(pd.Index(["a.wav", "b.mp3", "c.wav", "c.mp3"]), pd.Index(["a", "b.mp3", "c"])).tolist()
        [0, 1, -1, -1]
    """
    found = np.asarray(others.get_indexer(ids), np.int64)
    for spelling in SPELLINGS:
        if (found >= 0).all():
            break
        keys, other_keys = spell_ids(ids, spelling), spell_ids(others, spelling)
        is_single = ~other_keys.duplicated(keep=False)
        positions = np.append(np.flatnonzero(is_single), -1)
        loose = positions[other_keys[is_single].get_indexer(keys)]
        found = np.where((found < 0) & ~keys.duplicated(keep=False), loose, found)
    return found
