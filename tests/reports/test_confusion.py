"""The confusion matrix of many classes: what its cells say, and the order of its classes."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from html import unescape
from itertools import pairwise

import numpy as np
import pandas as pd

from quintet.reports.figures.confusion import (
    MAX_NUMBERED,
    confusion_html,
    dense_matrix,
    numbered_matrix,
    similar_order,
)
from quintet.reports.sections.classes import confusion_drawing

CELL = re.compile(r'<rect class="hot" x="(\d+)" y="(\d+)" [^>]*><title>([^<]*)</title>')


def counts_of(n: int, seed: int = 0) -> pd.DataFrame:
    """Confusions of n classes; each three neighbours of a shuffled order are confused."""
    rng = np.random.default_rng(seed)
    names = [f"<class> {k:02d}" for k in range(n)]
    family = rng.permutation(n) // 3
    wrong = rng.integers(1, 4, size=(n, n)) * (family[:, None] == family)
    return pd.DataFrame(np.where(np.eye(n, dtype=bool), 9, wrong), names, names)


def test_every_count_above_zero_is_one_cell_with_its_names() -> None:
    counts = counts_of(20)
    cells = CELL.findall(dense_matrix(counts, "alt"))
    names = list(counts.index)
    found = {}
    for x, y, title in cells:
        true, predicted, n, total = re.match(r"(.*) → (.*): (\d+) of (\d+) ", unescape(title)).groups()
        assert (true, predicted) == (names[int(y)], names[int(x)])
        assert int(total) == counts.loc[true].sum()
        found[true, predicted] = int(n)
    assert found == counts.stack()[lambda values: values > 0].to_dict()


def test_the_table_has_every_count_in_the_row_of_the_truth() -> None:
    counts = counts_of(6)
    matrix = ET.fromstring(numbered_matrix(counts, "label"))
    names = ["".join(head.itertext()) for head in matrix.findall(".//thead/tr/th")]
    assert names[1:] == list(counts.columns)  # in words: nobody looks up numbers
    rows = matrix.findall(".//tbody/tr")
    assert [row.attrib["data-class"] for row in rows] == list(counts.index)
    for i, row in enumerate(rows):
        cells = row.findall("td")
        assert [int(cell.text or 0) for cell in cells] == counts.iloc[i].tolist()
        assert [cell.attrib["data-column"] for cell in cells] == list(counts.columns)
        assert all(f"{counts.index[i]} → " in cell.attrib["title"] for cell in cells)


def test_classes_that_are_confused_are_neighbours() -> None:
    counts = counts_of(24)
    order = similar_order(counts)
    assert sorted(order) == list(range(24))
    confused = [counts.iloc[a, b] > 0 for a, b in pairwise(order)]
    assert sum(confused) == 24 - 8  # eight families of three: only their borders are not confused


def test_a_matrix_has_numbers_up_to_a_number_of_classes_and_is_dense_above() -> None:
    few, many = counts_of(MAX_NUMBERED), counts_of(MAX_NUMBERED + 1)
    assert confusion_html(few, "").count("<td") == MAX_NUMBERED**2
    assert confusion_html(many, "").count("<td") == 0
    assert 'class="dense"' in confusion_drawing(many).svg
    pd.testing.assert_frame_equal(confusion_drawing(many).numbers.set_index("true"), many, check_names=False)


def test_two_classes_keep_their_order() -> None:
    assert similar_order(counts_of(2)).tolist() == [0, 1]
