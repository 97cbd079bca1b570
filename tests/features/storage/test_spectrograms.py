"""The spectrogram store: append-only, resumable, lazy, and one set of parameters."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from quintet.errors import AlignmentError, ArtefactError, ConfigError
from quintet.features.parameters import LogMelParameters
from quintet.features.storage.spectrogram_files import shard_path
from quintet.features.storage.spectrograms import Spectrograms, SpectrogramStore, SpectrogramWriter

SMALL = LogMelParameters(n_mels=4)


def mel(frames: int, seed: int = 0) -> NDArray[np.float32]:
    """Values that float16 holds exactly, so that what is read must equal what was written."""
    return np.random.default_rng(seed).integers(-100, 50, (4, frames)).astype(np.float32)


def filled(folder: Path, lengths: dict[str, int], **options: int) -> SpectrogramStore:
    with SpectrogramWriter(folder, SMALL, **options) as writer:
        for seed, (id, frames) in enumerate(lengths.items()):
            writer.add(id, mel(frames, seed))
            writer.commit()
    return SpectrogramStore(folder)


def test_comes_back_as_it_went(tmp_path: Path) -> None:
    store = filled(tmp_path / "s", {"a": 5, "b": 1, "c": 9})
    assert store.ids == ("a", "b", "c")
    assert len(store) == 3
    assert store.parameters == SMALL
    for seed, id in enumerate("abc"):
        spectrogram = store[id]
        assert spectrogram.dtype == np.float32
        assert spectrogram.flags.c_contiguous
        np.testing.assert_array_equal(spectrogram, mel(spectrogram.shape[1], seed))
    assert store.frames(["c", "a"]).tolist() == [9, 5]


def test_shards_end_at_their_size(tmp_path: Path) -> None:
    store = filled(tmp_path / "s", {f"{k}": 10 for k in range(5)}, shard_bytes=100)  # 80 bytes each
    assert len(list((tmp_path / "s").glob("shard-*.npy"))) == 3
    np.testing.assert_array_equal(store["4"], mel(10, 4))


def test_a_second_writer_appends_and_replaces(tmp_path: Path) -> None:
    filled(tmp_path / "s", {"a": 5, "b": 6})
    store = filled(tmp_path / "s", {"b": 3, "c": 2})
    assert {id: store[id].shape[1] for id in store.ids} == {"a": 5, "b": 3, "c": 2}
    np.testing.assert_array_equal(store["b"], mel(3, 0))


def test_a_shard_of_which_nothing_is_left_is_deleted(tmp_path: Path) -> None:
    filled(tmp_path / "s", {"a": 5})
    filled(tmp_path / "s", {"a": 6})
    assert [path.name for path in (tmp_path / "s").glob("shard-*.npy")] == ["shard-00001.npy"]


def test_what_was_committed_survives_the_writer(tmp_path: Path) -> None:
    writer = SpectrogramWriter(tmp_path / "s", SMALL)
    writer.add("a", mel(5))
    writer.commit()
    writer.add("lost", mel(7))
    writer.abandon()
    assert SpectrogramStore(tmp_path / "s").ids == ("a",)
    store = filled(tmp_path / "s", {"b": 2})
    assert store.ids == ("a", "b")
    np.testing.assert_array_equal(store["a"], mel(5))


def test_an_error_inside_the_block_commits_nothing_more(tmp_path: Path) -> None:
    def fail_halfway() -> None:
        with SpectrogramWriter(tmp_path / "s", SMALL) as writer:
            writer.add("a", mel(5))
            writer.add("b", mel(5).T)

    with pytest.raises(ConfigError, match="shape"):
        fail_halfway()
    assert SpectrogramStore(tmp_path / "s").ids == ()


def test_the_same_audio_is_stored_once(tmp_path: Path) -> None:
    with SpectrogramWriter(tmp_path / "s", SMALL) as writer:
        writer.add("a", mel(5), "digest")
    size = shard_path(tmp_path / "s", 0).stat().st_size
    with SpectrogramWriter(tmp_path / "s", SMALL) as writer:
        assert writer.digest("a") == "digest"
        writer.add("a", mel(5), "digest")
    assert {path.name: path.stat().st_size for path in (tmp_path / "s").glob("shard-*.npy")} == {
        "shard-00000.npy": size
    }


def test_take_is_a_lazy_sequence(tmp_path: Path) -> None:
    store = filled(tmp_path / "s", {"a": 5, "b": 1, "c": 9})
    taken = store.take(["c", "a", "b"])
    assert isinstance(taken, Spectrograms)
    assert [array.shape[1] for array in taken] == [9, 5, 1]
    assert taken[-1].shape == (4, 1)
    assert taken[1:].ids == ("a", "b")
    assert taken[np.array([2, 0])].ids == ("b", "c")
    assert taken[[1]].ids == ("a",)
    assert taken[np.array([True, False, True])].ids == ("c", "b")
    assert taken.frames.tolist() == [9, 5, 1]
    with pytest.raises(IndexError):
        taken[3]
    with pytest.raises(AlignmentError, match="one entry per spectrogram"):
        taken[np.array([True, False])]


def test_travels_to_other_processes_by_name(tmp_path: Path) -> None:
    taken = filled(tmp_path / "s", {"a": 5}).take(["a"])
    taken[0]
    sent = pickle.dumps(taken)
    assert len(sent) < 5000
    np.testing.assert_array_equal(pickle.loads(sent)[0], mel(5))


def test_a_missing_clip_is_named(tmp_path: Path) -> None:
    store = filled(tmp_path / "s", {"a": 5})
    assert "a" in store
    assert "x" not in store
    with pytest.raises(AlignmentError, match=r"2 of 3 have none in .*, for example 'x', 'y'"):
        store.take(["a", "x", "y"])
    with pytest.raises(AlignmentError, match="for example 'x'"):
        store["x"]


def test_other_parameters_are_refused_with_what_differs(tmp_path: Path) -> None:
    filled(tmp_path / "s", {"a": 5})
    with pytest.raises(ConfigError, match=r"hop_length \(512 there, 256 now\), n_mels \(4 there, 8 now\)"):
        SpectrogramWriter(tmp_path / "s", LogMelParameters(n_mels=8, hop_length=256))
    assert filled(tmp_path / "s", {"b": 5}).ids == ("a", "b")  # the refused writer holds no lock


def test_wrong_shape_is_refused(tmp_path: Path) -> None:
    with (
        SpectrogramWriter(tmp_path / "s", SMALL) as writer,
        pytest.raises(ConfigError, match=r"shape \(4, frames\)"),
    ):
        writer.add("a", np.zeros((5, 4), np.float32))


def test_two_writers_at_once_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    with (
        SpectrogramWriter(tmp_path / "s", SMALL),
        pytest.raises(ArtefactError, match=f"process {os.getpid()}"),
    ):
        SpectrogramWriter(tmp_path / "s", SMALL)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ArtefactError, match="holds other files"):
        SpectrogramWriter(tmp_path, SMALL)
    with pytest.raises(ArtefactError, match="is a file"):
        SpectrogramWriter(tmp_path / "thesis.txt", SMALL)
    with pytest.raises(ArtefactError, match="There is none"):
        SpectrogramStore(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_setting_of_another_version_is_refused(tmp_path: Path) -> None:
    filled(tmp_path / "s", {"a": 5})
    description = tmp_path / "s" / "store.json"
    content = json.loads(description.read_text())
    content["parameters"]["new_setting"] = 1
    description.write_text(json.dumps(content))
    with pytest.raises(ArtefactError, match="'new_setting'"):
        SpectrogramStore(tmp_path / "s")


def test_damage_is_refused(tmp_path: Path) -> None:
    store = filled(tmp_path / "s", {"a": 5})
    shard_path(tmp_path / "s", 0).unlink()
    with pytest.raises(ArtefactError, match="all its shards"):
        store["a"]
    (tmp_path / "s" / "store.json").write_text("{")
    with pytest.raises(ArtefactError, match="damaged"):
        SpectrogramStore(tmp_path / "s")
    (tmp_path / "s" / "store.json").write_text('{"schema_version": 7}')
    with pytest.raises(ArtefactError, match="has 7"):
        SpectrogramStore(tmp_path / "s")


def rewrite(folder: Path, **changes: object) -> Path:
    """Change columns of the index of a store."""
    index = pd.read_parquet(folder / "index.parquet").assign(**changes)
    index.to_parquet(folder / "index.parquet")
    return folder


@pytest.mark.parametrize(
    "changes",
    [{"offset": -3}, {"frames": 1 << 62}, {"frames": 0}, {"shard": -1}, {"id": None}, {"offset": "far"}],
    ids=str,
)
def test_an_index_that_leads_outside_its_shards_is_refused(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    filled(tmp_path / "s", {"a": 5, "b": 4})
    with pytest.raises(ArtefactError, match="index of a spectrogram store"):
        SpectrogramStore(rewrite(tmp_path / "s", **changes))


@pytest.mark.parametrize("changes", [{"offset": 1}, {"frames": 10}, {"shard": 7}], ids=str)
def test_an_entry_beyond_the_end_of_its_shard_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    filled(tmp_path / "s", {"a": 5})
    with pytest.raises(ArtefactError, match="all its shards"):
        SpectrogramStore(rewrite(tmp_path / "s", **changes))["a"]


def _pickled(path: Path) -> None:
    np.save(path, np.array([[1, None, "x", 2.0]] * 5, dtype=object), allow_pickle=True)


def _packed(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, x=np.zeros((5, 4), np.float16))


def _link(path: Path) -> None:
    path.rename(path.with_name("elsewhere.npy"))
    path.symlink_to("elsewhere.npy")


def _long_header(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"(5, 4)", b"(9" + b"9" * 14 + b", 4)"))


@pytest.mark.parametrize(
    "change",
    [
        _pickled,
        _packed,
        _link,
        _long_header,
        lambda path: np.save(path, np.zeros((5, 4))),
        lambda path: np.save(path, np.zeros((5, 3), np.float16)),
        lambda path: np.save(path, np.zeros((4, 4), np.float16)),
        lambda path: np.save(path, np.full((5, 4), np.nan, np.float16)),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.unlink() or os.mkfifo(path),
    ],
)
def test_a_shard_of_another_form_is_refused(tmp_path: Path, change: Callable[[Path], object]) -> None:
    store = filled(tmp_path / "s", {"a": 5})
    change(shard_path(tmp_path / "s", 0))
    with pytest.raises(ArtefactError, match=r"all its shards|must be finite"):
        store["a"]


@pytest.mark.parametrize("text", ["[" * 50_000 + "]" * 50_000, "[1]", '{"schema_version": 1}', "\xff"])
def test_a_description_of_a_stranger_is_refused(tmp_path: Path, text: str) -> None:
    filled(tmp_path / "s", {"a": 5})
    (tmp_path / "s" / "store.json").write_text(text, encoding="latin-1")
    with pytest.raises((ArtefactError, ConfigError)):
        SpectrogramStore(tmp_path / "s")


@pytest.mark.parametrize("name", ["store.json", "index.parquet"])
@pytest.mark.parametrize("target", ["/dev/zero", "store.json", "../elsewhere"])
def test_no_link_in_a_store_is_followed(tmp_path: Path, name: str, target: str) -> None:
    """/dev/zero took all memory, and a link to itself was a traceback."""
    filled(tmp_path / "s", {"a": 5})
    (tmp_path / "s" / name).rename(tmp_path / "elsewhere")
    (tmp_path / "s" / name).symlink_to(target)
    with pytest.raises(ArtefactError):
        SpectrogramStore(tmp_path / "s")


def test_a_folder_of_the_index_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    filled(tmp_path / "s", {"a": 5})
    filled(tmp_path / "other", {"b": 5})
    (tmp_path / "parts").mkdir()
    (tmp_path / "other" / "index.parquet").rename(tmp_path / "parts" / "part-00000-0000000.parquet")
    (tmp_path / "s" / "index.parts").rmdir()
    (tmp_path / "s" / "index.parts").symlink_to(tmp_path / "parts", target_is_directory=True)
    with pytest.raises(ArtefactError, match="link"):
        SpectrogramStore(tmp_path / "s")
