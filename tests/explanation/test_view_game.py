"""The game of views: its values add up, and a view of noise adds exactly nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quintet.explanation.member_value import clips_of_report, ensemble_of
from quintet.explanation.shapley.view_game import view_game, view_of
from quintet.model_folder.run import Run, read_run
from quintet.reports.sections.members.views import view_blocks
from quintet.training.settings import TrainSettings
from quintet.training.train import train

KIND = "logistic_regression"
MEMBERS = (KIND, f"{KIND}@tags", f"{KIND}@embedding")


def fitted(folder: Path, members: tuple[str, ...], **settings: object) -> Run:
    n, rng = 150, np.random.default_rng(0)
    y = np.arange(n) % 3
    columns = {
        "cepstral.mfcc_01.mean": rng.normal(size=n),
        "tags_x.happy.mean": rng.normal(size=n) + 2 * y,
        "embedding_x.1.mean": rng.normal(size=n) + 2 * y,
    }
    facts = {"id": [f"c{i}" for i in range(n)], "label": np.array(["a", "b", "c"])[y]}
    table = pd.DataFrame({**facts, "group": [f"g{i // 3}" for i in range(n)], **columns})
    table.to_parquet(folder / "t.parquet")
    chosen = {name: {"C": 1.0} for name in members}
    options = {"rules": ("mean",), "folds": 3, "resamples": 0, "settings": chosen, **settings}
    train(folder / "t.parquet", folder / "m", settings=TrainSettings(members=members, **options))
    return read_run(folder / "m")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return fitted(tmp_path_factory.mktemp("views"), MEMBERS)


def test_the_ensemble_of_all_members_is_that_of_the_run(run: Run) -> None:
    clips = clips_of_report(run)
    assert clips is not None
    stored = run.report_predictions.take(list(clips.ids)).in_classes(run.classes).probabilities
    # In training, the final calibration learns from fusions of single folds: the difference is small.
    np.testing.assert_allclose(ensemble_of(run, MEMBERS, clips.ids), stored, atol=0.03)
    assert np.abs(ensemble_of(run, MEMBERS[:2], clips.ids) - stored).max() > 0.1


def test_the_values_of_the_views_add_up_and_noise_adds_nothing(run: Run) -> None:
    game = view_game(run, n_resamples=50)
    assert game is not None
    assert game.players == ("handmade", "tags", "embedding")
    scores = game.coalitions.set_index(list(game.players))
    for key in ("accuracy", "macro_auc", "log_loss"):
        own = game.values[game.values["score"] == key]["value"].sum()
        gained = scores.loc[(True, True, True), key] - scores.loc[(False, False, False), key]
        assert own == pytest.approx(gained)
    assert scores.loc[(False, False, False), "macro_auc"] == 0.5
    gains = game.additions.set_index(["added", "to", "score"])["value"]
    assert gains["handmade", "tags + embedding", "log_loss"] == 0
    assert gains["tags + embedding", "handmade", "log_loss"] < -0.3
    assert gains["tags", "handmade + embedding", "log_loss"] < 0  # their noise is independent
    assert gains["embedding", "handmade + tags", "log_loss"] < 0
    labels = [table.label for part in view_blocks(run) for table in part.blocks[1:]]
    assert labels == ["What a view adds", "Ensembles of some views"]


@pytest.mark.slow
def test_the_game_is_also_played_out_of_fold(tmp_path: Path) -> None:
    game = view_game(fitted(tmp_path, MEMBERS[1:], test_size=0.0), n_resamples=0)
    assert game is not None
    assert game.players == ("tags", "embedding")


def test_there_is_no_game_without_a_pretrained_view(tmp_path: Path) -> None:
    run = fitted(tmp_path, (KIND, f"{KIND}@cepstral"))
    assert view_game(run) is None
    assert view_blocks(run) == ()


def test_the_player_of_a_member_is_its_view() -> None:
    names = (
        "svm",
        "svm@rhythm",
        "svm@tags_x.std",
        "svm@embedding",
        "svm@tags+embedding",
        "musicnn",
        "svm@all",
    )
    players = [view_of(name) for name in names]
    assert players[:4] == ["handmade", "handmade", "tags", "embedding"]
    assert players[4:] == ["tags and embedding", "spectrogram", "tags and embedding"]
