"""Figures and tables: values checked by hand, and edge cases (one class, no failure, label sets, ties)."""

from __future__ import annotations

import json
import re
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quintet.evaluation.calibration_curve import calibration_points
from quintet.evaluation.intervals import Resampling
from quintet.evaluation.percentile_intervals import percentile_intervals
from quintet.evaluation.scores import score
from quintet.explanation.ensemble import EnsembleExplanation
from quintet.explanation.members import explain_run
from quintet.explanation.projections import neighbour_map, principal_map, standardise_columns
from quintet.model_folder.folder import relist
from quintet.model_folder.run import Run, read_run
from quintet.predictions.predictions import Predictions
from quintet.reports.figures.bars import column_bars, histogram, stacked_counts, waterfall
from quintet.reports.figures.curves import roc_figure, roc_points, training_figure
from quintet.reports.figures.heat import heat_figure
from quintet.reports.figures.intervals import Dot, interval_figure
from quintet.reports.formats import count, format_list
from quintet.reports.report_data import ReportData, confusion_counts, main_confusions
from quintet.reports.run_page import SECTIONS, default_title
from quintet.reports.sections.classes import class_table, confusion_drawing
from quintet.reports.sections.data import failure_reasons
from quintet.reports.sections.maps import maps_section
from quintet.reports.sections.members.fusion import agreement
from quintet.reports.sections.members.training import training_drawings
from quintet.reports.sections.mistakes import mistakes
from quintet.reports.sections.model_card import limits
from quintet.reports.sections.scores import clear_winner, distinct_names, rank_names, score_rows, score_table
from quintet.reports.style import to_svg
from quintet.reports.text import display_name, opening, split_note

ALL_BUT_MAPS = tuple(section for section in SECTIONS if section is not maps_section)


@pytest.fixture(scope="module")
def run(model_folder: Path) -> Run:
    return read_run(model_folder)


def test_confusions_by_hand() -> None:
    truth, verdict = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 1, 1, 1, 0, 2])
    counts = confusion_counts(truth, verdict, ["jazz", "rock", "folk"])
    assert counts.to_numpy().tolist() == [[1, 2, 0], [1, 1, 0], [0, 0, 1]]
    assert main_confusions(counts) == [("jazz", "rock", 2), ("rock", "jazz", 1)]
    assert main_confusions(confusion_counts(truth, truth, ["a", "b", "c"])) == []


def test_the_confusion_matrix_is_the_one_of_the_predictions(run: Run) -> None:
    counts = ReportData(run).confusions
    assert counts is not None
    p = run.report_predictions
    for i, true in enumerate(run.classes):
        for j, verdict in enumerate(run.classes):
            assert counts.iloc[i, j] == sum(
                a == true and run.classes[b] == verdict
                for a, b in zip(p.labels, p.probabilities.argmax(axis=1), strict=True)
            )


def test_roc_ends_in_both_corners_and_ties_are_one_step() -> None:
    points = roc_points(np.array([True, False, True, False]), np.array([0.5, 0.5, 0.5, 0.5]))
    assert points[["false_positive_rate", "true_positive_rate"]].to_numpy().tolist() == [
        [0.0, 0.0],
        [1.0, 1.0],
    ]


def test_calibration_bins_hold_every_clip_once() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.3, 1, 203)
    points = calibration_points(confidence, rng.uniform(size=203) < confidence)
    assert points["n"].sum() == 203
    assert (points["low"] <= points["correct"]).all()
    assert (points["correct"] <= points["high"]).all()
    assert np.average(points["confidence"], weights=points["n"]) == pytest.approx(confidence.mean())
    assert calibration_points(np.zeros(0), np.zeros(0, bool)).empty
    one = calibration_points(np.array([0.9, 0.8]), np.array([True, True]))
    assert len(one) == 1
    assert one["low"].item() == pytest.approx(0.342, abs=1e-3)  # Wilson, 2 of 2


def test_rows_are_ranked_and_the_best_of_each_column_is_marked(run: Run) -> None:
    assert rank_names(run, ["accuracy"])[0] == run.best == "weighted"
    values = [
        run.results.parts["test"][name].scores["log_loss"].value for name in rank_names(run, ["log_loss"])[2:]
    ]
    assert values == sorted(values)
    table = score_table(run).query("part == 'test'").set_index(["name", "score"])
    rows = score_rows(run, ["accuracy", "log_loss"], ["test"])
    for k, key in enumerate(("accuracy", "log_loss")):
        for row in rows:
            own = next(name for name in rank_names(run, []) if display_name(name, run) == row.head.text)
            others = table.drop(index=own, level="name").xs(key, level="score")
            low, high = table.loc[(own, key), ["low", "high"]]
            beyond = low > others["high"].max() if key == "accuracy" else high < others["low"].min()
            assert (row.cells[k].kind == "best") == beyond


def test_a_winner_needs_an_interval_beyond_all_others() -> None:
    clear = {"a": Dot(0.9, 0.85, 0.95), "b": Dot(0.7, 0.6, 0.8), "c": Dot(0.5, 0.4, 0.6)}
    assert clear_winner(clear, "accuracy") == "a"
    assert clear_winner(clear, "log_loss") is None  # b and c touch
    assert clear_winner(clear | {"b": Dot(0.84, 0.75, 0.86)}, "accuracy") is None
    assert clear_winner(clear | {"d": Dot(0.1, 0.05, 0.2)}, "log_loss") == "d"
    assert clear_winner({"a": clear["a"], "b": Dot(0.1, np.nan, np.nan)}, "accuracy") is None


def test_a_rule_that_repeats_another_row_is_named_there(run: Run) -> None:
    scores = run.results.parts
    parts = {part: {**table, "greedy": table["weighted"]} for part, table in scores.items()}
    both = {part: {**run.parts[part], "greedy": run.parts[part]["weighted"]} for part in run.parts}
    twice = replace(run, results=replace(run.results, parts=parts), test=both["test"], oof=both["oof"])
    assert distinct_names(run, ["accuracy"])["weighted"] == ()
    assert distinct_names(twice, ["accuracy", "log_loss"])["weighted"] == ("greedy",)
    rows = score_rows(twice, ["accuracy"], ["test"])
    assert len(rows) == len(score_rows(run, ["accuracy"], ["test"]))
    assert any("greedy" in note for note in rows[0].head.notes)


def test_mistakes_are_wrong_sure_and_in_order(run: Run) -> None:
    table = mistakes(run, limit=5)
    assert (table["label"] != table["verdict"]).all()
    assert table["confidence"].is_monotonic_decreasing
    assert (table["confidence"] >= table["probability_of_label"]).all()
    assert table["members_agreeing"].between(0, 5).all()


def test_agreement_is_symmetric_and_keyed_by_clip(run: Run) -> None:
    shares = agreement({name: run.test[name] for name in run.members})
    np.testing.assert_array_equal(shares, shares.T)
    assert (np.diag(shares) == 1).all()
    turned = run.test["svm"].take(run.test["svm"].clip_ids[::-1])
    assert agreement({"a": run.test["svm"], "b": turned}).loc["a", "b"] == 1


def test_the_principal_map_finds_the_long_direction() -> None:
    rng = np.random.default_rng(0)
    long = rng.normal(size=200)
    features = pd.DataFrame(
        {"a": long, "b": long + 0.1 * rng.normal(size=200), "c": rng.normal(size=200), "constant": 1.0}
    )
    features.iloc[3, 0] = np.nan
    points, (first, second) = principal_map(features)
    assert standardise_columns(features).shape == (200, 3)
    assert abs(np.corrcoef(points["x"], long)[0, 1]) > 0.99
    assert 0.6 < first < 0.7
    assert first + second < 1.0000001


def test_the_neighbour_map_keeps_far_clusters_apart_and_is_reproducible() -> None:
    rng = np.random.default_rng(0)
    features = pd.DataFrame(rng.normal(size=(60, 5)) + 12 * (np.arange(60) % 2)[:, None])
    points = neighbour_map(features, seed=1)
    pd.testing.assert_frame_equal(points, neighbour_map(features, seed=1))
    even, odd = points.iloc[::2].mean(), points.iloc[1::2].mean()
    assert np.hypot(*(even - odd)) > 2 * points.iloc[::2].std().max()


def test_every_figure_is_well_formed() -> None:
    steps = pd.DataFrame({"player": ["a", "b"], "value": [0.3, -0.1], "low": [0.2, -0.2], "high": [0.4, 0.0]})
    history = pd.DataFrame({"fold": [0, 0, -1, -1], "epoch": [1, 2, 1, 2], "loss": [2.0, 1.0, 1.5, 0.5]})
    dot = Dot(0.5, 0.4, 0.6)
    for figure in (
        waterfall(steps, base=0.2, total=0.4, base_name="nothing", total_name="everything", unit="p"),
        column_bars(pd.Series({"x.y": 0.5, "x.z": -0.1}), unit="u", families={"x.y": "x", "x.z": "x"}),
        stacked_counts(pd.DataFrame({"training": [3, 1], "held out": [1, 0]}, index=["a", "b"])),
        histogram([1.0, 2.0, np.nan], unit="s"),
        training_figure(history, "loss", label="loss"),
        interval_figure(
            ["a", "b"], [dot, Dot(0.3, np.nan, np.nan)], out_of_fold=[dot, dot], bold=[True, False]
        ),
        heat_figure(
            pd.DataFrame([[0.0, 1.5], [np.float64(0.2), 1.0]]), pd.DataFrame([["a", "b"], ["c", "d"]])
        ),
    ):
        ET.fromstring(to_svg(figure, "p", "alt"))


def test_the_model_card_warns_about_identical_columns(run: Run) -> None:
    twins = replace(
        run, features=run.features.assign(**{"tonal.twin.mean": run.features["tonal.tonnetz_1.mean"]})
    )
    assert any("tonal.tonnetz_1.mean = tonal.twin.mean" in text for text in limits(twins, None))
    assert not any("identical" in text for text in limits(run, None))


def test_a_step_that_rounds_to_nothing_has_no_sign() -> None:
    steps = pd.DataFrame(
        {"player": ["a", "b"], "value": [0.3, -0.001], "low": [0.2, -0.2], "high": [0.4, 0.0]}
    )
    svg = to_svg(
        waterfall(steps, base=0.2, total=0.499, base_name="nothing", total_name="everything", unit="p"),
        "p",
        "alt",
    )
    assert ">0.00<" in svg
    assert not re.search(r"[-−+]0\.00<", svg)


def test_intervals_by_group_are_wider_than_by_clip_where_groups_matter() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(10), 20)
    values = (rng.normal(size=10)[groups] + 0.1 * rng.normal(size=200))[:, None]
    wide = np.subtract(*percentile_intervals(values, groups)[::-1])
    narrow = np.subtract(*percentile_intervals(values, np.arange(200))[::-1])
    assert wide[0] > 2 * narrow[0]


def test_words(run: Run) -> None:
    assert format_list(["a", "b", "c"]) == "a, b and c"
    assert count(2, "class") == "2 classes"
    assert display_name("weighted", run) == "Ensemble (weighted)"
    assert display_name("random_forest", run) == "Random forest"
    assert split_note(run).kind == "good"
    sentences = opening(
        run, [("jazz", "rock", 5), ("rock", "jazz", 1)], pd.Series({"spectrogram": 0.61, "cepstral": 0.2})
    )
    assert "The most frequent confusions are jazz predicted as rock (5)." in sentences
    shares = "the spectrogram contributes 61% and the cepstral features contribute 20%."
    assert f"Of the probability beyond guessing, {shares}" in sentences
    last = opening(run, [], pd.Series({"cepstral": 0.6, "tonal": 0.3, "rhythm": 0.08, "spectrogram": 0.02}))[
        -1
    ]
    assert last.endswith(
        "features contribute 60% and the tonal features contribute 30%; the spectrogram contributes 2%."
    )
    against = opening(run, [], pd.Series({"cepstral": 1.03, "spectrogram": -0.03}))[-1]
    assert against.endswith("the cepstral features contribute 103% and the spectrogram takes away 3%.")
    last = opening(
        run, [], pd.Series({"cepstral": 0.8, "tonal": 0.25, "rhythm": -0.002, "spectrogram": -0.048})
    )[-1]
    assert last.endswith("; the spectrogram takes away 5%.")
    assert opening(run, [], pd.Series(dtype=float))[-1].startswith(
        "The true class gets hardly more probability than by guessing"
    )
    assert any("random weights" in text for text in limits(run, 0.0))
    assert not any("off by" in text for text in limits(run, 0.05))
    assert any("off by 0.30" in text for text in limits(run, 0.3))


@pytest.mark.parametrize(("prediction", "shares"), [(0.7, [0.8, 0.2]), (0.2, [])])
def test_a_probability_near_guessing_is_not_attributed(prediction: float, shares: list[float]) -> None:
    steps = pd.DataFrame({"player": ["tonal", "rhythm"], "value": np.array([0.8, 0.2]) * (prediction - 0.2)})
    game = EnsembleExplanation(*[None] * 3, steps, 0.2, prediction, *[None] * 3)  # type: ignore[arg-type]
    assert game.shares.tolist() == pytest.approx(shares)


def test_failures_are_counted_by_reason() -> None:
    ledger = pd.DataFrame(
        {
            "stage": ["decode"] * 3,
            "error": ["DecodeError"] * 3,
            "reason": ["empty", "text", "empty"],
            "id": list("abc"),
        }
    )
    assert failure_reasons(ledger)[["reason", "clips"]].to_numpy().tolist() == [["empty", 2], ["text", 1]]
    assert failure_reasons(pd.DataFrame()).empty


@pytest.mark.slow
def test_a_single_member_without_a_held_out_part_has_a_report(
    model_folder: Path, tmp_path: Path, write_sections: Callable[..., Path]
) -> None:
    folder = tmp_path / "Just one"
    shutil.copytree(model_folder, folder)
    shutil.rmtree(folder / "predictions" / "test")
    shutil.rmtree(folder / "history")
    for file in (folder / "predictions" / "oof").iterdir():
        if file.stem != "svm":
            file.unlink()
    (folder / "failures.parquet").unlink()
    scores = json.loads((folder / "scores.json").read_text())
    (folder / "scores.json").write_text(
        json.dumps({"oof": {"svm": scores["oof"]["svm"]}, "split": scores["split"]})
    )
    bundle = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps(bundle | {"members": ["svm"], "rule": "svm"}))
    (folder / "fusion.json").write_text("{}")
    relist(folder)
    explanation = explain_run(read_run(folder))
    page = write_sections(folder, tmp_path / "report", *ALL_BUT_MAPS, explanation=explanation)
    text = page.read_text(encoding="utf-8")
    assert default_title(read_run(folder)) == "Just one"
    assert "The classifier (SVM) reaches" in text
    assert "Every clip could be used." in text
    assert (
        "Explained out of fold." in text
    )  # the member in the folder was fitted on all clips: it explains none of them
    assert "Held out" not in text


@pytest.mark.slow
def test_label_sets_have_a_report(
    run: Run, model_folder: Path, tmp_path: Path, write_sections: Callable[..., Path]
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(model_folder, folder)
    scores = json.loads((folder / "scores.json").read_text())
    for part in ("test", "oof"):
        for name, p in run.parts[part].items():
            labels = np.array(
                [f"{a};{run.classes[i % 6]}" if i % 6 < 3 else a for i, a in enumerate(p.labels)],
                dtype=object,
            )
            tagged: Predictions = replace(p, labels=labels, multilabel=True)
            (folder / "predictions" / part / f"{name}.parquet").unlink()
            tagged.write(folder / "predictions" / part / f"{name}.parquet")
            scores[part][name] = score(
                labels,
                p.probabilities,
                run.classes,
                p.groups,
                multilabel=True,
                resampling=Resampling(n_resamples=20),
            ).to_json()
    (folder / "scores.json").write_text(json.dumps(scores))
    page = write_sections(relist(folder), tmp_path / "report", *ALL_BUT_MAPS)
    text = page.read_text(encoding="utf-8")
    assert "Subset accuracy" in text
    assert 'id="figure-confusion"' not in text
    assert (
        'aria-label="Table of scores, held out"' in text
    )  # five scores of two parts would be cut off side by side
    assert "Scores by tag</h2>" in text
    assert "every tag with a probability of one half or more" in text
    assert not re.search(r"class against the rest|\d+ classes:", text)
    assert len(class_table(read_run(folder), None)) == 6


@pytest.mark.parametrize("length", [90, 400])
def test_a_name_of_any_length_leaves_room_for_the_figure(length: int) -> None:
    names = ["x" * length, "two\nlines " * (length // 8)]
    counts = pd.DataFrame([[3, 1], [0, 2]], index=names, columns=names)
    curve = roc_points(np.array([True, False]), np.array([0.9, 0.1]))
    dots = [Dot(0.5, 0.4, 0.6)] * 2
    figures = [
        heat_figure(counts / 3, counts.astype(str), row_label="true class", column_label="predicted class"),
        column_bars(pd.Series([1.0, 2.0], index=names), unit="share"),
        stacked_counts(counts),
        interval_figure(names, dots),
        roc_figure({"all": curve}, "all", title=names[0], area=1.0),
    ]
    for figure in figures:
        svg = to_svg(figure, "f", "alt")  # matplotlib warns, and so fails here, if the axes have no room
        assert names[0] not in svg
        assert "…" in svg


def test_numbers_of_a_table_keep_every_class_beside_the_names_of_the_rows() -> None:
    counts = confusion_counts(np.array([0, 1, 1]), np.array([0, 1, 0]), ["true", "rock"])
    numbers = confusion_drawing(counts).numbers
    assert numbers.shape == (2, 3)
    assert numbers["true"].tolist() == [1, 1]
    assert numbers["rock"].tolist() == [0, 1]


@pytest.mark.parametrize("val_loss", [1.2, np.nan])
def test_the_caption_of_a_training_names_the_lines_that_are_drawn(run: Run, val_loss: float) -> None:
    """A network that holds out no clips has no loss of validation."""
    history = pd.DataFrame({"fold": [-1], "epoch": [1], "loss": [2.0], "val_loss": [val_loss]})
    (drawing,) = training_drawings(replace(run, history={"vgg_small": history}))
    assert ("Dashed" in drawing.caption) == (not np.isnan(val_loss))
