"""Facts of clips that do not depend on the music, and fingerprints.

The facts are length, sample rate, channels, bandwidth, loudness, silence and clipping.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple, TypedDict

from quintet.audio.clip import Clip
from quintet.audio.decode import ClipSource, DecodedClip
from quintet.audio.isolation.calls import LostWorkerError, map_isolated
from quintet.audio.reading.probe import is_long
from quintet.audio.reading.recording import Recording
from quintet.audio.resample import resample
from quintet.auditing.fingerprints import RATE, Fingerprint, fingerprint
from quintet.auditing.levels import (
    RecordingLevels,
    clipping_share,
    cutoff_hz,
    loudness_db,
    recording_levels,
    silence_share,
)
from quintet.features.extraction.worker import CLIP_ERRORS, error_reason
from quintet.files.internet.remote import readable_file
from quintet.files.machine import machine_fault

CountProgress = Callable[[int, int, int], object]
"""Called with the number of clips, of clips that are done, and of failed clips."""


class ClipFacts(TypedDict):
    """Facts of one clip.

    Args:
        duration_s: length in seconds.
        native_sample_rate: sample rate of the file, Hz.
        native_channels: number of channels of the file.
        cutoff_hz: frequency at which the spectrum ends (`cutoff_hz`).
        loudness_db: loudness in dB re full scale (`loudness_db`).
        silence_share: share of silent blocks (`silence_share`).
        clipped_share: share of clipped samples (`clipping_share`).
        audio_digest: digest of the native samples.
    """

    duration_s: float
    native_sample_rate: int
    native_channels: int
    cutoff_hz: float
    loudness_db: float
    silence_share: float
    clipped_share: float
    audio_digest: str


class ClipMeasurement(NamedTuple):
    """Facts and fingerprint of one clip, or its problem.

    Args:
        id: id of the clip.
        facts: its facts; None if it cannot be read.
        fingerprint: its fingerprint; None if it cannot be read, or if no fingerprints are wanted.
        problem: why it cannot be read; None if it can.
        truncation: why it counts as cut short; empty if it is complete.
    """

    id: str
    facts: ClipFacts | None
    fingerprint: Fingerprint | None
    problem: str | None
    truncation: str = ""


def measure_clip(source: ClipSource, *, fingerprints: bool) -> ClipMeasurement:
    """Measure one clip. If it cannot be read, the result has a problem; no error is raised.

    Args:
        source: file and window of the clip.
        fingerprints: whether to compute its fingerprint.
    """
    try:
        with readable_file(source.path) as path:
            if is_long(path, start_s=source.start_s, end_s=source.end_s):
                recording = Recording(
                    path, sample_rate=None, start_s=source.start_s, end_s=source.end_s, strict=False
                )
                levels = recording_levels(recording, fingerprints=fingerprints)
                facts, truncation = _facts_of_levels(levels), levels.facts.truncation
                return ClipMeasurement(source.key, facts, levels.fingerprint, None, truncation)
            decoded = replace(source, path=os.fspath(path), id=source.key).load(sample_rate=None)
        marks = fingerprint(at_fingerprint_rate(decoded.clip)) if fingerprints else None
        return ClipMeasurement(source.key, _facts(decoded), marks, None, decoded.truncation)
    except CLIP_ERRORS as error:
        fault = machine_fault(error)
        if fault is not None:
            raise fault from error
        return ClipMeasurement(source.key, None, None, error_reason(error))


def at_fingerprint_rate(clip: Clip) -> Clip:
    """The clip at the sample rate of fingerprints, 8000 Hz.

    Args:
        clip: clip at any rate.
    """
    samples = resample(clip.samples, orig_sr=clip.sample_rate, target_sr=RATE)
    return Clip(samples, RATE, clip.id)


def measure_clips(
    sources: Sequence[ClipSource],
    *,
    fingerprints: bool,
    n_jobs: int = 1,
    progress: CountProgress | None = None,
) -> list[ClipMeasurement]:
    """Measure many clips; the results have the order of the clips.

    Args:
        sources: files and windows of the clips.
        fingerprints: whether to compute fingerprints.
        n_jobs: number of processes.
        progress: called after each clip.
    """
    measurements: list[ClipMeasurement] = []
    n_failed = 0
    for measurement in _measure_in_order(sources, fingerprints=fingerprints, n_jobs=n_jobs):
        measurements.append(measurement)
        n_failed += measurement.problem is not None
        if progress is not None:
            progress(len(sources), len(measurements), n_failed)
    return measurements


def _facts(decoded: DecodedClip) -> ClipFacts:
    clip = decoded.clip
    return {
        "duration_s": decoded.duration_s,
        "native_sample_rate": decoded.native_sample_rate,
        "native_channels": decoded.native_channels,
        "cutoff_hz": cutoff_hz(clip),
        "loudness_db": loudness_db(clip),
        "silence_share": silence_share(clip),
        "clipped_share": clipping_share(clip),
        "audio_digest": decoded.audio_digest,
    }


def _facts_of_levels(levels: RecordingLevels) -> ClipFacts:
    return {
        "duration_s": levels.facts.duration_s,
        "native_sample_rate": levels.facts.native_sample_rate,
        "native_channels": levels.facts.native_channels,
        "cutoff_hz": levels.cutoff_hz,
        "loudness_db": levels.loudness_db,
        "silence_share": levels.silence_share,
        "clipped_share": levels.clipped_share,
        "audio_digest": levels.facts.audio_digest,
    }


def _measure_in_order(
    sources: Sequence[ClipSource], *, fingerprints: bool, n_jobs: int
) -> Iterator[ClipMeasurement]:
    """Measurements one after the other, from `n_jobs` worker processes."""
    measure = partial(measure_clip, fingerprints=fingerprints)
    results = map_isolated(measure, ((source,) for source in sources), n_workers=n_jobs)
    for source, result in zip(sources, results, strict=True):
        if isinstance(result, LostWorkerError):
            yield ClipMeasurement(source.key, None, None, str(result))
        elif isinstance(result, Exception):
            raise result
        else:
            yield result
