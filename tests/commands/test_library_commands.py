"""The commands of the library, as an owner types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

RATE = 22050


def run(folder: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "quintet", "library", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "XDG_DATA_HOME": str(folder / "data")},
    )
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    mutagen = pytest.importorskip("mutagen")
    home = tmp_path_factory.mktemp("home")
    for k in range(8):
        rng = np.random.default_rng(k)
        tone = np.sin(2 * np.pi * 110 * (k + 1) * np.arange(RATE) / RATE)
        path = home / f"Music/{k % 3}/{k}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.3 * tone + 0.05 * rng.normal(size=RATE), RATE)
        file = mutagen.File(path)
        file["title"], file["artist"], file["genre"] = f"Song {k}", f"Artist {k % 3}", ["rock", "jazz"][k % 2]
        file.save()
    (home / "Music/\x1b[2Jbad.mp3").write_bytes(b"\0" * 10)
    return home


@pytest.mark.slow
def test_scan_similar_playlist_genres(home: Path) -> None:
    first = run(home, "scan", "Music", "-o", "my.library", "--json")
    answer = json.loads(first.stdout)
    assert (answer["folders"][0]["new"], answer["folders"][0]["failed"]) == (8, 1)
    assert "\x1b[2J" not in first.stderr
    assert (
        json.loads(run(home, "scan", "Music", "-o", "my.library", "--json").stdout)["folders"][0]["unchanged"]
        == 8
    )
    similar = json.loads(run(home, "similar", "my.library", "Music/0/3.flac", "-n", "3", "--json").stdout)
    assert len(similar["songs"]) == 3
    assert "0/3.flac" not in [song["path"] for song in similar["songs"]]
    run(home, "playlist", "my.library", "--where", "genre = 'rock'", "-o", "rock.m3u8", "-n", "4")
    names = [line for line in (home / "rock.m3u8").read_text().splitlines() if not line.startswith("#")]
    assert len(names) == 4
    assert all((home / name).is_file() for name in names)
    assert "similarity" in run(home, "similar", "my.library", "0/3.flac", "-n", "1").stdout
    assert "similarity" not in run(home, "songs", "my.library", "-n", "1").stdout
    listed = json.loads(run(home, "songs", "my.library", "--order-by=-energy", "-n", "3", "--json").stdout)[
        "songs"
    ]
    assert [song["energy"] for song in listed] == sorted((song["energy"] for song in listed), reverse=True)
    assert len(listed) == 3
    wrong = run(home, "playlist", "my.library", "--where", "1=1); DROP TABLE songs; --", code=1)
    assert "one SQL expression" in " ".join(wrong.stderr.split())
    run(home, "playlist", "my.library", "-o", "x.doc", code=2)
    run(home, "genres", "my.library", "--write-map", "genres.toml")
    (home / "genres.toml").write_text((home / "genres.toml").read_text().replace("least = 10", "least = 2"))
    run(home, "genres", "my.library", "--map", "genres.toml", "-o", "genres.parquet")
    found = json.loads(run(home, "genres", "my.library", "--map", "genres.toml", "--json").stdout)
    assert {row["genre"]: row["songs"] for row in found["genres"]} == {"rock": 4, "jazz": 4}
    run(home, "similar", "nothing.library", "x", code=1)
    words = ["extract", "Music", "--label-by", "tag:genre", "--genres", "genres.toml", "-o", "direct.parquet"]
    subprocess.run([sys.executable, "-m", "quintet", *words], cwd=home, check=True, capture_output=True)
    direct, stored = (
        pd.read_parquet(home / name).set_index("id").sort_index()
        for name in ("direct.parquet", "genres.parquet")
    )
    assert stored.index.tolist() == direct.index.tolist()
    same = [name for name in direct.columns if name not in ("path", "source_mtime_ns")]
    pd.testing.assert_frame_equal(stored[same], direct[same], check_dtype=False)
    assert not list((home / "Music").rglob("*.tmp"))
