"""Tables that are joined by id: names, order, rows without a partner, and where the columns come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quintet.errors import AlignmentError, ConfigError, DatasetError
from quintet.features.parameters import FeatureParameters
from quintet.features.storage.column_roles import Roles
from quintet.features.storage.external_table import foreign_table
from quintet.features.storage.join import foreign_columns, join_tables, joined_families, require_same_joins
from quintet.features.storage.table import FeatureTable, write_feature_table
from quintet.files.digests import file_digest

IDS = ["rock/a.wav", "rock/b.wav", "jazz/c.mp3", "jazz/d.mp3"]


def base(**columns: object) -> FeatureTable:
    frame = pd.DataFrame({"id": IDS, "label": ["rock", "rock", "jazz", "jazz"], "spectral.x": [1.0, 2, 3, 4]})
    return foreign_table(frame.assign(**columns), Roles(), name="base")


def written(path: Path, **columns: object) -> Path:
    frame = pd.DataFrame(columns)
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, index=False)
    return path


def values(ids: list[str]) -> list[float]:
    """A number for each id, so that a wrong order shows."""
    return [float(sum(map(ord, id))) for id in ids]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_rows_find_their_clips_in_any_order(tmp_path: Path, suffix: str) -> None:
    others = [IDS[k] for k in (2, 0, 3, 1)]
    file = written(tmp_path / f"mert{suffix}", id=others, mert_0=values(others), mert_1=[1, 2, 3, 4])
    joined = join_tables(base(), file)
    assert joined.feature_names == ("spectral.x", "embedding_mert.0", "embedding_mert.1")
    assert joined.features["embedding_mert.0"].tolist() == values(IDS)
    assert list(joined_families(joined.metadata)) == ["embedding_mert"]
    assert joined.parameter_hash == base().parameter_hash


def test_suffixes_of_audio_files_do_not_matter_unless_they_must(tmp_path: Path) -> None:
    bare = [id.rpartition(".")[0] for id in IDS]
    file = written(tmp_path / "m.csv", id=bare, x=values(IDS))
    assert join_tables(base(), file).features["embedding_m.x"].tolist() == values(IDS)
    frame = pd.DataFrame({"id": ["a.wav", "a.mp3"], "label": ["x", "y"], "f.g": [1.0, 2]})
    table = foreign_table(frame, Roles(), name="two")
    exact = join_tables(table, written(tmp_path / "two.csv", id=["a.mp3", "a.wav"], x=[7.0, 8.0]))
    assert exact.features["embedding_two.x"].tolist() == [8.0, 7.0]
    with pytest.raises(AlignmentError, match="none of 2"):
        join_tables(table, written(tmp_path / "one.csv", id=["a"], x=[7.0]))


def test_the_unicode_form_of_an_id_does_not_matter(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": ["caf\u00e9.wav", "b.wav"], "label": ["x", "y"], "f.g": [1.0, 2]})
    file = written(tmp_path / "m.csv", id=["b.wav", "cafe\u0301.wav"], x=[7.0, 8.0])
    joined = join_tables(foreign_table(frame, Roles(), name="two"), file)
    assert joined.features["embedding_m.x"].tolist() == [8.0, 7.0]


def test_rows_without_a_partner_are_counted_and_named(tmp_path: Path) -> None:
    others = [*IDS[:2], "else/y.wav", "else/z.wav", IDS[3]]
    file = written(tmp_path / "m.csv", id=others, x=[1.0, 2.0, 3.0, 4.0, None])
    joined = join_tables(base(), file)
    assert list(joined.features.index) == IDS[:2]
    reasons = joined.failures.set_index("id")["reason"]
    assert "m.csv has none" in reasons[IDS[2]]
    assert "finite" in reasons[IDS[3]]
    assert "m.csv" in reasons[IDS[3]]
    (record,) = joined.metadata["joined"]
    counts = {key: record[key] for key in ("n_rows", "n_joined", "n_without_row", "n_without_clip")}
    assert counts == {"n_rows": 5, "n_joined": 2, "n_without_row": 1, "n_without_clip": 2}
    notes = " ".join(joined.metadata["notes"])
    assert IDS[2] in notes
    assert "else/y.wav, else/z.wav" in notes


def test_the_origin_is_kept(tmp_path: Path) -> None:
    table = pa.table({"track_id": IDS, "embedding": [[0.5, k] for k in range(4)], "label": ["?"] * 4})
    facts = {b"model": b"m-a-p/MERT-v1-95M", b"noise": b"\xff\xfe"}
    pq.write_table(table.replace_schema_metadata(facts), tmp_path / "mert.parquet")
    joined = join_tables(base(), {"MERT 95M": tmp_path / "mert.parquet"})
    assert joined.feature_names[1:] == ("embedding_MERT-95M.1", "embedding_MERT-95M.2")
    assert joined.features["embedding_MERT-95M.2"].tolist() == [0, 1, 2, 3]
    assert list(joined.meta["label"]) == ["rock", "rock", "jazz", "jazz"]
    (record,) = joined.metadata["joined"]
    assert record["sha256"] == file_digest(tmp_path / "mert.parquet")
    assert record["made_by"] == {"model": "m-a-p/MERT-v1-95M"}


def test_a_table_of_ours_keeps_its_names_and_its_parameters(tmp_path: Path) -> None:
    parameters = FeatureParameters(feature_set="bahuleyan2018")
    ours = base()
    metadata = {"parameters": parameters.model_dump(mode="json"), "parameter_hash": parameters.hash}
    frame = ours.frame.rename(columns={"spectral.x": "tags_msd.happy.mean"})
    write_feature_table(FeatureTable(frame, metadata), tmp_path / "tags.parquet")
    joined = join_tables(base(), tmp_path / "tags.parquet")
    assert joined.feature_names == ("spectral.x", "tags_msd.happy.mean")
    assert joined.metadata["joined"][0]["made_by"]["parameter_hash"] == parameters.hash
    made = FeatureTable(ours.frame, metadata)
    assert foreign_columns(join_tables(made, tmp_path / "tags.parquet")) == []
    both = join_tables(made, written(tmp_path / "m.csv", id=IDS, x=values(IDS)))
    assert foreign_columns(both) == ["embedding_m.x"]


def test_joins_of_a_prediction_are_those_of_the_training(tmp_path: Path) -> None:
    file = written(tmp_path / "m.csv", id=IDS, x=values(IDS))
    trained = join_tables(base(), file).metadata
    require_same_joins(trained, join_tables(base(), file).metadata)
    with pytest.raises(AlignmentError, match="--join m=FILE"):
        require_same_joins(trained, base().metadata)
    record = trained["joined"][0]
    made = {**trained, "joined": [{**record, "made_by": {"parameter_hash": "0" * 16}}]}
    with pytest.raises(AlignmentError, match="extract it again"):
        require_same_joins(made, trained)


@pytest.mark.parametrize(
    ("columns", "error", "match"),
    [
        ({"id": ["p", "q"], "x": [1.0, 2.0]}, AlignmentError, "none of 4"),
        ({"id": [IDS[0], IDS[0]], "x": [1.0, 2.0]}, DatasetError, "twice|two|repeat|own"),
        ({"id": IDS[:2], "x": ["loud", "quiet"]}, DatasetError, "loud"),
        ({"x": [1.5, 2.0]}, DatasetError, "id|columns"),
    ],
)
def test_tables_that_cannot_be_joined(
    tmp_path: Path, columns: dict[str, list[object]], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        join_tables(base(), written(tmp_path / "m.csv", **columns))


def test_a_family_is_joined_once(tmp_path: Path) -> None:
    file = written(tmp_path / "m.csv", id=IDS, x=values(IDS))
    once = join_tables(base(), file)
    with pytest.raises(ConfigError, match="embedding_m"):
        join_tables(once, file)
    assert len(join_tables(once, {"again": file}).feature_names) == 3
    with pytest.raises(ConfigError, match="different names"):
        join_tables(base(), [file, file])


def test_lists_of_different_lengths_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": IDS, "e": [[1.0], [1.0, 2.0], [1.0], [1.0]]}), tmp_path / "m.parquet")
    with pytest.raises(DatasetError, match="one length"):
        join_tables(base(), tmp_path / "m.parquet")
    assert np.isfinite(base().features).all(axis=None)


def test_a_table_that_only_counts_its_rows_is_refused_with_its_name_and_column(tmp_path: Path) -> None:
    ids = [f"x{k}" for k in range(12)]
    table = foreign_table(pd.DataFrame({"id": ids, "f": np.arange(12) ** 2}), Roles(), name="base")
    file = written(tmp_path / "counts.csv", id=ids, nr=np.arange(12), void=[np.nan] * 12)
    with pytest.raises(
        DatasetError, match=r"counts\.csv' cannot .* only count the rows: 'nr'.*values: 'void'"
    ):
        join_tables(table, file)


@pytest.mark.parametrize("cells", [["a", "b", "c", "d"], [[1.0], [1.0, 2], [1.0], [2.0]]])
def test_a_table_with_a_wrong_column_is_refused_with_its_name(tmp_path: Path, cells: list[object]) -> None:
    file = written(tmp_path / "wrong.parquet", id=IDS, x=cells)
    with pytest.raises(DatasetError, match=r"wrong\.parquet' cannot be joined\."):
        join_tables(base(), file)
