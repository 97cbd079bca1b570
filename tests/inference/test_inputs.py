"""Files, folders and globs as files; files as segments."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quintet.errors import DatasetError
from quintet.inference.inputs import WHOLE_FILE, Window, expand_files, file_windows, list_segments

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


@pytest.mark.parametrize(
    ("duration_s", "windows"),
    [
        (1.5, [WHOLE_FILE]),
        (2.0, [Window(0.0, 1.0), Window(1.0, 2.0)]),
        (2.2, [Window(0.0, 1.0), Window(1.0, 2.0)]),
        (2.4, [Window(0.0, 1.0), Window(1.0, 2.0), Window(1.4, 2.4)]),
    ],
)
def test_a_long_file_is_cut_and_a_long_rest_gets_a_segment(
    tmp_path: Path, duration_s: float, windows: list[Window]
) -> None:
    found = file_windows(write_silence(tmp_path / "a.wav", duration_s), 1.0)
    np.testing.assert_equal(found, windows)


def test_segments_are_rows_with_the_file_as_group(tmp_path: Path) -> None:
    long, short = write_silence(tmp_path / "long.wav", 2.0), write_silence(tmp_path / "short.wav", 0.5)
    frame = list_segments([long, short], 1.0).frame
    assert frame["id"].tolist() == [f"{long}#t=0,1", f"{long}#t=1,2", str(short)]
    assert frame["group"].tolist() == [str(long), str(long), str(short)]
    assert frame["start"].tolist()[:2] == [0.0, 1.0]
    assert math.isnan(frame["start"].iloc[2])
    assert list_segments([long], 0).frame["id"].tolist() == [str(long)]
