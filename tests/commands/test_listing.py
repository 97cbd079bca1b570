"""What `quintet list` shows: sources, published figures, parameter counts."""

from __future__ import annotations

import io
import json
import sys

import pytest
from rich.console import Console

from quintet.cli import main
from quintet.commands.terminal.listing import lines, listing, records
from quintet.datasets.registry import DATASETS
from quintet.errors import ConfigError


def shown(what: str) -> str:
    out = io.StringIO()
    Console(file=out, width=200).print(listing(what))
    return out.getvalue()


def test_recipes_are_listed_with_source_figures_and_protocol() -> None:
    text = shown("recipes")
    for name in ("bahuleyan2018", "pons2017", "folmer2021", "lavanya2021", "lachmish2016", "demo"):
        assert name in text
    assert "arXiv:1804.01149" in text
    assert "vgg16_xgboost: accuracy 0.65, macro F1 0.62, macro AUC 0.894" in text
    assert "musicnn: macro AUC 0.9067, macro PR AUC 0.3831" in text
    assert "one random split 90 / 5 / 5" in text


def test_models_are_listed_with_their_parameters_and_figures() -> None:
    text = shown("models")
    lines = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    assert "9,441,287" in lines["vgg16_transfer"]
    assert "24,155,975" in lines["vgg16_fine_tune"]
    assert "accuracy 0.63" in lines["vgg16_transfer"]
    assert "accuracy 0.469" in lines["lachmish_mel"]
    assert shown("members") == text


def test_another_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'recipes'"):
        listing("recipe")


def test_datasets_are_listed_with_the_figures_that_were_published_on_them() -> None:
    found = {row["dataset"]: row for row in records("datasets")}
    assert set(found) == set(DATASETS)
    assert found["audioset"]["published"] == {
        "bahuleyan2018": {"vgg16_xgboost": {"accuracy": 0.65, "macro_f1": 0.62, "macro_auc": 0.894}}
    }
    assert set(found["gtzan"]["published"]) == {"folmer2021", "folmer2021_augmented", "lavanya2021"}
    assert found["fma"]["published"] is None
    assert "bahuleyan2018: vgg16_xgboost accuracy 0.65" in shown("datasets")


@pytest.mark.parametrize("what", ["members", "features", "datasets", "recipes", "rules"])
def test_a_pipe_gets_a_line_each_and_a_script_json(
    what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in ((), ("--json",)):
        monkeypatch.setattr(sys, "argv", ["quintet", "list", what, *words])
        with pytest.raises(SystemExit) as done:
            main()
        assert done.value.code in (0, None)
        said = capsys.readouterr().out
        if words:
            assert json.loads(said) == {what: records(what)}
        else:
            assert said.splitlines() == list(lines(what))
            assert len({line.count("\t") for line in said.splitlines()}) == 1
            assert len(said.splitlines()) == 1 + len(records(what))


def test_a_narrow_terminal_breaks_no_name() -> None:
    out = io.StringIO()
    Console(file=out, width=80).print(listing("models"))
    for row in records("models"):
        assert row["member"] in out.getvalue()
