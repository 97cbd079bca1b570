"""Files that are whole or absent."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from quintet.files.atomic import atomic_replace, name_beside, save_array, write_text


def test_who_reads_the_old_file_never_sees_the_new_one_in_it(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file"
    with atomic_replace(target) as temporary:
        temporary.write_text("old")
    with target.open() as reader:
        with atomic_replace(target) as temporary:
            temporary.write_text("new")
            assert target.read_text() == "old"
        assert reader.read() == "old"
    assert target.read_text() == "new"
    assert [path.name for path in target.parent.iterdir()] == ["file"]


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    def fail_halfway() -> None:
        with atomic_replace(tmp_path / "file") as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    (tmp_path / "file").write_text("old")
    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "old")]


def test_a_link_is_replaced_and_its_file_stays(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / "mine").symlink_to("theirs")
    write_text(tmp_path / "mine", "new")
    assert [(tmp_path / name).read_text() for name in ("mine", "theirs")] == ["new", "theirs"]


def test_nobody_can_foresee_the_name_of_the_temporary_file(tmp_path: Path) -> None:
    names = set()
    for _ in range(2):
        with atomic_replace(tmp_path / "file") as temporary:
            names.add(temporary.name)
            assert temporary.is_file()  # made with O_EXCL: no link can take its place before the first write
    assert len(names) == 2


@pytest.mark.parametrize("name", ["x" * 255, "ü" * 127, "ab.csv"])
def test_a_file_with_the_longest_name_can_be_written(name: str, tmp_path: Path) -> None:
    write_text(tmp_path / name, "text")
    assert (tmp_path / name).read_text() == "text"
    assert len(name_beside(tmp_path / name, ".lock").name.encode(errors="surrogateescape")) <= 255


@pytest.mark.parametrize("values", [
    np.arange(12.0).reshape(3, 4),
    np.asfortranarray(np.arange(12, dtype=np.int16).reshape(3, 4)),
    np.arange(24, dtype=np.float16).reshape(4, 6)[::2, 1::2],
    np.zeros((0, 3), np.float32),
])  # fmt: skip
def test_an_array_is_stored_as_numpy_stores_it(values: np.ndarray, tmp_path: Path) -> None:
    save_array(tmp_path / "ours.npy", values)
    np.save(tmp_path / "theirs.npy", values)
    assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "theirs.npy").read_bytes()


def test_an_array_that_finds_no_room_says_so(tmp_path: Path) -> None:
    """numpy.save raised an error without a number: "34790 requested and 24544 written"."""
    resource = pytest.importorskip("resource")
    _, hard = before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 14, hard))  # as on a full disk, a part is written
    try:
        with pytest.raises(OSError, match="large") as fault:
            save_array(tmp_path / "a.npy", np.zeros((100, 100)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert fault.value.errno == errno.EFBIG
