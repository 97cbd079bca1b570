"""The reader of tables that people bring: dialects, encodings, and text that stays as written."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quintet.errors import ArtefactError, DatasetError
from quintet.files.tables import read_table_file
from quintet.files.untrusted import limits
from quintet.files.untrusted.thrift import read_structure

ROWS = "id,label,tempo\n007,null,120.5\n1e5,NA,NA\n,Café,90\n"


def roles(names: Sequence[str]) -> list[str]:
    return [name for name in names if name in ("id", "label")]


def write(folder: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_text_stays_as_written_and_numbers_become_numbers(tmp_path: Path) -> None:
    frame = read_table_file(write(tmp_path, ROWS), text=roles).frame
    assert frame["id"].tolist()[:2] == ["007", "1e5"]
    assert frame["id"].isna().tolist() == [False, False, True]
    assert frame["label"].tolist() == ["null", "NA", "Café"]
    np.testing.assert_array_equal(frame["tempo"], [120.5, np.nan, 90])


@pytest.mark.parametrize("end", ["\n", ",\n", ",,\n"])
def test_every_column_is_text_unless_roles_are_given(tmp_path: Path, end: str) -> None:
    frame = read_table_file(write(tmp_path, ROWS.replace("\n", end))).frame
    assert frame.columns.tolist() == ["id", "label", "tempo"]
    assert frame["tempo"].tolist() == ["120.5", "NA", "90"]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(",", ";"),
        lambda text: text.replace(",", "\t"),
        lambda text: text.replace(",", "|"),
        lambda text: "sep=;\r\n" + text.replace(",", ";"),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: text.replace("\n", ",\n"),
        lambda text: text.replace("\n", ",\n").replace("tempo,", "tempo", 1),
        lambda text: text.replace(",", ", "),
        lambda text: "\n" + text,
        lambda text: text.replace(",", ";").replace("120.5", "120,5"),
        lambda text: text.replace(",", "\t").replace("120.5", "1205,e-1"),
    ],
)
def test_dialects_of_csv_are_one_table(tmp_path: Path, change) -> None:
    pd.testing.assert_frame_equal(
        read_table_file(write(tmp_path, change(ROWS)), text=roles).frame,
        read_table_file(write(tmp_path, ROWS, "plain.csv"), text=roles).frame,
    )


@pytest.mark.parametrize(
    ("encoding", "n_notes"),
    [("utf-8-sig", 0), ("utf-16", 0), ("utf-16-le", 0), ("utf-16-be", 0), ("cp1252", 1), ("latin-1", 1)],
)
def test_encodings_are_recognised_and_a_guess_is_announced(
    tmp_path: Path, encoding: str, n_notes: int
) -> None:
    content = read_table_file(write(tmp_path, ROWS.encode(encoding)), text=roles)
    assert content.frame["label"].tolist() == ["null", "NA", "Café"]
    assert len(content.notes) == n_notes


@pytest.mark.parametrize("wrapping", ['="{}"', '"=""{}"""', "'{}'"])
def test_marks_around_every_text_are_no_part_of_it(tmp_path: Path, wrapping: str) -> None:
    """Excel keeps zeros with a formula, and openSMILE puts names between marks."""
    rows = [f"{wrapping.format(id)},'n' roll,1.5" for id in ("007", "010")]
    frame = read_table_file(write(tmp_path, "\n".join(["id,label,f", *rows])), text=roles).frame
    assert frame["id"].tolist() == ["007", "010"]
    assert frame["label"].tolist() == ["'n' roll"] * 2


def test_content_decides_about_the_kind_of_file(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": ["a"], "f": [1.0]})
    frame.to_parquet(tmp_path / "t.parquet", index=False)
    path = write(tmp_path, (tmp_path / "t.parquet").read_bytes())
    pd.testing.assert_frame_equal(read_table_file(path).frame, frame)
    packed = write(tmp_path, gzip.compress(ROWS.encode()), "t.csv.gz")
    assert read_table_file(packed, text=roles).frame["id"].tolist()[0] == "007"
    for text in (ROWS, ROWS.replace(",", "\t"), "sep=;\n" + ROWS.replace(",", ";")):
        misnamed = write(tmp_path, text, "misnamed.parquet")
        assert read_table_file(misnamed, text=roles).frame["id"].tolist()[0] == "007"


def test_decimal_commas_are_found_in_any_row_and_beside_ids_with_points(tmp_path: Path) -> None:
    rows = [f"{k}.5;{k};rock" for k in range(80)] + ["80.5;0,25;rock"]
    content = read_table_file(write(tmp_path, "id;f;label\n" + "\n".join(rows)), text=roles)
    assert content.frame["f"].tolist() == [*map(float, range(80)), 0.25]
    assert content.frame["id"].tolist()[0] == "0.5"
    mixed = read_table_file(write(tmp_path, "id;f\na;0,25\nb;0.25\n"), text=roles).frame
    assert mixed["f"].tolist() == ["0,25", "0.25"]


@pytest.mark.parametrize(
    ("cells", "values", "word"),
    [
        (["7.670", "464", "-1.659"], [7670, 464, -1659], "Points stand between thousands in 'n'"),
        (["1.234.567", "464", ""], [1234567, 464, np.nan], "'1.234.567' was read as 1234567"),
        (["1.234,5", "0,5", "2.000"], [1234.5, 0.5, 2000], "'1.234,5' was read as 1234.5"),
        (["1.659", "1.5", "2"], [1.659, 1.5, 2], "Points stand before decimals in 'n'"),
        (["0.125", "1.659", "464"], [0.125, 1.659, 464], "'1.659' was read as 1.659"),
        (["0.5", "1.25", "1e3"], [0.5, 1.25, 1000], None),
        (["464", "", "1659"], [464, np.nan, 1659], None),
    ],
)
def test_points_beside_decimal_commas_stand_between_thousands_where_they_can(
    tmp_path: Path, cells: list[str], values: list[float], word: str | None
) -> None:
    rows = "".join(f"{k};0,{k + 3};{cell}\n" for k, cell in enumerate(cells))
    content = read_table_file(write(tmp_path, f"id;f;n\n{rows}"), text=roles)
    assert content.frame["f"].tolist() == [0.3, 0.4, 0.5]
    np.testing.assert_array_equal(content.frame["n"], values)
    decimals, *others = content.notes
    assert decimals.endswith("was read with decimal commas.")
    assert [word in note for note in others] == ([] if word is None else [True])


def test_columns_without_one_meaning_of_their_points_are_no_numbers(tmp_path: Path) -> None:
    rows = "a;0,25;1.234.567;1.2.3\nb;0,5;0.5;1\n"
    frame = read_table_file(write(tmp_path, f"id;f;n;version\n{rows}"), text=roles).frame
    assert frame["n"].tolist() == ["1.234.567", "0.5"]
    assert frame["version"].tolist() == ["1.2.3", "1"]


@pytest.mark.parametrize(
    ("rows", "values", "word"),
    [
        ("a\t1,250\t0.5\nb\t464\t0.25\n", [1250, 464], "Commas stand between thousands in 'n'"),
        ("a\t1,250.5\t7\nb\t464\t8\n", [1250.5, 464], "was read with decimal points"),
        ("a\t1,234,567\t0.5\nb\t1,250\t0.25\n", [1234567, 1250], "'1,234,567' was read as 1234567"),
        ("a\t1,250\t7\nb\t464\t8\n", [1.25, 464], "was read with decimal commas"),
    ],
)
def test_commas_beside_decimal_points_stand_between_thousands(
    tmp_path: Path, rows: str, values: list[float], word: str
) -> None:
    content = read_table_file(write(tmp_path, f"id\tn\tf\n{rows}"), text=roles)
    assert content.frame["n"].tolist() == values
    assert word in " ".join(content.notes)


def levels(names: Sequence[str | None] = ("feature", "statistics", "number")) -> pd.DataFrame:
    """A table as FMA publishes it: names of three levels, the last of which looks like numbers."""
    parts = [["mfcc", "tempo"], ["mean", "std"], ["01", "02"]]
    columns = pd.MultiIndex.from_product(parts, names=names)
    index = pd.Index(["002", "005", "010"], name="track_id")
    return pd.DataFrame(np.arange(24.0).reshape(3, 8), index=index, columns=columns)


NAMES = [f"{a}.{b}.{c}" for a in ("mfcc", "tempo") for b in ("mean", "std") for c in ("01", "02")]


@pytest.mark.parametrize("start", ["", "\n", "sep=,\n"])
@pytest.mark.parametrize("names", [("feature", "statistics", "number"), (None, None, None)])
def test_names_of_several_levels_are_one_name(
    tmp_path: Path, start: str, names: Sequence[str | None]
) -> None:
    content = read_table_file(write(tmp_path, start + levels(names).to_csv()), text=roles)
    assert content.frame.columns.tolist() == ["track_id", *NAMES]
    assert content.frame["track_id"].tolist() == ["002", "005", "010"]
    assert content.index == ("track_id",)
    np.testing.assert_array_equal(content.frame[NAMES], levels())


def test_names_of_several_levels_need_no_name_for_the_index(tmp_path: Path) -> None:
    frame = levels((None, None, None)).rename_axis(index=None).droplevel(2, axis=1).iloc[:, ::2]
    content = read_table_file(write(tmp_path, frame.to_csv()), text=roles)
    assert content.frame.columns.tolist() == ["Unnamed: 0", *(name[:-3] for name in NAMES[::2])]
    assert content.frame["Unnamed: 0"].tolist() == ["002", "005", "010"]
    frame.to_parquet(tmp_path / "t.parquet")
    stored = read_table_file(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(stored.frame, content.frame)
    assert stored.index == content.index == ("Unnamed: 0",)


def test_a_name_twice_above_texts_is_no_header_of_two_rows(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"own name.*: tag"):
        read_table_file(write(tmp_path, "id,tag,tag\na,rock,live\nb,jazz,old\n"))


def test_the_index_of_a_parquet_file_is_a_column_unless_it_counts(tmp_path: Path) -> None:
    frame = pd.DataFrame({"f": [1.0, 2.0]})
    frame.to_parquet(tmp_path / "plain.parquet")
    assert list(read_table_file(tmp_path / "plain.parquet").frame) == ["f"]
    frame.set_axis(["a", "b"], axis=0).to_parquet(tmp_path / "text.parquet")
    content = read_table_file(tmp_path / "text.parquet")
    assert content.frame["Unnamed: 0"].tolist() == ["a", "b"]
    assert content.index == ("Unnamed: 0",)


def test_a_name_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"own name.*: f"):
        read_table_file(write(tmp_path, "id,f,f\na,1,2\n"))
    table = pa.Table.from_arrays([pa.array([1.0]), pa.array([2.0])], names=["f", "f"])
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(DatasetError, match=r"own name.*: f"):
        read_table_file(tmp_path / "t.parquet")


def test_a_name_of_two_lines_leaves_a_message_of_one(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"own name.*: a\\nb") as caught:
        read_table_file(write(tmp_path, 'id,"a\nb","a\nb"\nx,1,2\n'))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("comments", ["# made by x\n", "# a, b\n#\n  # c;d\n"])
@pytest.mark.parametrize("header", ["id,label,f", "#id,label,f"])
def test_lines_of_comments_above_the_names_are_left_out_and_counted(
    tmp_path: Path, comments: str, header: str
) -> None:
    rows = f"{header}\na,rock,1\nb,#jazz,2\n"
    plain = read_table_file(write(tmp_path, rows), text=roles)
    commented = read_table_file(write(tmp_path, comments + rows), text=roles)
    pd.testing.assert_frame_equal(commented.frame, plain.frame)
    n_lines = comments.count("\n")
    assert plain.notes == ()
    assert [f": {n_lines}." in note for note in commented.notes] == [True]


def test_names_of_rows_without_a_header_are_a_column_without_a_name(tmp_path: Path) -> None:
    frame = read_table_file(write(tmp_path, "label,f\na,rock,1\nb,jazz,2\n"), text=roles).frame
    assert frame["Unnamed: 0"].tolist() == ["a", "b"]
    assert frame["label"].tolist() == ["rock", "jazz"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no rows"),
        (b"id,f\na,1\nb,2,3\n", "line 3 has 3 cells, the first 2"),
        (b"PK\x03\x04 a workbook", "Excel"),
        (b"PAR1 no more", "cannot be read"),
        (b'[{"id": "a", "f": 1}]', "JSON"),
        (b'\xef\xbb\xbf{"id": "a", "f": 1}\n{"id": "b", "f": 2}', "JSON"),
        (b'\n{"id": {"0": "a"}}', "JSON"),
        (b"<!DOCTYPE html><title>404</title>", "web page"),
        (b"ARROW1\0\0", "Feather"),
        (b"% jAudio\n@RELATION songs\n@ATTRIBUTE f NUMERIC\n@DATA\n1,2\n", "ARFF"),
    ],
)
def test_other_files_are_refused_in_a_sentence(tmp_path: Path, content: bytes, message: str) -> None:
    for name in ("t.csv", "t.parquet") if content else ("t.csv",):
        with pytest.raises(ArtefactError, match=message):
            read_table_file(write(tmp_path, content, name))


@pytest.mark.parametrize("row", [1, 60])
@pytest.mark.parametrize("kind", ["csv", "csv with line ends", "csv.gz", "parquet"])
def test_a_label_of_any_length_is_refused_in_a_short_sentence(tmp_path: Path, row: int, kind: str) -> None:
    """Attack B7: a label of 100 MB took 5 GB and was printed whole."""
    letter = "a\n" if kind == "csv with line ends" else "ab"
    labels = ["rock"] * 70
    labels[row] = letter * 100_000
    table = pd.DataFrame({"id": range(70), "label": labels, "tempo": 1.5})
    path = tmp_path / f"t.{kind.partition(' ')[0]}"
    if kind == "parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False)
    with pytest.raises((ArtefactError, DatasetError), match=r"131,?072") as fault:
        read_table_file(path, text=roles)
    assert len(str(fault.value)) < 500
    table.assign(label="r" * 131_072).to_parquet(tmp_path / "fits.parquet")
    assert len(read_table_file(tmp_path / "fits.parquet").frame) == 70


def test_a_small_file_does_not_unpack_to_a_large_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quintet.files.tables.MOST_UNPACKED_BYTES", 1_000_000)
    path = tmp_path / "bomb.csv.gz"
    path.write_bytes(gzip.compress(b"id,f\n" + b"a,1\n" * 500_000))
    with pytest.raises(ArtefactError, match="unpacks to more"):
        read_table_file(path)
    monkeypatch.setattr("quintet.files.tables.MOST_LINE_BYTES", 100_000)
    for end in (b"\n", b"\r"):
        with pytest.raises(ArtefactError, match="a line has more"):
            read_table_file(write(tmp_path, b"id,f" + end + b"a," + b"1" * 5_000_000))
        assert (
            len(read_table_file(write(tmp_path, b"id,f" + end + (b"a,1" + end) * 100_000)).frame) == 100_000
        )


def _repeated_number() -> pa.Table:
    return pa.table({"id": pa.array(np.arange(4000) % 2), "f": pa.array(np.zeros(4000))})


def _repeated_text() -> pa.Table:
    text = pa.array(["x" * 10_000])
    return pa.table({"id": pa.DictionaryArray.from_arrays(pa.array(np.zeros(200, np.int32)), text)})


def _large_page() -> pa.Table:
    return pa.table({"id": ["x" * 100_000]})


@pytest.mark.parametrize("make", [_repeated_number, _repeated_text, _large_page])
def test_a_small_parquet_file_does_not_unpack_to_a_large_table(
    make: Callable[[], pa.Table], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pq.write_table(make(), tmp_path / "bomb.parquet", compression="zstd", store_schema=False)
    assert len(read_table_file(tmp_path / "bomb.parquet").frame) == make().num_rows
    monkeypatch.setattr(limits, "TABLE_FLOOR_BYTES", 20_000)
    monkeypatch.setattr(limits, "TABLE_RATIO", 4)
    with pytest.raises(ArtefactError, match="much larger than its file"):
        read_table_file(tmp_path / "bomb.parquet")


def test_categories_of_numbers_are_read(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": ["a", "b"], "f": pd.Categorical([3, 1]), "g": pd.Categorical(["x", "x"])})
    frame.to_parquet(tmp_path / "c.parquet")
    found = read_table_file(tmp_path / "c.parquet").frame
    assert found["f"].astype(int).tolist() == [3, 1]
    assert found["g"].tolist() == ["x", "x"]


MANY = b"\xff\xff\xff\xff\x07"  # 2^31 - 1 as a variable number of Thrift
THRIFT_BOMBS = {
    "a list of 2^31 columns": b"\x15\x02\x19\xfc" + MANY,
    "a text of 2^31 bytes": b"\x15\x02\x58" + MANY + b"x" * 100,
    "a map of 2^31 lists": b"\x15\x02\x9b" + MANY + b"\x88" + bytes(1000),
    "structures in structures": b"\x15\x02" + b"\x1c" * 500_000,
    "lists in lists": b"\x15\x02" + b"\x19\x19" * 500_000,
}


@pytest.mark.parametrize("bomb", THRIFT_BOMBS)
def test_a_parquet_file_with_a_bomb_of_thrift_is_refused(bomb: str, tmp_path: Path) -> None:
    """In the footer, which Arrow reads, and in the header of a page, which Quintet reads first."""
    footer = THRIFT_BOMBS[bomb]
    content = b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"
    with pytest.raises(ArtefactError, match="cannot be read"):
        read_table_file(write(tmp_path, content, "bomb.parquet"))
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "page.parquet", use_dictionary=False)
    place = pq.ParquetFile(tmp_path / "page.parquet").metadata.row_group(0).column(0).data_page_offset
    data = (tmp_path / "page.parquet").read_bytes()
    header = footer[:20]
    with pytest.raises(ArtefactError, match="cannot be read"):
        read_table_file(write(tmp_path, data[:place] + header + data[place + len(header) :], "page.parquet"))


CHUNK = b"\x26\x00\x1c"
"""The chunk of a column in a footer: its field 2 (0), and the beginning of its description."""


def replaced(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def edit(footer: bytes) -> bytes:
        assert footer.count(old) == 1
        return footer.replace(old, new)

    return edit


def encrypted(footer: bytes) -> bytes:
    """Field 8 of the chunk: the column has a key of its own."""
    end = read_structure(footer, footer.index(CHUNK) + len(CHUNK))[1]
    return footer[:end] + b"\x5c\x2c\x19\x18\x01x\x00\x00" + footer[end:]


FOOTERS = {
    "a histogram that does not fit its column": replaced(b"\x25\x02\x18\x01x", b"\x25\x00\x18\x01x"),
    "the size of texts, of a column of numbers": replaced(b"\x29\x06\x19", b"\x16\x04\x19\x06\x19"),
    "a column that is encrypted": encrypted,
    "a column in another file": replaced(CHUNK, b"\x18\x01a\x16\x00\x1c"),
}
"""What is wrong with a footer → how it is made. pyarrow 26 ends the process over the first three."""


@pytest.mark.parametrize("fault", FOOTERS)
def test_a_footer_that_ends_the_process_is_refused(fault: str, tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1.0, 2.0]}), tmp_path / "whole.parquet")
    data = (tmp_path / "whole.parquet").read_bytes()
    length = int.from_bytes(data[-8:-4], "little")
    footer = FOOTERS[fault](data[-8 - length : -8])
    content = data[: -8 - length] + footer + len(footer).to_bytes(4, "little") + b"PAR1"
    with pytest.raises(ArtefactError, match="a column"):
        read_table_file(write(tmp_path, content, "t.parquet"))


def test_a_text_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    text = pa.array([b"a\x80b", b"c"]).cast(pa.binary())
    texts = pa.Array.from_buffers(pa.string(), 2, text.buffers())
    pq.write_table(pa.table({"id": texts}), tmp_path / "t.parquet")
    with pytest.raises(ArtefactError, match="cannot be read"):
        read_table_file(tmp_path / "t.parquet")


def test_a_packed_file_that_is_damaged_is_refused(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(ROWS.encode() * 100))
    for place in range(12, len(packed)):
        damaged = packed[:place] + bytes([packed[place] ^ 0xFF]) + packed[place + 1 :]
        with pytest.raises(ArtefactError, match="cannot be read"):
            read_table_file(write(tmp_path, bytes(damaged), "t.csv.gz"))
