"""The feature table: what is written is what is read, tables from elsewhere, and what refuses to be mixed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quintet.errors import AlignmentError, ArtefactError, ConfigError, DatasetError, SplitLeakError
from quintet.features.parameters import FeatureParameters
from quintet.features.storage.read import read_feature_table
from quintet.features.storage.table import META_COLUMNS, METADATA_KEY, FeatureTable, write_feature_table
from quintet.files.untrusted import limits

GTZAN97 = Path(__file__).parents[3] / "../shared/data/gtzan97"


def table_of(n: int = 4, *, prefix: str = "clip", failed: int = 1, **parameters: object) -> FeatureTable:
    """A small table as an extraction writes it; the last `failed` rows are failures."""
    settings = FeatureParameters(**parameters)
    ids = [f"{prefix}{k}" for k in range(n)]
    ok = np.arange(n) < n - failed
    frame = pd.DataFrame(
        {
            "id": ids,
            "path": [f"/music/{id}.wav" for id in ids],
            "label": "rock",
            "group": ids,
            "status": np.where(ok, "ok", "failed"),
        }
    )
    for name in ("reason", "stage", "error"):
        frame[name] = pd.Series(np.where(ok, None, name), dtype="str")
    for name in ("native_sample_rate", "native_channels", "source_size", "source_mtime_ns"):
        frame[name] = pd.array([1_700_000_000_123_456_789] * n, dtype="Int64")
    for name in ("audio_digest", "split"):
        frame[name] = pd.Series([None] * n, dtype="str")
    frame[["start", "end", "duration_s", "missing_s"]] = np.nan
    frame["parameter_hash"] = settings.hash
    values = np.random.default_rng(0).standard_normal((n, 2)).astype(np.float32)
    frame = frame[list(META_COLUMNS)].assign(
        **{"spectral.centroid.mean": values[:, 0], "temporal.rms.mean": values[:, 1]}
    )
    frame.loc[~ok, ["spectral.centroid.mean", "temporal.rms.mean"]] = np.nan
    metadata = {
        "parameters": settings.model_dump(mode="json"),
        "parameter_hash": settings.hash,
        "versions": {},
        "dataset": "x",
        "multilabel": False,
    }
    return FeatureTable(frame, {**metadata, "grouped": False})


def csv(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


class TestOurs:
    def test_comes_back_as_it_went(self, tmp_path: Path) -> None:
        table = table_of()
        write_feature_table(table, tmp_path / "deep" / "t.parquet")
        back = read_feature_table(tmp_path / "deep" / "t.parquet")
        pd.testing.assert_frame_equal(back.features, table.features)
        pd.testing.assert_frame_equal(back.meta, table.meta)
        assert back.parameters == FeatureParameters()
        assert (
            back.meta["source_mtime_ns"].iloc[0] == 1_700_000_000_123_456_789
        )  # more digits than a float holds
        assert [path.name for path in (tmp_path / "deep").iterdir()] == ["t.parquet"]

    def test_usable_rows_and_ledger_are_apart(self) -> None:
        table = table_of(5, failed=2)
        assert list(table.features.index) == list(table.meta.index) == ["clip0", "clip1", "clip2"]
        assert table.features.dtypes.eq(np.float32).all()
        assert table.failures["id"].tolist() == ["clip3", "clip4"]
        assert table.failures["reason"].tolist() == ["reason", "reason"]

    def test_take_keeps_the_order_that_is_asked_for(self) -> None:
        assert table_of().take(["clip2", "clip0"]).features.index.tolist() == ["clip2", "clip0"]
        with pytest.raises(AlignmentError, match="1 of 2 have none, for example 'clip3'"):
            table_of().take(["clip0", "clip3"])

    def test_refuses_parameters_that_do_not_give_the_hash(self, tmp_path: Path) -> None:
        table = table_of()
        write_feature_table(
            FeatureTable(table.frame, {**table.metadata, "parameter_hash": "0" * 16}), tmp_path / "t.parquet"
        )
        with pytest.raises(ArtefactError, match="0000000000000000"):
            read_feature_table(tmp_path / "t.parquet")

    def test_refuses_a_setting_of_another_version(self, tmp_path: Path) -> None:
        table = table_of()
        parameters = {**table.metadata["parameters"], "new_setting": 1}
        write_feature_table(
            FeatureTable(table.frame, {**table.metadata, "parameters": parameters}), tmp_path / "t.parquet"
        )
        with pytest.raises(ArtefactError, match=r"t\.parquet .* 'new_setting'"):
            read_feature_table(tmp_path / "t.parquet")

    def test_refuses_another_schema_version(self, tmp_path: Path) -> None:
        pq.write_table(
            pa.table({"id": ["a"]}).replace_schema_metadata(
                {METADATA_KEY: json.dumps({"schema_version": 99})}
            ),
            tmp_path / "t.parquet",
        )
        with pytest.raises(ArtefactError, match="has 99"):
            read_feature_table(tmp_path / "t.parquet")

    @pytest.mark.parametrize("content", [b"", b"PAR1 is not enough", b"x" * 500])
    def test_refuses_damage(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "t.parquet").write_bytes(content)
        with pytest.raises(ArtefactError, match="whole parquet file"):
            read_feature_table(tmp_path / "t.parquet")

    @pytest.mark.parametrize(
        "text", ["[" * 30_000 + "]" * 30_000, '{"a": NaN}', "[1]", "{", '{"a": 1, "a": 1}']
    )
    def test_refuses_json_that_quintet_does_not_write(self, tmp_path: Path, text: str) -> None:
        table = pa.table({"id": ["a"]}).replace_schema_metadata({METADATA_KEY: text})
        pq.write_table(table, tmp_path / "t.parquet")
        with pytest.raises(ArtefactError, match="must be JSON"):
            read_feature_table(tmp_path / "t.parquet")

    @pytest.mark.parametrize(
        ("name", "values"),
        [("status", [[1]] * 4), ("duration_s", ["long"] * 4), ("temporal.rms.mean", ["loud"] * 4)],
    )
    def test_refuses_a_column_of_another_type(self, tmp_path: Path, name: str, values: list[object]) -> None:
        write_feature_table(table_of(), tmp_path / "t.parquet")
        table = pq.read_table(tmp_path / "t.parquet")
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
        pq.write_table(table, tmp_path / "t.parquet")
        with pytest.raises(ArtefactError, match="whole parquet file"):
            read_feature_table(tmp_path / "t.parquet")

    def test_refuses_a_table_that_is_much_larger_than_its_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_feature_table(table_of(5_000, failed=0), tmp_path / "t.parquet")
        assert len(read_feature_table(tmp_path / "t.parquet")) == 5_000
        table = pq.read_table(tmp_path / "t.parquet")
        zeros = pa.array(np.zeros(5_000, np.float32))
        for name in ("spectral.centroid.mean", "temporal.rms.mean", *META_COLUMNS[5:]):
            if table.schema.field(name).type != pa.string():
                kind = table.schema.field(name).type
                table = table.set_column(table.column_names.index(name), name, zeros.cast(kind))
        pq.write_table(table, tmp_path / "t.parquet", compression="zstd")
        monkeypatch.setattr(limits, "TABLE_FLOOR_BYTES", 1000)
        monkeypatch.setattr(limits, "TABLE_RATIO", 4)
        with pytest.raises(ArtefactError, match="much larger than its file"):
            read_feature_table(tmp_path / "t.parquet")

    def test_refuses_absence(self, tmp_path: Path) -> None:
        with pytest.raises(ArtefactError, match="There is no file"):
            read_feature_table(tmp_path / "none.parquet")

    def test_refuses_roles_in_its_own_tables(self, tmp_path: Path) -> None:
        write_feature_table(table_of(), tmp_path / "t.parquet")
        with pytest.raises(ConfigError, match="label_column must not be given"):
            read_feature_table(tmp_path / "t.parquet", label_column="label")

    def test_refuses_an_id_twice(self) -> None:
        table = table_of()
        with pytest.raises(ArtefactError, match="1 come twice, for example 'clip0'"):
            FeatureTable(table.frame.assign(id=["clip0", "clip0", "b", "c"]), table.metadata)


GTZAN_LIKE = """file_name,signal_mean,tempo,artist
blues.00000.wav,0.103,123.047,x
blues.00001.wav,0.076,107.666,x
jazz.00000.wav,0.08,90,y
jazz.00001.wav,0.09,,y
"""


class TestElsewhere:
    def test_roles_make_a_table(self, tmp_path: Path) -> None:
        table = read_feature_table(
            csv(tmp_path / "g.csv", GTZAN_LIKE),
            id_column="file_name",
            label_from=r"^([^.]+)",
            group_column="artist",
        )
        assert table.features.columns.tolist() == ["signal_mean", "tempo"]
        assert table.meta["label"].tolist() == ["blues", "blues", "jazz"]
        assert table.meta["group"].tolist() == ["x", "x", "y"]
        assert table.grouped
        assert table.parameters is None
        assert table.failures[["id", "stage", "error"]].to_numpy().tolist() == [
            ["jazz.00001.wav", "check", "NonFiniteError"]
        ]
        assert "1 is not: tempo" in table.failures["reason"].iloc[0]

    def test_survives_our_own_format(self, tmp_path: Path) -> None:
        table = read_feature_table(
            csv(tmp_path / "g.csv", GTZAN_LIKE), id_column="file_name", exclude=["artist"]
        )
        write_feature_table(table, tmp_path / "g.parquet")
        back = read_feature_table(tmp_path / "g.parquet")
        pd.testing.assert_frame_equal(back.features, table.features)
        pd.testing.assert_frame_equal(back.meta, table.meta)
        assert back.parameter_hash == table.parameter_hash

    def test_a_group_is_one_however_it_is_written(self, tmp_path: Path) -> None:
        """Blanks around a name, and an accent in one character or two; an empty cell is a clip on its own."""
        rows = (
            "id,label,group,f\na,x,Queen,1\nb,x,Queen ,2\nc,y,Bj\N{LATIN SMALL LETTER O WITH DIAERESIS}rk,3\n"
        )
        rows += "d,y,Bjo\N{COMBINING DIAERESIS}rk,4\ne,y, ,5\nf,y,,6\n"
        groups = read_feature_table(csv(tmp_path / "t.csv", rows)).meta["group"]
        assert groups["a"] == groups["b"] == "Queen"
        assert groups["c"] == groups["d"]
        assert groups[["e", "f"]].tolist() == ["e", "f"]

    def test_foreign_parquet(self, tmp_path: Path) -> None:
        pd.DataFrame({"id": ["a", "b"], "label": ["x", None], "f": [1, 2]}).to_parquet(tmp_path / "f.parquet")
        table = read_feature_table(tmp_path / "f.parquet")
        assert table.meta.index.tolist() == ["a"]
        assert table.failures["reason"].tolist() == ["The label is missing."]

    def test_label_sets_are_seen(self, tmp_path: Path) -> None:
        assert read_feature_table(csv(tmp_path / "m.csv", "id,label,f\na,rock;live,1\nb,rock,2\n")).multilabel

    @pytest.mark.parametrize(
        ("text", "roles", "message"),
        [
            (GTZAN_LIKE, {}, "the text columns are: 'file_name', 'artist'"),
            (GTZAN_LIKE, {"id_column": "name"}, "There is no 'name'"),
            (GTZAN_LIKE, {"id_column": "file_name"}, "These do not: artist"),
            (GTZAN_LIKE, {"id_column": "artist"}, "0 are missing, 2 repeated"),
            ("id,label\na,x\n", {}, "at least one column of numbers"),
        ],
    )
    def test_refusals_name_the_column(
        self, tmp_path: Path, text: str, roles: dict[str, str], message: str
    ) -> None:
        with pytest.raises(DatasetError, match=message):
            read_feature_table(csv(tmp_path / "g.csv", text), **roles)

    @pytest.mark.parametrize(
        ("pattern", "message"), [("^[^.]+", "must have a group"), ("(", "must be a regular expression")]
    )
    def test_refuses_patterns_without_a_label(self, tmp_path: Path, pattern: str, message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            read_feature_table(csv(tmp_path / "g.csv", GTZAN_LIKE), id_column="file_name", label_from=pattern)


class TestSplits:
    def read(self, tmp_path: Path, splits: object, **roles: object) -> FeatureTable:
        return read_feature_table(
            csv(tmp_path / "g.csv", GTZAN_LIKE),
            id_column="file_name",
            exclude=["artist"],
            splits=splits,
            **roles,
        )

    def test_lists_without_suffix_meet_ids_with_one(self, tmp_path: Path) -> None:
        lists = {
            "train": csv(tmp_path / "train.csv", "track,label,group\nblues.00000,blues,7\n"),
            "test": csv(tmp_path / "test.csv", "track,label,group\njazz.00000,jazz,8\njazz.00054,jazz,9\n"),
        }
        table = self.read(tmp_path, lists)
        assert table.meta["split"].to_dict() == {
            "blues.00000.wav": "train",
            "blues.00001.wav": "unused",
            "jazz.00000.wav": "test",
        }
        assert table.meta["group"].to_dict() == {
            "blues.00000.wav": "7",
            "blues.00001.wav": "blues.00001.wav",
            "jazz.00000.wav": "8",
        }
        assert table.meta["label"]["jazz.00000.wav"] == "jazz"
        assert table.metadata["notes"][1:] == ["1 of 3 clips of the split are not in the table: jazz.00054"]

    def test_one_file_with_a_column(self, tmp_path: Path) -> None:
        table = self.read(
            tmp_path, csv(tmp_path / "s.csv", "id,split\nblues.00001.wav,test\njazz.00000,train\n")
        )
        assert table.meta["split"].tolist() == ["unused", "test", "train"]

    def test_works_on_our_own_tables_too(self, tmp_path: Path) -> None:
        write_feature_table(table_of(), tmp_path / "t.parquet")
        table = read_feature_table(
            tmp_path / "t.parquet", splits={"test": csv(tmp_path / "test.csv", "id\nclip1\n")}
        )
        assert table.meta["split"].tolist() == ["unused", "test", "unused"]

    def test_refuses_a_clip_in_two_parts(self, tmp_path: Path) -> None:
        same = csv(tmp_path / "a.csv", "id\nblues.00000\n")
        with pytest.raises(SplitLeakError, match=r"for example 'blues\.00000'") as caught:
            self.read(tmp_path, {"train": same, "test": same})
        assert caught.value.groups == ("blues.00000",)

    def test_refuses_a_split_of_something_else(self, tmp_path: Path) -> None:
        with pytest.raises(AlignmentError, match="None of 1 is"):
            self.read(tmp_path, {"train": csv(tmp_path / "a.csv", "id\npop.1\n")})

    def test_refuses_lists_without_ids_or_parts(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match="one of the columns id"):
            self.read(tmp_path, {"train": csv(tmp_path / "a.csv", "song\npop.1\n")})
        with pytest.raises(DatasetError, match="must have a column 'split'"):
            self.read(tmp_path, csv(tmp_path / "b.csv", "id\nblues.00000\n"))


@pytest.mark.real_data
@pytest.mark.skipif(not GTZAN97.exists(), reason="no shared data")
def test_gtzan97_under_its_fault_filtered_split() -> None:
    lists = {part: GTZAN97 / "splits" / f"filtered_{part}.csv" for part in ("train", "valid", "test")}
    table = read_feature_table(
        GTZAN97 / "gtzan97.csv", id_column="file_name", label_from=r"^([^.]+)", splits=lists
    )
    assert table.features.shape == (999, 97)
    assert table.meta["split"].value_counts().to_dict() == {
        "train": 442,
        "test": 290,
        "valid": 197,
        "unused": 70,
    }
    assert "jazz.00054" in table.metadata["notes"][0]


def test_a_notebook_shows_how_many_clips_are_usable() -> None:
    assert "3 usable clips" in table_of(4, failed=1)._repr_html_()


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_a_row_of_our_own_table_with_a_number_that_is_not_finite_fails(tmp_path: Path, value: float) -> None:
    """Quintet writes no such row; another program may have changed one. It cost the training before."""
    table = read_feature_table(csv(tmp_path / "t.csv", "id,label,f,g\na,x,1,2\nb,y,3,4\n"))
    frame = table.frame.assign(g=np.array([2.0, value]))
    write_feature_table(FeatureTable(frame, table.metadata), tmp_path / "t.parquet")
    back = read_feature_table(tmp_path / "t.parquet")
    assert back.features.index.tolist() == ["a"]
    assert "1 is not: g" in back.failures["reason"].iloc[0]
