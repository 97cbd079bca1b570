"""Recipes: defaults, refusals with the nearest valid name, scales, and limits of clips."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from quintet.datasets.manifest import COLUMNS, Manifest
from quintet.errors import ArtefactError, ConfigError, DatasetError
from quintet.features.catalogue import DEFAULT_SET
from quintet.pipeline.preflight import check_members, check_recipe
from quintet.pipeline.recipe import find_recipe, load_recipe, override_settings, scale_recipe, shipped_recipes
from quintet.pipeline.runner import limit_clips, run_recipe


def write_recipe(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "recipe.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_short_recipe_gets_defaults(tmp_path: Path) -> None:
    recipe = load_recipe(
        write_recipe(tmp_path, 'name = "mine"\n[data]\nsource = "demo"\n[train]\nseed = 7\n')
    )
    assert (recipe.train.seed, recipe.train.folds, recipe.features.set, recipe.data.source) == (
        7,
        None,
        DEFAULT_SET,
        "demo",
    )


def test_the_source_can_be_replaced(tmp_path: Path) -> None:
    assert (
        load_recipe(
            write_recipe(tmp_path, 'name = "mine"\n[data]\nsource = "demo"\n'), data="elsewhere"
        ).data.source
        == "elsewhere"
    )


@pytest.mark.parametrize(
    "text",
    ["a = " + "[" * 100_000 + "]" * 100_000, "a = " + "[" * 60 + "]" * 60, "# " + "x" * 9_000_000],
    ids=["deep", "nested", "long"],
)
def test_toml_is_bounded(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="must be TOML"):
        load_recipe(write_recipe(tmp_path, text))


def test_a_message_is_short_whatever_a_recipe_holds(tmp_path: Path) -> None:
    lines = [f'"{"k" * 5000}{i}" = "{"v" * 5000}"' for i in range(50)]
    with pytest.raises(ConfigError, match="and 44 more faults") as caught:
        load_recipe(write_recipe(tmp_path, "name = 3\n" + "\n".join(lines)))
    assert len(str(caught.value)) < 4000


NETWORK = 'name = "a"\n[data]\nsource = "demo"\n[train]\nmembers = ["crnn"]\n'
SVM = 'name = "a"\n[data]\nsource = "demo"\n[train]\nmembers = ["svm"]\n'
VGG16 = SVM.replace("svm", "vgg16_transfer") + "[train.settings.vgg16_transfer]\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'name = "a"\n[data]\nsource = "demo"\n[train]\nfodls = 3\n',
            r"unknown key 'train\.fodls' \(did you mean 'folds'\?\)",
        ),
        (
            'name = "a"\n[data]\nsource = "demo"\n[training]\n',
            r"unknown key 'training' \(did you mean 'train'\?\)",
        ),
        (
            'name = "a"\n[data]\nsource = "demo"\n[train]\nfolds = 1\n',
            r"'train\.folds' must be greater than or equal to 2\. Received 1",
        ),
        ('name = "a"\n[data]\nsource = "demo"\n[train]\nmembers = ["svm", "svm"]\n', r"Members must differ"),
        (
            'name = "a"\n[data]\nsource = "demo"\n[train]\nrule = "median"\n',
            r"must be 'auto' or one of the rules",
        ),
        (
            'name = "a"\n[data]\nsource = "demo"\n[train.settings.lstm]\nx = 1\n',
            r"Settings must be for members that take part",
        ),
        (NETWORK + "[segments]\nlength_s = inf\n", r"'segments\.length_s' must be less than"),
        ('name = "a"\n', r"'data' is missing"),
        ("name = ", r"A recipe must be TOML"),
        ('name = "a"\n[data]\nsource = "demo"\n[train]\nmembers = ["crrn"]\n', r"Did you mean 'crnn'"),
        (NETWORK + "[spectrogram]\nn_mel = 40\n", r"'spectrogram.*did you mean 'n_mels'"),
        (NETWORK + '[spectrogram]\ncompression = "decibel"\n', r"compression.*db, log, power"),
        (NETWORK + "[spectrogram]\nsample_rate = 44100\n", r"must not exceed the features'"),
        (
            NETWORK + "[spectrogram]\nn_mels = 40\n[features.overrides.log_mel]\nn_mels = 50\n",
            r"described once",
        ),
        (
            NETWORK + "[segments]\nlenght_s = 3\n",
            r"unknown key 'segments\.lenght_s' \(did you mean 'length_s'\?\)",
        ),
        (NETWORK + '[segments]\nlength_s = 3\npooling = "mean"\n', r"'segments\.pooling'"),
        (
            NETWORK + "[segments]\nlength_s = 3\n[train.settings.crnn]\npatch_frames = 9\n",
            r"The settings of crnn name them too: patch_frames",
        ),
        (
            NETWORK + "[augmentation]\npitch_shift = [[5, 3]]\n",
            r"'augmentation': pitch_shift must be a range from low to high",
        ),
        (
            NETWORK + "[augmentation]\npich_shift = [[3, 5]]\n",
            r"unknown key 'augmentation\.pich_shift' \(did you mean 'pitch_shift'\?\)",
        ),
        (
            'name = "a"\n[data]\nsource = "demo"\n[segments]\nlength_s = 3\n[train]\nmembers = ["svm"]\n',
            r"\[segments\] is for networks",
        ),
        (
            NETWORK + '[train.ensembles]\nboth = ["crnn", "svm"]\n',
            r"An ensemble must .* members that take part",
        ),
        ('name = "a"\n[data]\nsource = "demo"\nlimits = 3\n', r"did you mean 'limit'"),
        (
            SVM.replace('["svm"]', "5"),
            r"'train\.members' must be a list, such as \[\"a\", \"b\"\]\. Received 5",
        ),
        (SVM.replace('["svm"]', "[]"), "at least one member"),
        (SVM + "test_size = 1.5\n", r"'train\.test_size' must be less than 1\. Received 1\.5"),
        (
            SVM + 'protocol = "groups"\n',
            r"'train\.protocol' must be one of: auto, group, sound, random, given\. .*Did you mean 'group'",
        ),
        (
            SVM + 'protocols = ["random", "artist"]\n',
            r"'train\.protocols\.1' must be one of: random, group, sound, given",
        ),
        (SVM + "[train.settings]\nsvm = 3\n", r"'train\.settings\.svm' must be a table"),
        (SVM + '[features]\nset = "bahuleyan"\n', "Did you mean 'bahuleyan2018'"),
        (
            SVM + '[features.overrides]\nfamilies = ["cepstral"]\n',
            r"\[features\.overrides\] names them too: families",
        ),
        (
            SVM + '[published]\nprotocol = "x"\n[published.scores]\nsvn = { accuracy = 0.5 }\n',
            "Did you mean 'svm'",
        ),
        (
            SVM + '[published]\nprotocol = "x"\n[published.scores]\nsvm = { acuracy = 0.5 }\n',
            "Did you mean 'accuracy'",
        ),
    ],
)
def test_a_fault_is_refused_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe(write_recipe(tmp_path, text))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="There is no file"):
        load_recipe(tmp_path / "nothing.toml")


def test_shipped_recipes_are_valid() -> None:
    recipes = shipped_recipes()
    assert "demo" in recipes
    for name, file in recipes.items():
        assert load_recipe(file).name == name


def test_a_name_is_found_and_a_typo_names_the_nearest() -> None:
    assert find_recipe("demo").name == "demo.toml"
    with pytest.raises(ConfigError, match="Did you mean 'demo'"):
        find_recipe("demmo")
    with pytest.raises(ConfigError, match="Received ''"):
        find_recipe("")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            SVM + '[train.settings.svm]\nC = "big"\n',
            r"\[train\.settings\.svm\]: C of 'svm' must be .* Received 'big'",
        ),
        (SVM + "[train.settings.svm]\nC = -1.0\n", "C of 'svm' must be .* Received -1.0"),
        (
            SVM + '[predict]\nfiles = ["held_out", "/no/such/*.wav"]\n',
            r"\[predict\] .* There is no /no/such",
        ),
        (
            NETWORK + "[train.settings.crnn]\nepochs = 0\n",
            r"\[train\.settings\.crnn\]: epochs of 'crnn' must be",
        ),
        (NETWORK + "[train.settings.crnn]\naugmentation = { mixupp = 0.3 }\n", "Did you mean 'mixup'"),
        (
            NETWORK + "[train.settings.crnn]\npatch_frames = 3\n",
            r"\[train\.settings\.crnn\]: The network 'crnn' must be possible",
        ),
        (
            NETWORK + "[spectrogram]\nn_mels = 40\n[train.settings.crnn]\nepochs = 2\n",
            "The network 'crnn' must be possible",
        ),
        (
            NETWORK
            + '[segments]\nlength_s = 3\npooling = "knn"\n[train.settings.crnn]\nvalidation_share = 0.0\n',
            "raise validation_share",
        ),
        (
            NETWORK.replace("[train]", "multilabel = true\n[train]")
            + '[segments]\nlength_s = 3\npooling = "vote"\n',
            "Tags must be pooled by 'average'",
        ),
        (SVM + "folds = 99\n", "Every class must lie in at least 100 groups"),
        (SVM + 'protocol = "given"\n', "'given' needs a `split` column"),
        (VGG16 + 'weights = "imagnet"\n', r"\[train\.settings\.vgg16_transfer\]: .*Did you mean 'imagenet'"),
        (VGG16 + 'weights = "/data/vgg.h5"\n', "'/data/vgg.h5', where there is no file"),
        (VGG16 + 'weights = "random"\nsize = 8\n', "The network 'vgg16_transfer' must be possible"),
    ],
)
def test_a_run_that_must_fail_is_refused_before_it_starts(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises((ConfigError, ArtefactError, DatasetError), match=message):
        run_recipe(load_recipe(write_recipe(tmp_path, text)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_valid_recipe_passes_the_checks(tmp_path: Path) -> None:
    text = NETWORK.replace('["crnn"]', '["crnn", "svm", "xgboost"]')
    text += "[train.settings.crnn]\nfilters = 8\n"
    text += "[train.settings.svm]\nC = 3.0\n"
    text += "[train.settings.xgboost]\nn_estimators = 5\n"
    check_recipe(load_recipe(write_recipe(tmp_path, text)))


def test_settings_of_a_search_replace_those_of_the_recipe(tmp_path: Path) -> None:
    text = NETWORK + "[segments]\nlength_s = 3\n[train.settings.crnn]\nepochs = 3\n"
    text += "augmentation = { mixup = 0.2, mask_bands = 4 }\n"
    recipe = load_recipe(write_recipe(tmp_path, text))
    settings = {"crnn": {"dropout": 0.5, "augmentation": {"mixup": 0.4}}, "svm": {"C": 2.0}}
    changed = override_settings(recipe, settings)
    assert changed.train.settings == {
        "crnn": {"epochs": 3, "dropout": 0.5, "augmentation": {"mixup": 0.4, "mask_bands": 4}}
    }
    for name in ("segments", "data"):
        assert getattr(changed, name) == getattr(recipe, name)
    assert changed.train.members == recipe.train.members
    unchanged = recipe.train.settings["crnn"]["augmentation"]
    assert unchanged == {"mixup": 0.2, "mask_bands": 4}
    with pytest.raises(ConfigError, match=r"\[segments\] decides .* name them too: patch_frames"):
        override_settings(recipe, {"crnn": {"patch_frames": 9}})


def test_lengths_of_segments_become_frames(tmp_path: Path) -> None:
    text = NETWORK.replace('["crnn"]', '["crnn", "svm"]') + "[train.settings.crnn]\nepochs = 3\n"
    text += "[spectrogram]\nhop_length = 441\n"
    text += '[segments]\nlength_s = 3\nhop_s = 1.5\nskip_s = 2\npooling = "vote"\n'
    settings = load_recipe(write_recipe(tmp_path, text)).training.settings
    assert settings == {
        "crnn": {"epochs": 3, "patch_frames": 150, "hop_frames": 75, "skip_frames": 100, "pooling": "vote"}
    }


def test_the_small_scale_changes_only_sizes() -> None:
    for name, file in shipped_recipes().items():
        full = load_recipe(file, data="demo")
        small = scale_recipe(full, "small")
        assert (small.train.members, small.features, small.spectrogram, small.segments) == (
            full.train.members,
            full.features,
            full.spectrogram,
            full.segments,
        ), name
        assert scale_recipe(full, "full") is full
        assert (full.scale, small.scale) == ("full", "small")
        assert all("imagenet" not in chosen.values() for chosen in small.training.settings.values())
        check_members(full)
        check_members(small)
    with pytest.raises(ConfigError, match="Did you mean 'small'"):
        scale_recipe(full, "smal")


def test_an_unknown_setting_is_refused_before_a_run_starts(tmp_path: Path) -> None:
    recipe = load_recipe(write_recipe(tmp_path, NETWORK + "[train.settings.crnn]\nepoch = 3\n"))
    with pytest.raises(ConfigError, match="Did you mean 'epochs'"):
        run_recipe(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("mark", ["bundle.json", "config.json", "export.json", "library.json", "index.html"])
def test_a_run_is_refused_in_the_output_of_another_command(tmp_path: Path, mark: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / mark).write_text("{}")
    with pytest.raises(ArtefactError, match=f"A run needs a folder of its own.*{mark}"):
        run_recipe(load_recipe(write_recipe(tmp_path, SVM)), tmp_path / "run")
    assert [file.name for file in (tmp_path / "run").iterdir() if not file.name.startswith(".")] == [mark]


def test_an_unknown_rule_is_refused_before_a_run_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'mean'"):
        load_recipe(write_recipe(tmp_path, NETWORK + 'rules = ["maen"]\n'))


def test_a_recipe_without_data_names_the_published_data(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"needs data \(published with AudioSet.*--data PATH"):
        run_recipe(load_recipe(find_recipe("bahuleyan2018")), tmp_path / "run")


def test_a_limit_takes_clips_from_each_group_in_turn() -> None:
    rows = [
        (f"{label}{group}{k}", label, f"{label}{group}")
        for label in "xy"
        for group in range(3)
        for k in range(1 + 2 * group)
    ]
    frame = pd.DataFrame(rows, columns=["id", "label", "group"]).assign(
        path="p", start=0.0, end=1.0, split=pd.NA, problem=pd.NA
    )
    manifest = Manifest(frame[list(COLUMNS)], "m", Path(), multilabel=False, grouped=True)
    assert limit_clips(manifest, 4).frame["id"].tolist() == [
        "x00",
        "x10",
        "x11",
        "x20",
        "y00",
        "y10",
        "y11",
        "y20",
    ]
    assert len(limit_clips(manifest, 100)) == len(manifest)
