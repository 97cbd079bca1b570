"""What is said about rows that cannot be used, and about classes without any other row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quintet.auditing import audit
from quintet.errors import DatasetError
from quintet.features.storage.column_roles import Roles
from quintet.features.storage.external_table import foreign_table
from quintet.features.storage.join import join_tables
from quintet.features.storage.read import read_feature_table
from quintet.features.storage.table import FeatureTable
from quintet.training.data import gather
from quintet.training.notes import run_notes
from quintet.training.settings import TrainSettings

SETTINGS = TrainSettings(members=("svm",), resamples=0)


def blobs(names: str = "abc", n: int = 60) -> pd.DataFrame:
    """Classes in turn, and three features."""
    features = pd.DataFrame(np.random.default_rng(0).normal(size=(n, 3)), columns=["f", "g", "h"])
    labels = [names[k % len(names)] for k in range(n)]
    return features.assign(id=[f"clip{k:02d}" for k in range(n)], label=labels)


def table(frame: pd.DataFrame) -> FeatureTable:
    return foreign_table(frame, Roles(), name="blobs")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("", "This table has none"),
        ("a,,1,1\nb,,2,1\n", "All 2 rows .* 2 of them because: The label is missing"),
        (
            "a,rock,,1\nb,jazz,2,\nc,jazz,,3\n",
            "All 3 rows .*, 2 of them because: .*finite number. 1 is not: [fg][.]$",
        ),
    ],
)
def test_a_table_without_a_usable_row_is_told_why(tmp_path: Path, rows: str, message: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"id,label,f,g\n{rows}", encoding="utf-8")
    with pytest.raises(DatasetError, match=message):
        gather(read_feature_table(path), TrainSettings(members=("svm",)))


def test_a_class_whose_rows_all_lack_a_number_is_named_with_the_column() -> None:
    frame = blobs()
    frame.loc[frame["label"] == "b", "g"] = np.nan
    frame.loc[0, "h"] = np.nan
    notes = run_notes(gather(table(frame), SETTINGS), SETTINGS)
    assert any(note.endswith("clip04, …). Numbers are missing in 'g', 'h'.") for note in notes[:1])
    assert notes[1] == "All rows of the class 'b' are left out."
    report = audit(table(frame))
    assert "Numbers are missing in 'g', 'h'." in report.notes
    assert "All rows of the class 'b' are left out." in report.notes


def test_a_class_of_unused_rows_is_named() -> None:
    frame = blobs("abcd").assign(split=["train", "x", "train", "x"] * 15)
    frame.loc[::8, "split"] = "test"
    material = gather(table(frame), SETTINGS.model_copy(update={"split_values": {"x": "unused"}}))
    assert run_notes(material, SETTINGS)[1] == "All rows of 2 classes are left out: 'b', 'd'."


def test_a_class_without_a_row_in_a_joined_table_is_named(tmp_path: Path) -> None:
    frame = blobs("abcd")
    frame.loc[frame["label"] == "b", "g"] = np.nan
    frame.loc[frame["label"] != "c", ["id", "f"]].to_csv(tmp_path / "other.csv", index=False)
    notes = run_notes(gather(join_tables(table(frame), tmp_path / "other.csv"), SETTINGS), SETTINGS)
    assert any("Numbers are missing in 'g'." in note for note in notes)
    assert "All rows of 2 classes are left out: 'b', 'c'." in notes


def test_a_tag_whose_rows_are_left_out_is_named() -> None:
    frame = blobs()
    frame["label"] += ";" + pd.Series(["x", "y"] * 30)
    frame.loc[frame["label"].str.contains("b"), "g"] = np.nan
    assert "All rows of the tag 'b' are left out." in run_notes(gather(table(frame), SETTINGS), SETTINGS)


def test_rows_that_are_left_out_without_a_class_name_none() -> None:
    frame = blobs()
    frame.loc[1, "g"] = np.nan
    assert not any("All rows" in note for note in run_notes(gather(table(frame), SETTINGS), SETTINGS))


def test_one_class_because_the_other_is_left_out_is_told_why() -> None:
    frame = blobs("ab")
    frame.loc[frame["label"] == "b", "g"] = np.nan
    with pytest.raises(DatasetError, match=r"'a' only.*missing in 'g'\. All rows of the class 'b'"):
        gather(table(frame), SETTINGS)


def test_rows_with_a_number_beyond_float32_are_told_apart() -> None:
    frame = blobs()
    frame.loc[1, "g"] = np.nan
    frame.loc[2, "h"] = 1e300
    (note,) = run_notes(gather(table(frame), SETTINGS), SETTINGS)[:1]
    assert "1 with a missing number, 1 with a number beyond 3.4e38 (clip01, clip02)" in note
    assert note.endswith("Numbers are missing in 'g'. Numbers are beyond 3.4e38 in 'h'.")


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ([(0, ";only")], ["the tag 'only' (1 in the test part): no member can learn it."]),
        ([(0, ";only"), (8, ";only;too")], ["the tags 'only', 'too' (2 in the test part)"]),
        ([(k, ";only") for k in range(9)], []),
    ],
)
def test_tags_of_the_test_part_alone_are_named(extra: list[tuple[int, str]], said: list[str]) -> None:
    """Without them, a class of the test part alone is refused."""
    frame = blobs().assign(split=["test", "train", "train", "train"] * 15)
    frame["label"] += ";" + pd.Series(["x", "x", "y", "y"] * 15)
    frame.loc[::4, "label"] = "a;y"
    for row, tags in extra:
        frame["label"] = frame["label"].where(frame.index != row, frame["label"] + tags)
    notes = [
        note for note in run_notes(gather(table(frame), SETTINGS), SETTINGS) if "no member can learn" in note
    ]
    assert [words in note for words, note in zip(said, notes, strict=True)] == [True] * len(said)


def test_copies_of_rows_are_counted_and_those_that_the_split_divides() -> None:
    frame = blobs().assign(split=["train"] * 40 + ["test"] * 20, group=[f"g{k % 40}" for k in range(60)])
    frame.loc[40:, ["f", "g", "h"]] = frame.loc[:19, ["f", "g", "h"]].to_numpy()

    def copies(frame: pd.DataFrame) -> list[str]:
        return [note for note in run_notes(gather(table(frame), SETTINGS), SETTINGS) if "earlier row" in note]

    (divided,) = copies(frame.assign(group=frame["id"]))
    assert divided.startswith("20 rows equal an earlier row in all columns (clip40 = clip00, …). The split")
    assert "divides 20 of them" in divided
    (whole,) = copies(frame.drop(columns="split"))
    assert whole == "20 rows equal an earlier row in all columns (clip40 = clip00, …)."
    assert copies(blobs()) == []


@pytest.mark.parametrize(
    ("times", "said"),
    [(1.7e9 + np.arange(60) % 7, "Values of 't' become equal"), (np.full(60, 5), "they never change: 't'")],
)
def test_a_table_without_a_feature_that_changes_is_told_which_and_why(times: np.ndarray, said: str) -> None:
    with pytest.raises(DatasetError, match=f"changes from row to row.*{said}"):
        gather(table(blobs().drop(columns=["f", "g", "h"]).assign(t=times)), SETTINGS)
