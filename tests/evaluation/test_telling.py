"""Columns that tell a class by themselves, and rows in the order of their classes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from quintet import cli
from quintet.evaluation.telling import row_order, telling_columns
from quintet.features.storage.column_roles import Roles
from quintet.features.storage.external_table import foreign_table
from quintet.training.data import gather
from quintet.training.notes import run_notes
from quintet.training.settings import TrainSettings


def honest(
    n: int = 90, classes: int = 3, distance: float = 2.0, seed: int = 0
) -> tuple[pd.DataFrame, pd.Series, pd.Series]:
    """Five normal features whose class means lie `distance` deviations apart; labels; a group per clip."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % classes)
    means = distance * np.stack([rng.permutation(classes) for _ in range(5)], axis=1)
    values = pd.DataFrame(rng.normal(size=(n, 5)) + means[y], columns=[f"f{j}" for j in range(5)])
    labels = pd.Series([f"c{k}" for k in y])
    return values, labels, pd.Series([f"t{i}" for i in range(n)])


def codes(labels: pd.Series) -> np.ndarray:
    return labels.str[1:].astype(float).to_numpy()


def planted(labels: pd.Series, kind: str) -> np.ndarray:
    """A column that tells the class."""
    rng = np.random.default_rng(1)
    y = codes(labels)
    if kind == "code":
        return y
    if kind == "indicator of one class":
        return (y == 1).astype(float)
    if kind == "code with noise":
        return y + rng.normal(scale=0.05, size=len(y))
    if kind == "hash of the class":
        return np.array([7.1, -3.0, 2.2])[y.astype(int)]
    rank = np.empty(len(y))  # the row number of the table before somebody shuffled it
    rank[np.argsort(y, kind="stable")] = np.arange(len(y))
    return rank * 3.0 if kind == "number with gaps" else rank


@pytest.mark.parametrize(
    "kind",
    [
        "code",
        "indicator of one class",
        "code with noise",
        "hash of the class",
        "row number",
        "number with gaps",
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_a_planted_column_is_found_and_no_other(kind: str, seed: int) -> None:
    features, labels, groups = honest(seed=seed)
    features["planted"] = planted(labels, kind)
    found = telling_columns(features, labels, groups)
    assert found["column"].tolist() == ["planted"]
    assert found["errors"].iloc[0] <= 5
    one = kind == "indicator of one class"
    assert found["labels"].iloc[0] == ("c1" if one else "c0;c1;c2")


@pytest.mark.parametrize("step", [1.0, 0.5, -0.1])
def test_the_step_of_a_counter_does_not_matter(step: float) -> None:
    """A number of each row that identifies one class of three: the other two are shuffled."""
    features, labels, groups = honest()
    rank = np.empty(len(labels))
    rank[np.argsort(codes(labels) == 1, kind="stable")] = np.arange(len(labels))
    features["planted"] = (step * rank).astype(np.float32)
    found = telling_columns(features, labels, groups)
    assert found[["column", "labels"]].to_numpy().tolist() == [["planted", "c1"]]


def test_a_value_that_one_class_alone_has_is_found_among_wider_classes() -> None:
    features, labels, groups = honest()
    others = np.random.default_rng(2).choice([128.0, 192.0, 256.0], len(labels))
    features["bitrate"] = np.where(labels == "c0", 320.0, others)
    assert telling_columns(features, labels, groups)[["column", "labels"]].to_numpy().tolist() == [
        ["bitrate", "c0"]
    ]
    features["bitrate"] = np.where((labels == "c0") & (np.arange(90) % 9 > 0), 320.0, others)
    assert telling_columns(features, labels, groups).empty  # not all clips of the class have it


@pytest.mark.parametrize("digits", [0, 1, 2])
def test_rounded_features_are_no_counters(digits: int) -> None:
    features, labels, groups = honest(n=240, classes=3, distance=6.0)
    assert telling_columns(features.round(digits) / 2, labels, groups).empty


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("classes", "distance"), [(2, 3.0), (2, 6.0), (3, 4.0), (6, 5.0)])
def test_strong_honest_features_are_no_warning(classes: int, distance: float, seed: int) -> None:
    features, labels, groups = honest(n=240, classes=classes, distance=distance, seed=seed)
    assert telling_columns(features, labels, groups).empty


def test_random_columns_in_small_tables_are_no_warning() -> None:
    """A thousand columns of noise on two classes of eight clips: some separate all clips by chance."""
    rng = np.random.default_rng(0)
    labels = pd.Series(["a", "b"] * 8)
    noise = pd.DataFrame(rng.normal(size=(16, 1000)), columns=[f"f{j}" for j in range(1000)])
    assert telling_columns(noise, labels, pd.Series(range(16))).empty


def test_too_few_artists_prove_nothing() -> None:
    """Six artists of each class: random numbers of the artists lie apart in one column of 66."""
    artists = pd.Series(np.arange(120) // 10)
    labels = pd.Series(np.where(artists < 6, "a", "b"))
    table = pd.DataFrame({"session": np.where(artists < 6, 1.0, 2.0)})
    assert telling_columns(table, labels, artists).empty
    assert len(telling_columns(table, labels, pd.Series(range(120)))) == 1


def test_the_columns_of_tags_are_found(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tags = rng.integers(0, 2, (120, 3))
    tags[tags.sum(axis=1) == 0, 0] = 1
    labels = pd.Series([";".join(t for t, has in zip("abc", row, strict=True) if has) for row in tags])
    table = pd.DataFrame({"noise": rng.normal(size=120), "has_b": tags[:, 1]})
    found = telling_columns(table, labels, pd.Series(range(120)))
    assert found[["column", "labels", "errors"]].values.tolist() == [["has_b", "b", 0]]


def test_rows_in_the_order_of_classes_are_found() -> None:
    labels = pd.Series(np.repeat(["blues", "jazz", "rock"], 40))
    ids = pd.Series(range(120))
    assert row_order(labels, ids).tells_class
    assert row_order(labels, ids).runs == 3
    for seed in range(20):
        shuffled = labels.sample(frac=1, random_state=seed, ignore_index=True)
        assert not row_order(shuffled, ids).tells_class
    in_turn = pd.Series(["blues", "jazz", "rock"] * 40)
    assert not row_order(in_turn, ids).tells_class


def test_albums_in_one_stretch_are_no_order() -> None:
    """Thirty albums of twelve tracks: the label of a row is that of its neighbour, of the same album."""
    rng = np.random.default_rng(0)
    albums = pd.Series(np.repeat(np.arange(30), 12))
    labels = pd.Series(rng.choice(["a", "b"], 30)[albums])
    assert not row_order(labels, albums).tells_class
    assert row_order(labels.sort_values(ignore_index=True), albums).tells_class


def audit(table: Path) -> dict[str, object]:
    result = CliRunner().invoke(cli.app, ["audit", str(table), "--json", "-q"])
    assert result.exit_code == 0, result.output
    report: dict[str, object] = json.loads(result.stdout)
    return report


def test_the_audit_warns_of_both_and_of_neither_in_a_shuffled_table(tmp_path: Path) -> None:
    features, labels, ids = honest()
    frame = features.assign(id=ids, label=labels, session=planted(labels, "number with gaps"))
    frame.to_csv(tmp_path / "planted.csv", index=False)
    report = audit(tmp_path / "planted.csv")
    assert [row["column"] for row in report["telling_columns"]] == ["session"]  # type: ignore[union-attr,attr-defined]
    assert any("'session'" in text for text in report["warnings"])  # type: ignore[attr-defined]
    assert not report["row_order"]["tells_class"]  # type: ignore[index]
    frame.sort_values("label").drop(columns="session").to_csv(tmp_path / "sorted.csv", index=False)
    report = audit(tmp_path / "sorted.csv")
    assert report["telling_columns"] == []
    assert report["row_order"]["tells_class"]  # type: ignore[index]
    assert any("order of the rows" in text for text in report["warnings"])  # type: ignore[attr-defined]
    frame.drop(columns="session").to_csv(tmp_path / "plain.csv", index=False)
    assert not any("tell" in text for text in audit(tmp_path / "plain.csv")["warnings"])  # type: ignore[attr-defined]


def test_training_names_a_column_that_tells_the_class() -> None:
    features, labels, ids = honest()
    frame = features.assign(id=ids, label=labels, planted=planted(labels, "code with noise"))
    for columns, expected in ((frame, True), (frame.drop(columns="planted"), False)):
        material = gather(foreign_table(columns, Roles(), name="t"), TrainSettings())
        assert any("'planted'" in note for note in run_notes(material, TrainSettings())) is expected
