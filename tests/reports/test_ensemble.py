"""Ensemble prediction on the page: calibration, fusion, member values, prediction sets, leak gate."""

from __future__ import annotations

import html
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quintet.ensemble.calibration import Calibration, fit_calibration
from quintet.ensemble.conformal import fit_conformal
from quintet.ensemble.coverage import coverage
from quintet.ensemble.fusion import LabelledPredictions, fit_fusion
from quintet.ensemble.novelty import Distance, held_out_distances
from quintet.ensemble.selection import compare_rules
from quintet.errors import ConfigError
from quintet.evaluation.comparisons import metric_differences
from quintet.evaluation.intervals import Resampling
from quintet.evaluation.percentile_intervals import percentile_intervals
from quintet.evaluation.scores import score
from quintet.explanation.member_value import member_values
from quintet.explanation.shapley.family_shapley import family_shapley
from quintet.explanation.shapley.sampled_shapley import ensemble_game, sampled_shapley
from quintet.model_folder.folder import relist
from quintet.model_folder.run import ENSEMBLE_PREDICTION, read_run
from quintet.reports.formats import format_signed
from quintet.reports.report_data import ReportData
from quintet.reports.run_page import SECTIONS, write_report
from quintet.reports.sections.leak_gate import gap_sentence
from quintet.reports.sections.maps import maps_section
from quintet.reports.sections.members.ensemble_importance import permutation_sentence
from quintet.reports.sections.members.fusion import comparison_table
from quintet.reports.sections.probabilities.calibration import calibration_drawing
from quintet.reports.sections.probabilities.out_of_class import out_of_class_drawing, out_of_class_table
from quintet.reports.sections.probabilities.prediction_sets import calibration_groups, coverage_guarantee
from quintet.reports.text import calibration_phrase, opening

TEMPERATURE = 0.5


def with_verdict(model_folder: Path, target: Path) -> Path:
    """Copy of the folder with everything that `quintet train` writes today, but without members (quicker).

    It has a calibrated ensemble prediction, prediction sets, a comparison of rules and a leak gate.
    """
    shutil.copytree(model_folder, target, ignore=shutil.ignore_patterns("members"))
    run = read_run(relist(target))
    calibration = Calibration("temperature", TEMPERATURE)
    oof = run.oof["weighted"]
    X, fold = (
        run.values.loc[list(oof.clip_ids)].to_numpy(),
        run.split.set_index("id").loc[list(oof.clip_ids), "fold"].to_numpy(),
    )
    far = {
        "oof": held_out_distances(
            X, oof.labels, [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(4)]
        )
    }
    far["test"] = Distance.fit(X, oof.labels)(run.values.loc[list(run.test["weighted"].clip_ids)])
    said = calibration.apply(oof.probabilities)
    conformal = fit_conformal(
        said, oof.labels, oof.groups, classes=run.classes, score="novelty", distances=far["oof"]
    )
    verdict: dict[str, Any] = {"rule": "weighted", "calibration": calibration.to_json(), "sets": {}}
    (target / "verdict").mkdir()
    strangeness = []
    for part in ("oof", "test"):
        raw = run.parts[part]["weighted"]
        said = raw.with_probabilities(calibration.apply(raw.probabilities))
        said.write(target / "verdict" / f"{part}.parquet")
        verdict[part] = score(
            said.labels,
            said.probabilities,
            run.classes,
            said.groups,
            resampling=Resampling(n_resamples=50),
        ).to_json()
        strange = conformal.out_of_class(said.probabilities, far[part])
        strangeness.append(
            pd.DataFrame({"id": said.clip_ids, "part": part, "out_of_class": strange, "distance": far[part]})
        )
    pd.concat(strangeness).sample(frac=1, random_state=0).to_parquet(
        target / "verdict" / "strangeness.parquet"
    )
    for c in (0.8, 0.9, 0.95):
        found = coverage(
            conformal.sets(said.probabilities, c, distances=far["test"]),
            said.labels,
            said.groups,
            classes=run.classes,
            confidence=c,
        )
        verdict["sets"][str(c)] = asdict(found)
    members = list(run.bundle["members"])
    oof = np.stack([run.oof[m].probabilities for m in members])
    y, groups = run.oof["mean"].labels, run.oof["mean"].groups
    labelled = LabelledPredictions.from_labels(oof, y, groups, members=members, classes=run.classes)
    comparison = compare_rules(labelled, rules=("mean", "weighted"))
    gap = {
        "from": "random",
        "to": "group",
        "member": "mean",
        "value": 0.2,
        "low": 0.1,
        "high": 0.3,
        "n": 9,
        "n_groups": 3,
    }
    gaps = [{**gap, "score": name} for name in ("accuracy", "macro_auc")]
    protocols = {p: {"mean": run.results.parts["oof"]["mean"].to_json()} for p in ("random", "group")}
    scores = dict(json.loads((target / "scores.json").read_text())) | {
        "verdict": verdict,
        "leak_gate": {"protocols": protocols, "gaps": gaps},
    }
    fusion = json.loads((target / "fusion.json").read_text()) | {"comparison": comparison._asdict()}
    trust = {"calibration": calibration.to_json(), "conformal": conformal.to_json()}
    for name, content in (("scores", scores), ("fusion", fusion), ("trust", trust)):
        (target / f"{name}.json").write_text(json.dumps(content))
    return relist(target)


@pytest.fixture(scope="module")
def folder(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_verdict(model_folder, tmp_path_factory.mktemp("verdict") / "model")


@pytest.fixture(scope="module")
def text(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_report(folder, tmp_path_factory.mktemp("verdict") / "report").read_text(encoding="utf-8")


def test_the_headline_has_the_scores_of_the_calibrated_ensemble_prediction(folder: Path, text: str) -> None:
    run = read_run(folder)
    assert run.prediction_name == ENSEMBLE_PREDICTION
    assert run.best == "weighted"
    raw = run.results.parts["test"]["weighted"].scores["log_loss"].value
    assert run.report_scores is not None
    calibrated = run.report_scores.scores["log_loss"].value
    assert (
        calibrated
        == json.loads((folder / "scores.json").read_text())["verdict"]["test"]["scores"]["log_loss"]["value"]
    )
    assert abs(raw - calibrated) > 0.01
    accuracy = run.report_scores.scores["accuracy"].value
    head = text[text.index('class="lede"') : text.index("<dl")]
    assert f"{round(accuracy * run.report_scores.n)} of {run.report_scores.n} held-out clips" in head
    assert f"log loss {raw:.3f} → {calibrated:.3f}" in text


def test_the_opening_names_rule_and_calibration(folder: Path) -> None:
    said = " ".join(opening(read_run(folder), []))
    assert (
        "The rule “weighted”, chosen on the training part alone, fuses the member predictions; the "
        "probabilities are calibrated by temperature 0.50" in said
    )
    assert calibration_phrase(read_run(folder)) == "calibrated by temperature 0.50, learnt out of fold"


def test_one_member_is_no_ensemble(folder: Path) -> None:
    run = read_run(folder)
    alone = replace(run, bundle={**run.bundle, "members": ["svm"]})
    said = " ".join(opening(alone, []))
    assert said.startswith("The classifier (SVM) reaches ")
    assert "fuses" not in said
    assert "The probabilities are calibrated by temperature 0.50" in said


def test_an_older_folder_is_reported_by_its_rule(model_folder: Path) -> None:
    run = read_run(model_folder)
    assert run.prediction_name == run.best == "weighted"
    assert run.calibration is None
    assert "calibrated" not in " ".join(opening(run, []))


def test_the_calibration_curve_shows_before_and_after(folder: Path) -> None:
    run = read_run(folder)
    drawing = calibration_drawing(run, ReportData(run).calibration_error)
    after, before = (
        drawing.numbers[drawing.numbers["calibrated"] == flag]["confidence"].mean() for flag in (True, False)
    )
    assert after > before + 0.02  # a temperature below one makes surer


def test_the_comparison_of_rules_is_the_stored_one(folder: Path, text: str) -> None:
    table = comparison_table(read_run(folder)).set_index("rule")
    stored = json.loads((folder / "fusion.json").read_text())["comparison"]
    assert table["log_loss"].to_dict() == stored["losses"]
    assert table["standard_error"]["mean"] == stored["differences"]["mean"][1]
    assert list(table.index[table["chosen"]]) == ["weighted"]
    assert "No held-out clip was used" in text


def test_the_value_of_a_member_is_the_paired_difference_of_ensembles_fitted_again(folder: Path) -> None:
    run = read_run(folder)
    found = member_values(run, n_resamples=50).set_index(["member", "score"])
    test = run.test["mean"]

    def verdict(members: list[str]) -> np.ndarray:
        oof = np.stack([run.oof[m].probabilities for m in members])
        y, groups = run.oof["mean"].labels, run.oof["mean"].groups
        labelled = LabelledPredictions.from_labels(oof, y, groups, members=members, classes=run.classes)
        fusion = fit_fusion("weighted", labelled)
        calibration = fit_calibration(fusion.apply(oof), y, groups, classes=run.classes, method="temperature")
        return calibration.apply(
            fusion.apply(np.stack([run.test[m].take(test.clip_ids).probabilities for m in members]))
        )

    members = list(run.members)
    without = verdict([m for m in members if m != "vgg_small"])
    expected = metric_differences(
        test.labels,
        verdict(members),
        without,
        run.classes,
        test.groups,
        resampling=Resampling(n_resamples=50),
    )
    for key in ("accuracy", "log_loss"):
        assert found.loc[("vgg_small", key), ["value", "low", "high"]].tolist() == pytest.approx(
            list(vars(expected[key]).values())[:3], abs=1e-9
        )
    assert (found["p_holm"] >= found["p_value"] - 1e-12).all()


def test_the_value_of_a_member_without_a_test_part_is_scored_on_other_folds(
    folder: Path, tmp_path: Path
) -> None:
    target = tmp_path / "model"
    shutil.copytree(folder, target)
    shutil.rmtree(target / "predictions" / "test")
    (target / "verdict" / "test.parquet").unlink()
    run = read_run(relist(target))
    assert run.part == "oof"
    members, p = list(run.members), run.oof["mean"]
    oof = np.stack([run.oof[m].take(p.clip_ids).probabilities for m in members])
    fold = run.split.set_index("id")["fold"].reindex(p.clip_ids).to_numpy()
    y, groups = np.asarray(p.labels), np.asarray(p.groups)

    def verdict(kept: list[int]) -> np.ndarray:
        said = np.zeros(oof.shape[1:])
        for k in range(4):
            rest, own = fold != k, fold == k
            labelled = LabelledPredictions.from_labels(
                oof[kept][:, rest],
                y[rest],
                groups[rest],
                members=[members[i] for i in kept],
                classes=run.classes,
            )
            fusion = fit_fusion("weighted", labelled)
            learnt = fusion.apply(oof[kept][:, rest])
            calibration = fit_calibration(
                learnt, y[rest], groups[rest], classes=run.classes, method="temperature"
            )
            said[own] = calibration.apply(fusion.apply(oof[kept][:, own]))
        return said

    expected = metric_differences(
        y,
        verdict([0, 1, 2, 3, 4]),
        verdict([1, 2, 3, 4]),
        run.classes,
        groups,
        resampling=Resampling(n_resamples=20),
    )
    found = member_values(run, n_resamples=20).set_index(["member", "score"])
    assert found.loc[(members[0], "log_loss"), "value"] == pytest.approx(expected["log_loss"].value, abs=1e-9)


def test_the_guarantee_names_the_number_of_calibration_groups(folder: Path, text: str) -> None:
    run = read_run(folder)
    assert run.conformal is not None
    groups = run.oof["mean"].groups
    assert groups is not None
    assert calibration_groups(run.conformal) == len(set(groups)) == 18
    said = " ".join(coverage_guarantee(run))
    assert "from 18 artists" in said
    assert "confidence 0.95, which takes 19 artists or more" in said
    assert 'id="sets"' in text
    assert "the features of the clip are like those of known clips" in said


def test_flagged_clips_are_those_with_empty_sets(folder: Path, text: str) -> None:
    run = read_run(folder)
    table, drawing = out_of_class_table(run), out_of_class_drawing(run)
    assert run.conformal is not None
    assert drawing is not None
    p = run.report_predictions
    far = run.out_of_class_of(p.clip_ids)["distance"].to_numpy()
    few, empty = (~run.conformal.sets(p.probabilities, c, distances=far).any(axis=1) for c in (0.5, 0.9))
    assert few.any()
    assert set(table.loc[table["out_of_class"] >= 0.5, "clip_id"]) == set(p.clip_ids[few])
    np.testing.assert_array_equal(table["right"], p.probabilities.argmax(axis=1) == p.codes())
    assert (
        f"{empty.sum()} of {len(p)} ({empty.mean():.0%}) are flagged as “none of these” at 0.9"
        in drawing.caption
    )
    assert drawing.caption in html.unescape(text)


@pytest.mark.slow
def test_older_folders_have_no_out_of_class_section(
    folder: Path, tmp_path: Path, write_sections: Callable[..., Path]
) -> None:
    old = shutil.copytree(folder, tmp_path / "old")
    (old / "verdict" / "strangeness.parquet").unlink()
    run = read_run(relist(old))
    oof = run.oof["verdict"]
    conformal = fit_conformal(oof.probabilities, oof.labels, oof.groups, classes=run.classes).to_json()
    del conformal["familiarity"]
    (old / "trust.json").write_text(
        json.dumps({"calibration": run.trust["calibration"], "conformal": conformal})
    )
    run = read_run(relist(old))
    assert out_of_class_drawing(run) is None
    assert "These sets use the probabilities alone" in " ".join(coverage_guarantee(run))
    shown = (section for section in SECTIONS if section is not maps_section)
    text = write_sections(old, tmp_path / "report", *shown).read_text(encoding="utf-8")
    assert 'id="sets"' in text
    assert 'id="figure-strange"' not in text


def test_random_scores_are_stamped_in_the_leak_gate(folder: Path, text: str) -> None:
    gate = text[text.index('<h2 id="gate">') : text.index('<h2 id="maps">')]
    assert gate.count("! Ungrouped") == 2  # once per score
    assert "(ungrouped!)" in gate
    run = read_run(folder)
    assert run.results.leak_gate is not None
    sentence = gap_sentence(run.results.leak_gate, run)
    assert "accuracy of all members together changes by +0.200 [+0.100, +0.300]" in sentence
    assert "recognising the artist" in sentence
    assert "+0.200<small>+0.100 – +0.300</small>" in gate


def test_the_page_of_an_ensemble_prediction_is_complete(text: str) -> None:
    plain = re.sub(r"<(script|style).*?</\1>", "", text, flags=re.S)
    assert not re.search(r"\bnan\b|\bNone\b", re.sub(r"<[^>]*>", " ", plain))
    assert (
        len(re.findall(r"<table", text))
        == len(re.findall(r"</table>", text))
        == len(re.findall(r"<caption", text))
    )


def test_one_group_gives_no_interval() -> None:
    low, high = percentile_intervals(np.array([[1.0], [2.0]]), np.array(["a", "a"]))
    assert np.isnan(low).all()
    assert np.isnan(high).all()


def test_signed_numbers() -> None:
    assert [format_signed(v) for v in (-0.0001, 0.5, -0.5, float("nan"))] == [
        "0.000",
        "+0.500",
        "−0.500",
        "–",
    ]


class Product:
    """A member whose probability is the product of its two first columns, plus a tenth of the third."""

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        x = X.to_numpy()
        return (x[:, 0] * x[:, 1] + 0.1 * x[:, 2])[:, None]


def sampled(n_pairs: int, n_background: int = 1) -> Any:
    rows = pd.DataFrame([[1.0, 1.0, 1.0], [0.5, 2.0, 0.0]], columns=["a.x", "a.y", "b.z"])
    background = pd.DataFrame(
        np.linspace(0, 0.4, 3 * n_background).reshape(n_background, 3), columns=rows.columns
    )
    players = {name: [name] for name in rows.columns}
    game = ensemble_game(
        {"m": Product()}, lambda stack: stack[0], rows, background, players=players, weights=np.ones((2, 1))
    )
    exact = family_shapley({"m": Product()}, lambda stack: stack[0], rows, background, players=players)
    return sampled_shapley(game, list(players), n_clips=2, n_background=n_background, n_pairs=n_pairs), exact


def test_sampled_values_are_the_exact_ones_where_pairs_are() -> None:
    found, exact = sampled(4)  # a game of pairs at most: an order and its reverse together are exact
    np.testing.assert_allclose(found.values, exact.values[:, :, 0], atol=1e-12)
    np.testing.assert_allclose(found.errors, 0, atol=1e-12)
    assert found.n_evaluations == 2 * 4 * 2 * 4


def test_sampled_values_add_up_and_their_error_is_honest() -> None:
    found = sampled_shapley(
        lambda clips, backgrounds, present: present.all(axis=1) * 1.0,
        "abc",
        n_clips=400,
        n_background=1,
        n_pairs=8,
    )
    assert found.residual < 1e-12
    assert found.values.mean() == pytest.approx(1 / 3)
    assert np.sqrt((found.errors**2).mean()) == pytest.approx(
        found.values.std(), rel=0.1
    )  # 400 tries at the same three values
    assert found.mean_error == pytest.approx(found.values.std() / 20, rel=0.1)


def test_sampling_needs_pairs() -> None:
    with pytest.raises(ConfigError, match="two pairs"):
        sampled(1)


def test_a_figure_whose_intervals_all_hold_zero_becomes_a_sentence() -> None:
    rows = {"player": ["a", "b"], "fall": [0.02, 0.01], "low": [-0.01, -0.02], "high": [0.05, 0.04]}
    table = pd.DataFrame(rows).assign(low_corrected=[-0.02, -0.03], high_corrected=[0.06, 0.05])
    for by_column in (False, True):
        sentence = permutation_sentence(table, by_column=by_column)
        assert sentence is not None
        assert "a (0.020)" in sentence.text
        assert sentence.downloads[0].frame is table
    certain = table.assign(low=[0.001, -0.02])
    assert permutation_sentence(certain, by_column=False) is None
    assert (
        permutation_sentence(certain, by_column=True) is not None
    )  # its corrected interval still holds zero
    assert permutation_sentence(table.assign(low=np.nan, high=np.nan), by_column=False) is None
