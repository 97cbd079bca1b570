"""Members calibrated alone: the report shows what the calibration does, learnt out of fold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quintet.ensemble.calibration import cross_calibrate, fit_calibration
from quintet.evaluation.intervals import NO_RESAMPLING
from quintet.evaluation.scores import score
from quintet.explanation.member_value import calibrate_members
from quintet.model_folder.run import Run, read_run
from quintet.predictions.predictions import Predictions
from quintet.reports.sections.probabilities.calibration import (
    calibration_section,
    member_table,
    method_phrase,
    reliability_drawing,
)


@pytest.fixture(scope="module")
def run(model_folder: Path) -> Run:
    return read_run(model_folder)


def sharper(p: Predictions, power: float) -> Predictions:
    q = np.asarray(p.probabilities, dtype=np.float64) ** power
    return p.with_probabilities(q / q.sum(axis=1, keepdims=True))


def folds_of(run: Run, p: Predictions) -> list[tuple[np.ndarray, np.ndarray]]:
    fold = run.split.set_index("id")["fold"].loc[p.clip_ids].to_numpy()
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in np.unique(fold)]


def test_an_overconfident_member_is_calibrated_by_its_out_of_fold_predictions(run: Run) -> None:
    name = run.members[0]
    oof, test = (sharper(part[name], 3.0) for part in (run.oof, run.test))
    changed = replace(run, oof={**run.oof, name: oof}, test={**run.test, name: test})
    found = calibrate_members(changed)
    member = found[name]
    before, after = member.before, member.after
    fitted = fit_calibration(
        oof.probabilities, oof.labels, oof.groups, classes=run.classes, folds=folds_of(run, oof)
    )
    assert method_phrase(member.calibration) == f"temperature {fitted.temperature:.2f}"
    assert fitted.temperature > 1.5
    np.testing.assert_allclose(after.probabilities, fitted.apply(test.probabilities))
    row = member_table(changed, found).set_index("member").loc[name]
    for suffix, p in (("", before), ("_after", after)):
        scored = score(p.labels, p.probabilities, run.classes, resampling=NO_RESAMPLING).scores
        assert row[f"log_loss{suffix}"] == pytest.approx(scored["log_loss"].value)
        assert row[f"ece{suffix}"] == pytest.approx(scored["ece"].value)
    assert row["log_loss_after"] < row["log_loss"]


def test_without_a_test_part_no_clip_is_calibrated_by_its_own_fold(run: Run) -> None:
    alone = replace(run, test={})
    name = run.members[0]
    sure = replace(alone, oof={**run.oof, name: sharper(run.oof[name], 3.0)})
    member = calibrate_members(sure)[name]
    before, after = member.before, member.after
    truth = (before.probabilities, before.labels, before.groups)
    expected = cross_calibrate(*truth, classes=run.classes, method="temperature", folds=folds_of(run, before))
    np.testing.assert_allclose(after.probabilities, expected)


def test_a_random_split_is_calibrated_by_clip(run: Run) -> None:
    oof = run.oof[run.members[0]]
    dealt = np.random.default_rng(0).integers(0, 4, len(run.split))
    split = run.split.assign(fold=np.where(run.split["fold"] >= 0, dealt, -1))
    assert len(set(oof.groups)) < len(oof)
    results = replace(run.results, split=replace(run.results.split, protocol="random"))
    assert set(calibrate_members(replace(run, split=split, results=results))) == set(run.members)


def test_every_member_has_its_panel_and_its_row(
    run: Run, model_folder: Path, tmp_path: Path, write_sections: Callable[..., Path]
) -> None:
    found = calibrate_members(run)
    drawing = reliability_drawing(run, found)
    assert drawing is not None
    assert set(drawing.numbers["member"]) == set(run.members)
    assert reliability_drawing(run, dict(list(found.items())[:1])) is None
    page = write_sections(model_folder, tmp_path / "report", calibration_section).read_text(encoding="utf-8")
    assert "Members calibrated alone" in page
    assert 'id="figure-reliability"' in page


def test_members_whose_folds_are_not_known_are_left_out(run: Run) -> None:
    assert calibrate_members(replace(run, split=run.split.iloc[:0])) == {}
    assert member_table(run, {}).empty
