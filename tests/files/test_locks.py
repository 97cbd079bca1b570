"""One command at a time writes an output."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from quintet.errors import ArtefactError
from quintet.files import locks
from quintet.files.locks import INNER_LOCK, is_vacant, output_lock

pytest.importorskip("fcntl")


def test_a_lock_ends_with_its_block_and_leaves_nothing(tmp_path: Path) -> None:
    output = tmp_path / "deep" / "model"
    for _ in range(2):
        with output_lock(output), pytest.raises(ArtefactError), output_lock(output):
            pass
    assert list(output.parent.iterdir()) == []


def test_the_message_names_the_process_that_holds_the_lock(tmp_path: Path) -> None:
    code = (
        "import sys; from quintet.files.locks import output_lock\n"
        "with output_lock(sys.argv[1]): print('held', flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "model")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline().strip() == b"held"
        with (
            pytest.raises(ArtefactError, match=rf"one command at a time.*'.*model'.*process {other.pid} on"),
            output_lock(tmp_path / "model"),
        ):
            pass
        other.communicate()


def test_one_name_for_two_outputs_of_a_command_is_said_as_such(tmp_path: Path) -> None:
    with (
        output_lock(tmp_path / "model"),
        pytest.raises(
            ArtefactError, match=rf"'.*model'.*this command \(process {os.getpid()}\).*name of its own"
        ),
        output_lock(tmp_path / "model"),
    ):
        pass


def test_two_names_of_one_output_share_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "link").symlink_to("model")
    monkeypatch.chdir(tmp_path)
    for other in ("link", "./model/", "model/../model", str(tmp_path / "link")):
        with output_lock("model"), pytest.raises(ArtefactError), output_lock(other):
            pass
    with output_lock("model"), output_lock("model2"):
        pass


def test_the_lock_of_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    code = (
        "import os, sys; from quintet.files.locks import output_lock\n"
        "with output_lock(sys.argv[1]): os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path / "x.csv")], check=False)
    assert ended.returncode == -9
    assert [path.name for path in tmp_path.iterdir()] == [".x.csv.lock"]
    with output_lock(tmp_path / "x.csv"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_lock_whose_file_was_removed_while_another_waited_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second command opens the file, the first ends and removes it, the third makes a new one."""
    third, opened = output_lock(tmp_path / "x"), locks.try_lock

    def remove_first(descriptor: int) -> bool:
        monkeypatch.setattr(locks, "try_lock", opened)
        (tmp_path / ".x.lock").unlink()
        third.__enter__()
        return opened(descriptor)

    monkeypatch.setattr(locks, "try_lock", remove_first)
    with pytest.raises(ArtefactError), output_lock(tmp_path / "x"):
        pass
    third.__exit__(None, None, None)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_without_locks_the_work_goes_on_with_a_notice(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(descriptor: int) -> bool:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(locks, "try_lock", fail)
    with output_lock(tmp_path / "x"), output_lock(tmp_path / "x"):
        assert capsys.readouterr().err.count("has no locks") == 2


def test_a_folder_in_a_place_that_cannot_be_written_has_its_lock_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "disk").mkdir()
    make = locks._open

    def refuse_beside(lock: Path) -> int:
        if lock.parent == tmp_path:
            raise PermissionError(errno.EACCES, "no", str(lock))
        return make(lock)

    monkeypatch.setattr(locks, "_open", refuse_beside)
    with output_lock(tmp_path / "disk"):
        assert os.listdir(tmp_path / "disk") == [INNER_LOCK]
        assert is_vacant(tmp_path / "disk")
        with pytest.raises(ArtefactError), output_lock(tmp_path / "disk"):
            pass
    assert is_vacant(tmp_path / "absent")


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / ".x.lock").symlink_to("mine.txt")
    with output_lock(tmp_path / "x"):
        pass
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_pipe_has_no_lock(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with output_lock(tmp_path / "pipe"), output_lock(tmp_path / "pipe"):
        assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
