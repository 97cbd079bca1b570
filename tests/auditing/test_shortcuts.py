from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from quintet.auditing.shortcuts import ALL_SIGNALS, SIGNALS, shortcut_audit
from quintet.errors import DatasetError


def corpus(seed: int, *, classes: int = 3, each: int = 30) -> tuple[pd.DataFrame, pd.Series, pd.Series]:
    """Facts, labels and groups; the facts are independent of the labels."""
    rng = np.random.default_rng(seed)
    n = classes * each
    facts = pd.DataFrame(
        {
            "duration_s": rng.lognormal(2, 0.4, n),
            "native_sample_rate": rng.choice([22050, 44100, 48000], n),
            "native_channels": rng.choice([1, 2], n),
            "cutoff_hz": np.where(rng.random(n) < 0.3, 16000.0, 22050.0),
            "loudness_db": rng.normal(-20, 4, n),
            "silence_share": np.maximum(rng.normal(0.02, 0.05, n), 0),
        },
        index=[f"t{k}" for k in range(n)],
    )
    labels = pd.Series([f"class{k % classes}" for k in range(n)], index=facts.index)
    return facts, labels, pd.Series(facts.index, index=facts.index)


def by_signal(table: pd.DataFrame) -> pd.DataFrame:
    return table.set_index("signal")


@pytest.mark.slow
def test_random_facts_give_no_warning() -> None:
    found = shortcut_audit(*corpus(0))
    assert set(found["signal"]) == {ALL_SIGNALS, *SIGNALS.values()}
    assert not found["warning"].any()
    assert (found["low"] < 0.55).all()


def test_only_loudness_has_a_warning_if_it_gives_the_class() -> None:
    facts, labels, groups = corpus(2)
    facts["loudness_db"] += np.where(labels == "class1", 12.0, 0.0)
    found = by_signal(shortcut_audit(facts[["loudness_db", "duration_s"]], labels, groups))
    assert found.loc["loudness", "warning"]
    assert found.loc[ALL_SIGNALS, "warning"]
    assert not found.loc["duration", "warning"]


@pytest.mark.slow
def test_only_the_sample_rate_has_a_warning_if_it_gives_the_class() -> None:
    facts, labels, groups = corpus(3, classes=2)
    facts["native_sample_rate"] = np.where(labels == "class1", 22050, 44100)
    found = by_signal(shortcut_audit(facts[["native_sample_rate", "loudness_db"]], labels, groups))
    assert found.loc["sample rate", ["auc", "low", "high"]].tolist() == [1.0, 1.0, 1.0]
    assert found.loc["sample rate", "warning"]
    assert not found.loc["loudness", "warning"]


@pytest.mark.slow
def test_a_fact_of_the_group_is_no_shortcut() -> None:
    facts, labels, _ = corpus(4, classes=2, each=40)
    groups = pd.Series([f"artist{k // 8}" for k in range(80)], index=facts.index)
    labels = pd.Series([f"class{k // 8 % 2}" for k in range(80)], index=facts.index)
    facts = facts.assign(
        duration_s=np.random.default_rng(0).permutation(10)[np.arange(80) // 8].astype(float)
    )[["duration_s"]]
    honest = by_signal(shortcut_audit(facts, labels, groups))
    fooled = by_signal(shortcut_audit(facts, labels, pd.Series(facts.index, index=facts.index)))
    assert not honest.loc["duration", "warning"]
    assert fooled.loc["duration", "warning"]  # as if every clip were its own recording
    assert fooled.loc["duration", "auc"] > 0.99


def test_a_constant_fact_has_the_auc_of_chance() -> None:
    facts, labels, groups = corpus(5)
    found = shortcut_audit(
        facts[["native_channels"]].assign(native_channels=1, cutoff_hz=np.nan), labels, groups
    )
    assert found.to_numpy().tolist() == [
        [ALL_SIGNALS, 0.5, 0.5, 0.5, False],
        ["channels", 0.5, 0.5, 0.5, False],
    ]
    assert shortcut_audit(facts[[]], labels, groups).empty


def test_a_missing_value_can_give_the_class() -> None:
    facts, labels, groups = corpus(6, classes=2)
    lengths = pd.Series(5.0, index=facts.index).where(labels == "class0")
    assert (
        by_signal(shortcut_audit(lengths.to_frame("duration_s"), labels, groups)).loc["duration", "auc"]
        == 1.0
    )


@pytest.mark.slow
def test_label_sets_give_the_same_table_with_the_same_seed() -> None:
    facts, labels, groups = corpus(7, classes=2)
    sets = labels.where(np.arange(60) % 3 > 0, labels + ";live")
    facts = facts.assign(loudness_db=np.where(labels == "class0", -10.0, -30.0))[["loudness_db"]]
    a, b = (shortcut_audit(facts, sets, groups, seed=3) for _ in range(2))
    pd.testing.assert_frame_equal(a, b)
    assert 0.7 < by_signal(a).loc["loudness", "auc"] < 1.0  # two of three tags


def test_one_group_per_class_is_an_error() -> None:
    facts, labels, _ = corpus(8, classes=2)
    with pytest.raises(DatasetError, match="two groups each"):
        shortcut_audit(facts, labels, labels)


def test_two_groups_per_class_are_enough() -> None:
    facts, labels, _ = corpus(9, classes=2)
    groups = labels + pd.Series(np.where(np.arange(60) < 30, "a", "b"), index=labels.index)
    found = shortcut_audit(facts[["loudness_db"]], labels, groups)
    assert found["auc"].between(0, 1).all()
