"""Predictions: read and written without loss; wrong content is refused with numbers and examples."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quintet.errors import AlignmentError, ArtefactError, ConfigError, DatasetError
from quintet.predictions.predictions import Predictions, read_predictions

CLASSES = ("rock", "jazz", "None")


def example(n=6, seed=0, **changes):
    rng = np.random.default_rng(seed)
    fields = {
        "clip_ids": np.array([f"clip{i}" for i in range(n)]),
        "classes": CLASSES,
        "probabilities": rng.dirichlet(np.ones(3), n),
        "labels": np.array([CLASSES[i % 3] for i in range(n)]),
        "groups": np.array([f"artist{i // 2}" for i in range(n)]),
    }
    return Predictions(**(fields | changes))


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_file_is_read_as_it_was_written(tmp_path, suffix, dtype):
    written = example(probabilities=example().probabilities.astype(dtype))
    written.write(tmp_path / f"p.{suffix}")
    read = read_predictions(tmp_path / f"p.{suffix}")
    assert read.classes == CLASSES
    assert not read.multilabel
    assert list(read.clip_ids) == list(written.clip_ids)
    assert list(read.labels) == list(written.labels)  # a genre called "None" is a label, not a missing value
    assert list(read.groups) == list(written.groups)
    np.testing.assert_array_equal(read.probabilities.astype(dtype), written.probabilities)
    if suffix == "parquet":
        assert read.probabilities.dtype == dtype


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_missing_labels_and_groups_stay_missing(tmp_path, suffix):
    example(labels=None, groups=None).write(tmp_path / f"p.{suffix}")
    assert read_predictions(tmp_path / f"p.{suffix}").labels is None
    example(labels=np.array(["rock", None, "jazz", "rock", np.nan, "x"], dtype=object)).write(
        tmp_path / f"p.{suffix}"
    )
    read = read_predictions(tmp_path / f"p.{suffix}")
    assert list(read.labels) == ["rock", None, "jazz", "rock", None, "x"]
    assert read.unknown_labels == {"x": 1}
    assert read.codes().tolist() == [0, -1, 1, 0, -1, -1]
    assert read.scorable.tolist() == [True, False, True, True, False, False]


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_label_sets_need_not_sum_to_one(tmp_path, suffix):
    sets = np.array(["rock;jazz", "", "None"])
    Predictions(np.array(["a", "b", "c"]), CLASSES, np.full((3, 3), 0.9), sets, multilabel=True).write(
        tmp_path / f"p.{suffix}"
    )
    read = read_predictions(tmp_path / f"p.{suffix}")
    assert read.multilabel
    assert read.indicator().tolist() == [[True, True, False], [False, False, False], [False, False, True]]
    assert read.scorable.all()


def test_columns_may_have_any_order_and_others_are_ignored(tmp_path):
    pd.DataFrame(
        {"probability.b": [0.3], "note": ["x"], "clip_id": ["1"], "probability.a": [0.7]}
    ).to_parquet(tmp_path / "p.parquet")
    read = read_predictions(tmp_path / "p.parquet")
    assert read.classes == ("b", "a")
    assert read.probabilities.tolist() == [[0.3, 0.7]]


def test_numeric_ids_are_text(tmp_path):
    (tmp_path / "p.csv").write_text("clip_id,probability.a,probability.b\n007,0.5,0.5\n")
    assert read_predictions(tmp_path / "p.csv").clip_ids.tolist() == ["007"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,probability.a\n1,1\n", "column `clip_id`"),
        ("clip_id,a\n1,1\n", "`probability.<class>`"),
        ("clip_id,label,labels,probability.a\n1,a,a,1\n", "not both"),
        ("clip_id,probability.a,probability.b\n1,0.5,\n", "be finite.*1 rows.*'1'"),
        ("clip_id,probability.a,probability.b\n1,0.5,oops\n", "hold numbers.*probability.b.*oops"),
        ("clip_id,probability.a,probability.b\n1,50,50\n2,1,0\n", r"lie in \[0, 1\].*1 rows.*'1': a 50"),
        ("clip_id,probability.a,probability.b\n1,0.5,0.5\nx,0.9,0.9\n", "sum to 1.*1 rows.*'x'"),
        (
            "clip_id,probability.a,probability.b\nx,1,0\ny,1,0\nx,0,1\n",
            r"1 clips \('x'\) are there more than once",
        ),
    ],
)
def test_a_file_with_wrong_content_is_refused(tmp_path, content, message):
    (tmp_path / "p.csv").write_text(content)
    with pytest.raises(DatasetError, match=f"p.csv.*{message}"):
        read_predictions(tmp_path / "p.csv")


@pytest.mark.parametrize("name", ["p.csv", "p.parquet", "p.txt"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_decimal_commas_and_other_names_do_not_change_a_file(tmp_path, name, separator):
    written = example()
    frame = pd.DataFrame(written.probabilities, columns=[f"probability.{name}" for name in CLASSES])
    frame.insert(0, "clip_id", written.clip_ids)
    frame.to_csv(tmp_path / name, index=False, sep=separator, decimal=",")
    read = read_predictions(tmp_path / name)
    assert read.clip_ids.tolist() == written.clip_ids.tolist()
    np.testing.assert_allclose(read.probabilities, written.probabilities, rtol=1e-14)


def test_a_parquet_file_of_any_name_keeps_its_mark(tmp_path):
    example(ungrouped=True).write(tmp_path / "p.parquet")
    (tmp_path / "p.parquet").rename(tmp_path / "p.csv")
    assert read_predictions(tmp_path / "p.csv").ungrouped


def test_a_file_of_another_kind_is_an_artefact_error(tmp_path):
    with pytest.raises(ArtefactError, match="must exist"):
        read_predictions(tmp_path / "no.parquet")
    (tmp_path / "p.parquet").write_text("PAR1 and no more")
    (tmp_path / "p.csv").write_text("")
    for name in ("p.parquet", "p.csv"):
        with pytest.raises(ArtefactError, match="cannot be read"):
            read_predictions(tmp_path / name)
    with pytest.raises(ConfigError, match=r"end in \.parquet or \.csv"):
        example().write(tmp_path / "p.json")


def test_probability_columns_of_text_are_refused(tmp_path):
    pq.write_table(pa.table({"clip_id": ["a"], "probability.x": ["0.5"]}), tmp_path / "p.parquet")
    with pytest.raises(DatasetError, match="must be numbers"):
        read_predictions(tmp_path / "p.parquet")


def test_shapes_are_checked():
    with pytest.raises(DatasetError, match="one row per clip"):
        example(clip_ids=np.array(["a"]))
    with pytest.raises(DatasetError, match="each named once"):
        example(classes=("a", "a", "b"))
    with pytest.raises(DatasetError, match="`groups` per clip"):
        example(groups=np.array(["a"]))


def test_taking_an_unknown_clip_is_refused():
    with pytest.raises(AlignmentError, match=r"2 clips \('x', 'y'\) have none"):
        example().take(["clip0", "x", "y"])


def test_spellings_of_one_artist_are_one_group():
    spelt = ["Queen", " Queen ", "Beyonce\N{COMBINING ACUTE ACCENT}", "Beyoncé", None, " "]
    given = Predictions([*"abcdef"], ("x", "y"), np.full((6, 2), 0.5), groups=np.array(spelt, dtype=object))
    assert given.groups.tolist() == ["Queen", "Queen", "Beyoncé", "Beyoncé", None, None]


@pytest.mark.parametrize(
    ("cells", "names"),
    [
        ([True, False, None], ["True", "False"]),
        ([b"rock", b"jazz", None], ["rock", "jazz"]),
        ([2.0, 1.0, None], ["2", "1"]),
        ([1, 2, None], ["1", "2"]),
    ],
)
def test_keys_of_any_type_are_the_text_of_other_tables(tmp_path, cells, names):
    columns = {
        "clip_id": [b"a", b"b", b"c"],
        "label": cells,
        "group": cells,
        **{f"probability.{name}": [0.5] * 3 for name in names},
    }
    pq.write_table(pa.table(columns), tmp_path / "p.parquet")
    p = read_predictions(tmp_path / "p.parquet")
    assert p.clip_ids.tolist() == ["a", "b", "c"]
    assert p.labels.tolist() == p.groups.tolist() == [*names, None]
    assert p.codes().tolist() == [0, 1, -1]


def test_lists_in_a_file_of_predictions_are_label_sets(tmp_path):
    columns = {"clip_id": ["a", "b", "c", "d"], "labels": [["x", "y"], ["y"], [], None]}
    pq.write_table(
        pa.table({**columns, "probability.x": [0.5] * 4, "probability.y": [0.5] * 4}), tmp_path / "p"
    )
    p = read_predictions(tmp_path / "p")
    assert p.labels.tolist() == ["x;y", "y", "", None]
    assert p.multilabel


@pytest.mark.parametrize("kind", [pa.decimal128(23, 4), pa.bool_(), pa.int8(), pa.float16()])
def test_probabilities_of_any_type_of_number_are_read_as_from_a_csv_file(tmp_path, kind):
    one_hot = {f"probability.{name}": pa.array([k, 1 - k]).cast(kind) for k, name in enumerate("ab")}
    table = pa.table({"clip_id": ["x", "y"], "label": ["a", "b"], **one_hot})
    pq.write_table(table, tmp_path / "p.parquet")
    table.to_pandas().to_csv(tmp_path / "p.csv", index=False)
    for file in ("p.parquet", "p.csv"):
        assert read_predictions(tmp_path / file).probabilities.tolist() == [[0.0, 1.0], [1.0, 0.0]]


def test_a_csv_file_makes_no_empty_sets_of_missing_ones(tmp_path):
    sets = np.array(["rock", "", None, "rock;jazz", "", "x"], dtype=object)
    written = example(labels=sets, multilabel=True)
    with pytest.raises(ConfigError, match=r"1 of 6 clips have no labels: write a \.parquet file"):
        written.write(tmp_path / "p.csv")
    assert not (tmp_path / "p.csv").exists()
    written.write(tmp_path / "p.parquet")
    assert read_predictions(tmp_path / "p.parquet").labels.tolist() == sets.tolist()
    example(labels=None, multilabel=True).write(tmp_path / "none.csv")
    none = read_predictions(tmp_path / "none.csv")
    assert (none.labels, none.multilabel, none.notes) == (None, True, ())
    written.take(["clip0", "clip1", "clip4"]).write(tmp_path / "some.csv")
    some = read_predictions(tmp_path / "some.csv")
    assert some.labels.tolist() == ["rock", "", ""]
    assert some.notes == ("Empty cells of `labels` are read as sets without tags: 2 of 3.",)


def test_printed_lists_in_a_csv_file_are_labels(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text(
        "clip_id,labels,probability.x,probability.y\na,\"['x', 'y']\",1,1\nb,['y'],0,1\nc,[],0,0\n"
    )
    p = read_predictions(path)
    assert p.labels.tolist() == ["x;y", "y", ""]
    assert "written as lists" in p.notes[0]
    path.write_text("clip_id,label,probability.x,probability.y\na,['x'],1,0\nb,['y'],0,1\nc,[],0,1\n")
    assert read_predictions(path).codes().tolist() == [0, 1, -1]


def test_blanks_of_any_kind_make_no_other_class_or_group():
    labels, groups = (
        ["hip\N{NO-BREAK SPACE}hop", "hip  hop", "rock"],
        ["The  Band", "The\N{NO-BREAK SPACE}Band", "x"],
    )
    given = Predictions(
        [*"abc"],
        ("hip\N{NO-BREAK SPACE}hop", "rock"),
        np.full((3, 2), 0.5),
        np.array(labels),
        np.array(groups),
    )
    assert given.codes().tolist() == [0, 0, 1]
    assert given.groups.tolist() == ["The Band", "The Band", "x"]
    assert given.in_classes(["rock", "hip\N{NO-BREAK SPACE}hop"]).codes().tolist() == [1, 1, 0]
    assert [note.split(" (")[0].split(": ")[-1] for note in given.take(["c", "a"]).notes] == [
        "'hip hop'",
        "'The Band'",
    ]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_class_named_twice_is_refused(tmp_path, suffix):
    path = tmp_path / f"twice.{suffix}"
    names = ["clip_id", "probability.a", "probability.a"]
    if suffix == "csv":
        path.write_text(",".join(names) + "\nx,0.5,0.5\n")
    else:
        columns = [pa.array(["x"]), pa.array([0.5]), pa.array([0.5])]
        pq.write_table(pa.Table.from_arrays(columns, names=names), path)
    with pytest.raises(DatasetError, match="twice"):
        read_predictions(path)


def test_sums_of_two_decimals_are_accepted(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("clip_id,probability.a,probability.b,probability.c\nx,0.43,0.3,0.26\n")
    assert len(read_predictions(path)) == 1
    path.write_text("clip_id,probability.a,probability.b,probability.c\nx,0.43,0.3,0.25\n")
    with pytest.raises(DatasetError, match="sum to 1"):
        read_predictions(path)


def test_keys_are_text_as_written_in_any_dialect(tmp_path):
    path = tmp_path / "p.csv"
    path.write_bytes(
        "sep=;\nclip_id;label;probability.NA;probability.01\n007;NA;0,5;0,5\n1e5;01;1;0\n".encode("utf-16")
    )
    p = read_predictions(path)
    assert p.clip_ids.tolist() == ["007", "1e5"]
    assert p.codes().tolist() == [0, 1]


def test_spellings_of_a_label_are_one_class(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text(
        "clip_id,label,probability.Caf\u00e9 ,probability.rock\na,Cafe\u0301,1,0\nb,rock ,0,1\n",
        encoding="utf-8",
    )
    p = read_predictions(path)
    assert p.codes().tolist() == [0, 1]
    assert len(p.take(["b", "a"]).notes) == len(p.notes)


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_class_may_have_the_name_of_a_key(tmp_path, suffix):
    classes = ("label", "clip_id", "group")
    labels = np.array([classes[i % 3] for i in range(6)])
    example(classes=classes, labels=labels).write(tmp_path / f"p.{suffix}")
    read = read_predictions(tmp_path / f"p.{suffix}")
    assert (read.classes, list(read.labels)) == (classes, list(labels))


def test_tables_of_pandas_are_joined_by_name_and_not_by_position():
    expected = example()
    ids = expected.clip_ids
    table = pd.DataFrame(expected.probabilities, index=ids, columns=CLASSES)
    labels, groups = pd.Series(expected.labels, index=ids), pd.Series(expected.groups, index=ids)
    shuffled = [3, 5, 0, 1, 4, 2]
    p = example(
        probabilities=table.iloc[shuffled][["None", "rock", "jazz"]],
        labels=labels.iloc[shuffled],
        groups=groups.iloc[shuffled].astype("category"),
    )
    assert p.probabilities.tolist() == expected.probabilities.tolist()
    assert (p.labels.tolist(), p.groups.tolist()) == (labels.tolist(), groups.tolist())


def test_an_index_without_ids_says_nothing_about_the_order():
    expected = example(clip_ids=[3, 1, 2, 0, 4, 5])
    table = pd.DataFrame(expected.probabilities)
    p = example(clip_ids=[3, 1, 2, 0, 4, 5], probabilities=table, labels=pd.Series(expected.labels))
    assert p.probabilities.tolist() == expected.probabilities.tolist()
    assert p.labels.tolist() == expected.labels.tolist()


def test_probabilities_of_other_classes_or_without_a_value_are_refused():
    values = example().probabilities
    with pytest.raises(DatasetError, match="named for the classes"):
        example(probabilities=pd.DataFrame(values, columns=["rock", "jazz", "pop"]))
    with pytest.raises(DatasetError, match="finite"):
        example(probabilities=np.ma.array(values, mask=np.arange(18).reshape(6, 3) == 4))
    missing = pd.DataFrame(values, columns=CLASSES).astype("Float64")
    missing.iloc[0, 0] = pd.NA
    with pytest.raises(DatasetError, match="finite"):
        example(probabilities=missing)
