"""What `quintet list` shows: sources, published figures, parameter counts."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from quintet.errors import ConfigError
from quintet.listing import listing


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
