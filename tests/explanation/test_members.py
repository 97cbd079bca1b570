"""Explanations without a held-out part, and of label sets, on models that `quintet.train` made.

Each clip is explained by members that were not fitted on it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest

import quintet
from quintet.classifiers.registry import make_member
from quintet.ensemble.crossfit import full_probabilities
from quintet.explanation import members as why
from quintet.explanation.ensemble import truth_weights
from quintet.explanation.importance import (
    additivity_residual,
    column_importance,
    concatenate_explanations,
    explain,
    family,
    outputs,
)
from quintet.explanation.members import RunExplanation, explain_run
from quintet.explanation.refits import refits
from quintet.explanation.shapley import coalitions
from quintet.explanation.shapley.family_shapley import columns_by_family
from quintet.explanation.track import TrackPrediction, explain_track
from quintet.features.parameters import LogMelParameters
from quintet.model_folder.load import load_model
from quintet.model_folder.run import Run, read_run
from quintet.reports.run_page import SECTIONS
from quintet.reports.track_page import Sound, write_track
from quintet.training.settings import TrainSettings

MEMBERS = ("logistic_regression", "random_forest", "svm", "xgboost")
SETTINGS: dict[str, dict[str, Any]] = {
    "random_forest": {"n_estimators": 20},
    "svm": {"calibration_folds": 2},
    "xgboost": {"n_estimators": 20, "colsample_bytree": 1.0},
}
COLUMNS = [f"{f}.{i}.mean" for f in ("cepstral", "rhythm", "tonal") for i in range(4)]


def clips(n_tracks: int = 30) -> pd.DataFrame:
    """Three clips a track, three classes; `cepstral.0` is higher for b, `tonal.1` for c, and one column is
    constant."""
    rng = np.random.default_rng(3)
    track = np.repeat(np.arange(n_tracks), 3)
    label = np.array(list("abc"))[track % 3]
    values = pd.DataFrame(rng.normal(size=(len(track), len(COLUMNS))), columns=COLUMNS)
    values["cepstral.0.mean"] += 3.0 * (label == "b")
    values["tonal.1.mean"] += 3.0 * (label == "c")
    values["rhythm.3.mean"] = 1.0
    ids = [f"{t:02d}_{i % 3}" for i, t in enumerate(track)]
    return pd.concat(
        [pd.DataFrame({"id": ids, "label": label, "group": [f"artist {t:02d}" for t in track]}), values],
        axis=1,
    )


def train_run(folder: Path, frame: pd.DataFrame, **options: Any) -> Run:
    frame.to_csv(folder / "clips.csv", index=False)
    settings = TrainSettings(
        members=MEMBERS,
        settings=SETTINGS,
        folds=3,
        resamples=20,
        rules=("mean", "weighted"),
        rule="weighted",
        **options,
    )
    quintet.train(folder / "clips.csv", folder / "model", settings=settings)
    return read_run(folder / "model")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train_run(tmp_path_factory.mktemp("oof"), clips(), test_size=0.0)


@pytest.fixture(scope="module")
def found(run: Run) -> RunExplanation:
    return explain_run(run, full=True)


def test_refitted_member_repeats_the_out_of_fold_predictions_without_its_fold(run: Run) -> None:
    split = run.split.set_index("id")
    for name in MEMBERS:
        fold_refits = list(refits(run, name))
        assert [refit.fold for refit in fold_refits] == [0, 1, 2]
        for refit in fold_refits:
            assert set(split.loc[refit.held_out, "fold"]) == {refit.fold}
            assert not set(split.loc[refit.train, "group"]) & set(split.loc[refit.held_out, "group"])
            probabilities = full_probabilities(refit.member, run.values.loc[refit.held_out], run.classes)
            np.testing.assert_array_equal(
                probabilities, run.oof[name].take(list(refit.held_out)).probabilities
            )


def test_clips_are_explained_by_members_that_were_not_fitted_on_them(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    split, seen = run.split.set_index("id"), []

    def record(member: Any, X: pd.DataFrame, background: pd.DataFrame, **options: Any) -> Any:
        known = member.predict_proba(
            X
        )  # the member that gave these clips their out-of-fold predictions, or another
        seen.append(
            (member.member, set(split.loc[X.index, "fold"]), set(split.loc[background.index, "fold"]))
        )
        np.testing.assert_array_equal(known, run.oof[member.member].take(list(X.index)).probabilities)
        return explain(member, X, background, **options)

    monkeypatch.setattr(why, "explain", record)
    found = explain_run(run, full=True)
    assert sorted(name for name, *_ in seen) == sorted(MEMBERS * 3)
    assert all(len(own) == 1 and not own & background for _, own, background in seen)
    assert set(found.rows.index) == set(run.split["id"])


def test_family_values_end_at_the_prediction_given_out_of_fold(run: Run, found: RunExplanation) -> None:
    game = found.game
    assert game is not None
    assert run.calibration is not None
    given = run.calibration.apply(run.oof["weighted"].take(list(game.clips.index)).probabilities)
    np.testing.assert_allclose(game.shapley.prediction, given, atol=1e-9)
    assert game.shapley.residual < 1e-6
    assert set(run.split.set_index("id").loc[game.clips.index, "fold"]) == {0, 1, 2}
    assert game.by_class["cepstral"].idxmax() == "b"
    assert game.by_class["tonal"].idxmax() == "c"
    assert found.column_game is not None
    assert found.column_game.shapley.residual < 1e-9
    assert found.column_permutation is not None
    assert set(found.column_permutation["player"].head(2)) == {"cepstral.0.mean", "tonal.1.mean"}
    assert found.family_permutation is not None
    assert set(found.family_permutation["player"].head(2)) == {"cepstral", "tonal"}


def test_out_of_fold_values_add_up_and_rank_causes_first(found: RunExplanation) -> None:
    assert found.distance == 0.0
    for name, member in found.members.items():
        assert member.residual < 1e-5, name
        assert member.columns["b"].idxmax() == "cepstral.0.mean", name
        assert member.columns["c"].idxmax() == "tonal.1.mean", name
    assert set(found.folds.index) == set(MEMBERS)
    assert (found.folds["n_folds"] == 3).all()


@pytest.mark.slow
def test_page_names_out_of_fold_clips(
    run: Run, found: RunExplanation, tmp_path: Path, write_sections: Callable[..., Path]
) -> None:
    page = write_sections(run.path, tmp_path / "report", *SECTIONS, explanation=found)
    text = page.read_text(encoding="utf-8")
    assert "Explained out of fold." in text
    assert "each predicted by members that were trained without its group" in text
    assert "mean over 60 out-of-fold clips" in text
    assert "held-out clips" not in text
    assert ", 3 folds</small>" in text
    assert (tmp_path / "report" / "numbers" / "importance-folds.parquet").is_file()


def test_slow_member_is_left_out_with_its_time_as_reason(run: Run) -> None:
    slow = replace(
        run,
        bundle={
            **run.bundle,
            "fold_seconds": {"svm": [400.0, 320.0], "xgboost": [1.0], "random_forest": [0.5]},
        },
    )
    found = explain_run(slow, full=True)
    assert "about 12 min" in found.reasons["svm"]
    assert set(found.members) == set(MEMBERS) - {"svm"}
    assert found.game is None  # a member of the ensemble is missing


def test_explanations_with_different_columns_are_joined_by_name() -> None:
    X, y = clips().set_index("id")[COLUMNS], clips()["label"].to_numpy()
    narrow = X.assign(**{"cepstral.1.mean": 0.0})
    parts = [
        explain(make_member("logistic_regression").fit(table, y), table.iloc[:4], table.iloc[4:9])
        for table in (X, narrow)
    ]
    whole = concatenate_explanations(parts, COLUMNS)
    assert whole.values.shape == (8, len(COLUMNS) - 1, 3)
    assert list(whole.feature_names) == [c for c in COLUMNS if c != "rhythm.3.mean"]
    np.testing.assert_array_equal(whole.values[4:, whole.feature_names.index("cepstral.1.mean")], 0.0)
    np.testing.assert_array_equal(
        whole.values[4:, whole.feature_names.index("tonal.1.mean")], parts[1].values[:, -3]
    )
    np.testing.assert_allclose(
        whole.values.sum(axis=1) + whole.base_values,
        np.concatenate([p.values.sum(axis=1) + p.base_values for p in parts]),
    )


def test_shap_plots_accept_the_explanation(found: RunExplanation) -> None:
    matplotlib.use("Agg")
    from matplotlib import pyplot

    explanation = found.members["xgboost"].explanation.to_shap()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import shap

        of_class = explanation[:, :, "b"]
        for draw in (shap.plots.bar, shap.plots.beeswarm):
            draw(of_class, show=False)
            assert "cepstral.0.mean" in {text.get_text() for text in pyplot.gca().get_yticklabels()}
            pyplot.close("all")
        shap.plots.waterfall(of_class[0], show=False)
        assert any(
            "cepstral.0.mean" in text.get_text()
            for axes in pyplot.gcf().axes
            for text in axes.get_yticklabels()
        )
        pyplot.close("all")


# ---------------------------------------------------------------------------------- label sets


def tagged_clips() -> pd.DataFrame:
    """The same clips; every second one is also live, with a higher `rhythm.0`."""
    frame = clips()
    live = np.arange(len(frame)) % 2 == 0
    frame["rhythm.0.mean"] += 3.0 * live
    frame["label"] = np.where(live, frame["label"] + ";live", frame["label"])
    return frame


@pytest.fixture(
    scope="module",
    params=[pytest.param(0.3, id="held out", marks=pytest.mark.slow), pytest.param(0.0, id="out of fold")],
)
def sets(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Run, RunExplanation]:
    run = train_run(tmp_path_factory.mktemp("sets"), tagged_clips(), test_size=request.param)
    return run, explain_run(run, full=True)


@pytest.mark.slow
def test_each_tag_ranks_its_cause_first(sets: tuple[Run, RunExplanation]) -> None:
    run, found = sets
    assert run.multilabel
    assert set(found.members) == set(MEMBERS)
    for name, member in found.members.items():
        assert list(member.explanation.output_names) == ["a", "b", "c", "live"]
        assert member.residual < 1e-5
        assert member.columns["live"].idxmax() == "rhythm.0.mean", name
        assert "cepstral.0.mean" in member.columns["b"].nlargest(2).index, (
            name
        )  # a cause of c also speaks against b
    assert found.game is not None
    assert found.game.shapley.residual < 1e-6
    assert found.game.by_class["rhythm"].idxmax() == "live"
    p = run.report_predictions.take(list(found.game.clips.index))
    assert found.game.prediction == pytest.approx(
        (found.game.shapley.prediction * truth_weights(p)).sum(axis=1).mean()
    )
    assert found.column_permutation is not None
    assert set(found.column_permutation["player"].head(3)) == {
        "cepstral.0.mean",
        "tonal.1.mean",
        "rhythm.0.mean",
    }


@pytest.mark.slow
def test_page_of_label_sets_has_importance_family_values_and_maps(
    sets: tuple[Run, RunExplanation], tmp_path: Path, write_sections: Callable[..., Path]
) -> None:
    page = write_sections(sets[0].path, tmp_path / "report", *SECTIONS, explanation=sets[1])
    text = page.read_text(encoding="utf-8")
    for figure in ("game", "importance-columns", "sampled-columns", "lost-columns", "map-pca", "map-tsne"):
        assert f'id="figure-{figure}"' in text
    assert "probability of the true tags" in text
    assert "the clip does not have the tag" in text


@pytest.mark.parametrize("name", MEMBERS)
def test_tag_equals_the_two_class_member_of_that_tag(name: str) -> None:
    frame = tagged_clips()
    X, y = (
        frame[COLUMNS],
        np.column_stack([frame["label"].str.contains(tag) for tag in ("a", "b", "live")]).astype(int),
    )
    y = np.column_stack([y, np.ones(len(y), dtype=int)])  # and a tag that every row has
    settings = SETTINGS.get(name, {})
    whole = make_member(name, **settings).fit(X, y)
    found = explain(whole, X.iloc[:5], X.iloc[40:46], tags=["a", "b", "live", "all"])
    assert additivity_residual(found, outputs(whole, X.iloc[:5])) < 1e-5
    for k in range(3):
        single = make_member(name, **settings).fit(X, y[:, k])
        alone = explain(single, X.iloc[:5], X.iloc[40:46])
        np.testing.assert_allclose(found.values[:, :, k], alone.values[:, :, 1], atol=1e-6)
        np.testing.assert_allclose(found.base_values[:, k], alone.base_values[:, 1], atol=1e-6)
    np.testing.assert_array_equal(found.values[:, :, 3], 0.0)
    assert column_importance(found)["live"].idxmax() == "rhythm.0.mean"
    players = columns_by_family(COLUMNS, family)
    fast = coalitions.coalition_probabilities(whole, X.iloc[:4], X.iloc[40:43], players)
    slow = coalitions._hybrid_probabilities(whole, X.iloc[:4], X.iloc[40:43], players)
    assert fast.shape == (8, 12, 4)
    np.testing.assert_allclose(fast, slow, atol=2e-6)


@pytest.mark.slow
def test_track_with_tags_has_values_of_columns_and_families(
    sets: tuple[Run, RunExplanation], tmp_path: Path
) -> None:
    run, ensemble = sets[0], load_model(sets[0].path)
    rows = run.values.loc[list(run.report_predictions.clip_ids[:2])]
    members = ensemble.member_probabilities(rows)
    fused = ensemble.fuse_and_calibrate(members)
    curve = pd.DataFrame(fused, columns=list(run.classes)).assign(start=[0.0, 10.0], end=[10.0, 20.0])
    pictures = tuple(np.zeros((96, 40), np.float32) for _ in rows.index)
    track = TrackPrediction(
        name="song.mp3",
        duration_s=20.0,
        native_sample_rate=44100,
        native_channels=2,
        digests=("abc",),
        classes=run.classes,
        multilabel=True,
        starts=(0.0, 10.0),
        ends=(10.0, 20.0),
        features=rows,
        pictures=pictures,
        log_mel=LogMelParameters(),
        members=members,
        ensemble_predictions=fused,
        curve=curve,
        has_short_windows=False,
        unusable_windows=pd.DataFrame(columns=["start", "end", "reason"]),
    )
    found = explain_track(track, ensemble, run, full=True)
    assert found.reasons == {}
    assert set(found.contributions) == set(MEMBERS)
    for name, pushed in found.contributions.items():
        assert list(pushed.values.columns) == list(run.classes)
        assert pushed.residual < 1e-5
        output = pd.Series(outputs(ensemble.members_[name], rows).mean(axis=0), index=run.classes)
        pd.testing.assert_series_equal(
            pushed.values.sum() + pushed.base, output, atol=1e-5, check_names=False
        )
    assert found.game is not None
    np.testing.assert_allclose(found.game.values.sum(axis=1) + found.game.base, fused, atol=1e-6)
    page = write_track(track, found, run, tmp_path / "page", Sound("data:,", "No sound."))
    text = page.read_text(encoding="utf-8")
    assert 'id="figure-families-1"' in text
    assert 'id="figure-columns-svm"' in text
