"""What a table without a usable row is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from quintet.errors import DatasetError
from quintet.features.storage.read import read_feature_table
from quintet.training.data import gather
from quintet.training.settings import TrainSettings


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
