"""Listings: sources, published scores, numbers of parameters."""

from __future__ import annotations

import io
import json
import sys

import pytest
from rich.console import Console

from quintet.cli import main
from quintet.commands.terminal.listing import lines, listing, records, together
from quintet.datasets.registry import DATASETS
from quintet.errors import ConfigError


def text_of(what: str, *, width: int = 200) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(listing(what))
    return out.getvalue()


def test_recipes_have_source_scores_and_protocol() -> None:
    text = text_of("recipes")
    for name in ("bahuleyan2018", "pons2017", "folmer2021", "lavanya2021", "lachmish2016", "demo"):
        assert name in text
    assert "arXiv:1804.01149" in text
    assert "vgg16_xgboost: accuracy 0.65, macro F1 0.62, macro AUC 0.894" in text
    assert "musicnn: macro AUC 0.9067, macro PR AUC 0.3831" in text
    assert "one random split 90 / 5 / 5" in text


def test_members_have_parameters_and_scores() -> None:
    text = text_of("models")
    by_name = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    assert "9,441,287" in by_name["vgg16_transfer"]
    assert "24,155,975" in by_name["vgg16_fine_tune"]
    assert "accuracy 0.63" in by_name["vgg16_transfer"]
    assert "accuracy 0.469" in by_name["lachmish_mel"]
    assert text_of("members") == text


def test_an_unknown_listing_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'recipes'"):
        listing("recipe")


def test_datasets_have_the_scores_that_were_published_on_them() -> None:
    by_name = {row["dataset"]: row for row in records("datasets")}
    assert set(by_name) == set(DATASETS)
    assert by_name["audioset"]["published"] == {
        "bahuleyan2018": {"vgg16_xgboost": {"accuracy": 0.65, "macro_f1": 0.62, "macro_auc": 0.894}},
        "bahuleyan2018_music": {"xgboost": {"accuracy": 0.59, "macro_f1": 0.55, "macro_auc": 0.865}},
    }
    assert set(by_name["gtzan"]["published"]) == {"folmer2021", "folmer2021_augmented", "lavanya2021"}
    assert by_name["fma"]["published"] is None
    assert "bahuleyan2018: vgg16_xgboost accuracy 0.65" in text_of("datasets")


def printed(*words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """Standard output of a command that succeeds."""
    monkeypatch.setattr(sys, "argv", ["quintet", *words])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code in (0, None)
    return capsys.readouterr().out


@pytest.mark.parametrize("what", ["members", "features", "columns", "datasets", "recipes", "rules"])
def test_a_pipe_receives_lines_and_a_script_json(
    what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = printed("list", what, monkeypatch=monkeypatch, capsys=capsys)
    names = together(what)
    tables = [table.splitlines() for table in text.split("\n\n")]
    assert tables == [list(lines(name)) for name in names]
    for name, table in zip(names, tables, strict=True):
        assert len({line.count("\t") for line in table}) == 1
        assert len(table) == 1 + len(records(name))
    content = printed("list", what, "--json", monkeypatch=monkeypatch, capsys=capsys)
    assert json.loads(content) == {name: records(name) for name in names}


def test_features_are_listed_with_their_columns_in_words() -> None:
    assert together("features") == ("features", "columns")
    rows = {row["column"]: row for row in records("columns")}
    row = rows["cepstral.mfcc_05.mean"]
    assert (row["words"], row["unit"], row["family"]) == ("timbre band 5, average", "dB", "cepstral")


def test_a_narrow_terminal_breaks_no_name() -> None:
    text = text_of("models", width=80)
    for row in records("models"):
        assert row["member"] in text
