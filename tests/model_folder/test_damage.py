"""An edited or damaged model folder raises ArtefactError, for every content."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quintet.errors import ArtefactError
from quintet.features.storage.external_table import Roles, foreign_table
from quintet.model_folder.folder import relist
from quintet.model_folder.load import load_model
from quintet.training.settings import TrainSettings
from quintet.training.train import train


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "id": [f"c{i}" for i in range(24)],
            "label": ["a", "b"] * 12,
            "x": rng.normal(size=24),
            "y": rng.normal(size=24),
        }
    )
    folder = tmp_path_factory.mktemp("models") / "model"
    train(
        foreign_table(frame, Roles(), name="s"),
        folder,
        settings=TrainSettings(members=("svm",), rules=("mean",), rule="mean", resamples=5, folds=2),
    )
    return folder


def edited(whole: Path, folder: Path, name: str, change: Callable[[Any], Any]) -> Path:
    """A copy with one changed file and correct digests."""
    shutil.copytree(whole, folder)
    content = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(change(content)))
    return folder if name == "bundle.json" else relist(folder)


def test_an_unchanged_folder_loads(whole: Path, tmp_path: Path) -> None:
    assert load_model(edited(whole, tmp_path / "m", "config.json", lambda c: c)).classes_.tolist() == [
        "a",
        "b",
    ]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("bundle.json", lambda b: []),
        ("bundle.json", lambda b: {**b, "members": 5}),
        ("bundle.json", lambda b: {**b, "members": ["../svm"]}),
        ("bundle.json", lambda b: {**b, "files": ["x"]}),
        ("bundle.json", lambda b: {**b, "files": {"../../x": "0"}}),
        ("bundle.json", lambda b: {**b, "clip_seconds": 1e-9}),
        ("bundle.json", lambda b: {k: v for k, v in b.items() if k != "rule"}),
        ("config.json", lambda c: None),
        ("fusion.json", lambda f: {}),
        ("trust.json", lambda t: {**t, "calibration": "x"}),
        ("trust.json", lambda t: {**t, "conformal": {**t["conformal"], "familiarity": None}}),
        (
            "trust.json",
            lambda t: {**t, "conformal": {**t["conformal"], "familiarity": {"centre": 1.0, "scale": 0.0}}},
        ),
        (
            "bundle.json",
            lambda b: {
                **b,
                "files": {name: digest for name, digest in b["files"].items() if name != "distance.npz"},
            },
        ),
    ],
)
def test_edited_json_files_are_refused(
    name: str, change: Callable[[Any], Any], whole: Path, tmp_path: Path
) -> None:
    with pytest.raises(ArtefactError):
        load_model(edited(whole, tmp_path / "m", name, change))


@pytest.mark.parametrize("content", [b"", b"no arrays", b"PK\x03\x04"])
def test_damaged_distances_are_refused(content: bytes, whole: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(whole, tmp_path / "m")
    (folder / "distance.npz").write_bytes(content)
    relist(folder)
    with pytest.raises(ArtefactError):
        load_model(folder)


@pytest.mark.parametrize("content", [b"\xff\xfe{", b"[" * 100_000])
def test_a_bundle_that_is_not_json_is_refused(content: bytes, whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "m")
    (tmp_path / "m" / "bundle.json").write_bytes(content)
    with pytest.raises(ArtefactError):
        load_model(tmp_path / "m")
