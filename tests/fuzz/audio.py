"""Mutated audio files: every file has a row, a prediction or a problem, and no command dies.

Small recordings in as many containers as soundfile and PyAV write are mutated with their structure in view:
header fields, sizes of chunks and atoms, lengths of Ogg pages with their checksum put right, frame headers,
pieces of one container in another. One try mutates `BATCH` files and gives them to one command.
"""

from __future__ import annotations

import json
import os
import re
import struct
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pandas as pd
import soundfile
from typer.testing import CliRunner

import quintet
from quintet import cli
from quintet.audio.isolation.bounds import SECONDS_VARIABLE
from quintet.errors import QuintetError
from quintet.training.settings import TrainSettings
from tests.fuzz.target import Runner

Rng = np.random.Generator
RATE = 8000
BATCH, SMALL_BATCH = 500, 12
"""Files of a try."""
SECONDS = "20"
UNKNOWN = "The clip could not be processed"
"""Beginning of the reason for an error that is not ours, and so does not say what to do."""
MOST_SAMPLES = 100
"""Samples that a byte of a file may give. In no seed it is more than 10."""
PARAMETERS = quintet.FeatureParameters(feature_set="bahuleyan2018", families=("temporal", "spectral"))
WITH_SOUNDFILE = {
    "16.wav": ("WAV", "PCM_16"),
    "24.wav": ("WAV", "PCM_24"),
    "float.wav": ("WAV", "FLOAT"),
    "ulaw.wav": ("WAV", "ULAW"),
    "adpcm.wav": ("WAV", "IMA_ADPCM"),
    "ms.wav": ("WAV", "MS_ADPCM"),
    "gsm.wav": ("WAV", "GSM610"),
    "wavex.wav": ("WAVEX", "PCM_16"),
    "rf64.wav": ("RF64", "PCM_16"),
    "w64": ("W64", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "24.flac": ("FLAC", "PCM_24"),
    "ogg": ("OGG", "VORBIS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "aiff": ("AIFF", "PCM_16"),
    "float.aiff": ("AIFF", "FLOAT"),
    "au": ("AU", "PCM_16"),
    "caf": ("CAF", "PCM_16"),
    "alac.caf": ("CAF", "ALAC_16"),
    "voc": ("VOC", "PCM_16"),
    "nist.wav": ("NIST", "PCM_16"),
    "svx": ("SVX", "PCM_16"),
    "paf": ("PAF", "PCM_16"),
    "ircam.wav": ("IRCAM", "PCM_16"),
    "avr": ("AVR", "PCM_16"),
    "mat4.wav": ("MAT4", "PCM_16"),
    "sds": ("SDS", "PCM_16"),
}
WITH_AV = {
    "m4a": ("mp4", "aac"),
    "alac.m4a": ("mp4", "alac"),
    "aac": ("adts", "aac"),
    "opus": ("ogg", "libopus"),
    "wma": ("asf", "wmav2"),
    "mka": ("matroska", "aac"),
    "webm": ("webm", "libopus"),
    "flac.mka": ("matroska", "flac"),
    "ts": ("mpegts", "mp2"),
    "mp2": ("mp2", "mp2"),
    "avi": ("avi", "mp3"),
    "flv": ("flv", "aac"),
    "ac3": ("ac3", "ac3"),
    "mov": ("mov", "pcm_s16be"),
    "tta": ("tta", "tta"),
    "wv": ("wv", "wavpack"),
    "aiffc.aif": ("aiff", "pcm_mulaw"),
    "au.au": ("au", "pcm_alaw"),
    "3gp": ("3gp", "aac"),
    "nut": ("nut", "pcm_s16le"),
}
ATOM = re.compile(rb"[\x00-\xff]{4}[a-z]{4}")
"""Size and name of an atom of MPEG-4."""
NUMBERS = (0, 1, 2, 3, 7, 8, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**36 - 1)
LARGE = (2**40, 2**62, 2**63 - 1, 2**64 - 1)


def sound(rng: Rng, *, seconds: float, rate: int, channels: int) -> np.ndarray[Any, Any]:
    """A tone in noise, shape `(n, channels)`."""
    t = np.arange(round(seconds * rate)) / rate
    tone = np.sin(2 * np.pi * rng.uniform(100, 900) * t)[:, None]
    return np.asarray(0.3 * tone + 0.03 * rng.normal(size=(len(t), channels)))


def write_av(path: Path, container: str, codec: str, samples: np.ndarray[Any, Any], rate: int) -> None:
    """Write with PyAV; a codec or container that this build lacks raises."""
    with av.open(str(path), "w", format=container) as file:
        stream: Any = file.add_stream(codec, rate=48000, layout="stereo")
        stream.bit_rate = 96_000
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(np.repeat(samples[:, :1], 2, axis=1).T, dtype=np.float32),
            format="fltp",
            layout="stereo",
        )
        frame.sample_rate = rate
        resampler = av.AudioResampler(
            format=stream.format, layout="stereo", rate=48000, frame_size=stream.frame_size or 1024
        )
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            file.mux(stream.encode(part))
        file.mux([packet for packet in stream.encode(None) if packet.size])  # flac ends with an empty one


def make_seeds(folder: Path, *, per_container: int, seconds: float | None = None) -> list[Path]:
    """Small recordings of several rates and channels, and lengths, in every container that can be written."""
    seeds = []
    for number in range(per_container):
        rng = np.random.default_rng(number)
        length_s = (0.3, 0.7, 0.05, 1.4, 0.2)[number % 5] if seconds is None else seconds
        rate, channels = (RATE, 44100, 1000, 16000, 48000)[number % 5], (1, 2, 1, 2, 6)[number % 5]
        samples = sound(rng, seconds=length_s, rate=rate, channels=channels)
        longer = sound(rng, seconds=max(0.7, length_s), rate=rate, channels=1)  # some encoders need it
        for suffix, (format, subtype) in WITH_SOUNDFILE.items():
            path = folder / f"{number}.{suffix}"
            try:
                soundfile.write(path, samples, rate, format=format, subtype=subtype)
            except (soundfile.LibsndfileError, ValueError):  # not every rate and number of channels
                soundfile.write(path, samples[:, :1], RATE, format=format, subtype=subtype)
            seeds.append(path)
        for suffix, (container, codec) in WITH_AV.items():
            path = folder / f"{number}.{suffix}"
            try:
                write_av(path, container, codec, longer, rate)
            except (av.error.FFmpegError, ValueError):  # this build lacks the codec or the container
                path.unlink(missing_ok=True)
                continue
            seeds.append(path)
    return seeds


def chunk_fields(data: bytes) -> Iterator[tuple[int, int, str]]:
    """(position, bytes, byte order) of the fields that state sizes, rates and counts, by container."""
    if data[:4] in (b"RIFF", b"RF64", b"FORM"):
        order = ">" if data[:4] == b"FORM" else "<"
        yield 4, 4, order
        position = 12
        while position + 8 <= len(data):
            (size,) = struct.unpack(f"{order}I", data[position + 4 : position + 8])
            yield position + 4, 4, order
            for offset in range(8, min(8 + size, 48), 2):
                yield position + offset, 2, order
                yield position + offset, 4, order
            position += 8 + size + size % 2
    elif data[:4] == b"fLaC":
        for position in (8, 10, 12, 15, 18, 19, 21):
            yield position, 3, ">"
        yield 18, 8, ">"
    elif data[4:8] == b"ftyp":
        for atom in ATOM.finditer(data):
            yield atom.start(), 4, ">"
            for offset in range(8, 40, 4):
                yield atom.start() + offset, 4, ">"
    elif data[:4] == b"caff":
        for position in range(4, min(len(data), 120), 4):
            yield position, 8, ">"
    for position in range(0, min(len(data), 160), 2):
        yield position, 2, "<"
        yield position, 4, "<"
        yield position, 4, ">"


def set_field(data: bytearray, rng: Rng) -> None:
    """Put another number into a field of a header."""
    fields = list(chunk_fields(bytes(data)))
    position, width, order = fields[int(rng.integers(len(fields)))]
    numbers = NUMBERS if rng.random() < 0.8 else LARGE
    number = int(numbers[int(rng.integers(len(numbers)))]) % 256**width
    if rng.random() < 0.3:
        old = int.from_bytes(data[position : position + width], "little" if order == "<" else "big")
        number = max(0, old + int(rng.integers(-4, 5))) % 256**width
    data[position : position + width] = number.to_bytes(width, "little" if order == "<" else "big")


def repair_checksums(data: bytearray) -> None:
    """Make the checksums of Ogg pages right, so that a decoder looks further than at them."""
    position = data.find(b"OggS")
    while position >= 0 and position + 27 <= len(data):
        n_segments = data[position + 26]
        head = position + 27 + n_segments
        stop = min(len(data), head + sum(data[position + 27 : head]))
        data[position + 22 : position + 26] = bytes(4)
        data[position + 22 : position + 26] = ogg_checksum(bytes(data[position:stop])).to_bytes(4, "little")
        position = data.find(b"OggS", position + 4)


MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
"""Every byte with its bits in reverse order."""


def ogg_checksum(page: bytes) -> int:
    """Checksum of an Ogg page whose own field is zero: polynomial 0x04c11db7, highest bit first.

    zlib has the same polynomial with the lowest bit first, and inverts before and after.
    """
    mirrored = zlib.crc32(page.translate(MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)


def mutate_audio(data: bytes, other: bytes, rng: Rng) -> bytes:
    """A file with one to five faults.

    Args:
        data: the file.
        other: another file, of which pieces may be taken.
        rng: source of the choices.
    """
    forged = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        if not forged:
            break
        place, kind = int(rng.integers(len(forged))), int(rng.integers(12))
        near = int(rng.integers(min(len(forged), 200)))
        if kind < 4:
            set_field(forged, rng)
        elif kind == 4:
            forged[near] ^= 1 << int(rng.integers(8))
        elif kind == 5:
            for position in rng.integers(len(forged), size=int(rng.integers(1, 40))):
                forged[position] ^= 1 << int(rng.integers(8))
        elif kind == 6:
            del forged[place:]
        elif kind == 7:
            length = int(rng.integers(1, 400))
            forged[place : place + length] = bytes([int(rng.choice([0, 255]))]) * length
        elif kind == 8:
            forged[place:place] = forged[near : near + int(rng.integers(1, 3000))]
        elif kind == 9:
            begin = int(rng.integers(len(other)))
            forged[place:place] = other[begin : begin + int(rng.integers(1, 3000))]
        elif kind == 10:
            del forged[near : near + int(rng.integers(1, 64))]
        else:
            forged[:] = forged + other if rng.random() < 0.5 else other[:200] + forged[near:]
    if b"OggS" in forged and rng.random() < 0.7:
        repair_checksums(forged)
    return bytes(forged)


def write_batch(seeds: list[Path], rng: Rng, folder: Path, count: int) -> list[Path]:
    """Mutated files in two classes, some under the suffix of another container."""
    paths = []
    for name in ("low", "high"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        seed, other = (seeds[int(k)] for k in rng.integers(len(seeds), size=2))
        name = other.name if rng.random() < 0.1 else seed.name
        path = folder / ("low", "high")[number % 2] / f"{number:03d}.{name}"
        path.write_bytes(mutate_audio(seed.read_bytes(), other.read_bytes(), rng))
        paths.append(path)
    return paths


def prepare_extract(seeds: Path) -> Runner:
    """Runner of `extract` with one worker process."""
    return _runner(seeds, _extract)


def prepare_predict(seeds: Path) -> Runner:
    """Runner of `predict`, with segments of a third of a second."""
    model = _model(seeds)
    return _runner(seeds, lambda folder, paths: _predict(model, folder, paths))


def prepare_audit(seeds: Path) -> Runner:
    """Runner of `audit` with fingerprints."""
    return _runner(seeds, _audit)


def prepare_few(seeds: Path) -> Runner:
    """Runner of `extract` with few seeds and small batches, for the quick tests."""
    return _runner(seeds, _extract, per_container=1, count=SMALL_BATCH)


def _runner(
    seeds: Path,
    read: Callable[[Path, list[Path]], Counter[str]],
    *,
    per_container: int = 5,
    count: int = BATCH,
) -> Runner:
    os.environ.setdefault(SECONDS_VARIABLE, SECONDS)
    warnings.simplefilter("error", RuntimeWarning)  # of numpy, over the numbers of a damaged file
    folder = seeds / "audio"
    folder.mkdir(parents=True, exist_ok=True)
    originals = make_seeds(folder, per_container=per_container)

    def run(rng: Rng, folder: Path) -> Counter[str]:
        paths = write_batch(originals, rng, folder / "music", count)
        found = read(folder, paths)
        assert found.total() == count, f"{count} files, and {dict(found)}"
        return found

    return run


def _command(*arguments: str) -> dict[str, Any]:
    """Run a command of quintet with `--json`, and return its object."""
    result = CliRunner().invoke(cli.app, [*arguments, "--json", "-q"])
    error = result.exception
    if error is not None and not isinstance(error, QuintetError | SystemExit):
        raise error
    assert result.exit_code in (0, 1), result.exit_code
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def _manifest(folder: Path, paths: list[Path]) -> str:
    """A manifest of files, so that none is left out for its suffix."""
    place = folder / "manifest.csv"
    rows = {"path": [str(path) for path in paths], "label": [path.parent.name for path in paths]}
    pd.DataFrame(rows).to_csv(place, index=False)
    return str(place)


def _extract(folder: Path, paths: list[Path]) -> Counter[str]:
    table = folder / "f.parquet"
    families = ("--features", PARAMETERS.feature_set, "--families", ",".join(PARAMETERS.families))
    said = _command("extract", _manifest(folder, paths), "-o", str(table), *families)
    frame = pd.read_parquet(table)
    assert sorted(frame["path"]) == sorted(str(path) for path in paths)
    failed = frame.loc[frame["status"] == "failed"]
    assert said["n"] == len(frame)
    assert said["n_failed"] == len(failed)
    features = frame.loc[frame["status"] != "failed"].filter(regex=r"^(temporal|spectral)\.")
    assert len(features.columns)
    assert np.isfinite(features.to_numpy()).all()
    unknown = failed.loc[~(failed["reason"].str.len() > 20) | failed["reason"].str.startswith(UNKNOWN)]
    assert unknown.empty, unknown[["path", "reason"]].to_string()
    described = frame.loc[frame["status"] != "failed"]
    n_samples = described["duration_s"] * described["native_sample_rate"] * described["native_channels"]
    invented = described.loc[n_samples > MOST_SAMPLES * described["source_size"]]
    assert invented.empty, invented[["path", "duration_s", "source_size"]].to_string()
    worker = failed["stage"] == "worker"
    return Counter(frame.loc[frame["status"] != "failed", "status"]) + Counter(
        {"failed": int((~worker).sum()), **Counter("worker " + failed.loc[worker, "error"])}
    )


def _predict(model: Path, folder: Path, paths: list[Path]) -> Counter[str]:
    said = _command("predict", str(model), *map(str, paths), "--segment", "0.33")
    assert {row["file"] for row in said["files"]} == {str(path) for path in paths}
    names = [f"probability.{name}" for name in said["classes"]]
    for row in said["files"]:
        assert (row["status"] == "failed") == (row["verdict"] is None)
        assert row["verdict"] is None or np.isclose(sum(row[name] for name in names), 1, atol=1e-5)
    return Counter("worker" if row["stage"] == "worker" else row["status"] for row in said["files"])


def _audit(folder: Path, paths: list[Path]) -> Counter[str]:
    said = _command("audit", _manifest(folder, paths))
    return Counter({"audited": said["n"], "problem": len(said["problems"])})


def _model(seeds: Path) -> Path:
    """A small model of two classes."""
    root = seeds / "model-data"
    for number in range(8):
        path = root / "data" / ("low", "high")[number % 2] / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = sound(np.random.default_rng(number), seconds=0.5, rate=RATE, channels=1)
        soundfile.write(path, samples, RATE)
    table = root / "f.parquet"
    quintet.extract(quintet.load_source(root / "data"), table, parameters=PARAMETERS, n_jobs=0)
    settings = TrainSettings(
        members=("logistic_regression",), folds=2, rules=("mean",), rule="mean", resamples=0
    )
    quintet.train(table, root / "model", settings=settings)
    return root / "model"
