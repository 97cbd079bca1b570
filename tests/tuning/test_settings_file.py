"""TOML files with settings of members."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest

from quintet.errors import ConfigError
from quintet.tuning.settings_file import read_settings, settings_section, toml_value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[train]\nseed = 1\n", "sections such as"),
        ("[train.settings]\nsvm = 3\n", "sections such as"),
        ("[train.settings.svm]\nK = 3\n", "setting of 'svm'"),
        ("[train.settings.svn]\nC = 3\n", "svm"),
        ("C = ", "not one"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "best.toml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_settings(tmp_path / "best.toml")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml"):
        read_settings(tmp_path / "none.toml")


@pytest.mark.parametrize(
    "value",
    [
        'quote " backslash \\ tab \t umlaut ü',
        True,
        3,
        1e-5,
        0.1,
        -2.5e100,
        [1, 2.0, "three"],
        {"mixup": 0.2, "mask_bands": 4},
    ],
)
def test_each_value_is_read_back_as_it_was(value: object) -> None:
    assert tomllib.loads(f"value = {toml_value(value)}") == {"value": value}


def test_numbers_of_numpy_become_plain_numbers() -> None:
    assert toml_value(np.float64(0.25)) == "0.25"
    assert toml_value(np.int64(3)) == "3"


def test_a_section_is_read_back(tmp_path: Path) -> None:
    settings = {"C": 3.0, "gamma": "scale"}
    file = tmp_path / "best.toml"
    file.write_text("\n".join(settings_section("svm", settings, comment="best of 9 trials")))
    assert read_settings(file) == {"svm": settings}
