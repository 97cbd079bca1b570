"""Whatever `train` accepts, `report`, `predict`, `evaluate` and `fuse` survive; the rest is refused."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, event, given, seed, settings

from tests.e2e.odd_tables import OddTable, odd_tables, require_good_end, walk

LOGISTIC = ("--members", "logistic_regression", "--resamples", "0")
TREES = ("--members", "random_forest,xgboost", "--resamples", "5")
N_SERIES = 10
KNOWN = {
    "tag on every clip": OddTable(60, label_style="tag_on_every_clip", options=TREES),
    "six rows": OddTable(6, options=LOGISTIC),
    "one column": OddTable(30, columns=(("f0", "normal"),), options=TREES),
    "one column and a constant": OddTable(30, columns=(("f0", "normal"), ("f1", "constant")), options=TREES),
    "no value explains anything": OddTable(30, columns=(("f0", "tiny"), ("f1", "tiny")), options=TREES),
    "fifty classes": OddTable(250, labels=tuple(f"class {k}" for k in range(50)), options=TREES),
    "missing and infinite numbers": OddTable(
        40, columns=(("f0", "normal"), ("f1", "all_missing"), ("f2", "some_missing"), ("f3", "infinite"))
    ),
    "numbers beyond float32": OddTable(30, columns=(("f0", "largest"), ("f1", "overflow"))),
    "rows three times": OddTable(20, repeats=3, options=TREES),
    "folds of different size": OddTable(7, labels=("a", "b"), options=(*TREES, "--test-size", "0")),
    "classes called like columns": OddTable(
        40, labels=("label", "clip_id", "true", "(all classes)", "column"), options=TREES
    ),
    "columns called like players": OddTable(
        30, columns=(("spectrogram", "normal"), ("other", "normal"), ("a + 1 alike", "normal"))
    ),
    "one clip with a label set in the test part": OddTable(
        3, label_style="tags", columns=(("f0", "some_missing"),), repeats=3, seed=1
    ),
    "names without end": OddTable(30, labels=("x" * 300, "y" * 300), columns=(("z" * 300, "normal"),)),
}
REFUSED = {
    "no columns": OddTable(20, columns=()),
    "constant columns": OddTable(20, columns=(("f0", "constant"), ("f1", "zero"))),
    "one class": OddTable(20, labels=("a\nb",)),
    "one row": OddTable(1),
    "a class in the test part only": OddTable(
        30, labels=("a", "b", "c"), label_style="test_only", split_style="train_test"
    ),
    "ids twice": OddTable(20, id_style="repeated"),
    "words": OddTable(20, columns=(("f0", "text"),)),
}


def end_well(table: OddTable) -> bool:
    """Hold that all commands end well; whether the table was accepted."""
    with tempfile.TemporaryDirectory() as folder:
        result = walk(table, Path(folder))
        require_good_end(result)
        return result.trained


@pytest.mark.parametrize("name", REFUSED)
def test_a_table_that_cannot_be_learnt_is_refused_in_one_sentence(name: str) -> None:
    assert not end_well(REFUSED[name])


def test_a_class_in_the_test_part_only_is_named_before_anything_is_fitted(tmp_path: Path) -> None:
    result = walk(REFUSED["a class in the test part only"], tmp_path)
    assert "'c'" in result.endings["train"].err
    assert not (tmp_path / "model").exists()


@pytest.mark.slow
def test_one_column_and_one_member_give_a_page() -> None:
    assert end_well(OddTable(12, columns=(("f0", "normal"),), options=LOGISTIC))


@pytest.mark.slow
@pytest.mark.parametrize("name", KNOWN)
def test_a_table_that_can_be_learnt_gives_a_page(name: str) -> None:
    assert end_well(KNOWN[name])


@pytest.mark.slow
@pytest.mark.parametrize("series", range(N_SERIES))
def test_five_hundred_odd_tables_end_well(series: int) -> None:
    """Each series has tables of its own, so that a fault in one does not hide those of the others."""

    @seed(series)
    @settings(
        max_examples=500 // N_SERIES,
        phases=(Phase.generate,),
        deadline=None,
        database=None,
        suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large),
    )
    @given(odd_tables())
    def check(table: OddTable) -> None:
        event("trained" if end_well(table) else "refused")

    check()
