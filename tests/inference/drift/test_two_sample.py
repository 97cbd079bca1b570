"""Drift: the test equals SciPy's, keeps its level by group, and names the family that moved."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from quintet.inference.drift.two_sample import ALL, MOST_FAMILIES, draw_new, find_drift, mann_whitney

NAMES = [f"{family}.{k}" for family in ("cepstral", "rhythm", "tonal") for k in range(8)]


def draw(n_groups: int, rng: np.random.Generator, size: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Clips whose groups lie apart: of one group they are far more alike."""
    groups = np.repeat(np.arange(n_groups), size)
    centres = rng.normal(size=(n_groups, len(NAMES)))
    return centres[groups] + 0.2 * rng.normal(size=(len(groups), len(NAMES))), groups


@pytest.mark.parametrize(("shift", "step"), [(0.0, 1e-9), (0.5, 1e-9), (0.5, 0.5)])
def test_the_p_value_is_that_of_scipy(shift: float, step: float) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(shift, 1, 40), rng.normal(0, 1, 70)
    a, b = np.round(a / step) * step, np.round(b / step) * step  # ties in the last case
    expected = stats.mannwhitneyu(a, b, alternative="greater", method="asymptotic").pvalue
    assert mann_whitney(a, b) == pytest.approx(expected)
    assert mann_whitney(np.ones(5), np.ones(9)) == 1.0


def test_new_groups_of_the_same_source_are_not_unlike() -> None:
    rng = np.random.default_rng(1)
    n_unlike = 0
    for _ in range(40):
        training, groups = draw(50, rng)
        new, _ = draw(30, rng, size=1)
        drift = find_drift(training, groups, new, NAMES)
        assert drift is not None
        n_unlike += bool(drift.unlike)
    assert n_unlike <= 3  # one in a hundred is allowed; without the groups every set would be unlike
    alone = find_drift(training, np.arange(len(training)), new, NAMES)
    assert alone is not None
    assert alone.unlike


def test_the_family_that_moved_is_named() -> None:
    rng = np.random.default_rng(2)
    training, groups = draw(60, rng)
    new, _ = draw(40, rng, size=1)
    new[:, 8:16] += 3.0
    drift = find_drift(training, groups, new, NAMES)
    assert drift is not None
    assert [shift.family for shift in drift.unlike if shift.family != ALL] == ["rhythm"]
    assert drift.shifts[0].family == ALL
    assert drift.shifts[1].family == "rhythm"
    assert drift.shifts[1].ratio > 1.5


def test_units_and_missing_values_do_not_matter() -> None:
    rng = np.random.default_rng(3)
    training, groups = draw(40, rng)
    new, _ = draw(20, rng, size=1)
    scale, origin = rng.uniform(0.01, 100, len(NAMES)), rng.normal(0, 1000, len(NAMES))
    first = find_drift(training, groups, new, NAMES)
    second = find_drift(training * scale + origin, groups, new * scale + origin, NAMES)
    assert first is not None
    assert second is not None
    for one, other in zip(first.shifts, second.shifts, strict=True):
        assert (one.family, one.ratio, one.p_value) == (
            other.family,
            pytest.approx(other.ratio),
            pytest.approx(other.p_value),
        )
    training[:, 3], new[:, 3] = np.nan, np.nan
    assert find_drift(training, groups, new, NAMES) is not None


def test_of_very_many_clips_some_are_looked_at_and_all_are_counted() -> None:
    training, groups = draw(30, np.random.default_rng(5))
    chosen = draw_new([f"clip {k}" for k in range(5000)])
    assert len(set(chosen)) == len(chosen) < 1000
    assert draw_new(["a", "b"]) == ["a", "b"]
    drift = find_drift(training, groups, training[:20], NAMES, n_new=5000)
    assert drift is not None
    assert drift.n_new == 5000


def test_families_of_tables_from_elsewhere() -> None:
    """A column `all_x` is no test of all columns; columns without families are not tested one by one."""
    training, groups = draw(30, np.random.default_rng(6))
    names = [f"{family}_{k}" for family in ("all", "mfcc", "chroma") for k in range(8)]
    drift = find_drift(training, groups, training[:20], names)
    assert drift is not None
    assert [shift.family for shift in drift.shifts].count(ALL) == 1
    assert {shift.family for shift in drift.shifts} >= {"mfcc", "chroma"}
    many = [f"f{k}" for k in range(3 * len(names))]
    assert len(many) > MOST_FAMILIES
    alone = find_drift(np.tile(training, 3), groups, np.tile(training[:20], 3), many)
    assert alone is not None
    assert [shift.family for shift in alone.shifts] == [ALL]


def test_few_files_and_few_groups_are_not_judged() -> None:
    training, groups = draw(30, np.random.default_rng(4))
    assert find_drift(training, groups, training[:9], NAMES) is None
    assert find_drift(training[:76], groups[:76], training[:20], NAMES) is None
