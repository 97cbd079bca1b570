"""The protocol `sound`: blocks that sound alike, in the split of a run and in the leak gate."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quintet.errors import ConfigError, DatasetError
from quintet.features.storage.read import read_feature_table
from quintet.features.storage.table import FeatureTable
from quintet.model_folder.folder import ModelFolder
from quintet.model_folder.scores import LeakGate, RunScores, SplitFacts
from quintet.reports.front.chance_range import chance_range
from quintet.training.blocks.groups import describe_target
from quintet.training.data import find_protocol, gather
from quintet.training.leak_gate import chance_gate, leak_gate
from quintet.training.notes import run_notes
from quintet.training.scoring import RunScorer
from quintet.training.settings import TrainSettings
from quintet.workflow import train


@pytest.fixture
def songs(tmp_path, monkeypatch) -> FeatureTable:
    """Two classes of 12 songs, each cut into two clips that are almost equal; no group is known."""
    monkeypatch.setattr("quintet.training.blocks.common_sources.SWEEPS", 15)
    rng = np.random.default_rng(0)
    label = np.repeat(["jazz", "rock"], 24)
    values = np.repeat(rng.normal(size=(24, 8)), 2, axis=0) + 0.1 * rng.normal(size=(48, 8))
    frame = pd.DataFrame(values, columns=[f"x{i}" for i in range(8)])
    frame.insert(0, "label", label)
    frame.insert(0, "id", [f"clip{i:02}" for i in range(48)])
    frame.to_csv(tmp_path / "songs.csv", index=False)
    return read_feature_table(tmp_path / "songs.csv")


def same_block(groups: np.ndarray) -> float:
    return float((groups[::2] == groups[1::2]).mean())


def test_blocks_are_the_groups_of_the_split(songs):
    material = gather(songs, TrainSettings(protocol="sound", members=("svm",)))
    split = material.split
    assert (split.protocol, split.grouped, material.table.grouped) == ("sound", True, False)
    assert same_block(material.groups) > 0.4  # by chance: 2 of 24
    sides = [set(material.groups[rows]) for rows in (split.train, split.test)]
    assert sides[0].isdisjoint(sides[1])
    assert split.n_folds == 5
    for fit, held_out in split.folds():
        assert set(material.groups[fit]).isdisjoint(material.groups[held_out])


def test_data_without_groups_are_divided_by_blocks_unless_something_else_is_asked(songs):
    material = gather(songs, TrainSettings(members=("svm",)))
    assert (material.split.protocol, material.split.grouped) == ("sound", True)
    assert len(set(material.groups)) < len(material.ids)
    by_clip = gather(songs, TrainSettings(protocol="group", members=("svm",)))
    assert len(set(by_clip.groups)) == len(by_clip.ids)


PARTS = np.repeat(["train", "valid", "test", "train", "valid", "test"], [12, 6, 6] * 2)
"""Part of each song: halves of both classes are fitted on."""


def given(songs: FeatureTable, parts: np.ndarray) -> FeatureTable:
    return FeatureTable(songs.frame.assign(split=parts), songs.metadata)


def test_blocks_keep_clips_together_within_the_parts_of_a_given_split(songs):
    parts = PARTS.astype(object)
    parts[0], parts[13] = "unused", "test"  # the other clip of each is elsewhere
    material = gather(given(songs, parts), TrainSettings(members=("svm",)))
    assert (material.split.protocol, material.split.grouped, material.table.grouped) == (
        "given",
        False,
        False,
    )
    assert same_block(material.groups) > 0.4
    for group in set(material.groups):
        assert len(set(parts[material.groups == group])) == 1
    assert material.groups[1] != material.groups[0]
    facts = RunScorer(material, ModelFolder("none"), TrainSettings()).split_facts()
    assert facts.has_blocks
    assert not replace(facts, groups=facts.parts).has_blocks


def test_folds_of_a_given_train_part_are_by_blocks(songs):
    material = gather(
        given(songs, np.where(PARTS == "valid", "train", PARTS)), TrainSettings(members=("svm",))
    )
    split = material.split
    assert split.n_folds > 1
    assert same_block(material.groups[split.train]) > 0.4
    for fit, held_out in split.folds():
        assert set(material.groups[fit]).isdisjoint(material.groups[held_out])


@pytest.mark.parametrize("grouped", [True, False])
def test_groups_of_a_given_split_stay(songs, grouped):
    groups = [f"song{k // 2}" for k in range(48)]  # a table may bring them and not say so
    table = FeatureTable(
        songs.frame.assign(split=PARTS, group=groups), {**songs.metadata, "grouped": grouped}
    )
    assert gather(table, TrainSettings(members=("svm",))).groups.tolist() == groups


@pytest.mark.parametrize(
    ("split", "grouped", "settings", "expected"),
    [
        (None, False, {}, "sound"),
        (None, True, {}, "group"),
        ("train", False, {}, "given"),
        ("train", False, {"target": "songs"}, "sound"),
        ("train", True, {"protocol": "random"}, "random"),
    ],
)
def test_auto_is_the_protocol_that_suits_the_data(split, grouped, settings, expected):
    clips = pd.DataFrame({"split": [None, split]}, dtype=object)
    assert find_protocol(clips, TrainSettings(members=("svm",), **settings), grouped=grouped) == expected


def test_the_score_by_chance_stands_beside_that_by_blocks(songs):
    settings = TrainSettings(members=("random_forest",), resamples=0)
    gate = chance_gate(gather(songs, settings), settings)
    assert gate.probes == ("logistic_regression", "svm")
    assert set(gate.protocols) == {"random", "sound"}
    assert LeakGate.from_json(gate.to_json()).probes == gate.probes
    accuracy = {name: part["mean"].scores["accuracy"].value for name, part in gate.protocols.items()}
    text = chance_range(RunScores(split=SplitFacts(protocol="sound"), parts={}, leak_gate=gate))
    for value in accuracy.values():
        assert f"{value:.2f}".removeprefix("0") in text


def test_the_range_is_the_same_in_whichever_order_the_protocols_are_named(songs):
    settings = TrainSettings(protocol="sound", members=("logistic_regression",), resamples=50)
    material = gather(songs, settings)
    texts = {
        chance_range(
            RunScores(
                split=SplitFacts(protocol="sound"), parts={}, leak_gate=leak_gate(material, settings, order)
            )
        )
        for order in (("random", "sound"), ("sound", "random"))
    }
    assert len(texts) == 1
    assert "[" in texts.pop()


def test_of_many_clips_whole_blocks_of_each_class_are_probed(songs, monkeypatch):
    monkeypatch.setattr("quintet.training.leak_gate.MOST_PROBED", 24)
    settings = TrainSettings(members=("logistic_regression",), resamples=0)
    material = gather(songs, settings)
    scores = chance_gate(material, settings).protocols["sound"]["mean"]
    sizes = Counter(material.groups.tolist())
    assert 24 <= scores.n <= 24 + 2 * max(sizes.values()) + 2 * 5
    assert scores.n < 48
    assert min(scores.support.values()) >= 5


def test_known_groups_are_refused(songs):
    settings = TrainSettings(protocol="sound", members=("svm",))
    with pytest.raises(ConfigError, match="This table has groups: use 'group'"):
        gather(replace(songs, metadata={**songs.metadata, "grouped": True}), settings)


@pytest.fixture
def tagged(songs) -> FeatureTable:
    """The songs with tags: the two clips of every third song differ in one tag, and one tag has two songs."""
    live = np.where(np.arange(48) % 6 == 1, ";live", "")
    rare = np.where(np.arange(48) < 4, ";rare", "")
    frame = songs.frame.assign(label=songs.frame["label"] + live + rare)
    return FeatureTable(frame, {**songs.metadata, "multilabel": True})


def test_clips_with_label_sets_are_kept_together_too(tagged):
    material = gather(tagged, TrainSettings(members=("svm",)))
    assert (material.split.protocol, material.split.grouped, material.multilabel) == ("sound", True, True)
    assert same_block(material.groups) > 0.4  # by chance: 2 of 24
    is_crossed = material.labels[::2] != material.labels[1::2]
    assert same_block(material.groups[np.repeat(is_crossed, 2)]) > 0.2
    for tag in ("live", "rare"):
        blocks = material.groups[[tag in label for label in material.labels]]
        assert len(set(blocks)) >= 3


def test_the_range_of_label_sets_is_in_macro_auc(tagged):
    settings = TrainSettings(members=("logistic_regression",), resamples=50)
    gate = chance_gate(gather(tagged, settings), settings)
    text = chance_range(RunScores(split=SplitFacts(protocol="sound"), parts={}, leak_gate=gate))
    for protocol in ("random", "sound"):
        value = gate.protocols[protocol]["mean"].scores["macro_auc"].value
        assert f"{value:.2f}".removeprefix("0") in text
    assert "mean over the tags" in text
    assert "[" in text


def test_of_many_clips_with_label_sets_each_tag_is_probed(tagged, monkeypatch):
    monkeypatch.setattr("quintet.training.leak_gate.MOST_PROBED", 12)
    settings = TrainSettings(members=("logistic_regression",), resamples=0, folds=2)
    scores = chance_gate(gather(tagged, settings), settings).protocols["sound"]["mean"]
    assert scores.n < 48
    assert min(scores.support.values()) >= 2


def test_a_target_may_decide_for_label_sets(tagged, target):
    settings = TrainSettings(protocol="sound", target=str(target), members=("svm",), test_size=0.0)
    material = gather(tagged, settings, target=describe_target(target, tagged))
    assert same_block(material.groups) > 0.4


def test_the_leak_gate_keeps_blocks_together_whatever_the_split_of_the_run(songs):
    settings = TrainSettings(members=("logistic_regression",), resamples=0)
    material = gather(songs, settings)
    gate = leak_gate(material, settings, ("random", "sound"))
    assert gate.ungrouped == ("random",)
    assert set(gate.protocols) == {"random", "sound"}


@pytest.mark.slow
def test_songs_without_classes_are_no_better_than_chance_by_sound(songs, tmp_path):
    settings = TrainSettings(
        protocol="sound", protocols=("random", "sound"), members=("svm",), test_size=0.0, resamples=0
    )
    result = train(songs, tmp_path / "model", settings=settings)
    gate = result.results.leak_gate
    accuracy = {name: part["svm"].scores["accuracy"].value for name, part in gate.protocols.items()}
    assert accuracy["random"] > accuracy["sound"] + 0.15
    split = result.results.split
    assert (split.protocol, split.grouped, split.groups_known) == ("sound", True, False)


@pytest.fixture
def target(tmp_path) -> Path:
    """A table of 20 songs that are near to none of the training, without labels."""
    values = np.random.default_rng(5).normal(size=(20, 8))
    frame = pd.DataFrame(values, columns=[f"x{i}" for i in range(8)])
    frame.insert(0, "id", [f"new{i}" for i in range(20)])
    frame.to_csv(tmp_path / "target.csv", index=False)
    return tmp_path / "target.csv"


def test_a_target_decides_how_many_clips_stay_together(songs, target):
    settings = TrainSettings(protocol="sound", target=str(target), members=("svm",), test_size=0.0)
    far = describe_target(target, songs)
    assert far.shape == (20, 8)
    material = gather(songs, settings, target=far)
    assert same_block(material.groups) > 0.6
    assert any("its 20 songs" in note for note in run_notes(material, settings))
    near = gather(songs, settings, target=songs.features.to_numpy() + 0.01)
    assert len(set(near.groups)) == len(near.ids)


def test_a_target_needs_the_columns_and_the_protocol(songs, target, tmp_path):
    with pytest.raises(ValueError, match="must be 'sound'"):
        TrainSettings(target="songs", protocol="group")
    pd.read_csv(target).drop(columns="x3").to_csv(tmp_path / "less.csv", index=False)
    with pytest.raises(DatasetError, match="lacks 1: 'x3'"):
        describe_target(tmp_path / "less.csv", songs)
    with pytest.raises(DatasetError, match="must be a feature table"):
        describe_target(tmp_path, songs)
