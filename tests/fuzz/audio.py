"""Mutated audio files: every file has a row, a prediction or a problem, and no command dies.

Small recordings in as many containers as soundfile and PyAV write are mutated with their structure in view:
header fields, sizes of chunks and atoms, lengths of Ogg pages with their checksum put right, frame headers,
pieces of one container in another. One try mutates `BATCH` files and feeds them to one reader.
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile

import quintet
from quintet.audio.isolation.bounds import SECONDS_VARIABLE
from quintet.audit.run import audit
from quintet.inference.predict import predict_files
from quintet.training.settings import TrainSettings
from tests.fuzz.target import Runner

Rng = np.random.Generator
RATE = 8000
BATCH = 20
SECONDS = "20"
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
NUMBERS = (0, 1, 2, 3, 7, 8, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**36 - 1)
LARGE = (2**40, 2**62, 2**63 - 1, 2**64 - 1)


def sound(rng: Rng, *, seconds: float, rate: int, channels: int) -> np.ndarray[Any, Any]:
    """A tone in noise, shape `(n, channels)`."""
    t = np.arange(round(seconds * rate)) / rate
    tone = np.sin(2 * np.pi * rng.uniform(100, 900) * t)[:, None]
    return np.asarray(0.3 * tone + 0.03 * rng.normal(size=(len(t), channels)))


def write_av(path: Path, container: str, codec: str, samples: np.ndarray[Any, Any], rate: int) -> None:
    """Write with PyAV; a codec or container that this build lacks raises."""
    import av

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
        file.mux(stream.encode(None))


def make_seeds(folder: Path, *, per_container: int) -> list[Path]:
    """Small recordings of several lengths, rates and channels in every container that can be written."""
    seeds = []
    for number in range(per_container):
        rng = np.random.default_rng(number)
        seconds = (0.3, 0.7, 0.05, 1.4, 0.2)[number % 5]
        rate, channels = (RATE, 44100, 1000, 16000, 48000)[number % 5], (1, 2, 1, 2, 6)[number % 5]
        samples = sound(rng, seconds=seconds, rate=rate, channels=channels)
        longer = sound(rng, seconds=max(0.7, seconds), rate=rate, channels=1)  # some encoders need it
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
            except Exception:  # noqa: BLE001  this build lacks the codec or the container
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
        for position in range(len(data) - 8):
            if data[position + 4 : position + 8].isalpha() and data[position + 4 : position + 8].islower():
                yield position, 4, ">"
                for offset in range(8, 40, 4):
                    yield position + offset, 4, ">"
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


@lru_cache(maxsize=1)
def ogg_table() -> list[int]:
    """Table of the checksum of Ogg (polynomial 0x04c11db7, not reflected)."""
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1 ^ 0x04C11DB7 if value & 0x80000000 else value << 1) & 0xFFFFFFFF
        table.append(value)
    return table


def ogg_checksum(page: bytes) -> int:
    """Checksum of an Ogg page whose own field is zero."""
    table, value = ogg_table(), 0
    for byte in page:
        value = (value << 8 & 0xFFFFFFFF) ^ table[value >> 24 ^ byte]
    return value


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
    for number in range(count):
        seed, other = (seeds[int(k)] for k in rng.integers(len(seeds), size=2))
        name = other.name if rng.random() < 0.1 else seed.name
        path = folder / ("low", "high")[number % 2] / f"{number:03d}.{name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(mutate_audio(seed.read_bytes(), other.read_bytes(), rng))
        paths.append(path)
    return paths


def prepare_extract(seeds: Path) -> Runner:
    """Runner of `extract` with one worker process."""
    return _runner(seeds, _extract)


def prepare_predict(seeds: Path) -> Runner:
    """Runner of `predict`, with segments of a third of a second."""
    model = _model(seeds)
    return _runner(seeds, lambda folder, paths: _predict(model, paths))


def prepare_audit(seeds: Path) -> Runner:
    """Runner of `audit` with fingerprints."""
    return _runner(seeds, _audit)


def prepare_few(seeds: Path) -> Runner:
    """Runner of `extract` with few seeds and small batches, for the quick tests."""
    return _runner(seeds, _extract, per_container=1, count=12)


def _runner(
    seeds: Path,
    read: Callable[[Path, list[Path]], str],
    *,
    per_container: int = 5,
    count: int = BATCH,
) -> Runner:
    os.environ.setdefault(SECONDS_VARIABLE, SECONDS)
    folder = seeds / "audio"
    folder.mkdir(parents=True, exist_ok=True)
    originals = make_seeds(folder, per_container=per_container)

    before_mb = _peak_mb()

    def run(rng: Rng, folder: Path) -> str:
        paths = write_batch(originals, rng, folder / "music", count)
        outcome = read(folder, paths)
        _require_memory(before_mb)
        return outcome

    return run


def _extract(folder: Path, paths: list[Path]) -> str:
    manifest = quintet.load_source(folder / "music")
    try:
        quintet.extract(manifest, folder / "f.parquet", parameters=PARAMETERS)
    except quintet.QuintetError as error:
        return f"refused: {type(error).__name__}"
    frame = pd.read_parquet(folder / "f.parquet")
    assert len(frame) == len(manifest) <= len(paths)
    features = frame.loc[frame["status"] != "failed"].filter(regex=r"^(temporal|spectral)\.")
    assert np.isfinite(features.to_numpy()).all()
    failed = frame.loc[frame["status"] == "failed"]
    assert failed["reason"].str.len().min() > 20 if len(failed) else True
    return _outcome(failed["error"])


def _predict(model: Path, paths: list[Path]) -> str:
    result = predict_files(model, paths, segment_s=0.33)
    seen = {*result.frame["file"], *result.failures["file"]}
    assert seen == {str(path) for path in paths}
    assert np.isfinite(result.frame.filter(like="probability.").to_numpy()).all()
    return _outcome(result.failures["stage"])


def _audit(folder: Path, paths: list[Path]) -> str:
    report = audit(folder / "music")
    n_listed = len(quintet.load_source(folder / "music"))
    assert len(report.clips) + len(report.problems) == n_listed <= len(paths)
    return "audited"


def _outcome(faults: pd.Series) -> str:
    """Whether a worker was lost, in a word."""
    lost = [str(fault) for fault in faults if fault in ("ProcessExpired", "TimeoutError", "worker")]
    return f"done, {len(lost)} lost" if lost else "done"


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


def _peak_mb() -> float:
    """Most memory that a child of this process took, MB."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def _require_memory(before_mb: float) -> None:
    """Require that no worker took 1.5 GB.

    Args:
        before_mb: what an earlier child of this process took, which may have been another work.
    """
    peak_mb = _peak_mb()
    if peak_mb > max(1500, before_mb):
        raise MemoryError(f"a worker took {peak_mb:.0f} MB")
