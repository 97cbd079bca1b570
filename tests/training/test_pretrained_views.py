"""Members of pretrained views: those by default, and the stamp on every score that depends on them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from quintet.classifiers.registry import DEFAULT_MEMBERS, TABLE_MEMBERS, make_member
from quintet.commands.terminal.output import print_scores
from quintet.errors import ConfigError
from quintet.features.embedding_columns import EmbeddingOutput, EmbeddingParameters
from quintet.features.parameters import FeatureParameters
from quintet.features.storage.table import META_COLUMNS, FeatureTable
from quintet.model_folder.run import read_run
from quintet.reports.report_data import ReportData
from quintet.reports.section import Note
from quintet.reports.sections.scores import scores_section
from quintet.training.pretrained import default_members, find_pretrained
from quintet.training.result import TrainingResult
from quintet.training.settings import TrainSettings
from quintet.training.train import train

MEMBERS = ("logistic_regression", "logistic_regression@tags_msd")
HAND, TAG = "cepstral.mfcc_01.mean", "tags_msd.happy.mean"


def table(strength: float = 3.0, *, ours: bool = True) -> FeatureTable:
    rng = np.random.default_rng(0)
    n = 48
    y = np.arange(n) % 2
    columns = {HAND: rng.normal(size=n) + (0 if strength else 3) * y, TAG: rng.normal(size=n) + strength * y}
    facts = {
        **dict.fromkeys(META_COLUMNS),
        "id": [f"c{i:02d}" for i in range(n)],
        "label": np.array(["a", "b"])[y],
        "group": (np.arange(n) // 2).astype(str),
        "status": "ok",
        "duration_s": 1.0,
    }
    frame = pd.DataFrame({**facts, **columns}, index=range(n))
    output = EmbeddingOutput(family="tags_msd", dimension=1, tags=("happy",))
    network = EmbeddingParameters(
        network="musicnn_msd", contract="0" * 16, sample_rate=16000, outputs=(output,), trained_on="The Songs"
    )
    parameters = FeatureParameters(embeddings=(network,)).model_dump(mode="json")
    metadata = {"grouped": True, "parameter_hash": "x", "parameters": parameters if ours else None}
    return FeatureTable(frame, metadata)


def trained(folder: Path, strength: float) -> TrainingResult:
    settings = TrainSettings(members=MEMBERS, rules=("mean",), folds=2, resamples=0)
    return train(table(strength), folder, settings=settings)


def test_members_by_default_follow_the_views_of_the_table() -> None:
    ours, foreign = table(), table(ours=False)
    tagged = ("logistic_regression@tags", "random_forest@tags")
    assert default_members(ours) == (*DEFAULT_MEMBERS, *tagged)
    assert default_members(foreign) == (*TABLE_MEMBERS, *tagged)
    without_tags = FeatureTable(foreign.frame.drop(columns=TAG), foreign.metadata)
    assert default_members(without_tags) == TABLE_MEMBERS
    only_tags = FeatureTable(foreign.frame.drop(columns=HAND), foreign.metadata)
    assert default_members(only_tags) == tagged


def test_scores_of_pretrained_views_are_stamped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = trained(tmp_path / "m", 3.0)
    stamp = result.to_json()["scores"]["pretrained"]
    assert stamp["names"] == ["logistic_regression@tags_msd", "mean", "verdict"]
    assert stamp["trained_on"] == {"tags_msd": "The Songs"}
    print_scores(result)
    terminal = capsys.readouterr().out
    assert "logistic_regression@tags_msd†" in terminal
    assert "mean†" in terminal
    assert "logistic_regression†" not in terminal
    assert "tags_msd: The Songs" in terminal
    run = read_run(tmp_path / "m")
    notes = [block for block in scores_section(ReportData(run)).blocks if isinstance(block, Note)]
    assert "tags_msd: The Songs" in next(note.text for note in notes if note.id == "pretrained")


def test_a_rule_that_gives_the_view_no_weight_has_no_stamp(tmp_path: Path) -> None:
    result = trained(tmp_path / "m", 0.0)
    assert result.results.pretrained is not None
    assert result.results.pretrained.names == ("logistic_regression@tags_msd",)


@pytest.mark.parametrize(
    ("weights", "music"), [("msd", "the Million Song Dataset"), ("mine.onnx", ""), ("random", None)]
)
def test_a_network_that_started_from_music_carries_the_stamp(weights: str, music: str | None) -> None:
    fusion = SimpleNamespace(members=("musicnn_vgg", "svm"), weights=(0.5, 0.5))
    members = {"musicnn_vgg": make_member("musicnn_vgg", weights=weights), "svm": make_member("svm")}
    ensemble = SimpleNamespace(members_=members, fusions_={"mean": fusion}, rule_="mean")
    stamp = find_pretrained(table(ours=False), ensemble)  # type: ignore[arg-type]
    if music is None:
        assert stamp is None
        return
    assert stamp is not None
    assert stamp.names == ("musicnn_vgg", "mean", "verdict")
    assert stamp.trained_on == {"musicnn_vgg": music}


def test_a_view_that_the_table_lacks_is_refused_before_anything_is_fitted(tmp_path: Path) -> None:
    settings = TrainSettings(members=("svm", "svm@embedding"))
    with pytest.raises(ConfigError, match="none for 'embedding'"):
        train(table(), tmp_path / "m", settings=settings)
    assert not (tmp_path / "m" / "members").exists()
