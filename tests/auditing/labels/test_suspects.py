"""Doubtful labels of a model folder: planted errors, their neighbours, and the way back into a training."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quintet import cli
from quintet.auditing.labels.suspects import find_suspects, write_suspects
from quintet.errors import AlignmentError, ConfigError, DatasetError
from quintet.features.storage.external_table import Roles, foreign_table
from quintet.features.storage.table import FeatureTable
from quintet.model_folder.run import ENSEMBLE_PREDICTION, Run, read_run
from quintet.model_folder.unseen import unseen_clips
from quintet.predictions.predictions import Predictions
from quintet.training.corrections.labels import relabel


@pytest.fixture(scope="module")
def run(model_folder: Path) -> Run:
    return read_run(model_folder)


def with_labels(run: Run, changes: dict[str, str]) -> Run:
    """The same run, with other labels of some clips."""
    parts = {}
    for part, tables in run.parts.items():
        table = tables[run.prediction_name]
        labels = [
            changes.get(str(i), str(label)) for i, label in zip(table.clip_ids, table.labels, strict=True)
        ]
        parts[part] = {**tables, run.prediction_name: replace(table, labels=np.array(labels, object))}
    return replace(run, oof=parts["oof"], test=parts["test"])


def surest(run: Run, n: int) -> list[tuple[str, str]]:
    """Ids and labels of the clips that are predicted right with the highest probability."""
    p = unseen_clips(run).predictions
    right = p.probabilities.argmax(1) == p.codes()
    order = np.argsort(-p.probabilities.max(1) * right, kind="stable")[:n]
    return [(str(p.clip_ids[k]), str(p.labels[k])) for k in order]


def test_planted_errors_are_suspects_with_their_true_label_as_suggestion(run: Run) -> None:
    planted = surest(run, 6)
    wrong = {clip: "rock" if label != "rock" else "jazz" for clip, label in planted}
    found = find_suspects(with_labels(run, wrong)).frame.set_index("id")
    assert found.loc[list(wrong), "is_suspect"].all()
    assert found.loc[list(wrong), "suggested"].tolist() == [label for _, label in planted]
    assert found["support"].is_monotonic_increasing
    assert not set(wrong) & set(find_suspects(run).frame.query("is_suspect")["id"])


def test_nearest_clips_are_of_other_groups_and_have_the_two_labels(run: Run) -> None:
    about = run.features[["label", "group"]]
    frame = find_suspects(run).frame
    assert len(frame) >= 20
    for row in frame.itertuples():
        assert len(row.near_label) == len(row.near_suggested) == 2
        assert set(about.loc[list(row.near_label), "label"]) == {row.label}
        assert set(about.loc[list(row.near_suggested), "label"]) == {row.suggested}
        near = [*row.near_label, *row.near_suggested]
        assert about.loc[row.id, "group"] not in set(about.loc[near, "group"])


def test_the_nearest_clip_is_the_nearest_by_the_table(run: Run) -> None:
    row = next(find_suspects(run).frame.itertuples())
    values = run.values
    z = ((values - values.mean()) / values.std(ddof=0)).clip(-8, 8)
    about = run.features
    others = about.index[(about["label"] == row.label) & (about["group"] != about.loc[row.id, "group"])]
    distances = ((z.loc[others] - z.loc[row.id]) ** 2).mean(axis=1)
    assert distances.idxmin() == row.near_label[0]


def tag_run(run: Run, labels: list[str], p: np.ndarray) -> Run:
    """A run of label sets that has out-of-fold predictions alone."""
    ids = np.array([f"clip{k}" for k in range(len(labels))], object)
    table = Predictions(ids, ("live", "rock"), p, np.array(labels, object), multilabel=True)
    return replace(run, oof={ENSEMBLE_PREDICTION: table}, test={}, features=pd.DataFrame())


def test_a_suggestion_for_label_sets_has_one_tag_more_or_less(run: Run) -> None:
    labels = ["live", "live;rock", "rock", "rock", "live", ""]
    p = np.array([[0.9, 0.1], [0.9, 0.9], [0.1, 0.9], [0.9, 0.9], [0.9, 0.1], [0.1, 0.1]])
    suspects = find_suspects(tag_run(run, labels, p))
    first = suspects.frame.iloc[0]
    assert (first["id"], first["label"], first["suggested"]) == ("clip3", "rock", "rock;live")
    assert (round(first["p_label"], 3), round(first["p_suggested"], 3)) == (0.1, 0.9)
    assert suspects.frame["near_label"].tolist() == [()] * 6  # the run has no features
    assert suspects.n_suspects == 1


def test_labels_that_have_changed_since_are_left_out(run: Run) -> None:
    labels = {clip: str(label) for clip, label in run.features["label"].items()}
    gone, changed = list(labels)[:2]
    del labels[gone]
    labels[changed] = "some other class"
    suspects = find_suspects(run, labels=labels)
    assert suspects.n_clips == len(labels) - 1
    assert "1 are not in this source, and 1 have another label" in suspects.notes[0]
    with pytest.raises(DatasetError, match="No clip has such a label"):
        find_suspects(run, labels={})


@pytest.fixture
def table() -> FeatureTable:
    frame = pd.DataFrame(
        {"id": ["=1+1", "b", "c", "d"], "label": ["x", "x", "y", "y"], "value": [1.0, 2, 3, 4]}
    )
    return foreign_table(frame, Roles(), name="tiny")


def write(path: Path, rows: list[list[str]], names: str = "id,label,corrected") -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([names.split(","), *rows])
    return path


def test_corrections_replace_labels_and_are_counted(table: FeatureTable, tmp_path: Path) -> None:
    file = write(tmp_path / "new.csv", [["'=1+1", "x", "y"], ["c", "y", ""], ["d", "y", "y"]])
    corrected = relabel(table, file)
    assert corrected.meta["label"].to_dict() == {"=1+1": "y", "b": "x", "c": "y", "d": "y"}
    assert "1 label was corrected by" in corrected.metadata["notes"][-1]
    assert "=1+1: x → y" in corrected.metadata["notes"][-1]
    assert table.meta["label"]["=1+1"] == "x"
    file.write_text("id,label,corrected,remark\nd,y,x,très bien\n", encoding="cp1252")
    assert "new.csv is not UTF-8" in relabel(table, file).metadata["notes"][0]
    write(file, [["d", "y", "y"]])
    again = relabel(corrected, file)  # a label that is right already is no conflict
    assert "0 labels were corrected" in again.metadata["notes"][-1]


def test_a_file_in_which_nothing_is_filled_in_changes_nothing(table: FeatureTable, tmp_path: Path) -> None:
    same = relabel(table, write(tmp_path / "new.csv", [["b", "x", ""], ["c", "y", ""]]))
    assert same.meta["label"].equals(table.meta["label"])
    assert "0 labels were corrected" in same.metadata["notes"][-1]


@pytest.mark.parametrize(
    ("rows", "names", "message"),
    [
        ([["z", "x", "y"]], "id,label,corrected", "names 1 others, for example 'z'"),
        ([["b", "y", "y"], ["c", "x", "x"]], "id,label,corrected", "2 labels have changed"),
        ([["b", "x"], ["b", "y"]], "id,corrected", "two or more to 1"),
        ([["b", "x;y"]], "id,corrected", "one class"),
        ([["b", "x"]], "id,fixed", "lacks: corrected"),
    ],
)
def test_files_that_do_not_fit_the_table_are_refused(
    table: FeatureTable, tmp_path: Path, rows: list[list[str]], names: str, message: str
) -> None:
    with pytest.raises(AlignmentError, match=message):
        relabel(table, write(tmp_path / "new.csv", rows, names))


def test_a_mistyped_class_is_refused_and_a_new_class_is_not(table: FeatureTable, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="label"):
        relabel(table, write(tmp_path / "one.csv", [["b", "x", "yy"]]))
    two = relabel(table, write(tmp_path / "two.csv", [["b", "x", "yy"], ["c", "y", "yy"]]))
    assert sorted(set(two.meta["label"])) == ["x", "y", "yy"]


def test_the_file_of_an_audit_comes_back_as_it_was_written(run: Run, tmp_path: Path) -> None:
    planted = dict(surest(run, 3))
    suspects = find_suspects(with_labels(run, dict.fromkeys(planted, "rock")))
    write_suspects(suspects, tmp_path / "suspects.csv")
    with (tmp_path / "suspects.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == suspects.frame["id"].tolist()
    assert {row["corrected"] for row in rows} == {""}
    assert all(" | " in row["near_label"] for row in rows)


def test_audit_lists_doubtful_labels_and_train_takes_the_corrections(
    model_folder: Path,
    run: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frame = run.features.reset_index()
    frame[["id", "label", "group", *run.values.columns]].to_csv(tmp_path / "table.csv", index=False)
    monkeypatch.chdir(tmp_path)
    words = ["audit", "table.csv", "--model", str(model_folder), "--labels-to", "out.csv", "-q"]
    monkeypatch.setattr("sys.argv", ["quintet", *words, "--json"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    found = json.loads(capsys.readouterr().out)["suspects"]
    assert found["n"] == 216
    assert found["rows"][0]["near_label"]
    monkeypatch.setattr("sys.argv", ["quintet", "audit", "table.csv", "--labels-to", "out.csv"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
