"""The training clips of the test of drift come from Arrow's memory with the values that pandas gives."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from quintet.inference.drift.new_files import training_clips

TABLE = pa.table(
    {
        "id": pa.chunked_array([["x", "y"], ["z"]]),
        "group": pa.chunked_array([["a", None], ["a"]]),
        "a.first": pa.chunked_array([pa.array([1.5, None], pa.float32()), pa.array([0.1], pa.float32())]),
        "b.second": pa.chunked_array([[np.inf, 2.0], [np.nan]]),
    }
)


def test_values_and_groups_are_those_of_pandas() -> None:
    names = ["b.second", "a.first"]
    values, groups = training_clips(TABLE, names)
    np.testing.assert_array_equal(values, TABLE.select(names).to_pandas().to_numpy(np.float64))
    assert groups.tolist() == ["a", "y", "a"]


def test_columns_without_numbers_are_refused() -> None:
    with pytest.raises(TypeError, match="string"):
        training_clips(TABLE, ["id"])
