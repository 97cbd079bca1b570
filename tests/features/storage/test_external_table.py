"""External feature tables: roles of columns, what is no feature, and what a note says about it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quintet.errors import AlignmentError, ArtefactError, ConfigError, DatasetError, SplitLeakError
from quintet.features.storage.column_roles import Roles
from quintet.features.storage.external_table import find_external_table, read_external_table
from quintet.features.storage.read import read_feature_table
from quintet.features.storage.table import FeatureTable


def small(n: int = 12, **columns: object) -> pd.DataFrame:
    """A table with ids, labels and one feature that does not count rows."""
    values = np.random.default_rng(0).normal(size=n)
    labels = np.where(np.arange(n) % 2, "rock", "jazz")
    return pd.DataFrame({"id": [f"c{i:02d}" for i in range(n)], "label": labels, "f": values}).assign(
        **columns
    )


def read(tmp_path: Path, frame: pd.DataFrame, *, index: bool = False, **roles: object) -> FeatureTable:
    frame.to_csv(tmp_path / "t.csv", index=index)
    return read_feature_table(tmp_path / "t.csv", **roles)


def notes(table: FeatureTable) -> str:
    return "\n".join(table.metadata.get("notes", []))


def test_an_ordinary_table_has_no_notes(tmp_path: Path) -> None:
    table = read(tmp_path, small())
    assert table.feature_names == ("f",)
    assert "notes" not in table.metadata


def test_ids_labels_and_groups_are_text_as_written(tmp_path: Path) -> None:
    words = ["01", "NA", "null", "None", "1e5", "nan"] * 2
    frame = small(id=[f"{i:03d}" for i in range(12)], label=words, group=words[::-1])
    table = read(tmp_path, frame)
    assert table.meta.index.tolist() == frame["id"].tolist()
    assert table.meta["label"].tolist() == words
    assert table.meta["group"].tolist() == words[::-1]


def test_lists_of_clips_keep_zeros(tmp_path: Path) -> None:
    frame = small(id=[f"{i:06d}.mp3" for i in range(12)])
    pd.DataFrame({"id": [f"{i:06d}" for i in range(8)]}).to_csv(tmp_path / "train.csv", index=False)
    pd.DataFrame({"id": [f"{i:06d}" for i in range(8, 12)]}).to_csv(tmp_path / "test.csv", index=False)
    table = read(tmp_path, frame, splits={part: tmp_path / f"{part}.csv" for part in ("train", "test")})
    assert table.meta["split"].value_counts().to_dict() == {"train": 8, "test": 4}


def test_one_list_may_give_parts_labels_and_groups(tmp_path: Path) -> None:
    """FMA publishes features and facts of its tracks apart, each with names of several levels."""
    ids = [f"{i:03d}" for i in range(12)]
    parts = ["training"] * 8 + ["test"] * 4
    facts = pd.DataFrame({("set", "split"): parts, ("track", "genre"): ["a", "b"] * 6}, index=ids)
    facts["artist", "id"] = np.arange(12) // 2
    facts.rename_axis("track_id").to_csv(tmp_path / "tracks.csv")
    values = pd.DataFrame({("mfcc", "mean"): np.arange(12.0) % 5, ("mfcc", "std"): 1.0 + np.arange(12) % 3})
    values.set_axis(ids).rename_axis("track_id").to_csv(tmp_path / "features.csv")
    named = {"label_column": "track.genre", "group_column": "artist.id"}
    table = read_feature_table(tmp_path / "features.csv", splits=tmp_path / "tracks.csv", **named)
    assert table.feature_names == ("mfcc.mean", "mfcc.std")
    assert table.meta.index.tolist() == ids
    assert table.meta["label"].tolist() == ["a", "b"] * 6
    assert table.meta["group"].tolist() == [str(i // 2) for i in range(12)]
    assert table.meta["split"].tolist() == parts
    named = {"label_column": "track.genres", "splits": tmp_path / "tracks.csv"}
    with pytest.raises(ConfigError, match=r"track\.genre\b"):
        read_feature_table(tmp_path / "features.csv", **named)
    small().to_csv(tmp_path / "own.csv", index=False)
    with pytest.raises(DatasetError, match=r"track\.genres"):  # this table has labels of its own
        read_feature_table(tmp_path / "own.csv", **named)


@pytest.mark.parametrize("written", [["rock", "rock ", "jazz"], ["Caf\u00e9", "Cafe\u0301", "rock"]])
def test_spellings_of_a_label_are_joined_and_named(tmp_path: Path, written: list[str]) -> None:
    table = read(tmp_path, small(label=written * 4))
    assert table.meta["label"].nunique() == 2
    assert written[0] in notes(table)


def test_one_semicolon_is_announced(tmp_path: Path) -> None:
    table = read(tmp_path, small(label=["rock"] * 5 + ["jazz"] * 6 + ["rock;jazz"]))
    assert table.multilabel
    assert "1 of 12 labels" in notes(table)
    assert "c11" in notes(table)


def test_many_sets_are_no_accident(tmp_path: Path) -> None:
    assert "notes" not in read(tmp_path, small(label=["rock;live", "jazz"] * 6)).metadata


def test_lists_are_label_sets(tmp_path: Path) -> None:
    small(label=[["rock", "live"], ["jazz"]] * 6).to_parquet(tmp_path / "t.parquet", index=False)
    table = read_feature_table(tmp_path / "t.parquet")
    assert table.multilabel
    assert table.meta["label"].tolist()[:2] == ["rock;live", "jazz"]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("Unnamed: 0", range(12)),
        ("Unnamed: 0", [3, 1, 2, 0, *range(4, 12)]),
        ("index", [5, 1, 2, 0, 4, 3, *range(6, 12)]),
        ("track", range(12)),
        ("track", range(1, 13)),
        ("track", range(500, 512)),
        ("half", np.arange(12) * 0.5),
        ("minutes", 1.7e9 + np.arange(12) * 60.0),
        ("tenths", np.float32(3) - np.arange(12, dtype=np.float32) * np.float32(0.1)),
    ],
)
def test_a_column_that_counts_rows_is_no_feature(tmp_path: Path, name: str, values) -> None:
    table = read(tmp_path, small(**{name: list(values)}))
    assert table.feature_names == ("f",)
    assert repr(name) in notes(table)


def test_the_row_number_that_pandas_writes_is_no_feature(tmp_path: Path) -> None:
    table = read(tmp_path, small(), index=True)
    assert table.feature_names == ("f",)
    assert "Unnamed: 0" in notes(table)


def test_features_that_look_like_counts_stay(tmp_path: Path) -> None:
    ranks = np.random.default_rng(1).permutation(12)
    table = read(tmp_path, small(rank=ranks, beats=np.arange(12) ** 2, voiced=[0, 1] * 6))
    assert table.feature_names == ("f", "rank", "beats", "voiced")
    assert read(tmp_path, small(n=4, step=[1, 2, 3, 4])).feature_names == ("f", "step")


def test_an_empty_column_is_no_feature(tmp_path: Path) -> None:
    table = read(tmp_path, small(g=np.nan))
    assert table.feature_names == ("f",)
    assert len(table.meta) == 12
    assert "'g'" in notes(table)


@pytest.mark.parametrize("name", ["duration_s", "start", "error", "status", "source_size"])
def test_a_feature_named_like_a_fact_is_a_feature(tmp_path: Path, name: str) -> None:
    frame = small().rename(columns={"f": name})
    table = read(tmp_path, frame)
    assert table.feature_names == (f"column.{name}",)
    np.testing.assert_allclose(table.features.iloc[:, 0], frame[name], rtol=1e-6)
    assert table.meta["status"].tolist() == ["ok"] * 12
    assert name in notes(table)


def test_ids_may_be_the_index_of_a_parquet_file(tmp_path: Path) -> None:
    frame = small().set_index("id")
    frame.to_parquet(tmp_path / "named.parquet")
    assert read_feature_table(tmp_path / "named.parquet").meta.index.tolist() == frame.index.tolist()
    frame.rename_axis(None).to_parquet(tmp_path / "nameless.parquet")
    assert read_feature_table(tmp_path / "nameless.parquet").meta.index.tolist() == frame.index.tolist()
    frame.rename_axis("track_id").set_axis(range(100, 112), axis=0).rename_axis("track_id").to_parquet(
        tmp_path / "numbers.parquet"
    )
    table = read_feature_table(tmp_path / "numbers.parquet")
    assert table.meta.index.tolist()[0] == "100"
    assert table.feature_names == ("f",)


def test_an_option_wins_over_a_usual_name(tmp_path: Path) -> None:
    frame = small(
        id=[f"{'ab'[i % 2]}.{i}" for i in range(12)],
        label=np.arange(12) % 3,
        genre=["x", "y", "z"] * 4,
        group=range(3, 15),
        artist=list("aabbccddeeff"),
    )
    by_pattern = read(tmp_path, frame.drop(columns=["genre", "artist"]), label_from=r"^([^.]+)")
    assert set(by_pattern.meta["label"]) == {"a", "b"}
    assert by_pattern.feature_names == ("f",)
    assert "'label' is not used" in notes(by_pattern)
    by_name = read(tmp_path, frame, label_column="genre", group_column="artist")
    assert set(by_name.meta["label"]) == {"x", "y", "z"}
    assert by_name.meta["group"].nunique() == 6
    assert by_name.feature_names == ("f",)
    with pytest.raises(ConfigError, match="one place"):
        read(tmp_path, frame, label_column="genre", label_from="(.)")


def test_labels_have_a_column_of_their_own(tmp_path: Path) -> None:
    frame = small(group=["x", "y", "z"] * 4)
    named = read(tmp_path, frame.drop(columns="label"), label_column="group")
    assert set(named.meta["label"]) == {"x", "y", "z"}
    assert not named.metadata["grouped"]
    for roles in ({"group_column": "label"}, {"label_column": "group", "group_column": "group"}):
        with pytest.raises(ConfigError, match=r"own\. '(label|group)' would have the labels and the groups"):
            read(tmp_path, frame, **roles)
    for roles in ({"id_column": "label"}, {"label_column": "id"}):
        with pytest.raises(ConfigError, match="would have the labels and the ids"):
            read(tmp_path, frame, **roles)


def test_a_pattern_that_matches_no_id_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="none of 12"):
        read(tmp_path, small(), label_from=r"(\d+)x")


def test_a_column_of_text_is_refused_with_its_text(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"tempo \('fast': 1 of 12"):
        read(tmp_path, small(tempo=["fast", *range(11)]))


def test_a_model_reads_its_features_by_name(tmp_path: Path) -> None:
    frame = small(g=np.arange(12) ** 2, h=1.0)
    frame[["g", "h", "label", "f", "id"]].assign(label="", text="x").to_csv(tmp_path / "new.csv", index=False)
    table = read_external_table(tmp_path / "new.csv", Roles(features=("f", "g")))
    assert table.feature_names == ("f", "g")
    assert len(table.meta) == 12
    assert "'h', 'text'" in notes(table)
    with pytest.raises(AlignmentError, match="1 is missing: 'tempo'"):
        read_external_table(tmp_path / "new.csv", Roles(features=("f", "tempo")))


def test_roles_are_kept_with_the_table(tmp_path: Path) -> None:
    table = read(tmp_path, small().rename(columns={"label": "genre"}), label_column="genre")
    assert table.metadata["table_roles"] == {"id": "id", "label": "genre"}
    again = Roles.from_json(table.metadata["table_roles"], features=("f",))
    assert (again.id, again.label, again.features) == ("id", "genre", ("f",))


def test_a_manifest_is_no_feature_table(tmp_path: Path) -> None:
    small(path="a.wav").to_csv(tmp_path / "manifest.csv", index=False)
    assert find_external_table(tmp_path / "manifest.csv") is None
    small().to_csv(tmp_path / "features.csv", index=False)
    assert find_external_table(tmp_path / "features.csv") is not None


def test_a_number_beyond_float32_costs_its_row_and_nothing_else(tmp_path: Path) -> None:
    frame = small(tempo=[1e300, -1e300, *range(10)])
    table = read(tmp_path, frame)
    assert table.failures["id"].tolist() == frame["id"].tolist()[:2]
    assert table.failures["error"].unique().tolist() == ["NonFiniteError"]
    assert np.isfinite(table.features.to_numpy()).all()


def test_characters_that_nobody_sees_make_no_class(tmp_path: Path) -> None:
    labels = [
        "rock",
        "rock\N{ZERO WIDTH SPACE}",
        "\N{ZERO WIDTH NO-BREAK SPACE}rock",
        "jazz\N{NO-BREAK SPACE}",
    ]
    table = read(tmp_path, small(label=labels * 3, group=["x", "x\N{WORD JOINER}", "y", "y"] * 3))
    assert set(table.meta["label"]) == {"rock", "jazz"}
    assert set(table.meta["group"]) == {"x", "y"}
    assert r"'rock\u200b', '\ufeffrock'" in notes(table)
    blank = read(tmp_path, small(label=["rock", "jazz", "\N{ZERO WIDTH SPACE}"] * 4))
    assert len(blank.failures) == 4


@pytest.mark.parametrize(
    "other",
    [
        "hip\N{NO-BREAK SPACE}hop",
        "hip  hop",
        "hip\thop",
        "hip \N{ZERO WIDTH SPACE}hop",
        "hi\N{SOFT HYPHEN}p\N{NO-BREAK SPACE} hop",
        "hip hop\N{LEFT-TO-RIGHT MARK}",
        "hip hop\N{ZERO WIDTH JOINER}",
    ],
)
def test_names_that_look_the_same_are_one_class_and_one_group(tmp_path: Path, other: str) -> None:
    table = read(tmp_path, small(label=["hip hop", other, "rock"] * 4, group=["hip hop", other] * 6))
    assert set(table.meta["label"]) == {"hip hop", "rock"}
    assert set(table.meta["group"]) == {"hip hop"}
    said = f"written in several ways, which are joined: 'hip hop' ('hip hop', {other!r})."
    assert f"1 label is {said}\n" in notes(table) + "\n"
    assert f"1 group is {said}\n" in notes(table) + "\n"


def test_groups_of_a_list_of_clips_are_joined_and_named(tmp_path: Path) -> None:
    frame = small()
    listed = frame[["id"]].assign(split=["train", "train", "test"] * 4, group=["Air ", "Air", "Can"] * 4)
    listed.to_csv(tmp_path / "list.csv", index=False)
    table = read(tmp_path, frame, splits=tmp_path / "list.csv")
    assert set(table.meta["group"]) == {"Air", "Can"}
    assert "1 group is written in several ways, which are joined: 'Air' ('Air ', 'Air')." in notes(table)


@pytest.mark.parametrize(
    ("cells", "sets"),
    [
        (["['rock', 'live']", "['jazz']", "[]"], ["rock;live", "jazz"]),
        (["['rock' 'live']", "['jazz']", ""], ["rock;live", "jazz"]),
        (["(\"rock 'n' roll\", 'live')", "('jazz',)", ""], ["rock 'n' roll;live", "jazz"]),
        (['["caf\\u00e9", "live"]', r'["AC\\DC"]', ""], ["café;live", r"AC\DC"]),
        (["[np.str_('rock'), np.str_('live')]", "[np.str_('jazz')]", "[]"], ["rock;live", "jazz"]),
        (["{'rock', 'live'}", "{'jazz'}", "set()"], ["rock;live", "jazz"]),
        (["[1, 12]", "[3.0]", "[]"], ["1;12", "3"]),
        (["[ 1 12]", "[3.]", "[]"], ["1;12", "3"]),
        (["(np.int64(1), np.int64(-2))", "(np.int64(3),)", "()"], ["1;-2", "3"]),
    ],
)
def test_lists_that_pandas_printed_are_label_sets(tmp_path: Path, cells: list[str], sets: list[str]) -> None:
    table = read(tmp_path, small(label=cells * 4))
    assert table.multilabel
    assert table.meta["label"].unique().tolist() == sets
    assert len(table.failures) == 4
    assert f"All labels are written as lists, and are read as such: {cells[0]} is {sets[0]!r}." in notes(
        table
    )


def test_numbers_in_parentheses_are_names(tmp_path: Path) -> None:
    table = read(tmp_path, small(label=["(1)", "(2)", "(2)"] * 4))
    assert not table.multilabel
    assert set(table.meta["label"]) == {"(1)", "(2)"}


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_truth_values_may_be_missing(tmp_path: Path, suffix: str) -> None:
    live = pd.Series([True, None, *[False, True] * 5], dtype=object)
    file = tmp_path / f"t.{suffix}"
    frame = small(live=live)
    frame.to_csv(file, index=False) if suffix == "csv" else frame.to_parquet(file)
    table = read_feature_table(file)
    assert table.failures["id"].tolist() == ["c01"]
    assert table.features["live"].tolist() == [1.0, *[0.0, 1.0] * 5]
    new = read_external_table(file, Roles(features=("f", "live")))
    assert new.failures["id"].tolist() == ["c01"]
    mixed = frame.assign(live=live.astype(object).where(live.index != 3, "often"))
    mixed.to_csv(tmp_path / "m.csv", index=False)
    with pytest.raises(DatasetError, match=r"must hold numbers\. These do not: live"):
        read_feature_table(tmp_path / "m.csv")


def test_names_in_brackets_among_others_stay(tmp_path: Path) -> None:
    table = read(tmp_path, small(label=["['rock']", "jazz", "(live)"] * 4))
    assert set(table.meta["label"]) == {"['rock']", "jazz", "(live)"}
    for label in ("[1.5]", "[a1]", "[3rd]", "(live)", "[np.pi]"):
        assert read(tmp_path, small(label=[label, "['b']"] * 6)).meta["label"].iloc[0] == label
    assert read(tmp_path, small(label=["['a" + " " * 50_000, "b"] * 6)).meta["label"].nunique() == 2


def test_bytes_are_texts(tmp_path: Path) -> None:
    frame = small(label=[b"caf\xc3\xa9", b"rock"] * 6, group=[b"x", b"y"] * 6)
    frame["id"] = [id.encode() for id in frame["id"]]
    frame.to_parquet(tmp_path / "t.parquet")
    table = read_feature_table(tmp_path / "t.parquet")
    assert table.meta.index[0] == "c00"
    assert set(table.meta["label"]) == {"café", "rock"}
    assert set(table.meta["group"]) == {"x", "y"}


def in_parts(tmp_path: Path, ids: list[str], listed: dict[str, str]) -> list[str]:
    """Parts of the clips of a table with these ids, by a list of others."""
    rows = pd.DataFrame({"id": list(listed), "split": list(listed.values())})
    rows.to_csv(tmp_path / "list.csv", index=False)
    table = read(tmp_path, small(len(ids), id=ids), splits=tmp_path / "list.csv")
    return table.frame["split"].tolist()


def test_lists_name_clips_exactly_where_they_can(tmp_path: Path) -> None:
    twins = ["a.wav", "a.mp3", "b.wav", "b.mp3"]
    assert in_parts(tmp_path, twins, {"a.wav": "train", "b.wav": "test"}) == [
        "train",
        "unused",
        "test",
        "unused",
    ]
    parts = ["train", "test", "test", "train"]
    assert in_parts(tmp_path, twins, dict(zip(twins, parts, strict=True))) == parts
    assert in_parts(tmp_path, twins, {"a": "train", "b": "test"}) == ["train", "train", "test", "test"]
    assert in_parts(tmp_path, ["a", "b"], {"a.wav": "train", "b.wav": "test", "b.mp3": "test"}) == [
        "train",
        "test",
    ]
    with pytest.raises(SplitLeakError, match="1 are in two, for example 'a'"):
        in_parts(tmp_path, ["a", "b"], {"a.wav": "train", "a.mp3": "test", "b": "test"})


def test_lists_name_clips_in_either_unicode_form(tmp_path: Path) -> None:
    composed, apart = "caf\u00e9", "cafe\u0301"
    assert in_parts(tmp_path, [composed, "b.mp3"], {apart: "train", "b.wav": "test"}) == ["train", "test"]
    assert in_parts(tmp_path, [apart + ".mp3", "b"], {composed: "train", "b": "test"}) == ["train", "test"]
    assert in_parts(tmp_path, [apart, composed], {apart: "train", composed: "test"}) == ["train", "test"]


def test_how_a_list_of_clips_was_read_is_said(tmp_path: Path) -> None:
    frame = small(id=[f"café {k}" for k in range(12)])
    listed = frame[["id"]].assign(split=["train", "train", "test"] * 4)
    listed.to_csv(tmp_path / "list.csv", index=False, encoding="cp1252")
    assert "list.csv is not UTF-8 and was read as cp1252" in notes(
        read(tmp_path, frame, splits=tmp_path / "list.csv")
    )


def test_joiners_inside_a_word_and_blanks_in_ids_stay(tmp_path: Path) -> None:
    word = "می\N{ZERO WIDTH NON-JOINER}خواهم"
    ids = [f"a{' ' * k}b" for k in range(1, 13)]
    table = read(tmp_path, small(id=ids, label=[word, word.replace("\N{ZERO WIDTH NON-JOINER}", "")] * 6))
    assert table.meta["label"].nunique() == 2
    assert table.meta.index.tolist() == ids


def test_a_table_without_rows_is_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,label,f\n")
    assert len(read_feature_table(tmp_path / "t.csv").frame) == 0


def test_labels_that_differ_in_capital_letters_are_named(tmp_path: Path) -> None:
    table = read(tmp_path, small(label=["Rock", "rock", "jazz"] * 4))
    assert set(table.meta["label"]) == {"Rock", "rock", "jazz"}
    assert "'Rock' and 'rock'" in notes(table)


def test_labels_that_look_like_sets_with_another_separator_are_named(tmp_path: Path) -> None:
    for separator in (", ", "|"):
        table = read(tmp_path, small(label=["rock", f"rock{separator}live", "jazz"] * 4))
        mark = separator.strip()
        example = f"such as 'rock{separator}live'. If they are sets of tags, write 'rock;live'."
        assert f"Labels with a {mark!r} are classes of their own, {example}" in notes(table)
    for label in ("hip hop, rap", "rock/pop"):
        assert notes(read(tmp_path, small(label=["rock", label, "jazz"] * 4))) == ""


def test_decimals_of_a_database_are_numbers(tmp_path: Path) -> None:
    values = [Decimal(k) / 8 for k in (5, 3, 1, 4, 2, 9, 8, 7, 6, 11, 10, 0)]
    small(g=values).to_parquet(tmp_path / "t.parquet")
    assert read_feature_table(tmp_path / "t.parquet").features["g"].iloc[0] == 0.625


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id label f\na x 1\nb y 2\n", "between commas, semicolons, tabs or bars"),
        ("made by a program\nid,label,f\na,x,1\nb,y,2\n", "Remove lines above the names"),
        ("ID,Label,f\na,x,1\nb,y,2\n", "'ID': name it with --id-column"),
        ('id,label,f\na,x,1\nb,"y,2\n', "quotation mark that begins in row 3 has no end"),
        ("\0\1,\0\2\n1,2\n", "no text"),
        ('id,label,f\na,x,"0,5"\nb,y,2\nc,y,3\n', "comma needs semicolons or tabs between"),
        ("id,label,f\na,x,?\nb,y,2\nc,y,3\n", "f \\('\\?': 1 of 3 cells are no numbers"),
    ],
)
def test_each_wrong_text_gets_the_sentence_that_helps(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises((DatasetError, ArtefactError), match=message):
        read_feature_table(tmp_path / "t.csv")


def test_a_message_does_not_repeat_what_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"{'x' * 5000},{'y' * 5000}\na,b\nc,d\n")
    with pytest.raises(DatasetError) as caught:
        read_feature_table(tmp_path / "t.csv")
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("values", "is_named"),
    [
        (1.7e9 + np.arange(12) % 3 * 10 + np.linspace(0, 1, 12) ** 2, True),
        (2**61 + np.arange(12) ** 2, True),
        (np.array([0, *(1.7e9 + np.arange(11) ** 2)]), True),
        (1e-60 * np.arange(12) ** 2, True),
        (1.7e9 + np.arange(12) ** 2 * 1e5, False),
        (np.arange(12) ** 2, False),
        (np.where(np.arange(12) % 2, 0.1 + 0.2, 0.3), False),
        (np.random.default_rng(0).normal(size=12), False),
    ],
)
def test_columns_that_lose_their_values_in_float32_are_named(
    tmp_path: Path, values: np.ndarray, is_named: bool
) -> None:
    """A gap of float32 near 1.7e9 is 128: times of one hour have few values there."""
    table = read(tmp_path, small().assign(t=values))
    assert ("Values of 't' become equal" in notes(table)) == is_named
    assert ("smallest value" in notes(table)) == is_named
    frame = small().assign(t=values)
    frame.to_parquet(tmp_path / "t.parquet")
    assert ("Values of 't' become equal" in notes(read_feature_table(tmp_path / "t.parquet"))) == is_named


def test_values_that_are_lost_are_found_among_missing_ones_and_other_types(tmp_path: Path) -> None:
    times = pd.Series(1_700_000_000 + np.arange(12) ** 2).astype("Int64")
    times = times.mask(np.arange(12) == 3)
    small().assign(t=times, flag=np.arange(12) % 2 == 0).to_parquet(tmp_path / "t.parquet")
    assert "Values of 't' become equal" in notes(read_feature_table(tmp_path / "t.parquet"))


def test_a_finite_number_beyond_float32_is_not_called_infinite(tmp_path: Path) -> None:
    frame = small()
    frame.loc[[3, 4], "f"] = [1e300, np.nan]
    failures = read(tmp_path, frame).failures.set_index("id")["reason"]
    assert "between -3.4e38 and 3.4e38" in failures["c03"]
    assert "1 is not: f" in failures["c03"]
    assert "finite number" in failures["c04"]


def test_columns_that_never_change_are_named_and_stay(tmp_path: Path) -> None:
    gap = np.where(np.arange(12) == 5, np.nan, 2.5)
    table = read(tmp_path, small().assign(five=5, zero=0.0, flag=True, gap=gap, ends=[1, *[2] * 10, 1]))
    assert "No information, because they never change: 'five', 'zero', 'flag', 'gap'." in notes(table)
    assert table.feature_names == ("f", "five", "zero", "flag", "gap", "ends")


@pytest.mark.parametrize("dtype", ["boolean", "Int64", "Float64", "float64[pyarrow]"])
def test_a_missing_cell_at_an_end_of_a_nullable_column_costs_its_row(tmp_path: Path, dtype: str) -> None:
    whole = pd.Series([None, *[0, 1] * 5, 1], dtype="Int64")
    frame = small(x=whole.astype(dtype), same=pd.Series([1] * 11 + [None], dtype="Int64").astype(dtype))
    frame.to_parquet(tmp_path / "t.parquet")
    table = read_feature_table(tmp_path / "t.parquet")
    assert table.failures["id"].tolist() == ["c00", "c11"]
    assert table.features["x"].tolist() == [0.0, 1.0] * 5
    assert "never change: 'same'." in notes(table)


def test_one_row_and_a_table_of_ours_name_no_columns_that_never_change(tmp_path: Path) -> None:
    assert "never change" not in notes(read(tmp_path, small(1)))
    ours = read(tmp_path, small().assign(five=5)).frame
    assert "never change" not in notes(read(tmp_path, ours))
