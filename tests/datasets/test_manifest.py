"""Manifests: the rows of each kind of source, and the problem of each bad row."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from quintet.datasets.grouping import assign_groups
from quintet.datasets.labels import label_indicator
from quintet.datasets.manifest import COLUMNS, Manifest, build_manifest
from quintet.datasets.registry import DATASETS
from quintet.datasets.source import load_source
from quintet.errors import ConfigError, DatasetError


@pytest.fixture
def music(tmp_path):
    """A small folder of (empty) files, with pictures, notes and hidden files among the audio."""
    audio = ["rock/queen_1.wav", "rock/queen_2.mp3", "rock/live/kinks_1.flac", "jazz/monk_1.AIF"]
    names = [*audio, "rock/cover.jpg", "rock/notes.txt", "jazz/.hidden.wav", "clips.csv"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def write(folder, text, name="list.csv"):
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


class TestFolder:
    def test_every_audio_file_is_a_row_and_nothing_else(self, music):
        manifest = load_source(music)
        assert manifest.frame["id"].tolist() == [
            "jazz/monk_1.AIF",
            "rock/live/kinks_1.flac",
            "rock/queen_1.wav",
            "rock/queen_2.mp3",
        ]
        assert manifest.frame["label"].tolist() == ["jazz", "rock", "rock", "rock"]
        assert manifest.frame["group"].tolist() == manifest.frame["id"].tolist()
        assert not manifest.grouped
        assert not manifest.multilabel
        assert manifest.frame["problem"].isna().all()
        assert manifest.classes == ("jazz", "rock")

    def test_unknown_extension_is_given_to_the_decoder(self, music):
        (music / "jazz/odd.xyz").write_bytes(b"")
        assert "jazz/odd.xyz" in load_source(music).frame["id"].tolist()

    def test_stray_file_beside_class_folders_has_no_label(self, music):
        (music / "stray.wav").write_bytes(b"")
        row = load_source(music).frame.set_index("id").loc["stray.wav"]
        assert row["problem"] == "label missing"

    def test_files_without_class_folders(self, tmp_path):
        (tmp_path / "a.wav").write_bytes(b"")
        with pytest.raises(DatasetError, match=r"sub-folder per class.*1 audio files directly in it"):
            load_source(tmp_path)

    @pytest.mark.parametrize("place", ["", "data/"])
    def test_parts_of_a_split_are_no_classes(self, tmp_path, place):
        names = ["Train/rock/a.wav", "Train/jazz/b.wav", "test/rock/c.wav", "val/jazz/d.wav"]
        for name in names:
            (tmp_path / place / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / place / name).write_bytes(b"")
        with pytest.raises(DatasetError, match="Train, test, val"):
            load_source(tmp_path)
        assert load_source(tmp_path / place / "Train").classes == ("jazz", "rock")
        (tmp_path / place / "rock").mkdir()
        (tmp_path / place / "rock/e.wav").write_bytes(b"")
        assert "rock" in load_source(tmp_path).classes

    def test_a_class_may_be_called_test(self, tmp_path):
        for name in ("test/a.wav", "train/b.wav"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(b"")
        assert load_source(tmp_path).classes == ("test", "train")

    def test_deleted_songs_are_no_clips(self, music):
        for name in ("$RECYCLE.BIN/S-1-5/$RABC.mp3", "rock/#recycle/old.mp3", "rock/@Recycle/old.mp3"):
            (music / name).parent.mkdir(parents=True, exist_ok=True)
            (music / name).write_bytes(b"")
        assert len(load_source(music)) == 4

    def test_no_audio(self, tmp_path):
        (tmp_path / "rock").mkdir()
        with pytest.raises(DatasetError, match="no audio files at any depth"):
            load_source(tmp_path)

    def test_linked_folders_are_followed_once(self, music):
        (music / "rock/loop").symlink_to(music / "rock", target_is_directory=True)
        (music / "soul").symlink_to(music / "jazz", target_is_directory=True)
        ids = load_source(music).frame["id"].tolist()
        assert len(ids) == 4
        assert not any("loop" in id for id in ids)

    def test_a_link_does_not_take_the_place_of_the_folder_it_leads_to(self, music):
        (music / "a link").symlink_to(music / "jazz", target_is_directory=True)
        assert load_source(music).classes == ("jazz", "rock")

    def test_links_lead_out_of_the_folder_on_request_only(self, music, tmp_path_factory, monkeypatch):
        """Attack B5: a folder from a stranger described what its links lead to, up to the whole disk."""
        elsewhere = tmp_path_factory.mktemp("elsewhere")
        for name in ("far.wav", "deep/farther.wav"):
            (elsewhere / name).parent.mkdir(exist_ok=True)
            (elsewhere / name).write_bytes(b"")
        before = load_source(music)
        (music / "soul").symlink_to(elsewhere, target_is_directory=True)
        (music / "rock/root").symlink_to("/", target_is_directory=True)
        (music / "rock/far.wav").symlink_to(elsewhere / "far.wav")
        (music / "rock/gone.wav").symlink_to(elsewhere / "gone.wav")
        (music / "rock/near.wav").symlink_to(music / "rock/queen_1.wav")
        manifest = load_source(music)
        assert set(manifest.frame["id"]) == {*before.frame["id"], "rock/near.wav"}
        (note,) = (note for note in manifest.ignored if "Links" in note)
        assert "not followed: 4," in note
        (music / "rock/root").unlink()
        monkeypatch.setenv("QUINTET_FOLLOW_LINKS", "1")
        opened = load_source(music)
        assert {"soul/far.wav", "soul/deep/farther.wav", "rock/far.wav"} <= set(opened.frame["id"])
        assert opened.ignored == ()

    def test_a_folder_of_links_says_why_it_is_empty(self, tmp_path, tmp_path_factory):
        (tmp_path / "rock").mkdir()
        (tmp_path / "rock/a.wav").symlink_to(tmp_path_factory.mktemp("elsewhere") / "a.wav")
        with pytest.raises(DatasetError, match=r"not followed: 1, such as 'rock/a\.wav'"):
            load_source(tmp_path)

    def test_a_folder_that_cannot_be_read_costs_a_line(self, music, monkeypatch):
        locked = music / "rock/locked"
        locked.mkdir()
        (locked / "a.wav").write_bytes(b"")
        scandir = os.scandir

        def refuse(path):  # the tests may run as root, who reads everything
            if str(path).endswith("locked"):
                raise PermissionError(13, "Permission denied", path)
            return scandir(path)

        monkeypatch.setattr(os, "scandir", refuse)
        manifest = load_source(music)
        assert len(manifest) == 4
        assert any("left out: 1" in note and "rock/locked" in note for note in manifest.ignored)

    def test_a_class_folder_without_audio_is_mentioned(self, music):
        (music / "polka").mkdir()
        assert load_source(music).ignored == ("No audio files in 1 class folder: polka",)


class TestTable:
    def test_paths_are_relative_to_the_file_and_other_columns_are_named(self, music):
        manifest = load_source(
            write(
                music,
                "path,label,group,year\nrock/queen_1.wav,rock,queen,1975\njazz/monk_1.AIF,jazz,monk,1957\n",
            )
        )
        assert manifest.frame["path"].tolist() == [
            str(music / "rock/queen_1.wav"),
            str(music / "jazz/monk_1.AIF"),
        ]
        assert manifest.frame["group"].tolist() == ["queen", "monk"]
        assert manifest.grouped
        assert manifest.ignored == ("year",)
        assert tuple(manifest.frame.columns) == COLUMNS

    def test_parquet_equals_csv(self, music):
        csv = write(music, "path,label,start,end\nrock/queen_1.wav,rock,0,30\nrock/queen_1.wav,rock,30,60\n")
        pd.read_csv(csv).to_parquet(music / "list.parquet")
        pd.testing.assert_frame_equal(load_source(csv).frame, load_source(music / "list.parquet").frame)

    def test_times_may_have_a_decimal_comma(self, music):
        rows = "path;label;start;end\nrock/queen_1.wav;rock;0,5;30\n"
        frame = load_source(write(music, rows)).frame
        assert frame[["start", "end"]].to_numpy().tolist() == [[0.5, 30.0]]

    def test_windows_of_one_file_share_a_group(self, music):
        frame = load_source(
            write(
                music,
                "path,label,start,end\n"
                "rock/queen_1.wav,rock,0,30\nrock/queen_1.wav,rock,30,\njazz/monk_1.AIF,jazz,,\n",
            )
        ).frame
        assert frame["id"].tolist() == [
            "rock/queen_1.wav#t=0.0,30.0",
            "rock/queen_1.wav#t=30.0,",
            "jazz/monk_1.AIF",
        ]
        assert frame["group"].tolist() == ["rock/queen_1.wav", "rock/queen_1.wav", "jazz/monk_1.AIF"]
        assert frame["problem"].isna().all()

    def test_spellings_of_a_group_are_one_group(self, music):
        accents = "Beyonc\N{LATIN SMALL LETTER E WITH ACUTE}", "Beyonce\N{COMBINING ACUTE ACCENT} "
        frame = load_source(
            write(
                music,
                f"path,label,group\nrock/queen_1.wav,rock,{accents[0]}\njazz/monk_1.AIF,jazz,{accents[1]}\n",
            )
        ).frame
        assert frame["group"].tolist() == [accents[0], accents[0]]

    def test_label_sets(self, music):
        manifest = load_source(
            write(music, "path,label\nrock/queen_1.wav,rock; live\njazz/monk_1.AIF,jazz\n")
        )
        assert manifest.multilabel
        assert manifest.frame["label"].tolist() == ["rock;live", "jazz"]
        assert manifest.classes == ("jazz", "live", "rock")

    @pytest.mark.parametrize(
        ("row", "problem"),
        [
            ("rock/queen_2.mp3,,,", "label missing"),
            ("rock/gone.wav,rock,,", "file not found"),
            ("rock,rock,,", "this is a folder: a row names one audio file"),
            (",rock,,", "path missing"),
            ("rock/queen_2.mp3,rock,five,", "window is not a number: start and end are seconds"),
            ("rock/queen_2.mp3,rock,5,5", "window is empty: start 5 s, end 5 s"),
            ("rock/queen_2.mp3,rock,-1,5", "window is empty: start -1 s, end 5 s"),
            ("rock/../rock/queen_1.wav,rock,,", "listed twice: row 1 is used"),
            ("rock/queen_1.wav,jazz,,", "listed twice: row 1 is used (there as 'rock', here as 'jazz')"),
        ],
    )
    def test_bad_row_gets_a_problem_and_the_others_stay(self, music, row, problem):
        frame = load_source(
            write(music, f"path,label,start,end\nrock/queen_1.wav,rock,,\n{row}\njazz/monk_1.AIF,jazz,,\n")
        ).frame
        assert frame["problem"].isna().tolist() == [True, False, True]
        assert frame.loc[1, "problem"] == problem
        assert frame["id"].is_unique

    def test_same_id_twice(self, music):
        frame = load_source(
            write(music, "path,label,id\nrock/queen_1.wav,rock,a\nrock/queen_2.mp3,rock,a\n")
        ).frame
        assert frame["id"].tolist() == ["a", "a#2"]
        assert frame.loc[1, "problem"] == "listed twice: row 1 is used"

    def test_same_file_under_two_ids(self, music):
        frame = load_source(
            write(music, "path,label,id\nrock/queen_1.wav,rock,a\nrock/queen_1.wav,rock,b\n")
        ).frame
        assert frame["problem"].isna().tolist() == [True, False]

    def test_missing_column_names_the_nearest(self, music):
        with pytest.raises(DatasetError, match=r"column 'label'.*'path', 'lable'.*Did you mean 'lable'"):
            load_source(write(music, "path,lable\nrock/queen_1.wav,rock\n"))

    def test_wrong_separator_is_recognised(self, music):
        manifest = load_source(write(music, "path;label\nrock/queen_1.wav;rock\n"))
        assert manifest.frame["label"].tolist() == ["rock"]

    def test_renamed_columns(self, music):
        csv = write(music, "path,genre,fold\nrock/queen_1.wav,None,1\njazz/monk_1.AIF,NA,2\n")
        manifest = load_source(csv, columns={"label": "genre", "group": "fold"})
        assert manifest.frame["label"].tolist() == ["None", "NA"]
        assert manifest.frame["group"].tolist() == ["1", "2"]
        with pytest.raises(DatasetError, match=r"column 'flod'.*Did you mean 'fold'"):
            load_source(csv, columns={"label": "genre", "group": "flod"})
        with pytest.raises(ConfigError, match="Did you mean 'group'"):
            load_source(csv, columns={"groups": "fold"})

    @pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00bad", b'path,label\n"never closed'])
    def test_damaged_csv(self, tmp_path, content):
        (tmp_path / "list.csv").write_bytes(content)
        with pytest.raises(DatasetError, match=r"cannot be read|at least one clip|column 'path'"):
            load_source(tmp_path / "list.csv")

    def test_damaged_parquet(self, tmp_path):
        (tmp_path / "list.parquet").write_bytes(b"PAR1 no")
        with pytest.raises(DatasetError, match="cannot be read"):
            load_source(tmp_path / "list.parquet")

    def test_backslashes_and_byte_order_mark(self, music):
        (music / "list.csv").write_bytes("\ufeffpath,label\nrock\\queen_1.wav,rock\n".encode())
        assert load_source(music / "list.csv").frame["id"].tolist() == ["rock/queen_1.wav"]

    @pytest.mark.parametrize(("stored", "written"), [("NFD", "NFC"), ("NFC", "NFD")])
    def test_the_other_unicode_form_of_a_name_finds_the_file(self, music, stored, written):
        """A folder that was packed on macOS has names with accents of their own."""
        name = "rock/Café_1.wav"
        (music / unicodedata.normalize(stored, name)).write_bytes((music / "rock/queen_1.wav").read_bytes())
        listed = f"path,label\n{unicodedata.normalize(written, name)},rock\nrock/queen_1.wav,rock\n"
        (music / "list.csv").write_text(listed, encoding="utf-8")
        frame = load_source(music / "list.csv").frame
        assert frame["problem"].isna().all()


class TestGroups:
    def test_pattern(self, music):
        manifest = load_source(music, group_by=r"([a-z]+)_\d")
        assert manifest.grouped
        assert manifest.frame["group"].tolist() == ["monk", "kinks", "queen", "queen"]

    def test_named_group_wins(self, music):
        assert load_source(music, group_by=r"^(\w+)/.*?(?P<group>[a-z]+)_").frame["group"].tolist() == [
            "monk",
            "kinks",
            "queen",
            "queen",
        ]

    def test_files_that_do_not_match_are_named(self, music):
        with pytest.raises(
            DatasetError,
            match=r"2 of 4 files have none, for example: jazz/monk_1.AIF, rock/live/kinks_1.flac",
        ):
            load_source(music, group_by="(queen)")

    @pytest.mark.parametrize(
        ("pattern", "match"),
        [("queen", "parentheses"), ("(", "regular expression"), ("tag:artits", "Did you mean 'artist'")],
    )
    def test_impossible_patterns(self, music, pattern, match):
        with pytest.raises(ConfigError, match=match):
            load_source(music, group_by=pattern)

    def test_tags(self, tmp_path):
        mutagen = pytest.importorskip("mutagen")
        import numpy as np
        import soundfile

        for name, artist in (("a", "Nina"), ("b", "Nina"), ("c", "Duke")):
            path = tmp_path / "jazz" / f"{name}.flac"
            path.parent.mkdir(exist_ok=True)
            soundfile.write(path, np.zeros(800), 8000)
            file = mutagen.File(path)
            file["artist"] = artist
            file.save()
        (tmp_path / "jazz/broken.wav").write_text("no audio")
        (tmp_path / "jazz/unknown.xyz").write_text("no audio")
        assert load_source(tmp_path, group_by="tag:artist").frame["group"].tolist()[0:1] == ["Nina"]
        assert (
            load_source(tmp_path, group_by="tag:artist").frame.set_index("id").loc["jazz/c.flac", "group"]
            == "Duke"
        )
        with pytest.raises(DatasetError, match="3 of 5 files have none"):
            load_source(tmp_path, group_by="tag:album")


class TestSources:
    def test_unknown_source(self):
        with pytest.raises(DatasetError, match=r"does not exist.*Did you mean 'demo'"):
            load_source("dmo")

    def test_another_kind_of_file(self, music):
        with pytest.raises(DatasetError, match="another kind of file"):
            load_source(music / "rock/notes.txt")

    def test_columns_need_a_table(self, music):
        with pytest.raises(ConfigError, match="manifest file only"):
            load_source(music, columns={"group": "fold"})

    def test_groups_come_from_one_place(self, music):
        csv = write(music, "path,label,fold\nrock/queen_1.wav,rock,1\n")
        with pytest.raises(ConfigError, match="one place"):
            load_source(csv, group_by="(q)", columns={"group": "fold"})

    def test_a_manifest_is_returned_as_it_is(self, music):
        manifest = load_source(music)
        assert load_source(manifest) is manifest

    def test_table_of_datasets_is_complete(self):
        for name, dataset in DATASETS.items():
            assert name == name.lower()
            assert all((dataset.description, dataset.source, dataset.licence))


def test_manifest_refuses_other_columns(tmp_path):
    with pytest.raises(DatasetError, match="must have the columns"):
        Manifest(pd.DataFrame({"id": ["a"]}), "x", tmp_path, False, False)


def test_empty_listing(tmp_path):
    with pytest.raises(DatasetError, match="at least one clip"):
        build_manifest(pd.DataFrame({"path": []}), name="x", root=tmp_path)


def test_label_indicator_of_a_repeated_set():
    matrix, classes = label_indicator(["b;a", "a", "b;b"])
    assert classes == ("a", "b")
    assert matrix.tolist() == [[1, 1], [1, 0], [0, 1]]


@pytest.mark.parametrize("name", DATASETS)
def test_every_dataset_gets_an_absolute_folder(tmp_path, monkeypatch, name):
    asked = []
    loader = SimpleNamespace(load=lambda folder, **variant: asked.append(folder))
    monkeypatch.setattr("quintet.datasets.source.importlib.import_module", lambda module: loader)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    before = "gtzan_genre:" if DATASETS[name].with_name else ""
    for folder in ("data", "~/data", str(tmp_path / "data")):
        load_source(f"{name}:{before}{folder}")
    assert asked == [Path(f"{before}{tmp_path / 'data'}")] * 3
    load_source(name)
    assert asked[-1] is None


def test_label_sets_and_groups_are_decided_on_usable_rows(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"")
    (tmp_path / "b.wav").write_bytes(b"")
    rows = pd.DataFrame(
        {
            "path": ["a.wav", "b.wav", "nowhere.wav"],
            "label": ["rock", "jazz", "rock;live"],
            "group": [None, None, "queen"],
        }
    )
    manifest = build_manifest(rows, name="x", root=tmp_path)
    assert (manifest.multilabel, manifest.grouped) == (False, False)
    assert manifest.ignored == ()
    (tmp_path / "nowhere.wav").write_bytes(b"")
    manifest = build_manifest(rows, name="x", root=tmp_path)
    assert (manifest.multilabel, manifest.grouped) == (True, True)


def test_cells_of_any_type_are_texts(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"")
    rows = pd.DataFrame({"path": [b"a.wav"], "label": [b"rock"], "group": [3.0], "id": [b"first"]})
    rows.to_parquet(tmp_path / "m.parquet")
    row = load_source(str(tmp_path / "m.parquet")).frame.iloc[0]
    assert row[["id", "label", "group"]].tolist() == ["first", "rock", "3"]
    assert pd.isna(row["problem"])


def test_spellings_of_a_group_are_joined_and_named(tmp_path):
    for name in ("Air_1.wav", "Air _2.wav"):
        (tmp_path / name).write_bytes(b"")
    rows = pd.DataFrame({"path": ["Air_1.wav", "Air _2.wav"], "label": ["x", "y"], "group": ["Air", "Air "]})
    note = "1 group is written in several ways, which are joined: 'Air' ('Air', 'Air ')."
    manifest = build_manifest(rows, name="x", root=tmp_path)
    assert manifest.frame["group"].tolist() == ["Air", "Air"]
    assert manifest.ignored == (note,)
    plain = build_manifest(rows.drop(columns="group"), name="x", root=tmp_path)
    assert plain.ignored == ()
    assert assign_groups(plain, "^([^_]+)").ignored == (note,)


def test_a_format_without_header_is_counted_and_used_only_if_it_is_named(music):
    (music / "jazz/page.al").write_bytes(b"<html>")
    manifest = load_source(music)
    assert "jazz/page.al" not in manifest.frame["id"].tolist()
    assert any("jazz/page.al" in note and "1 file" in note for note in manifest.ignored)
    assert load_source(write(music, "path,label\njazz/page.al,jazz\n")).frame["problem"].isna().all()
