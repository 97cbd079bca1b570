"""Features and spectrograms of new recordings, made as those of the training."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quintet.classifiers.registry import member_entry
from quintet.ensemble.classifier import EnsembleClassifier
from quintet.errors import ArtefactError
from quintet.features.catalogue import feature_family
from quintet.features.extraction.extract import Progress, ProgressCallback
from quintet.features.extraction.in_memory import collect_rows
from quintet.features.extraction.segments import FileRows, FileTask, describe_files
from quintet.features.extraction.worker import Job, Row
from quintet.features.parameters import FeatureParameters
from quintet.features.storage.join import joined_families
from quintet.features.storage.spectrograms import Spectrograms, SpectrogramStore, SpectrogramWriter
from quintet.features.storage.table import FeatureTable
from quintet.files.display.file_names import name_text
from quintet.files.untrusted.reasons import reason
from quintet.inference.inputs import SegmentRow, segment_manifest, segment_row

FEW_FILES = 4
"""Spectrograms of so many files or fewer are kept in memory; those of more files are written to a store."""
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
def describe_recordings(
    files: Sequence[Path],
    parameters: FeatureParameters,
    *,
    segment_s: float | None,
    log_mel: bool,
    strict: bool = False,
    n_jobs: int = 1,
    progress: ProgressCallback | None = None,
) -> Iterator[Descriptions]:
    """Compute features and spectrograms of the segments of files; they can be used inside the `with` block.

    Worker processes read the files: a crash, a hang or too much memory costs one file. The segments are cut
    while a file is decoded.

    Args:
        files: the files.
        parameters: parameters of the features.
        segment_s: length of a segment, seconds; files much longer are cut. 0 or None: no file is cut.
        log_mel: whether spectrograms are computed too.
        strict: whether a recording that is cut short counts as failed.
        n_jobs: number of worker processes; -1 is one per processor.
        progress: called as files are described.
    """
    job = make_job(parameters, log_mel=log_mel, strict=strict)
    tasks = [FileTask(name_text(file), str(file.absolute()), segment_s) for file in files]
    found: dict[int, FileRows] = {}
    state = Progress(total=len(tasks))
    if progress is not None:
        progress(state)
    with tempfile.TemporaryDirectory(prefix="quintet-") as scratch, ExitStack() as stack:
        writer: SpectrogramWriter | None = None
        if log_mel and len(tasks) > FEW_FILES:
            writer = stack.enter_context(SpectrogramWriter(Path(scratch) / "store", parameters.log_mel))
        for position, of_file in describe_files(tasks, job, n_workers=n_jobs):
            found[position] = of_file
            if writer is not None:
                _store_spectrograms(files[position], of_file, writer)
            state = file_state(state, of_file)
            if progress is not None:
                progress(state)
        stack.close()
        segments, rows = number_rows((file, found[k]) for k, file in enumerate(files))
        clips = collect_rows(segment_manifest(segments), parameters, rows)
        has_store = writer is not None and len(clips.table.meta) > 0
        store = SpectrogramStore(Path(scratch) / "store") if has_store else None
        yield Descriptions(clips.table, store or clips.spectrograms or None)


def number_rows(files: Iterable[tuple[Path, FileRows]]) -> tuple[list[SegmentRow], list[Row]]:
    """Rows of the segments of files in order, for a manifest, and their rows of features.

    Args:
        files: pairs of a file and its rows.
    """
    segments: list[SegmentRow] = []
    rows: list[Row] = []
    for file, found in files:
        for window, row in zip(found.windows, found.rows, strict=True):
            rows.append(replace(row, position=len(segments)))
            segments.append(segment_row(file, window))
    return segments, rows


def file_state(state: Progress, found: FileRows) -> Progress:
    """The progress after one more file."""
    durations = [float(row.facts.get("duration_s") or 0.0) for row in found.rows]
    failed = any(row.failed for row in found.rows)
    return replace(
        state, done=state.done + 1, failed=state.failed + failed, audio_s=state.audio_s + sum(durations)
    )


def _store_spectrograms(file: Path, found: FileRows, writer: SpectrogramWriter) -> None:
    """Move the spectrograms of a file to a store."""
    for window, row in zip(found.windows, found.rows, strict=True):
        if row.log_mel is not None:
            writer.add(segment_row(file, window).id, row.log_mel.T, str(row.facts["audio_digest"]))
            row.log_mel = None


def has_networks(ensemble: EnsembleClassifier) -> bool:
    """Whether a member of the ensemble reads spectrograms."""
    return any(member_entry(name).input == "spectrogram" for name in ensemble.members_)


def segment_length_s(ensemble: EnsembleClassifier, segment_s: float | None) -> float | None:
    """The given length of a segment; by default the typical length of the training clips, None if unknown."""
    if segment_s is not None:
        return segment_s
    length: float | None = ensemble.bundle_["clip_seconds"]
    return length


def make_job(parameters: FeatureParameters, *, log_mel: bool, strict: bool = False) -> Job:
    """What to do with every segment, with the pretrained networks of the parameters.

    Args:
        parameters: feature parameters of a model.
        log_mel: whether spectrograms are computed too.
        strict: whether a recording that is cut short counts as failed.

    Raises:
        ConfigError: the library lacks a network.
        ArtefactError: the library has another network of this name.
    """
    if not parameters.embeddings:
        return Job(parameters, log_mel=log_mel, strict=strict)
    from quintet.embeddings.columns.networks import find_embedder

    return Job(parameters, log_mel=log_mel, strict=strict, embedder=find_embedder(parameters))


def feature_parameters(ensemble: EnsembleClassifier) -> FeatureParameters:
    """The feature parameters of a model, checked against the features of this version of quintet.

    Raises:
        ArtefactError: if the model was trained on a table that quintet did not make or on a joined one, or
            the hashes differ.
    """
    bundle = ensemble.bundle_
    if bundle["feature_parameters"] is None:
        raise ArtefactError(
            "To predict audio, a model must be trained on features that quintet made. "
            "This one was trained on a table from elsewhere: give it rows of such a table with `--table`."
        )
    joined = joined_families(bundle)
    if joined:
        n_columns = sum(feature_family(name) in joined for name in bundle["feature_names"])
        files = ", ".join(dict.fromkeys(str(record["file"]) for record in joined.values()))
        raise ArtefactError(
            f"To predict audio, a model must read only columns that quintet makes. {n_columns} of this model "
            f"are from a joined table ({files}): give it rows with `--table` and `--join`."
        )
    try:
        parameters = FeatureParameters.model_validate(bundle["feature_parameters"])
    except (ValueError, TypeError, OverflowError) as error:
        raise ArtefactError(
            "The feature parameters of a model must be valid. "
            f"Those of this model are not ({reason(error)}): train again."
        ) from None
    if parameters.hash != bundle["feature_hash"]:
        raise ArtefactError(
            "Features must be those of the training. "
            f"This model's have the hash {bundle['feature_hash']}, made by quintet {bundle.get('quintet')}; "
            f"this version's have {parameters.hash} for the same settings: "
            "use that version, or extract and train again."
        )
    return parameters
