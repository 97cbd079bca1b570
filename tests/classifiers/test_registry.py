"""Registry of members."""

import subprocess
import sys

import pytest

from quintet.classifiers.registry import DEFAULT_MEMBERS, MEMBERS, TABLE_MEMBERS, make_member
from quintet.errors import ConfigError


def test_names_are_unique_and_inputs_are_valid():
    assert len({row.name for row in MEMBERS}) == len(MEMBERS)
    assert {row.input for row in MEMBERS} <= {"table", "spectrogram"}


@pytest.mark.parametrize("row", MEMBERS, ids=lambda row: row.name)
def test_every_entry_makes_a_member_with_its_name_and_the_seed(row):
    estimator = make_member(row.name, seed=7)
    assert estimator.member == row.name
    assert estimator.get_params()["seed"] == 7


def test_an_unknown_name_or_setting_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match="Did you mean 'svm'"):
        make_member("svn")
    with pytest.raises(ConfigError, match="Did you mean 'max_depth'"):
        make_member("xgboost", max_deph=3)


def test_importing_the_registry_loads_no_heavy_library():
    code = (
        "import sys, quintet.classifiers.registry; "
        "print([m for m in ('tensorflow', 'keras', 'xgboost', 'sklearn', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_four_members_read_tables_and_the_default_adds_one_network():
    assert TABLE_MEMBERS == ("logistic_regression", "random_forest", "xgboost", "svm")
    assert (*TABLE_MEMBERS, "vgg_small") == DEFAULT_MEMBERS


def test_settings_of_a_network_are_settings_of_its_member():
    assert make_member("vgg16_transfer", weights="random").settings == {"weights": "random"}
    both = make_member("vgg16_transfer", settings={"size": 32}, weights="random")
    assert both.settings == {"size": 32, "weights": "random"}
    with pytest.raises(ConfigError, match="Did you mean 'weights'"):
        make_member("vgg16_transfer", weigths="random")
    with pytest.raises(ConfigError, match="Did you mean 'epochs'"):
        make_member("vgg16_transfer", epoch=3)
