"""The table of members."""

import subprocess
import sys

import pytest

from quintet.classifiers.registry import MEMBERS, make_member
from quintet.errors import ConfigError


def test_names_are_unique_and_inputs_known():
    assert len({row.name for row in MEMBERS}) == len(MEMBERS)
    assert {row.input for row in MEMBERS} <= {"table", "spectrogram"}


@pytest.mark.parametrize("row", MEMBERS, ids=lambda row: row.name)
def test_every_row_makes_a_member_that_knows_its_name_and_seed(row):
    estimator = make_member(row.name, seed=7)
    assert estimator.member == row.name
    assert estimator.get_params()["seed"] == 7


def test_an_unknown_name_or_setting_points_at_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean 'svm'"):
        make_member("svn")
    with pytest.raises(ConfigError, match="Did you mean 'max_depth'"):
        make_member("xgboost", max_deph=3)


def test_the_registry_loads_no_library_that_learns():
    code = "import sys, quintet.classifiers.registry; print([m for m in ('tensorflow', 'keras', 'xgboost', 'sklearn') if m in sys.modules])"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )
