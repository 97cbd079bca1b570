"""A small feature table with three classes, shared by the tests of searches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quintet.features.storage.read import read_feature_table
from quintet.features.storage.table import FeatureTable

N_COLUMNS, N_TRACKS, N_TEST_TRACKS, CLIPS_PER_TRACK = 12, 24, 6, 3
CLASSES = "abc"


def _write_songs(path: Path, *, flip_test: bool = False) -> Path:
    """Write a table of three classes that differ a little in 2 of 12 columns, with a given split.

    `flip_test` gives the clips of the test part wrong labels.
    """
    rng = np.random.default_rng(0)
    rows = []
    for track in range(N_TRACKS):
        label = CLASSES[track % 3]
        is_test = track >= N_TRACKS - N_TEST_TRACKS
        centre = rng.normal(0, 0.5, size=N_COLUMNS)
        for clip in range(CLIPS_PER_TRACK):
            x = centre + rng.normal(size=N_COLUMNS)
            x[0] += 1.5 * (label == "b")
            x[1] += 1.5 * (label == "c")
            row: dict[str, object] = {
                "id": f"t{track:02d}_{clip}",
                "label": CLASSES[(track + 1) % 3] if flip_test and is_test else label,
                "group": f"t{track:02d}",
                "split": "test" if is_test else "train",
            }
            rows.append(row | {f"x{j}": value for j, value in enumerate(x)})
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
def write_songs() -> Callable[..., Path]:
    return _write_songs


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> FeatureTable:
    return read_feature_table(_write_songs(tmp_path_factory.mktemp("songs") / "features.csv"))
