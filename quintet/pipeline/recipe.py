"""Recipe: the settings of a whole run in one TOML file. Errors name the nearest valid key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from quintet.audio.augment import AudioAugmentation
from quintet.classifiers.registry import member_entry
from quintet.classifiers.views import split_name
from quintet.errors import ConfigError, unknown_name
from quintet.evaluation.metrics import MULTI_LABEL, SINGLE_LABEL
from quintet.features.catalogue import DEFAULT_SET
from quintet.features.parameters import FeatureParameters, LogMelParameters
from quintet.files.paths import require_path
from quintet.files.untrusted.strict_toml import TOML_ERRORS, read_toml
from quintet.settings import Stage, TomlTable, merge_settings, parse_settings
from quintet.training.settings import TrainSettings

MOST_SEGMENT_S = 86_400.0
"""Longest segment, seconds: a day."""

SCORES = tuple(dict.fromkeys((*SINGLE_LABEL, *MULTI_LABEL)))


class DataSettings(Stage):
    """Source of the clips.

    Args:
        source: folder, manifest, or the name of a built-in dataset. A recipe without source needs `--data`.
        expects: for a recipe without source, the data that `--data` must name.
        multilabel: whether labels are sets, even if each set holds one label.
        limit: the largest number of clips of each label, taken from its groups in turn.
        group_by: source of the groups, as in `quintet extract --group-by`.
        columns: role → column of a manifest, as in `quintet extract --column`.
        root: folder that the paths in a manifest start from.
        ignore_columns: columns of a manifest that are left out.
    """

    source: str | None = None
    expects: str = ""
    multilabel: bool = False
    limit: int | None = Field(default=None, ge=2)
    group_by: str | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    root: str | None = None
    ignore_columns: tuple[str, ...] = ()


class FeatureSettings(Stage):
    """Features of the clips, passed on to `quintet.features.parameters.FeatureParameters`.

    Args:
        set: name of the feature set.
        families: feature families of the set. None means all.
        overrides: further parameters.
        embeddings: names of pretrained networks whose columns are added, as in `quintet weights list`.
        windows: windows of a clip that the networks read, spread evenly over it, or `"all"`. Default: 10.
    """

    set: str = DEFAULT_SET
    families: tuple[str, ...] | None = None
    overrides: dict[str, Any] = Field(default_factory=dict)
    embeddings: tuple[str, ...] = ()
    windows: int | Literal["all"] | None = None


class SegmentSettings(Stage):
    """Segments of clips, for networks. Clips are cut after the split; early stopping and scores are by clip.

    Args:
        length_s: length of a segment, seconds.
        hop_s: distance between the starts of two segments, seconds. Default: `length_s`.
        skip_s: time to leave out at both ends of a clip, seconds.
        pooling: how the predictions of a clip's segments are joined.
    """

    length_s: float = Field(gt=0, le=MOST_SEGMENT_S)
    hop_s: float | None = Field(default=None, gt=0, le=MOST_SEGMENT_S)
    skip_s: float = Field(default=0.0, ge=0, le=MOST_SEGMENT_S)
    pooling: Literal["average", "vote", "knn"] = "average"

    def frames(self, log_mel: LogMelParameters) -> dict[str, int | str]:
        """The same as settings of a network, with lengths in frames of these spectrograms."""
        rate = log_mel.sample_rate / log_mel.hop_length
        hop_s = self.length_s if self.hop_s is None else self.hop_s
        return {
            "patch_frames": max(1, round(self.length_s * rate)),
            "hop_frames": max(1, round(hop_s * rate)),
            "skip_frames": round(self.skip_s * rate),
            "pooling": self.pooling,
        }


class PredictSettings(Stage):
    """Files to predict at the end of a run.

    Args:
        files: files, folders or globs. `held_out` stands for the pieces of the demo corpus that are not in
            the training data.
    """

    files: tuple[str, ...] = ()


class Published(Stage):
    """Published scores, which are printed beside ours.

    Args:
        protocol: how the paper split its data.
        scores: member or ensemble → score → value.
    """

    protocol: str
    scores: dict[str, dict[str, float]]

    def require_known(self, names: tuple[str, ...]) -> None:
        """Refuse scores of other members than `names`, and unknown scores.

        Raises:
            ConfigError: with the nearest valid name.
        """
        for name, scores in self.scores.items():
            if name not in names:
                raise unknown_name("member or ensemble with published figures", name, names)
            for score in scores:
                if score not in SCORES:
                    raise unknown_name("published score", score, SCORES)


class Recipe(Stage):
    """A whole run: data → features → training → report → predictions.

    Args:
        name: short name, equal to the name of the file.
        title: one line for `quintet list recipes`.
        source: the paper.
        data: source of the clips.
        features: features of the clips.
        spectrogram: spectrograms for networks. Default: those of the feature parameters.
        segments: segments for networks.
        augmentation: augmentation of audio for networks.
        train: members and their training.
        predict: files to predict at the end.
        published: published scores.
        scale: scale that `scale_recipe` has applied.
    """

    name: str
    title: str = ""
    source: str = ""
    data: DataSettings
    features: FeatureSettings = FeatureSettings()
    spectrogram: LogMelParameters | None = None
    segments: SegmentSettings | None = None
    augmentation: AudioAugmentation | None = None
    train: TrainSettings = TrainSettings()
    predict: PredictSettings = PredictSettings()
    published: Published | None = None
    scale: Literal["full", "small"] = "full"

    @model_validator(mode="after")
    def _check_sections(self) -> Self:
        self._require_networks()
        self._require_one_place()
        if self.published is not None:
            known = (*self.train.members, *self.train.ensembles, *self.train.rules)
            self.published.require_known(known)
        if self.segments is not None:
            self._require_free_settings(self.segments)
        self.parameters  # noqa: B018  refuses parameters that are not valid
        return self

    def _require_networks(self) -> None:
        """Refuse sections for networks in a recipe without networks."""
        for section in ("spectrogram", "segments", "augmentation"):
            if getattr(self, section) is not None and not self.networks:
                members = ", ".join(self.train.members)
                raise ValueError(f"[{section}] is for networks. None of the members is one: {members}.")

    def _require_one_place(self) -> None:
        """Refuse settings that stand in two sections."""
        if self.spectrogram is not None and "log_mel" in self.features.overrides:
            raise ValueError(
                "Spectrograms are described once: in [spectrogram], or under log_mel in [features.overrides]."
                " Received both."
            )
        if self.augmentation is not None and self.train.augmentation is not None:
            raise ValueError(
                "Augmentation is described once: in [augmentation], or in [train.augmentation]. "
                "Received both."
            )
        both = sorted({"feature_set", "families", "embeddings"} & self.features.overrides.keys())
        if both:
            raise ValueError(
                "[features] decides set, families and embeddings. "
                f"[features.overrides] names them too: {', '.join(both)}."
            )

    def _require_free_settings(self, segments: SegmentSettings) -> None:
        """Refuse settings of networks that [segments] decides."""
        decided = segments.frames(self.parameters.log_mel)
        for name in self.networks:
            both = sorted(decided.keys() & self.train.settings.get(name, {}).keys())
            if both:
                raise ValueError(
                    f"[segments] decides {', '.join(decided)}. "
                    f"The settings of {name} name them too: {', '.join(both)}."
                )

    @property
    def networks(self) -> tuple[str, ...]:
        """Names of the members that read spectrograms."""
        return tuple(name for name in self.train.members if member_entry(name).input == "spectrogram")

    @property
    def parameters(self) -> FeatureParameters:
        """All parameters of the features and the spectrograms, without pretrained networks."""
        overrides = dict(self.features.overrides)
        if self.spectrogram is not None:
            overrides["log_mel"] = self.spectrogram
        families = self.features.families
        return FeatureParameters(feature_set=self.features.set, families=families, **overrides)

    @property
    def training(self) -> TrainSettings:
        """Settings of the training, with segments as settings of the networks, and with the augmentation."""
        settings: dict[str, TomlTable] = {name: dict(chosen) for name, chosen in self.train.settings.items()}
        if self.segments is not None:
            frames = self.segments.frames(self.parameters.log_mel)
            for name in self.networks:
                settings[name] = settings.get(name, {}) | frames
        augmentation = self.augmentation or self.train.augmentation
        return self.train.model_copy(update={"settings": settings, "augmentation": augmentation})


SMALL_NETWORK: TomlTable = {"epochs": 2, "patches_per_clip": 1, "max_patches": 2}
SMALL: dict[str, TomlTable] = {  # settings that `--scale small` changes; all others stay as in the recipe
    "random_forest": {"n_estimators": 30},
    "xgboost": {"n_estimators": 20},
    "vgg16_transfer": {"weights": "random", "size": 48},
    "vgg16_fine_tune": {"weights": "random", "size": 32},
    "feed_forward": {"size": 32},
    "musicnn": {"weights": "random", "filters": 16, "units": 32},
    "musicnn_vgg": {"weights": "random", "filters": 8},
    "musicnn_vgg_transfer": {"weights": "random", "filters": 8},
    "pons2017": {"filters": 32, "units": 32},
    "folmer_cnn": {"size": 64, "filters": 8, "units": 32},
    "densenet121": {"weights": "random", "size": 32, "blocks": [2, 2, 2, 2]},
    "crnn": {"filters": 8},
    "lachmish_mel": {"units": 64},
    "lachmish_mfcc": {"units": 64},
}
SMALL_TRAINING: TomlTable = {
    "folds": 2,
    "test_size": 0.3,
    "resamples": 50,
    "protocols": (),
    "learning_curve": None,
}
SMALL_LIMIT = 6  # clips of each label
SCALES = ("full", "small")


def scale_recipe(recipe: Recipe, scale: str) -> Recipe:
    """The recipe at another scale.

    Args:
        recipe: the recipe at full scale.
        scale: `full`, or `small`: the same run with few clips, trees and epochs, narrow networks without
            downloads, and two folds.

    Raises:
        ConfigError: an unknown scale.
    """
    if scale not in SCALES:
        raise unknown_name("scale", scale, SCALES)
    if scale == "full":
        return recipe
    settings: dict[str, TomlTable] = {}
    for name in recipe.train.members:
        settings[name] = {**recipe.train.settings.get(name, {}), **SMALL.get(split_name(name)[0], {})}
        if name in recipe.networks:
            settings[name] |= SMALL_NETWORK if recipe.segments is None else {"epochs": 2}
    train = recipe.train.model_copy(update={"settings": settings, **SMALL_TRAINING})
    limit = min(recipe.data.limit or SMALL_LIMIT, SMALL_LIMIT)
    data = recipe.data.model_copy(update={"limit": limit})
    return recipe.model_copy(update={"scale": scale, "data": data, "train": train})


def override_settings(recipe: Recipe, settings: Mapping[str, TomlTable]) -> Recipe:
    """The recipe with other settings over its own, for example those that `quintet tune` found.

    Args:
        recipe: the recipe.
        settings: member → settings. Members that the recipe does not train are ignored.

    Raises:
        ConfigError: a setting that another section of the recipe decides.
    """
    merged: dict[str, TomlTable] = {}
    for name in recipe.train.members:
        chosen = merge_settings(recipe.train.settings.get(name, {}), settings.get(name, {}))
        if chosen:
            merged[name] = chosen
    content: TomlTable = {name: getattr(recipe, name) for name in Recipe.model_fields}
    content["train"] = recipe.train.model_copy(update={"settings": merged})
    return parse_settings(Recipe, content, where=f"The recipe '{recipe.name}' with these settings")


def load_recipe(path: str | Path, *, data: str | None = None) -> Recipe:
    """The recipe in a TOML file.

    Args:
        path: the file.
        data: a source that replaces that of the recipe.

    Raises:
        ConfigError: if the file is missing or is not TOML, or a key or value is not valid. The message names
            the key, and the nearest valid key.
    """
    file = Path(require_path(path, "`path`"))
    try:
        content = read_toml(file)
    except (FileNotFoundError, IsADirectoryError):
        raise ConfigError(
            f"A recipe must be a TOML file. There is no file {file}. "
            "`quintet list recipes` shows all recipes."
        ) from None
    except TOML_ERRORS as error:
        raise ConfigError(f"A recipe must be TOML. {file} is not: {error}.") from None
    if data is not None:
        content.setdefault("data", {})["source"] = data
    return parse_settings(Recipe, content, where=str(file))


def require_data(recipe: Recipe) -> str:
    """Source of the recipe's clips.

    Raises:
        ConfigError: if the recipe has none, because its data cannot come with quintet.
    """
    if recipe.data.source is None:
        expected = f" (published with {recipe.data.expects})" if recipe.data.expects else ""
        raise ConfigError(
            f"The recipe '{recipe.name}' needs data{expected}. Add --data PATH, or try it with "
            "--data demo --scale small."
        )
    return recipe.data.source


def is_recipe(name: str | Path) -> bool:
    """Whether a word of the command line is a recipe: a .toml file, or a name that is not a file.

    Example:
        >>> is_recipe("bahuleyan2018"), is_recipe("mine.toml"), is_recipe("features.parquet")
        (True, True, False)
    """
    path = Path(name)
    return path.suffix == ".toml" or not (path.suffix or path.exists())


def find_recipe(name: str | Path) -> Path:
    """File of a recipe.

    Args:
        name: a path, which is returned as it is, or the name of a recipe that comes with quintet.

    Raises:
        ConfigError: a name that is neither, with the nearest valid one.
    """
    path = Path(name)
    if path.suffix == ".toml" or (str(name) and path.exists()):
        return path
    recipes = shipped_recipes()
    if str(name) not in recipes:
        raise unknown_name("recipe", str(name), recipes)
    return recipes[str(name)]


def shipped_recipes() -> dict[str, Path]:
    """Name → file of the recipes that come with quintet. In a checkout they are in the folder `recipes/`."""
    package = Path(__file__).parents[1]
    installed, checkout = package / "recipes", package.parent / "recipes"
    folder = installed if installed.is_dir() else checkout
    files = sorted(folder.glob("*.toml"))
    return {file.stem: file for file in files}
