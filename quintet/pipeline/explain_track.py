"""Explain one track: predict its segments, compute the explanation, and write one page."""

from __future__ import annotations

import base64
import os
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from quintet.audio.decode import load_clip
from quintet.audio.encode import ogg_bytes
from quintet.audio.isolation.calls import call_isolated, start_worker
from quintet.errors import ConfigError
from quintet.explanation.track import TrackExplanation, TrackPrediction, explain_track
from quintet.features.engine.warm_up import kernels_available
from quintet.features.extraction.chunks import ProgressCallback
from quintet.features.extraction.worker import CLIP_ERRORS
from quintet.files.display.file_names import name_text
from quintet.files.locks import output_lock
from quintet.files.paths import require_path
from quintet.inference.track import predict_track
from quintet.model_folder.load import load_to_explain
from quintet.model_folder.replacement import read_unchanged
from quintet.model_folder.run import Run, content_used, read_run
from quintet.pipeline.track_answer import track_answer
from quintet.reports.track_page import Sound, check_folder, track_html, write_track

EMBEDDED_BYTES = 3_000_000  # largest sound inside a page
LONGEST_COPY_S = 1200  # twenty minutes of mono sound are about 7 MB: a longer copy cannot be small enough
COPY_SAMPLE_RATE = 22050
MEDIA_TYPES = {
    ".mp3": "audio/mpeg",
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".m4a": "audio/mp4",
}
"""Suffix → media type, for the formats that browsers play."""


def explain(
    model: str | Path,
    file: str | Path,
    output: str | Path,
    *,
    segment_s: float | None = None,
    n_jobs: int = 1,
    full: bool = False,
    progress: ProgressCallback | None = None,
) -> Path:
    """Write one self-contained page about one track.

    The page shows the prediction over time, the features that decided it, the regions of the spectrogram that
    the networks used, and similar tracks.

    Args:
        model: a folder made by `quintet train`.
        file: one audio file.
        output: folder of the page. It is made if it does not exist; an older page in it is replaced.
        segment_s: length of a segment, as in `predict_files`.
        n_jobs: number of worker processes; -1 is one per processor.
        full: whether to explain members with a small weight by themselves, too.
        progress: called as segments are described.

    Returns:
        The path of `index.html`. `numbers/answer.json` beside it has the prediction and its reasons.

    Raises:
        AudioError: if the file cannot be read, or no part of it can be described.
        ArtefactError: if the model is unfinished, damaged or made with other features, or `output` holds
            other files.
        ConfigError: if `file` is a folder.
    """
    model, source, target = require_path(model, "`model`"), Path(file), Path(output)
    if source.is_dir():
        raise ConfigError(
            f"One page explains one file. '{source}' is a folder. Name a file in it; "
            "`quintet predict` takes folders."
        )
    check_folder(target)
    with output_lock(target):
        prediction, explanation, run = _predict_and_explain(
            Path(model), source, segment_s=segment_s, n_jobs=n_jobs, full=full, progress=progress
        )
        sound = make_sound(source, target, prediction.duration_s)
        answer = track_answer(prediction, explanation, run)
        return write_track(prediction, explanation, run, target, sound, answer=answer)


def explanation_html(
    model: str | Path, file: str | Path, *, name: str, segment_s: float | None = None
) -> str:
    """The page of `explain` as one text, with nothing beside it: numbers and sound are inside.

    Args:
        model: a folder made by `quintet train`.
        file: one audio file.
        name: its name on the page.
        segment_s: length of a segment, as in `predict_files`.

    Raises:
        AudioError, ArtefactError: as `explain`.
    """
    source = Path(file)
    folder = Path(require_path(model, "`model`"))
    prediction, explanation, run = _predict_and_explain(folder, source, segment_s=segment_s)
    sound = make_sound(source, None, prediction.duration_s)
    return track_html(replace(prediction, name=name), explanation, run, sound)


def _predict_and_explain(
    model: Path,
    source: Path,
    *,
    segment_s: float | None,
    n_jobs: int = 1,
    full: bool = False,
    progress: ProgressCallback | None = None,
) -> tuple[TrackPrediction, TrackExplanation, Run]:
    """The prediction of a file, its reasons, and the model folder."""

    def predict_and_explain() -> tuple[TrackPrediction, TrackExplanation, Run]:
        ensemble, run = load_to_explain(model), read_run(model)
        prediction = predict_track(ensemble, source, segment_s=segment_s, n_jobs=n_jobs, progress=progress)
        with content_used(model):
            return prediction, explain_track(prediction, ensemble, run, full=full), run

    start_worker(kernels_available)  # before the model is loaded: networks bring threads
    return read_unchanged(model, predict_and_explain)


def make_sound(file: Path, output: Path | None, duration_s: float) -> Sound:
    """The sound of the page: the file itself if it is small, else a small mono copy, else a link to the file.

    Args:
        file: the audio file.
        output: folder of the page; None if the page may link nothing.
        duration_s: duration of the file, seconds.
    """
    media_type = MEDIA_TYPES.get(file.suffix.lower())
    size = file.stat().st_size
    if media_type and size <= EMBEDDED_BYTES:
        return Sound(_data_uri(file.read_bytes(), media_type), "The file itself travels inside this page.")
    obstacle = "it is too long to travel inside this page"
    if duration_s < LONGEST_COPY_S:
        try:
            copy = call_isolated(mono_copy, file)
        except CLIP_ERRORS:
            copy, obstacle = b"", "its sound could not be read in one piece"
        if 0 < len(copy) <= EMBEDDED_BYTES:
            reason = f"the file has {size / 1e6:.1f} MB"
            if not media_type:
                reason = f"browsers do not play {file.suffix or 'such a file'}"
            return Sound(
                _data_uri(copy, "audio/ogg"), f"A small mono copy travels inside this page: {reason}."
            )
    if output is None:
        return Sound("", f"The page has no sound: {obstacle}.")
    link = Path(os.path.relpath(file.absolute(), output.absolute())).as_posix()
    return Sound(
        quote(os.fsencode(link)),
        f"The sound is played from its place on this machine ({name_text(link)}): {obstacle}.",
        outside=True,
    )


def mono_copy(file: Path) -> bytes:
    """A mono copy of the sound in Ogg Vorbis, at most at `COPY_SAMPLE_RATE`. A worker process calls it."""
    decoded = load_clip(file, sample_rate=COPY_SAMPLE_RATE, strict=False)
    if decoded.native_sample_rate < COPY_SAMPLE_RATE:
        decoded = load_clip(file, sample_rate=None, strict=False)
    return ogg_bytes(decoded.clip)


def _data_uri(content: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
