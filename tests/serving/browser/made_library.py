"""Libraries with made rows: a small one with songs that sound, or a large one without audio."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from quintet.library.store import Library

GENRES = ("rock", "jazz", "folk", "metal", "disco", "reggae", "blues", "classical", "hiphop", "country")
KEYS = ("A minor", "C major", "F# minor", "G major", "D major")
RATE = 8000


def make_library(
    folder: Path, n: int, *, with_sound: bool = False, seed: int = 0, dimensions: int = 16
) -> Library:
    """A library of n songs in ten genres.

    Args:
        folder: its folder is `folder / "my.library"`, the music is in `folder / "music"`.
        n: songs.
        with_sound: whether each song has a file of one second.
        seed: of all that is random.
        dimensions: of the space in which near songs sound alike.
    """
    rng = np.random.default_rng(seed)
    genre = rng.integers(0, len(GENRES), n)
    names = np.array(GENRES)[genre]
    probability = np.round(rng.beta(6, 2, n), 3)
    music = folder / "music"
    paths = [f"artist {k % max(1, n // 8)}/song {k}.{'wav' if k % 5 else 'flac'}" for k in range(n)]
    hostile = "<img src=x onerror=alert(1)>\x1b[2J"
    columns = {
        "id": [f"{k:016x}" for k in range(n)],
        "root": [str(music)] * n,
        "path": paths,
        "status": ["ok"] * n,
        "audio_digest": [f"xxh3:{k:032x}" for k in range(n)],
        "format": ["wav"] * n,
        "seconds": np.arange(1.0, n + 1) if with_sound else np.round(rng.uniform(120, 400, n), 1),
        "title": [hostile if k == 3 else f"Song {k}" for k in range(n)],
        "artist": [f"Artist {k % max(1, n // 8)}" for k in range(n)],
        "album": [f"Album {k % max(1, n // 4)}" for k in range(n)],
        "genre": [None if k % 3 else names[k].title() for k in range(n)],
        "tempo": np.round(rng.uniform(70, 180, n), 1),
        "tempo_confidence": np.round(rng.uniform(0, 1, n), 2),
        "key": [KEYS[k % len(KEYS)] for k in range(n)],
        "key_confidence": np.round(rng.uniform(0, 1, n), 2),
        "energy": np.round(rng.uniform(0, 1, n), 3),
        "verdict": names,
        "verdict_probability": probability,
        "verdict_set": [
            name if p > 0.6 else f"{name};pop" for name, p in zip(names, probability, strict=True)
        ],
        "out_of_class": np.round(rng.uniform(0, 1, n), 3),
    }
    library = Library.create(folder / "my.library")
    library.facts.roots = [str(music)]
    library.facts.model = {"path": str(folder / "model"), "classes": list(GENRES), "multilabel": False}
    library.write_facts()
    library.write("songs", pa.table(columns))
    rest = np.round((1 - probability) / (len(GENRES) - 1), 4)
    labels = np.tile(GENRES, n)
    is_top = labels == np.repeat(names, len(GENRES))
    rows = {
        "id": np.repeat(columns["id"], len(GENRES)),
        "label": labels,
        "probability": np.where(is_top, np.repeat(probability, len(GENRES)), np.repeat(rest, len(GENRES))),
        "in_set": is_top,
    }
    library.write("verdicts", pa.table(rows))
    moods = rng.uniform(0, 1, (n, 2)).astype(np.float32)
    library.write(
        "activations", pa.table({"id": columns["id"], "mood_happy": moods[:, 0], "mood_calm": moods[:, 1]})
    )
    centres = rng.normal(size=(len(GENRES), dimensions))
    vectors = (centres[genre] + 0.8 * rng.normal(size=(n, dimensions))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    table = {"audio_digest": columns["audio_digest"]} | {
        f"v{k:02d}": vectors[:, k] for k in range(dimensions)
    }
    pq.write_table(pa.table(table), library.folder / "vectors.parquet")
    if with_sound:
        for k, path in enumerate(paths):
            file = music / path
            file.parent.mkdir(parents=True, exist_ok=True)
            times = np.arange(RATE) / RATE
            tone = 0.4 * np.sin(2 * np.pi * (200 + 20 * genre[k]) * times) * np.linspace(1, 0.1, RATE)
            soundfile.write(file, (tone + 0.01 * rng.standard_normal(RATE)).astype(np.float32), RATE)
    return library


def unpack(data: bytes) -> dict:
    """Header and arrays of `quintet.serving.browser.columns.pack`, as the page reads them."""
    length = int.from_bytes(data[:4], "little")
    header = json.loads(data[4 : 4 + length])
    begin = -(-(4 + length) // 8) * 8
    for name, (kind, offset, count) in header.pop("arrays").items():
        header[name] = np.frombuffer(data, np.dtype(f"<{kind}"), count, begin + offset)
    return header
