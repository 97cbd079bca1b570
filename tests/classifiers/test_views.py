"""A member with a view sees the columns of its view and no others, from fitting to SHAP values."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from quintet.classifiers.registry import TABLE_MEMBERS, make_member, member_entry, reads_table
from quintet.classifiers.storage import load_member, save_member
from quintet.classifiers.views import (
    join_name,
    member_name,
    require_views,
    split_name,
    table_views,
    view_positions,
)
from quintet.errors import ConfigError, DatasetError
from quintet.explanation.importance import additivity_residual, explain, outputs

COLUMNS = [
    "rhythm.tempo.bpm",
    "cepstral.mfcc_01.mean",
    "tags_msd.happy.mean",
    "tags_msd.happy.std",
    "tags_mtt.piano.mean",
    "embedding_mert.000",
    "tags",
]


@pytest.fixture
def data() -> SimpleNamespace:
    rng = np.random.default_rng(0)
    y = np.repeat(["jazz", "rock"], 20)
    X = pd.DataFrame(rng.normal(size=(40, len(COLUMNS))), columns=COLUMNS)
    X["tags_msd.happy.mean"] += 2 * (y == "rock")
    return SimpleNamespace(X=X, y=y, groups=np.arange(40) // 2)


@pytest.mark.parametrize(
    ("view", "positions"),
    [
        (None, [0, 1, 6]),
        ("handmade", [0, 1, 6]),
        ("tags", [2, 4]),
        ("tags_msd", [2]),
        ("tags_msd.std", [3]),
        ("tags_msd+tags_msd.std", [2, 3]),
        ("embedding", [5]),
        ("embedding_mert", [5]),
        ("cepstral", [1]),
        ("handmade+tags_mtt", [0, 1, 4, 6]),
        ("all", [0, 1, 2, 3, 4, 5, 6]),
    ],
)
def test_a_view_is_its_columns(view: str | None, positions: list[int]) -> None:
    assert view_positions(view, COLUMNS).tolist() == positions


def test_a_table_of_pretrained_columns_only_is_seen_whole_by_a_member_without_view() -> None:
    assert view_positions(None, COLUMNS[2:4]).tolist() == [0, 1]
    assert table_views(COLUMNS[2:4]) == ("tags",)
    assert table_views(COLUMNS) == ("handmade", "tags", "embedding")


@pytest.mark.parametrize("view", ["tags_vgg", "embedding_mert.std", "tags_msd+rhythms", "cepstral.mfcc_01"])
def test_an_absent_view_is_refused_with_the_views_of_the_table(view: str) -> None:
    with pytest.raises(ConfigError, match="handmade, tags, embedding, rhythm"):
        require_views(["svm", f"svm@{view}"], COLUMNS)


@pytest.mark.parametrize("name", ["svm@", "svm@a/b", "svm@tags+", "svm@tags@embedding"])
def test_a_name_that_is_no_view_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="MEMBER@VIEW"):
        member_entry(name)


def test_a_network_has_no_view() -> None:
    with pytest.raises(ConfigError, match="spectrogram"):
        member_entry("vgg_small@tags")
    assert not reads_table("vgg_small")


def test_a_name_is_kind_and_view() -> None:
    for name in ("svm", "svm@tags_msd.std+embedding"):
        assert join_name(*split_name(name)) == name
        assert member_name(make_member(name)) == name
        assert reads_table(name)
    with pytest.raises(ConfigError, match="setting of 'svm'"):
        make_member("svm", view="tags")  # the name decides it


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=pytest.mark.slow) if kind == "random_forest" else kind
        for kind in TABLE_MEMBERS
    ],
)
def test_other_columns_change_nothing(kind: str, data: SimpleNamespace, tmp_path: Path) -> None:
    settings = {"n_estimators": 10} if kind in ("random_forest", "xgboost") else {}
    member = make_member(f"{kind}@tags", **settings).fit(data.X, data.y, groups=data.groups)
    alone = make_member(kind, **settings).fit(
        data.X[["tags_msd.happy.mean", "tags_mtt.piano.mean"]], data.y, groups=data.groups
    )
    other = data.X.copy()
    for column in set(COLUMNS) - {"tags_msd.happy.mean", "tags_mtt.piano.mean"}:
        other[column] = 1e6
    probabilities = member.predict_proba(other)
    assert np.array_equal(probabilities, alone.predict_proba(other[list(alone.feature_names_in_)]))
    save_member(member, tmp_path / "member")
    loaded = load_member(tmp_path / "member")
    assert member_name(loaded) == f"{kind}@tags"
    assert np.array_equal(loaded.predict_proba(other), probabilities)
    explanation = explain(loaded, data.X, data.X[:8])
    assert explanation.feature_names == ["tags_msd.happy.mean", "tags_mtt.piano.mean"]
    assert additivity_residual(explanation, outputs(loaded, data.X)) < 1e-6


def test_a_view_needs_names_of_columns(data: SimpleNamespace) -> None:
    with pytest.raises(DatasetError, match="svm@tags"):
        make_member("svm@tags").fit(data.X.to_numpy(), data.y)
