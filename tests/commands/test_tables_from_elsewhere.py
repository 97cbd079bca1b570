"""Tables of other programs from `train` to `predict`: what is left out is said, columns are found by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from quintet.cli import app
from quintet.errors import AlignmentError, ConfigError, DatasetError, QuintetError
from quintet.inference.predict import predict_table, predict_table_file

FAST = ["-m", "logistic_regression", "--rules", "mean", "--resamples", "0", "--folds", "2"]


def blobs(n: int = 36) -> pd.DataFrame:
    """Two classes that can be learnt, twelve artists, three features."""
    y = np.arange(n) % 2
    x = np.random.default_rng(0).normal(size=(n, 3)) + 2.0 * y[:, None]
    frame = pd.DataFrame(x, columns=["f0", "f1", "f2"])
    frame.insert(0, "id", [f"{i:03d}" for i in range(n)])
    frame.insert(1, "genre", np.where(y, "01", "NA"))
    frame.insert(2, "artist", [f"artist {i // 3}" for i in range(n)])
    return frame


def quintet(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("elsewhere")
    frame = blobs()
    frame.loc[5, "genre"] = None
    frame.loc[6, "f1"] = np.nan
    frame.to_csv(folder / "train.csv")
    roles = ["--label-column", "genre", "--group-column", "artist"]
    (folder / "printed.txt").write_text(
        quintet("train", folder / "train.csv", "-o", folder / "m", *FAST, *roles)
    )
    return folder / "m"


def test_train_says_what_it_leaves_out(model: Path) -> None:
    printed = " ".join((model.parent / "printed.txt").read_text().split())
    assert "2 rows of 36 are left out: 1 without a label, 1 with a missing number (005, 006)" in printed
    assert "Unnamed: 0" in printed
    bundle = json.loads((model / "bundle.json").read_text())
    assert len(bundle["notes"]) == 2
    assert bundle["classes"] == ["01", "NA"]
    assert bundle["table_roles"] == {"id": "id", "label": "genre", "group": "artist"}


def test_predict_takes_the_table_of_the_training_in_any_order(model: Path, tmp_path: Path) -> None:
    frame = blobs()
    frame.to_csv(tmp_path / "same.csv", index=False)
    frame[["f2", "artist", "f0", "id", "f1"]].assign(text="x").to_csv(tmp_path / "other.csv", index=False)
    frame.assign(genre="").to_csv(tmp_path / "new.csv")
    first = predict_table_file(model, tmp_path / "same.csv")
    assert first.frame["file"].tolist() == frame["id"].tolist()
    assert len(first.notes) == 1, "it holds clips of the training part"
    for name in ("other.csv", "new.csv"):
        pd.testing.assert_frame_equal(predict_table_file(model, tmp_path / name).frame, first.frame)
    assert "'text'" in predict_table_file(model, tmp_path / "other.csv").notes[0]


def test_a_row_of_the_training_says_so(model: Path, tmp_path: Path) -> None:
    """A row is known by its id and its features together; 005 and 006 were left out of the training."""
    frame = blobs()
    frame.loc[0, "f0"] += 1.0
    frame.loc[1, "id"] = "another"
    frame.to_csv(tmp_path / "t.csv", index=False)
    result = predict_table_file(model, tmp_path / "t.csv")
    rows = result.frame.set_index("file")
    assert rows["known_id"].isna().to_dict() == {
        id: id in ("000", "another", "005", "006") for id in frame["id"]
    }
    split = pd.read_parquet(model / "split.parquet").set_index("id")["part"]
    known = rows["known_part"].dropna()
    assert known.to_dict() == split[known.index].to_dict()
    n_trained = int((known == "train").sum())
    assert f"{n_trained} of 36 rows are clips of the training part" in result.notes[0]


def test_predict_names_what_is_missing(model: Path, tmp_path: Path) -> None:
    blobs().drop(columns="f1").to_csv(tmp_path / "less.csv", index=False)
    with pytest.raises(AlignmentError, match="'f1'"):
        predict_table_file(model, tmp_path / "less.csv")
    blobs().to_csv(tmp_path / "same.csv", index=False)
    with pytest.raises(DatasetError, match="'song'"):
        predict_table_file(model, tmp_path / "same.csv", id_column="song")


def test_an_older_model_without_roles_predicts_by_name(model: Path, tmp_path: Path) -> None:
    from quintet.model_folder.load import load_model

    ensemble = load_model(model)
    del ensemble.bundle_["table_roles"]
    blobs().to_csv(tmp_path / "same.csv", index=False)
    assert len(predict_table_file(ensemble, tmp_path / "same.csv").frame) == 36


def test_a_class_of_the_test_part_alone_is_refused_before_fitting(tmp_path: Path) -> None:
    frame = blobs().assign(split=["test" if i % 3 == 2 else "train" for i in range(36)])
    frame.loc[frame["split"] == "test", "genre"] = "polka"
    frame.drop(columns="artist").to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(DatasetError, match="'polka' has none"):
        quintet("train", tmp_path / "t.csv", "-o", tmp_path / "m", *FAST, "--label-column", "genre")
    assert not (tmp_path / "m").exists()


def test_a_class_of_unused_clips_is_no_class(tmp_path: Path) -> None:
    parts = np.where(np.arange(36) < 8, "unused", np.where(np.arange(36) % 4 > 1, "test", "train"))
    frame = blobs().assign(split=parts).drop(columns="artist")
    frame.loc[:3, "genre"] = "polka"
    frame.to_csv(tmp_path / "t.csv", index=False)
    printed = quintet("train", tmp_path / "t.csv", "-o", tmp_path / "m", *FAST, "--label-column", "genre")
    assert "8 rows of 36 are left out" in printed
    assert json.loads((tmp_path / "m" / "bundle.json").read_text())["classes"] == ["01", "NA"]


def test_groups_come_from_one_place(tmp_path: Path) -> None:
    blobs().to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(ConfigError, match="one place"):
        quintet(
            *("train", tmp_path / "t.csv", "-o", tmp_path / "m", "--label-column", "genre"),
            *("--group-column", "artist", "--groups", tmp_path / "g.csv"),
        )


@pytest.mark.parametrize("written", [["rock", "rock ", "jazz"], ["Caf\u00e9", "Cafe\u0301", "rock"]])
def test_audit_joins_spellings_and_says_so(tmp_path: Path, written: list[str]) -> None:
    frame = blobs().drop(columns="artist").rename(columns={"genre": "label"}).assign(label=written * 12)
    frame.to_csv(tmp_path / "t.csv")
    report = json.loads(quintet("audit", tmp_path / "t.csv", "--json", "-q"))
    assert len(report["balance"]) == 2
    assert any("joined" in note for note in report["notes"])
    assert any("Unnamed: 0" in note for note in report["notes"])


def test_audit_obeys_a_lone_group_column(tmp_path: Path) -> None:
    blobs().rename(columns={"genre": "label"}).to_csv(tmp_path / "t.csv", index=False)
    report = json.loads(quintet("audit", tmp_path / "t.csv", "--group-column", "artist", "--json", "-q"))
    assert report["n_groups"] == 12


def test_a_table_without_labels_is_refused(tmp_path: Path) -> None:
    blobs().drop(columns=["genre", "artist"]).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(QuintetError, match="label"):
        quintet("train", tmp_path / "t.csv", "-o", tmp_path / "m", *FAST)


def test_a_table_without_rows_is_refused(model: Path, tmp_path: Path) -> None:
    blobs().head(0).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(DatasetError, match="no row"):
        predict_table_file(model, tmp_path / "t.csv")
    with pytest.raises(DatasetError, match="no row"):
        quintet("suggest", model, "--table", tmp_path / "t.csv")


def test_new_rows_with_texts_are_told_what_helps(model: Path, tmp_path: Path) -> None:
    """Neither `predict` nor `suggest` has the options for roles that `train` has."""
    frame = blobs().astype({"f1": str})
    frame["f1"] += " Hz"
    frame.to_csv(tmp_path / "t.csv", index=False)
    for words in (("predict", model, "--table"), ("suggest", model, "--table")):
        with pytest.raises(DatasetError, match=r"f1 \('.* Hz'\)") as raised:
            quintet(*words, tmp_path / "t.csv")
        assert "--label-column" not in str(raised.value)


def test_suggest_reads_rows_with_the_roles_of_the_training(model: Path, tmp_path: Path) -> None:
    frame = blobs().assign(id=[f"new {k}" for k in range(36)], text="x")
    frame.loc[:29, "genre"] = None
    frame.loc[3, "f1"] = np.nan
    frame.to_csv(tmp_path / "t.csv", index=False)
    answer = json.loads(quintet("suggest", model, "--table", tmp_path / "t.csv", "--json", "-n", 40, "-q"))
    assert answer["n_candidates"] == 29  # 30 without a genre, one of them without a number
    assert any("1 row" in note for note in answer["notes"])
    assert any("'text'" in note for note in answer["notes"])


def test_suggested_rows_come_back_with_their_labels(model: Path, tmp_path: Path) -> None:
    """Rows without a label are left out of a training, but not of its corrections."""
    frame = blobs()
    frame.loc[:9, "genre"] = None
    frame.loc[4, "f1"] = np.nan
    frame.to_csv(tmp_path / "t.csv", index=False)
    roles = ["--label-column", "genre", "--group-column", "artist"]
    quintet("train", tmp_path / "t.csv", "-o", tmp_path / "m", *FAST, *roles)
    quintet("suggest", tmp_path / "m", "--table", tmp_path / "t.csv", "-o", tmp_path / "next.csv")
    listed = pd.read_csv(tmp_path / "next.csv", dtype=str)
    assert len(listed) == 9
    listed.assign(corrected=["NA", "01", *[""] * 7]).to_csv(tmp_path / "next.csv", index=False)
    words = ["train", tmp_path / "t.csv", "-o", tmp_path / "better", *FAST, *roles]
    quintet(*words, "--labels", tmp_path / "next.csv")
    split = pd.read_parquet(tmp_path / "better" / "split.parquet").set_index("id")["label"]
    assert len(split) == 28
    assert split[listed["id"][:2]].tolist() == ["NA", "01"]
    pd.DataFrame({"id": ["004"], "corrected": ["01"]}).to_csv(tmp_path / "next.csv", index=False)
    with pytest.raises(AlignmentError, match="004"):  # its number is missing
        quintet(*words, "--labels", tmp_path / "next.csv", "--overwrite")


def test_a_stress_test_of_a_model_of_tables_is_refused_for_what_it_is(model: Path) -> None:
    from quintet.errors import ArtefactError

    with pytest.raises(ArtefactError, match="table from elsewhere"):
        quintet("stress", model)


def test_tables_of_the_other_kind_are_refused_with_the_way_out(model: Path, tmp_path: Path) -> None:
    from quintet.features.parameters import FeatureParameters
    from quintet.features.storage.read import read_feature_table
    from quintet.features.storage.table import FeatureTable

    blobs().drop(columns=["genre", "artist"]).to_csv(tmp_path / "t.csv", index=False)
    table = read_feature_table(tmp_path / "t.csv")
    parameters = FeatureParameters()
    facts = {"parameters": parameters.model_dump(mode="json"), "parameter_hash": parameters.hash}
    with pytest.raises(AlignmentError, match="table from elsewhere"):
        predict_table(model, FeatureTable(table.frame, table.metadata | facts))


def test_an_audit_takes_the_columns_that_the_model_was_trained_on(model: Path, tmp_path: Path) -> None:
    blobs().to_csv(tmp_path / "same.csv", index=False)
    printed = quintet("audit", tmp_path / "same.csv", "--model", model)
    assert "36 clips, 2 classes, 12 groups" in printed
    with pytest.raises(QuintetError):  # without the model, nothing says what `genre` is
        quintet("audit", tmp_path / "same.csv")
