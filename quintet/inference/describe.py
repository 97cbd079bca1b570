"""Features and spectrograms of new recordings, made as those of the training."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quintet.classifiers.registry import member_entry
from quintet.datasets.manifest import Manifest
from quintet.ensemble.classifier import EnsembleClassifier
from quintet.errors import ArtefactError
from quintet.features.extraction.extract import Options, ProgressCallback, extract
from quintet.features.extraction.in_memory import describe_in_memory
from quintet.features.extraction.worker import Job
from quintet.features.parameters import FeatureParameters
from quintet.features.storage.read import read_feature_table
from quintet.features.storage.spectrograms import Spectrograms, SpectrogramStore
from quintet.features.storage.table import FeatureTable

FEW_CLIPS = 4  # the start of a worker process takes longer than the work on this many clips
Spectrogram = NDArray[np.float32]


@dataclass(frozen=True)
class Descriptions:
    """Features and spectrograms of segments.

    Args:
        table: one row per segment, failed ones included.
        spectrograms: source of the spectrograms by id, in memory or on disk; None if there are none.
    """

    table: FeatureTable
    spectrograms: SpectrogramStore | Mapping[str, Spectrogram] | None = None

    def take_spectrograms(self, ids: Sequence[str]) -> Spectrograms | list[Spectrogram] | None:
        """The spectrograms of these segments, in this order; None if there are none."""
        source = self.spectrograms
        if source is None or isinstance(source, SpectrogramStore):
            return None if source is None else source.take(ids)
        return [source[name] for name in ids]


@contextmanager
def describe_segments(
    manifest: Manifest,
    parameters: FeatureParameters,
    *,
    log_mel: bool,
    few: int,
    strict: bool = False,
    n_jobs: int = 1,
    progress: ProgressCallback | None = None,
) -> Iterator[Descriptions]:
    """Compute features and spectrograms of the segments; they can be used inside the `with` block.

    A few segments are described in this process and in memory. More segments are described by worker
    processes, which write temporary files. Both ways give the same numbers.

    Args:
        manifest: the segments.
        parameters: parameters of the features.
        log_mel: whether spectrograms are computed too.
        few: this many segments or fewer are described in memory.
        strict: whether a recording that is cut short counts as failed.
        n_jobs: number of worker processes for more than `few` segments.
        progress: called as segments are described.
    """
    if len(manifest) <= few:
        clips = describe_in_memory(manifest, parameters, log_mel=log_mel, strict=strict, progress=progress)
        yield Descriptions(clips.table, clips.spectrograms or None)
        return
    with tempfile.TemporaryDirectory(prefix="quintet-") as scratch:
        folder = Path(scratch) / "spectrograms" if log_mel else None
        file = Path(scratch) / "features.parquet"
        job = Job(parameters, log_mel=log_mel, strict=strict)
        extract(manifest, file, Options(job, folder, n_jobs, progress))
        table = read_feature_table(file)
        has_spectrograms = folder is not None and len(table.meta) > 0
        yield Descriptions(table, SpectrogramStore(folder) if folder and has_spectrograms else None)


def has_networks(ensemble: EnsembleClassifier) -> bool:
    """Whether a member of the ensemble reads spectrograms."""
    return any(member_entry(name).input == "spectrogram" for name in ensemble.members_)


def segment_length_s(ensemble: EnsembleClassifier, segment_s: float | None) -> float | None:
    """The given length of a segment; by default the typical length of the training clips, None if unknown."""
    if segment_s is not None:
        return segment_s
    length: float | None = ensemble.bundle_["clip_seconds"]
    return length


def feature_parameters(ensemble: EnsembleClassifier) -> FeatureParameters:
    """The feature parameters of a model, checked against the features of this version of quintet.

    Raises:
        ArtefactError: if the model was trained on a table that quintet did not make, or the hashes differ.
    """
    bundle = ensemble.bundle_
    if bundle["feature_parameters"] is None:
        raise ArtefactError(
            "To predict audio, a model must be trained on features that quintet made. "
            "This one was trained on a table from elsewhere: give it rows of such a table with `--table`."
        )
    try:
        parameters = FeatureParameters.model_validate(bundle["feature_parameters"])
    except ValueError as error:
        raise ArtefactError(
            "The feature parameters of a model must be valid. "
            f"Those of this model are not ({error}): train again."
        ) from None
    if parameters.hash != bundle["feature_hash"]:
        raise ArtefactError(
            "Features must be those of the training. "
            f"This model's have the hash {bundle['feature_hash']}, made by quintet {bundle['quintet']}; "
            f"this version's have {parameters.hash} for the same settings: "
            "use that version, or extract and train again."
        )
    return parameters
