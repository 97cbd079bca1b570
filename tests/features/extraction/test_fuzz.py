"""Damaged files of every format: no crash, no hang, no file without a row."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quintet.datasets.source import load_source
from quintet.features.parameters import FeatureParameters
from quintet.features.storage.read import read_feature_table
from quintet.workflow import extract

sys.path.insert(0, str(Path(__file__).parent))
import stand_ins

PARAMETERS = FeatureParameters(feature_set="bahuleyan2018", families=("temporal", "cepstral"))
SOUNDFILE = {
    "wav": {},
    "flac": {},
    "ogg": {},
    "mp3": {},
    "au": {},
    "aiff": {},
    "w24.wav": {"subtype": "PCM_24"},
    "float.wav": {"subtype": "FLOAT"},
}
AV = {"m4a": "aac", "opus": "libopus", "wma": "wmav2"}


def originals(folder: Path) -> dict[str, bytes]:
    """The same short stereo tune in every format that can be written here."""
    samples, rate = soundfile.read(stand_ins.tone(folder / "original.wav", 1, seconds=0.6))
    stereo = np.stack([samples, samples[::-1]], axis=1)
    for suffix, settings in SOUNDFILE.items():
        soundfile.write(folder / f"o.{suffix}", stereo, rate, **settings)
    suffixes = list(SOUNDFILE)
    av = pytest.importorskip("av")
    for suffix, codec in AV.items():
        with av.open(str(folder / f"o.{suffix}"), "w") as container:
            stream = container.add_stream(codec, rate=48000, layout="stereo")
            stream.bit_rate = 96_000
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(stereo.T, dtype=np.float32), format="fltp", layout="stereo"
            )
            frame.sample_rate = rate
            for resampled in av.AudioResampler(
                format=stream.format, layout="stereo", rate=48000, frame_size=stream.frame_size or 1024
            ).resample(frame):
                container.mux(stream.encode(resampled))
            container.mux(stream.encode(None))
        suffixes.append(suffix)
    return {suffix: (folder / f"o.{suffix}").read_bytes() for suffix in suffixes}


def damaged(content: bytes, chance: np.random.Generator) -> bytes:
    """The content with a fault: flipped bits (anywhere, in the header), cut, zeros, another head, doubled."""
    data = bytearray(content)
    kind = chance.integers(6)
    if kind == 0:
        for place in chance.integers(len(data), size=chance.integers(1, 30)):
            data[place] ^= 1 << chance.integers(8)
    elif kind == 1:
        for place in chance.integers(min(len(data), 120), size=chance.integers(1, 6)):
            data[place] ^= 1 << chance.integers(8)
    elif kind == 2:
        del data[chance.integers(len(data)) :]
    elif kind == 3:
        begin = chance.integers(len(data))
        data[begin : begin + 400] = bytes(len(data[begin : begin + 400]))
    elif kind == 4:
        data[:16] = chance.bytes(16)
    else:
        data[chance.integers(len(data)) : 0] = data[: chance.integers(len(data))]
    return bytes(data)


def fuzz(tmp_path: Path, *, count: int, seed: int) -> None:
    chance = np.random.default_rng(seed)
    sources = originals(tmp_path)
    suffixes = list(sources)
    folder = tmp_path / "corpus" / "any"
    folder.mkdir(parents=True)
    for k in range(count):
        suffix = suffixes[k % len(suffixes)]
        name = suffix if chance.random() < 0.9 else suffixes[chance.integers(len(suffixes))]
        (folder / f"{k:04d}.{name}").write_bytes(damaged(sources[suffix], chance))
    manifest = load_source(tmp_path / "corpus")
    summary = extract(manifest, tmp_path / "f.parquet", parameters=PARAMETERS, n_jobs=1, timeout_s=20.0)
    table = read_feature_table(tmp_path / "f.parquet")
    assert len(manifest) == len(table) == summary.n_ok + summary.n_failed == count
    assert np.isfinite(table.features.to_numpy()).all()
    assert table.failures["reason"].str.len().min() > 20
    assert summary.n_failed >= count // 10
    crashed = table.failures[table.failures["stage"] == "worker"]
    assert crashed.empty, crashed["reason"].tolist()


def test_damaged_files_have_rows(tmp_path: Path) -> None:
    fuzz(tmp_path, count=66, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
def test_two_thousand_damaged_files(tmp_path: Path, seed: int) -> None:
    fuzz(tmp_path, count=500, seed=seed)
