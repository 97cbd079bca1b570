"""Does a lossy copy of a sound get the prediction of its wav?

    python -m benchmarks.lossy MODEL SOUND [SOUND …]

Every sound is written as 16-bit wav and in each format of `COPIES`, at 96 kbit/s a channel (libsndfile
chooses that of Vorbis). Prints for each format the largest difference of a class probability between copy and
wav, of the ensemble prediction and of its members, and how many copies get another class.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import pandas as pd
import soundfile
from numpy.typing import NDArray

from quintet.audio.clip import Clip
from quintet.audio.decode import load_clip
from quintet.audio.encode import ogg_bytes
from quintet.ensemble.classifier import EnsembleClassifier
from quintet.features.columns import feature_names
from quintet.features.extraction.segments import FileTask, describe_files
from quintet.inference.describe import (
    column_positions,
    feature_parameters,
    has_networks,
    make_job,
    segment_length_s,
)
from quintet.model_folder.load import load_model

COPIES = {
    "flac": ("flac", "flac"),
    "mp3": ("libmp3lame", "mp3"),
    "mp2": ("mp2", "mp2"),
    "aac": ("aac", "aac"),
    "m4a": ("aac", "m4a"),
    "ac3": ("ac3", "ac3"),
    "eac3": ("eac3", "mkv"),
    "opus": ("libopus", "opus"),
    "vorbis": ("", "ogg"),
    "wma": ("wmav2", "wma"),
}
"""Name of a format → codec of ffmpeg (empty: libsndfile writes it) and suffix."""
BIT_RATE = 96_000
"""Bits per second of one channel."""
RATE = 44_100
"""Sample rate of the copies, Hz. Opus takes 48,000."""


class Difference(NamedTuple):
    """Difference of the predictions of a copy and of its wav.

    Attributes:
        sound: name of the sound.
        format: key of `COPIES`.
        largest: member, or `ensemble`, → largest difference of a class probability.
        other_class: whether the ensemble prediction is another class.
    """

    sound: str
    format: str
    largest: dict[str, float]
    other_class: bool


def write_copies(sound: Path, folder: Path, formats: Sequence[str] = tuple(COPIES)) -> dict[str, Path]:
    """Write a sound as wav (key `"wav"`) and in other formats: format → file."""
    samples = load_clip(sound, sample_rate=RATE).clip.samples
    whole = np.round(32767 * np.clip(samples, -1, 1)).astype(np.int16)
    files = {"wav": folder / f"{sound.stem}.wav"}
    soundfile.write(files["wav"], whole, RATE, subtype="PCM_16")
    for name in formats:
        codec, suffix = COPIES[name]
        files[name] = folder / f"{sound.stem}-{name}.{suffix}"
        if codec:
            encode(whole, files[name], codec)
        else:
            clip = Clip(whole / np.float32(32768), RATE)
            files[name].write_bytes(ogg_bytes(clip))
    return files


def encode(samples: NDArray[np.int16], path: Path, codec: str) -> None:
    """Write mono samples at `RATE` with an encoder of ffmpeg, at `BIT_RATE`."""
    rate = 48_000 if codec == "libopus" else RATE
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        stream.bit_rate = BIT_RATE
        stream.codec_context.open()
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = RATE
        resampler = av.AudioResampler(
            format=stream.codec_context.format, layout="mono", rate=rate, frame_size=stream.frame_size or 1024
        )
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))


def predict_each(ensemble: EnsembleClassifier, files: Sequence[Path]) -> list[dict[str, NDArray[np.float64]]]:
    """Probabilities of each file, `(K,)`, by member and of the `ensemble`: means over its segments."""
    parameters = feature_parameters(ensemble)
    wanted = list(ensemble.bundle_["feature_names"])
    columns = column_positions(wanted, feature_names(parameters))
    segment_s = segment_length_s(ensemble, None)
    tasks = [FileTask(file.name, str(file.absolute()), segment_s) for file in files]
    means = {}
    job = make_job(parameters, log_mel=has_networks(ensemble))
    for position, found in describe_files(tasks, job, n_workers=1):
        values = np.stack([row.values for row in found.rows if row.values is not None])[:, columns]
        pictures = [row.log_mel.T.astype(np.float32) for row in found.rows if row.log_mel is not None]
        members = ensemble.member_probabilities(pd.DataFrame(values, columns=wanted), pictures or None)
        of_all = {**members, "ensemble": ensemble.fuse_and_calibrate(members)}
        means[position] = {name: probabilities.mean(axis=0) for name, probabilities in of_all.items()}
    return [means[position] for position in range(len(files))]


def compare(
    ensemble: EnsembleClassifier, sounds: Sequence[Path], formats: Sequence[str] = tuple(COPIES)
) -> list[Difference]:
    """Differences between the predictions of copies and of their wavs."""
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        for sound in sounds:
            files = write_copies(sound, Path(scratch), formats)
            original, *others = predict_each(ensemble, list(files.values()))
            for name, other in zip(formats, others, strict=True):
                largest = {m: float(np.abs(other[m] - original[m]).max()) for m in original}
                is_other = bool(other["ensemble"].argmax() != original["ensemble"].argmax())
                found.append(Difference(sound.stem, name, largest, is_other))
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("sounds", type=Path, nargs="+")
    given = parser.parse_args()
    found = compare(load_model(given.model), given.sounds)
    rows = [{"format": d.format, "other class": int(d.other_class), **d.largest} for d in found]
    table = pd.DataFrame(rows).groupby("format", sort=False)
    print(
        table.max().drop(columns="other class").assign(other=table["other class"].sum()).round(3).to_string()
    )


if __name__ == "__main__":
    main()
