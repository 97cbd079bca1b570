"""Reuse of rows of an earlier run, and the order in which the remaining clips are processed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.audio.reading.checks import DIGEST_KIND
from quintet.datasets.manifest import Manifest
from quintet.features.extraction.worker import file_facts
from quintet.features.storage.spectrograms import SpectrogramWriter
from quintet.files.display.file_names import text_path
from quintet.files.internet.remote import is_remote

_BYTES_PER_S = {".wav": 176_400, ".aif": 176_400, ".aiff": 176_400, ".au": 176_400, ".flac": 90_000}
"""Suffix → typical bytes of a second of audio. Only the order of the work depends on it."""
_OTHER_BYTES_PER_S = 20_000
ASKED_TOGETHER = 16
"""Addresses whose facts are asked for at the same time."""


@dataclass(frozen=True)
class Plan:
    """The work of an extraction.

    Args:
        todo: positions of the clips to describe in the manifest, longest clip first.
        cost_s: estimated length of each of them, seconds.
        reused: number of clips whose row of an earlier run is still valid.
        failed: number of clips that are already in the failure ledger: reused failures, and problems of the
            manifest.
    """

    todo: NDArray[np.int64]
    cost_s: NDArray[np.float64]
    reused: int
    failed: int


def plan_extraction(
    manifest: Manifest, known: pd.DataFrame, writer: SpectrogramWriter | None, *, retry_failed: bool
) -> Plan:
    """Find the clips whose earlier row is still valid, and order the others by length.

    Args:
        manifest: the clips.
        known: rows of earlier runs with the same parameters: the columns `checkpoints.FACTS`, one row per id.
        writer: the spectrogram store, if spectrograms are wanted. Then a row is valid only if the store has
            the spectrogram of the same audio.
        retry_failed: whether failed clips are tried again.
    """
    known = known.set_index("id").reindex(manifest.frame["id"])
    files = _file_facts(manifest)
    failed = (known["status"] == "failed").to_numpy()
    usable = manifest.frame["problem"].isna().to_numpy()
    valid = usable & _is_unchanged(known, files, manifest)
    if retry_failed:
        valid &= ~failed
    if writer is not None:
        digests = [writer.digest(id) for id in manifest.frame["id"]]
        stored = pd.Series(digests, index=known.index, dtype="str")
        valid &= failed | (known["audio_digest"] == stored).to_numpy()
    todo = np.flatnonzero(usable & ~valid)
    cost_s = _estimate_seconds(manifest.frame, files["source_size"])[todo]
    longest_first = np.argsort(-cost_s, kind="stable")
    n_failed = int((~usable).sum() + failed[valid].sum())
    return Plan(todo[longest_first], cost_s[longest_first], int(valid.sum()), n_failed)


def has_outdated_digest(known: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether rows have a digest of an older kind, which cannot be compared with digests of today.

    Example:
        >>> has_outdated_digest(pd.DataFrame({"audio_digest": ["xxh3:1f", "07", None]})).tolist()
        [False, True, False]
    """
    digests = known["audio_digest"]
    return (digests.notna() & ~digests.astype("str").str.startswith(DIGEST_KIND)).to_numpy(dtype=bool)


def _file_facts(manifest: Manifest) -> pd.DataFrame:
    """Size and time of change of the file of every row; -1 if it does not exist."""
    codes, paths = pd.factorize(
        manifest.frame["path"]
    )  # a row without a path has code -1: the last column below
    facts_by_path = np.full((2, len(paths) + 1), -1, np.int64)
    urls = [path for path in paths if is_remote(path)]
    with ThreadPoolExecutor(ASKED_TOGETHER) as threads:  # idle without URLs
        facts_of_urls = dict(zip(urls, threads.map(file_facts, map(text_path, urls)), strict=True))
    for k, path in enumerate(paths):
        facts = facts_of_urls[path] if path in facts_of_urls else file_facts(text_path(path))
        for row, name in enumerate(("source_size", "source_mtime_ns")):
            facts_by_path[row, k] = int(facts.get(name, -1) or 0)
    sizes, times = facts_by_path[:, codes]
    return pd.DataFrame({"source_size": sizes, "source_mtime_ns": times})


def _is_unchanged(known: pd.DataFrame, files: pd.DataFrame, manifest: Manifest) -> NDArray[np.bool_]:
    """Whether a row was made from the same file and window, and carries a digest of today's kind."""
    is_described = known["status"].notna().to_numpy()
    is_from_file = (known["stage"] != "manifest").fillna(True).to_numpy(dtype=bool)
    unchanged = is_described & is_from_file & ~has_outdated_digest(known)
    for name in ("source_size", "source_mtime_ns"):
        earlier = known[name].astype("Int64").fillna(-1).to_numpy(dtype=np.int64)
        unchanged &= earlier == files[name].to_numpy()
    for name in ("start", "end"):
        earlier_s = known[name].fillna(-1.0).to_numpy(dtype=float)
        unchanged &= earlier_s == manifest.frame[name].fillna(-1.0).to_numpy(dtype=float)
    return unchanged


def _estimate_seconds(frame: pd.DataFrame, sizes: pd.Series) -> NDArray[np.float64]:
    """Estimated length of each clip. The longest are begun first, and short clips are handed out together."""
    suffixes = frame["path"].str.lower().str.extract(r"(\.[^./\\]+)$", expand=False)
    bytes_per_s = suffixes.map(_BYTES_PER_S).fillna(_OTHER_BYTES_PER_S).to_numpy(dtype=float)
    file_s = sizes.clip(lower=0).to_numpy(dtype=float) / bytes_per_s
    window_s = (frame["end"] - frame["start"].fillna(0.0)).to_numpy(dtype=float)
    longest_s = np.where(file_s > 0, file_s, np.inf)
    return np.where(np.isnan(window_s), file_s, np.minimum(window_s, longest_s))
