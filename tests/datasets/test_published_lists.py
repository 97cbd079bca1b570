"""Published lists and folders are read as they come: ESC-50, UrbanSound8K, MTG-Jamendo, Kaggle's GTZAN.

The headers and the first rows are those of the published files.
"""

from __future__ import annotations

import pandas as pd
import pytest

from quintet.datasets.builtin.gtzan import GENRES
from quintet.datasets.source import load_source
from quintet.errors import ConfigError, DatasetError
from quintet.features.storage.split_lists import add_splits
from quintet.features.storage.table import META_COLUMNS, FeatureTable

ESC50 = """filename,fold,target,category,esc10,src_file,take
1-100032-A-0.wav,1,0,dog,True,100032,A
1-100038-A-14.wav,1,14,chirping_birds,False,100038,A
1-100210-A-36.wav,1,36,vacuum_cleaner,False,100210,A
"""
URBANSOUND8K = """slice_file_name,fsID,start,end,salience,fold,classID,class
100032-3-0-0.wav,100032,0.0,0.317551,1,5,3,dog_bark
100263-2-0-117.wav,100263,58.5,62.5,1,5,2,children_playing
100648-1-0-0.wav,100648,4.823402,5.471927,2,10,1,car_horn
"""
JAMENDO = """TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS
track_0000214\tartist_000014\talbum_000031\t14/214.mp3\t124.6\tgenre---punkrock
track_0000382\tartist_000020\talbum_000046\t82/382.mp3\t211.1\tgenre---classical\tinstrument---voice
track_0000808\tartist_000114\talbum_000131\t08/808.mp3\t265.6\tgenre---pop\tgenre---rock
"""


def publish(folder, list_name, text, files):
    """A folder with a list and (empty) audio files, and the path of the list."""
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    (folder / list_name).parent.mkdir(parents=True, exist_ok=True)
    (folder / list_name).write_text(text, encoding="utf-8")
    return folder / list_name


@pytest.fixture
def urbansound(tmp_path):
    files = (
        "fold5/100032-3-0-0.wav",
        "fold5/100263-2-0-117.wav",
        "fold10/100648-1-0-0.wav",
    )
    return publish(tmp_path, "metadata/UrbanSound8K.csv", URBANSOUND8K, [f"audio/{file}" for file in files])


def test_esc50_from_another_folder(tmp_path):
    names = [line.split(",")[0] for line in ESC50.splitlines()[1:]]
    file = publish(tmp_path, "meta/esc50.csv", ESC50, [f"audio/{name}" for name in names])
    columns = {"path": "filename", "label": "category", "group": "src_file"}
    manifest = load_source(file, columns=columns, root=tmp_path / "audio")
    assert manifest.frame["problem"].isna().all()
    assert manifest.frame["id"].tolist() == names
    assert manifest.classes == ("chirping_birds", "dog", "vacuum_cleaner")
    assert manifest.frame["group"].tolist() == ["100032", "100038", "100210"]
    assert manifest.grouped


class TestUrbanSound8K:
    COLUMNS = {"path": "fold{fold}/{slice_file_name}", "label": "class", "group": "fsID"}

    def test_path_is_made_of_two_columns_and_start_and_end_are_left_out(self, urbansound):
        manifest = load_source(
            urbansound,
            columns=self.COLUMNS,
            root=urbansound.parents[1] / "audio",
            ignore_columns=["start", "end"],
        )
        assert manifest.frame["problem"].isna().all()
        assert manifest.frame["id"][1] == "fold5/100263-2-0-117.wav"
        assert manifest.frame[["start", "end"]].isna().all(axis=None)
        assert {"start", "end", "classID"} <= set(manifest.ignored)

    def test_start_and_end_are_a_window_otherwise(self, urbansound):
        manifest = load_source(urbansound, columns=self.COLUMNS, root=urbansound.parents[1] / "audio")
        assert manifest.frame["start"].tolist() == [0.0, 58.5, 4.823402]

    @pytest.mark.parametrize(
        ("options", "kind", "name"),
        [
            ({"ignore_columns": ["strat"]}, DatasetError, "'start'"),
            ({"ignore_columns": ["class"]}, ConfigError, "'class'"),
            ({"ignore_columns": ["fold"]}, ConfigError, "'fold'"),
            ({"root": "nowhere"}, DatasetError, "'nowhere'"),
            ({"columns": {"path": "fold{fold}/{file}", "label": "class"}}, DatasetError, "'file'"),
        ],
    )
    def test_options_that_do_not_fit_are_refused(self, urbansound, options, kind, name):
        with pytest.raises(kind, match=name):
            load_source(urbansound, **{"columns": self.COLUMNS, **options})

    def test_a_folder_has_no_columns_and_no_other_root(self, urbansound):
        for options in ({"root": "audio"}, {"ignore_columns": ["start"]}):
            with pytest.raises(ConfigError, match="manifest file"):
                load_source(urbansound.parents[1] / "audio", **options)


class TestJamendo:
    COLUMNS = {"id": "TRACK_ID", "path": "PATH", "label": "TAGS", "group": "ARTIST_ID"}
    FILES = ("14/214.mp3", "82/382.mp3", "08/808.mp3")

    @pytest.mark.parametrize("n_rows", [2, 3])  # with and without a row of the header's length
    def test_tags_fill_the_rest_of_a_row(self, tmp_path, n_rows):
        header, *rows = JAMENDO.splitlines(keepends=True)
        file = publish(tmp_path, "autotagging.tsv", "".join([header, *rows[-n_rows:]]), self.FILES)
        manifest = load_source(file, columns=self.COLUMNS)
        labels = ["genre---punkrock", "genre---classical;instrument---voice", "genre---pop;genre---rock"]
        assert manifest.frame["problem"].isna().all()
        assert manifest.frame["label"].tolist() == labels[-n_rows:]
        assert manifest.frame["id"].iloc[-1] == "track_0000808"
        assert manifest.multilabel

    def test_a_list_of_the_official_split_names_tracks(self, tmp_path):
        file = publish(tmp_path, "autotagging-test.tsv", JAMENDO, [])
        ids = ["track_0000214", "track_0000382", "track_0000999"]
        rows = pd.DataFrame({name: pd.Series([None] * 3, dtype="object") for name in META_COLUMNS})
        rows = rows.assign(id=ids, status="ok", label="x", tempo=1.0)
        table = FeatureTable(rows, {"parameter_hash": "0"})
        assert add_splits(table, {"test": file}).frame["split"].tolist() == ["test", "test", "unused"]

    def test_comma_separated_rows_of_other_lengths_stay_an_error(self, tmp_path):
        file = publish(tmp_path, "list.csv", "path,label\na.mp3,rock\nb.mp3,Earth, Wind\n", [])
        with pytest.raises(DatasetError):
            load_source(file)


class TestKaggleGtzan:
    @pytest.fixture
    def archive(self, tmp_path):
        names = [f"Data/genres_original/{genre}/{genre}.0000{k}.wav" for genre in GENRES for k in (0, 1)]
        pictures = [f"Data/images_original/{genre}/{genre}00000.png" for genre in GENRES]
        folder = tmp_path / "downloads" / "archive"
        publish(folder, "Data/features_30_sec.csv", "filename,length\n", names + pictures)
        return folder

    @pytest.mark.parametrize("inner", ["", "Data", "Data/genres_original"])
    def test_as_a_folder(self, archive, inner):
        manifest = load_source(archive / inner)
        assert manifest.classes == GENRES
        assert manifest.frame["id"][0] == "blues/blues.00000.wav"
        assert any("genres_original" in note for note in manifest.ignored) == (
            inner != "Data/genres_original"
        )

    @pytest.mark.parametrize("inner", [".", "Data"])
    def test_as_the_dataset(self, archive, inner):
        for place in (archive / inner, archive.parent):
            manifest = load_source(f"gtzan:{place}")
            assert manifest.frame["id"].tolist()[:2] == ["blues.00000", "blues.00001"]
            assert len(manifest) == 20

    def test_one_class_with_folders_of_its_own_stays_one_class(self, tmp_path):
        publish(tmp_path, "x.txt", "", ["rock/live/a.wav", "rock/b.wav"])
        assert load_source(tmp_path).classes == ("rock",)
