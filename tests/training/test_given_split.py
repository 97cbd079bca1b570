"""The data's own split: who is fitted on what, what the test part reaches, and other values of the column."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quintet.classifiers.storage import load_member
from quintet.ensemble import RULE_NAMES
from quintet.ensemble.crossfit import Inputs, Trainer, full_probabilities
from quintet.errors import ConfigError, DatasetError
from quintet.explanation.member_value import calibrate_members, member_values
from quintet.explanation.refits import distance_from_training, refits
from quintet.features.storage.external_table import Roles, foreign_table
from quintet.features.storage.table import FeatureTable
from quintet.model_folder.run import Run, read_run
from quintet.predictions.predictions import read_predictions
from quintet.reports.run_page import write_report
from quintet.training.data import gather
from quintet.training.notes import run_notes
from quintet.training.result import TrainingResult
from quintet.training.settings import LearningCurveSettings, TrainSettings
from quintet.training.train import train

MEMBERS = ("logistic_regression", "random_forest")
SETTINGS = TrainSettings(members=MEMBERS, settings={"random_forest": {"n_estimators": 5}}, resamples=0)
CURVE = LearningCurveSettings(shares=(0.5, 0.7), repeats=2, members=("logistic_regression",))
COLUMNS = [f"x{j}" for j in range(6)]


def rows(seed: int = 0) -> pd.DataFrame:
    """72 artists with two clips each. Class a is in train and test only, class d in valid and test only."""
    rng = np.random.default_rng(seed)
    artist = np.repeat(np.arange(72), 2)
    part = np.repeat(["train", "valid", "test"], [72, 48, 24])
    labels = {"train": "abc", "valid": "bcd", "test": "abcd"}
    label = np.array([labels[p][g % len(labels[p])] for g, p in zip(artist, part, strict=True)])
    shift = np.zeros((144, 6))
    for k, name in enumerate("abcd"):
        shift[label == name, k] = 1.5
    x = rng.normal(size=(144, 6)) + 0.5 * rng.normal(size=(72, 6))[artist] + shift
    ids = [f"clip{i:03d}" for i in range(144)]
    return pd.DataFrame(x, columns=COLUMNS).assign(
        id=ids, label=label, group=[f"artist{g}" for g in artist], split=part
    )


def table(frame: pd.DataFrame) -> FeatureTable:
    return foreign_table(frame, Roles(), name="lists")


@dataclass(frozen=True)
class Trained:
    frame: pd.DataFrame
    result: TrainingResult
    run: Run

    @property
    def path(self) -> Path:
        return self.result.folder

    def part(self, *names: str) -> pd.DataFrame:
        """Rows of some parts, indexed by id and sorted as in training."""
        return self.frame[self.frame["split"].isin(names)].set_index("id").sort_index()


def train_on(frame: pd.DataFrame, folder: Path, **settings: Any) -> Trained:
    result = train(table(frame), folder, settings=SETTINGS.model_copy(update=settings))
    return Trained(frame, result, read_run(folder))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train_on(rows(), tmp_path_factory.mktemp("given") / "model", learning_curve=CURVE)


def test_members_are_judged_on_valid_and_final_members_are_fitted_on_both(trained: Trained) -> None:
    judged, both = trained.part("train"), trained.part("train", "valid")
    valid, test = trained.part("valid"), trained.part("test")
    for name in MEMBERS:
        stored = read_predictions(trained.path / f"predictions/oof/{name}.parquet")
        assert stored.clip_ids.tolist() == valid.index.tolist()
        trainer = Trainer(name, SETTINGS.settings.get(name, {}), seed=0)
        for part, predicted, file, fold in ((judged, valid, "oof", 0), (both, test, "test", -1)):
            y, groups = part["label"].to_numpy(str), part["group"].to_numpy(str)
            member = trainer.fit(Inputs(part[COLUMNS].astype(np.float32)), y, groups, fold=fold)
            expected = full_probabilities(member, predicted[COLUMNS].astype(np.float32), "abcd")
            stored = read_predictions(trained.path / f"predictions/{file}/{name}.parquet")
            np.testing.assert_allclose(stored.probabilities, expected, atol=1e-6)
        assert list(load_member(trained.path / "members" / name).classes_) == list("abcd")
    unknown = read_predictions(trained.path / "predictions/oof/logistic_regression.parquet")
    assert not unknown.probabilities[:, unknown.classes.index("d")].any()


def test_no_clip_of_the_train_part_has_a_prediction(trained: Trained) -> None:
    train_ids = set(trained.part("train").index)
    files = [*trained.path.rglob("oof/*.parquet"), trained.path / "verdict/oof.parquet"]
    assert len(files) == len(MEMBERS) + len(RULE_NAMES) + 1
    for file in files:
        assert not train_ids & set(read_predictions(file).clip_ids)
    strangeness = pd.read_parquet(trained.path / "verdict/strangeness.parquet")
    assert not train_ids & set(strangeness["id"])
    split = pd.read_parquet(trained.path / "split.parquet").set_index("id")
    assert (split.loc[sorted(train_ids), "fold"] == -1).all()
    assert (split.loc[trained.part("valid").index, "fold"] == 0).all()


def test_the_facts_of_the_validation_part_are_in_the_scores_and_the_notes(trained: Trained) -> None:
    content = json.loads((trained.path / "scores.json").read_text())
    facts = content["split"]["validation"]
    assert content["split"]["n_folds"] == 1
    assert (facts["n"], facts["n_taught"], facts["only_train"], facts["only_valid"]) == (48, 32, ["a"], ["d"])
    both = trained.part("train", "valid")["label"]
    assert facts["class_share"] == pytest.approx(both.isin(["b", "c"]).mean())
    assert (facts["n_units"], facts["groups_known"]) == (16, True)
    note = trained.result.notes[-1]
    for words in (
        "72 clips of the train part",
        "48 clips",
        "class of 16 clips",
        "no clip of: d",
        "no clip of: a",
    ):
        assert words in note
    assert trained.run.bundle["notes"][-1] == note
    assert trained.result.rule == "mean"  # 16 groups choose nothing
    assert content["verdict"]["calibration"]["method"] == "none"
    curve = content["learning_curve"]
    assert curve["n"] == 48
    assert curve["points"][-1]["clips"] == 72


def test_the_test_part_influences_nothing(trained: Trained, tmp_path: Path) -> None:
    """Other labels, other numbers and fewer clips in the test part."""
    frame = trained.frame.copy()
    is_test = frame["split"] == "test"
    frame.loc[is_test, COLUMNS] = 7.0 - 3 * frame.loc[is_test, COLUMNS].to_numpy()
    frame.loc[is_test, "label"] = np.roll(frame.loc[is_test, "label"].to_numpy(), 5)
    other = train_on(frame.drop(index=frame.index[is_test][::3]), tmp_path / "model")
    for file in ("fusion.json", "trust.json"):
        assert (other.path / file).read_bytes() == (trained.path / file).read_bytes()
    for file in ("verdict/oof.parquet", "predictions/oof/greedy.parquet"):
        first, second = (read_predictions(one.path / file) for one in (trained, other))
        np.testing.assert_array_equal(first.probabilities, second.probabilities)


def test_what_explains_a_run_repeats_what_was_learnt(trained: Trained) -> None:
    """Refits are the judged members; values and calibrations of members are learnt like the ensemble's."""
    (refit,) = refits(trained.run, "logistic_regression")
    assert refit.held_out.tolist() == trained.part("valid").index.tolist()
    assert distance_from_training(trained.run, "logistic_regression", refit) < 1e-6
    values = member_values(trained.run, n_resamples=0)
    log_loss = values[values["score"] == "log_loss"].set_index("member")["value"]
    scores = trained.result.scores["test"]
    mean = scores["mean"]["scores"]["log_loss"]["value"]
    for name, other in zip(MEMBERS, MEMBERS[::-1], strict=True):
        alone = scores[other]["scores"]["log_loss"]["value"]
        assert log_loss[name] == pytest.approx(mean - alone, abs=1e-6)
    assert {member.calibration.method for member in calibrate_members(trained.run).values()} == {"none"}


@pytest.mark.slow
def test_the_page_says_what_the_validation_part_taught(trained: Trained, tmp_path: Path) -> None:
    page = write_report(trained.path, tmp_path / "report").read_text(encoding="utf-8")
    assert "chosen on the validation part alone" in page
    assert trained.result.notes[-1].split(". ")[0] in page
    assert "Validation part" in page
    assert "Out of fold" not in page


def with_value(value: str) -> pd.DataFrame:
    frame = rows()
    frame.loc[frame.index // 2 % 6 == 0, "split"] = value
    return frame


def test_an_unknown_value_is_refused_with_the_option_that_maps_it() -> None:
    with pytest.raises(
        DatasetError, match=r"Received also: fault_excluded.*--split-value 'fault_excluded=unused'"
    ):
        gather(table(with_value("fault_excluded")), SETTINGS)


@pytest.mark.parametrize("part", ["unused", "test", "Training"])
def test_values_of_the_split_can_be_mapped(part: str) -> None:
    frame = with_value(" fault_excluded")
    material = gather(table(frame), SETTINGS.model_copy(update={"split_values": {"fault_excluded": part}}))
    mapped = frame.set_index("id")["split"].str.strip().eq("fault_excluded")
    expected = {"unused": "unused", "test": "test", "Training": "train"}[part]
    parts = material.split.frame.set_index("id")["part"]
    assert (parts[mapped[mapped].index] == expected).all()
    notes = [note for note in run_notes(material, SETTINGS) if "left out" in note]
    left_out = "24 rows of 144 are left out: 24 with the split value 'fault_excluded'."
    assert notes == ([left_out] if part == "unused" else [])


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"fault_excluded": "tset"}, ConfigError, "Did you mean 'test'"),
        ({"fault": "unused"}, DatasetError, "'fault' does not"),
    ],
)
def test_wrong_mappings_are_refused(values: dict[str, str], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        gather(table(with_value("fault_excluded")), SETTINGS.model_copy(update={"split_values": values}))


def test_a_mapping_without_a_given_split_is_refused() -> None:
    settings = SETTINGS.model_copy(update={"split_values": {"x": "unused"}, "protocol": "group"})
    with pytest.raises(ConfigError, match="need the data's own split"):
        gather(table(rows()), settings)
