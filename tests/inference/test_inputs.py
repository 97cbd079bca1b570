"""Files, folders and globs as files; segments as a manifest."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quintet.audio.reading.segments import WHOLE_FILE, Window
from quintet.errors import DatasetError
from quintet.inference.inputs import expand_files, segment_manifest, segment_row

RATE = 8000


def write_silence(path: Path, duration_s: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(round(duration_s * RATE)), RATE)
    return path


def test_folders_and_globs_become_files_once_and_sorted(tmp_path: Path) -> None:
    b, a = write_silence(tmp_path / "b.wav", 0.1), write_silence(tmp_path / "a.wav", 0.1)
    (tmp_path / "notes.txt").write_text("not audio")
    assert expand_files([b, tmp_path, str(tmp_path / "*.wav")]).files == [b, a]


def test_absent_files_and_empty_globs_stay_in_the_list(tmp_path: Path) -> None:
    absent, pattern = tmp_path / "absent.wav", tmp_path / "*.flac"
    assert expand_files([absent, pattern]).files == [absent, pattern]


def test_what_is_left_out_of_a_folder_is_said(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    write_silence(outside / "b.wav", 0.1)
    a = write_silence(inside / "a.wav", 0.1)
    (inside / "link").symlink_to(outside, target_is_directory=True)
    (tmp_path / "folder.wav").mkdir()
    found = expand_files([inside, tmp_path / "folder.wav"])
    assert found.files == [a]
    link, folder = found.notes
    assert "not followed: 1, such as 'link'" in link
    assert "folder.wav" in folder


def test_no_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="at least one audio file"):
        expand_files([tmp_path])


def test_segments_are_rows_with_the_file_as_group(tmp_path: Path) -> None:
    long, short = tmp_path / "long.wav", tmp_path / "short.wav"
    rows = [(long, Window(0.0, 1.0)), (long, Window(1.0, 2.0)), (short, WHOLE_FILE)]
    frame = segment_manifest([segment_row(file, window) for file, window in rows]).frame
    assert frame["id"].tolist() == [f"{long}#t=0,1", f"{long}#t=1,2", str(short)]
    assert frame["group"].tolist() == [str(long), str(long), str(short)]
    assert frame["start"].tolist()[:2] == [0.0, 1.0]
    assert math.isnan(frame["start"].iloc[2])
