"""Names of files as text: reversible, valid Unicode, and the same file in every step."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import example, given
from hypothesis import strategies as st

from quintet.audio.decode import ClipSource
from quintet.audio.reading.segments import WHOLE_FILE
from quintet.datasets.folder import read_folder
from quintet.datasets.source import load_source
from quintet.files.display.file_names import name_text, text_path
from quintet.files.display.spreadsheets import exact_csv
from quintet.files.tables import read_table_file
from quintet.inference.inputs import segment_manifest, segment_row

NAMES = (
    *(b"caf\xe9.wav", b"\xff\xfe.wav", rb"\xe9.wav", rb"\x5cxe9.wav", b" lead.wav", b"trail .wav"),
    *(b"new\nline.wav", b"cr\rx.wav", b"esc\x1b[31m.wav", b"tab\tx.wav", "é日😀.wav".encode(), b'"q,;.wav'),
)
posix_only = pytest.mark.skipif(os.name == "nt", reason="names of files are bytes on POSIX only")


@given(st.binary(min_size=1).filter(lambda name: b"\0" not in name))
@example(rb"\xe9")
@example(rb"\x5c\x5cx80")
@example(b"\xe9\\xe9\\")
def test_every_name_has_one_text_and_the_text_leads_back(name: bytes) -> None:
    path = os.fsdecode(name)
    text = name_text(path)
    assert text.encode("utf-8").decode("utf-8") == text
    assert text_path(text) == path
    assert name_text(text_path(text)) == text


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """Two classes, one whose name is not UTF-8 and one with blanks around it; one file per name."""
    for k, label in enumerate((b"roc\xe9k", b" jazz ")):
        folder = os.path.join(os.fsencode(tmp_path), b"music", label)
        os.makedirs(folder)
        for i, name in enumerate(NAMES):
            tone = np.sin(np.arange(4000) * (0.05 + 0.01 * i + 0.4 * k))
            plain = tmp_path / "plain.wav"
            soundfile.write(plain, tone, 8000)
            os.rename(os.fsencode(plain), os.path.join(folder, name))
    return tmp_path / "music"


@posix_only
def test_a_folder_of_odd_names_is_a_source_like_others(music: Path) -> None:
    manifest = read_folder(music)
    assert manifest.frame["problem"].isna().all()
    assert manifest.classes == ("jazz", "roc\\xe9k")
    assert len(manifest) == 2 * len(NAMES)
    sources = [ClipSource.from_row(*row) for row in manifest.frame[["id", "path", "start", "end"]].to_numpy()]
    assert sorted(os.path.basename(os.fsencode(source.path)) for source in sources) == sorted(NAMES * 2)
    digests = {source.load(sample_rate=None).audio_digest for source in sources}
    assert len(digests) == 2 * len(NAMES)


@posix_only
def test_a_manifest_names_files_by_their_text(music: Path, tmp_path: Path) -> None:
    found = read_folder(music).frame
    listed = tmp_path / "manifest.csv"
    listed.write_text(exact_csv(found[["path", "label"]]), encoding="utf-8", newline="")
    manifest = load_source(str(listed))
    assert manifest.frame["problem"].isna().all()
    assert manifest.frame["path"].tolist() == found["path"].tolist()


@posix_only
def test_predict_names_files_by_their_text(music: Path) -> None:
    files = [Path(os.fsdecode(os.path.join(os.fsencode(music), b"roc\xe9k", name))) for name in NAMES]
    frame = segment_manifest([segment_row(file, WHOLE_FILE) for file in files]).frame
    assert frame["id"].tolist() == [name_text(file) for file in files]
    assert [text_path(path) for path in frame["path"]] == [str(file) for file in files]


def test_a_table_keeps_every_name_as_csv(tmp_path: Path) -> None:
    ids = [f"{label}/{name_text(os.fsdecode(name))}" for label in (" jazz ", "rock") for name in NAMES]
    groups = pd.DataFrame({"id": ids, "group": [f"group {i // 2}" for i in range(len(ids))]})
    file = tmp_path / "groups.csv"
    file.write_text(exact_csv(groups), encoding="utf-8", newline="")
    read = read_table_file(file, text=lambda names: names).frame
    assert read["id"].tolist() == ids
    assert read["group"].tolist() == groups["group"].tolist()
