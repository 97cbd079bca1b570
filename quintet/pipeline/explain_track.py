"""Why one piece of music got its verdict: listen to a file as `predict` does, look for the reasons, write one page."""

from __future__ import annotations

import base64
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from quintet.audio.decode import load_clip
from quintet.audio.encode import ogg_bytes
from quintet.audio.reading.probe import probe_duration_s
from quintet.ensemble.classifier import EnsembleClassifier
from quintet.errors import AudioError, ConfigError
from quintet.explanation.track import TrackPrediction, explain_track
from quintet.features.extraction.extract import extract
from quintet.features.storage.spectrograms import SpectrogramStore
from quintet.features.storage.table import FeatureTable, read_feature_table
from quintet.inference.predict import FEW_CLIPS, feature_parameters, list_segments
from quintet.model_folder.load import load_model
from quintet.model_folder.run import read_run
from quintet.reports.track_page import Sound, check_folder, write_track

EMBEDDED_BYTES = 3_000_000
PLAYABLE = {
    ".mp3": "audio/mpeg",
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".m4a": "audio/mp4",
}
PARTS, SHORTEST_S = 6, 1.0
"""A short track is also heard in windows of a third of it or so, none shorter than a second: how the verdict moves, not the verdict."""


def explain(
    model: str | Path,
    file: str | Path,
    output: str | Path,
    *,
    segment_s: float | None = None,
    n_jobs: int = 1,
    progress: Callable[..., None] | None = None,
) -> Path:
    """One self-contained page about one track: the verdict over time, what pushed it, where the networks heard it, and what it resembles.

    Args:
        model: a folder made by `quintet train`.
        file: one audio file.
        output: a folder of the page's own, made where it does not exist; an older page in it is replaced.
        segment_s: files more than 1.5 times this long are cut into segments of so many seconds, as in `predict_files`.
        n_jobs: worker processes. progress: called as extraction proceeds.

    Returns:
        The path of `index.html`.

    Raises:
        AudioError: the file cannot be read, or nothing in it can be described.
        ArtefactError: the model is unfinished, damaged or made with other features, or `output` holds other things.
        ConfigError: `file` is a folder.
    """
    source = Path(file)
    if source.is_dir():
        raise ConfigError(
            f"One page explains one file. '{source}' is a folder. Name a file in it; `quintet predict` takes folders."
        )
    check_folder(Path(output))
    ensemble, run = load_model(model), read_run(model)
    heard = predict_track(ensemble, source, segment_s=segment_s, n_jobs=n_jobs, progress=progress)
    return write_track(
        heard,
        explain_track(heard, ensemble, run),
        run,
        Path(output),
        make_sound(source, Path(output), heard.duration_s),
    )


def predict_track(
    ensemble: EnsembleClassifier,
    file: Path,
    *,
    segment_s: float | None = None,
    n_jobs: int = 1,
    progress: Callable[..., None] | None = None,
) -> TrackPrediction:
    """What the members and their fusion say of a file, segment by segment: the mean of `ensemble_predictions` is the verdict of `predict_files`.

    Raises:
        AudioError: no segment can be described.
    """
    parameters = feature_parameters(ensemble)
    segments = list_segments([file], ensemble.bundle_["clip_seconds"] if segment_s is None else segment_s)
    windows = segments.frame if len(segments.frame) > 1 else _with_windows(file, segments.frame)
    manifest = segments.__class__(
        frame=windows, name="explanation", root=Path(), multilabel=False, grouped=True
    )
    with tempfile.TemporaryDirectory(prefix="quintet-") as scratch:
        target, folder = Path(scratch) / "features.parquet", Path(scratch) / "spectrograms"
        jobs = 0 if len(windows) <= 2 * FEW_CLIPS else n_jobs
        extract(manifest, target, parameters=parameters, spectrograms=folder, n_jobs=jobs, progress=progress)
        table = read_feature_table(target)
        whole = [name for name in segments.frame["id"] if name in table.meta.index]
        if not whole:
            reason = table.failures.set_index("id")["reason"].get(
                segments.frame["id"].iloc[0], "nothing in it can be described"
            )
            raise AudioError(str(reason))
        store = SpectrogramStore(folder)
        rows = list(table.meta.index)
        members = ensemble.member_probabilities(
            table.features.loc[rows, ensemble.bundle_["feature_names"]], spectrograms=store.take(rows)
        )
        pictures = tuple(np.asarray(store[name]) for name in whole)
    return _heard(ensemble, file, table, whole, members, pictures)


def _with_windows(file: Path, whole: pd.DataFrame) -> pd.DataFrame:
    """The row of a short file, and rows of overlapping windows of it."""
    duration = _duration(file)
    length = max(SHORTEST_S, 2 * duration / (PARTS + 1))
    if duration < 1.5 * length:
        return whole
    n = round((duration - length) / (length / 2)) + 1
    rows = [whole]
    for start in np.linspace(0, duration - length, max(n, 2)):
        first, last = round(float(start), 3), round(float(start) + length, 3)
        rows.append(whole.assign(id=f"{file}#t={first:g},{last:g}", start=first, end=min(last, duration)))
    return pd.concat(rows, ignore_index=True)


def _duration(file: Path) -> float:
    return probe_duration_s(file) or 0.0


def _heard(
    ensemble: EnsembleClassifier,
    file: Path,
    table: FeatureTable,
    whole: list[str],
    members: dict[str, Any],
    pictures: tuple[Any, ...],
) -> TrackPrediction:
    meta, classes = table.meta, ensemble.class_names_
    place = {name: i for i, name in enumerate(meta.index)}
    chosen = [place[name] for name in whole]
    fused, features = (
        ensemble.fuse_and_calibrate(members),
        table.features.loc[whole, ensemble.bundle_["feature_names"]],
    )
    far = ensemble.distances(features)
    parts = meta.loc[whole]
    starts = (
        [0.0]
        if len(whole) == 1 and not np.isfinite(parts["start"].iloc[0])
        else [float(t) for t in parts["start"]]
    )
    ends = [float(a + d) for a, d in zip(starts, parts["duration_s"], strict=True)]
    shown = [name for name in meta.index if name not in whole] or whole
    curve = pd.DataFrame(fused[[place[name] for name in shown]], columns=list(classes))
    begins = meta.loc[shown, "start"].fillna(0.0).astype(float).to_numpy()
    curve.insert(0, "start", begins)
    curve.insert(1, "end", begins + meta.loc[shown, "duration_s"].astype(float).to_numpy())
    first = parts.iloc[0]
    return TrackPrediction(
        name=file.name,
        duration_s=max(*ends, _duration(file)) if len(ends) > 1 else ends[0],
        native_sample_rate=int(first["native_sample_rate"]),
        native_channels=int(first["native_channels"]),
        digests=_digests(file, parts),
        classes=classes,
        multilabel=ensemble.multilabel_,
        starts=tuple(starts),
        ends=tuple(ends),
        features=features,
        pictures=pictures,
        log_mel=feature_parameters(ensemble).log_mel,
        members={name: values[chosen] for name, values in members.items()},
        ensemble_predictions=fused[chosen],
        curve=curve.sort_values("start", kind="stable").reset_index(drop=True),
        has_short_windows=shown != whole,
        conformal=ensemble.conformal_,
        distance=None if far is None else float(far.mean()),
        unusable_windows=table.frame.loc[
            table.frame["status"] != "ok", ["start", "end", "reason"]
        ].reset_index(drop=True),
    )


def _digests(file: Path, parts: pd.DataFrame) -> tuple[str, ...]:
    """Of the whole file first where it was cut, then of its segments."""
    segments = tuple(str(d) for d in parts["audio_digest"])
    if len(segments) == 1:
        return segments
    try:
        return (load_clip(file, sample_rate=None).audio_digest, *segments)
    except AudioError:  # its segments can be read, the whole cannot: a damaged end
        return segments


def make_sound(file: Path, output: Path, duration_s: float) -> Sound:
    """Something that plays the track: the file itself inside the page where it is small, else a small mono copy, else a link to it."""
    kind = PLAYABLE.get(file.suffix.lower())
    if kind and file.stat().st_size <= EMBEDDED_BYTES:
        return Sound(_data(file.read_bytes(), kind), "The file itself travels inside this page.")
    if duration_s < 1200:  # twenty minutes are about 7 MB, so there is no hope beyond
        clip = load_clip(file, sample_rate=None).clip
        if clip.sample_rate > 22050:
            clip = load_clip(file, sample_rate=22050).clip
        small = ogg_bytes(clip)
        if len(small) <= EMBEDDED_BYTES:
            why = (
                f"the file has {file.stat().st_size / 1e6:.1f} MB"
                if kind
                else f"browsers do not play {file.suffix or 'such a file'}"
            )
            return Sound(_data(small, "audio/ogg"), f"A small mono copy travels inside this page: {why}.")
    link = Path(os.path.relpath(file.absolute(), output.absolute())).as_posix()
    return Sound(
        quote(link),
        f"The sound is played from its place on this machine ({link}): it is too long to travel inside this page.",
        outside=True,
    )


def _data(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
