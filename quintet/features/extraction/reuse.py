"""Which rows are still true: what an extraction need not do again, and in which order it does the rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.audio.reading.recording import DIGEST_KIND
from quintet.datasets.manifest import Manifest
from quintet.features.extraction.worker import file_facts
from quintet.features.storage.spectrograms import SpectrogramWriter

_BYTES_PER_S = {
    ".wav": 176_400,
    ".aif": 176_400,
    ".aiff": 176_400,
    ".au": 176_400,
    ".flac": 90_000,
}  # otherwise 20 000: only for the order


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Args:
        todo: positions in the manifest, longest clip first.
        cost_s: a guess at the length of each, seconds.
        reused: the number of clips whose row is there and still true.
        failed: the clips that are in the ledger already: reused failures, and problems of the manifest.
    """

    todo: NDArray[np.int64]
    cost_s: NDArray[np.float64]
    reused: int
    failed: int


def plan_extraction(
    manifest: Manifest, known: pd.DataFrame, writer: SpectrogramWriter | None, *, retry_failed: bool
) -> Plan:
    """Which clips are known and unchanged, and what is left to do.

    Args:
        manifest: the clips that are wanted.
        known: the columns `parts.FACTS`, one row per id, all of the wanted parameters.
        writer: the spectrogram store, if spectrograms are wanted: a clip counts as known only if the store has it, of the same audio.
        retry_failed: whether failures count as unknown.
    """
    known = known.set_index("id").reindex(manifest.frame["id"])
    files, failed = _file_facts(manifest), (known["status"] == "failed").to_numpy()
    usable = manifest.frame["problem"].isna().to_numpy()
    fresh = usable & _unchanged(known, files, manifest)
    if retry_failed:
        fresh &= ~failed
    if writer is not None:
        stored = pd.Series([writer.digest(id) for id in manifest.frame["id"]], index=known.index, dtype="str")
        fresh &= failed | (known["audio_digest"] == stored).to_numpy()
    todo = np.flatnonzero(usable & ~fresh)
    cost = _estimated_seconds(manifest.frame, files["source_size"])[todo]
    order = np.argsort(-cost, kind="stable")
    return Plan(todo[order], cost[order], int(fresh.sum()), int((~usable).sum() + failed[fresh].sum()))


def has_outdated_digest(known: pd.DataFrame) -> NDArray[np.bool_]:
    """Which rows carry a digest of the kind that earlier versions made: it cannot be compared with today's.

    Example:
        >>> has_outdated_digest(pd.DataFrame({"audio_digest": ["xxh3:1f", "07", None]})).tolist()
        [False, True, False]
    """
    digests = known["audio_digest"]
    return (digests.notna() & ~digests.astype("str").str.startswith(DIGEST_KIND)).to_numpy(dtype=bool)


def _file_facts(manifest: Manifest) -> pd.DataFrame:
    """Size and time of change of the file of every row (each looked at once), -1 where it is gone."""
    numbers, paths = pd.factorize(manifest.frame["path"])
    found = np.full(
        (2, len(paths) + 1), -1, np.int64
    )  # the last is for rows without a path, whose number is -1
    for k, path in enumerate(paths):
        facts = file_facts(path)
        found[:, k] = facts.get("source_size", -1), facts.get("source_mtime_ns", -1)
    return pd.DataFrame({"source_size": found[0, numbers], "source_mtime_ns": found[1, numbers]})


def _unchanged(known: pd.DataFrame, files: pd.DataFrame, manifest: Manifest) -> NDArray[np.bool_]:
    same = known["status"].notna().to_numpy() & (known["stage"] != "manifest").fillna(True).to_numpy(
        dtype=bool
    )
    same &= ~has_outdated_digest(known)
    for name in ("source_size", "source_mtime_ns"):
        same &= known[name].astype("Int64").fillna(-1).to_numpy(dtype=np.int64) == files[name].to_numpy()
    for name in ("start", "end"):
        same &= known[name].fillna(-1.0).to_numpy(dtype=float) == manifest.frame[name].fillna(-1.0).to_numpy(
            dtype=float
        )
    return same


def _estimated_seconds(frame: pd.DataFrame, sizes: pd.Series) -> NDArray[np.float64]:
    """A guess at the length of each clip, by which the longest are begun first and the short ones are handed out together."""
    rate = (
        frame["path"]
        .str.lower()
        .str.extract(r"(\.[^./\\]+)$", expand=False)
        .map(_BYTES_PER_S)
        .fillna(20_000)
        .to_numpy(dtype=float)
    )
    whole = sizes.clip(lower=0).to_numpy(dtype=float) / rate
    window = (frame["end"] - frame["start"].fillna(0.0)).to_numpy(dtype=float)
    return np.where(np.isnan(window), whole, np.minimum(window, np.where(whole > 0, whole, np.inf)))
