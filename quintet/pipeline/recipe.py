"""The run file: one TOML, composed of the stages' small models. Unknown keys are errors that name the nearest valid one."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from quintet.audio.augment import AudioAugmentation
from quintet.classifiers.registry import member_entry
from quintet.errors import ConfigError, unknown_name
from quintet.evaluation.metrics import MULTI_LABEL, SINGLE_LABEL
from quintet.features.parameters import FeatureParameters, LogMelParameters
from quintet.settings import Stage, merge_settings, parse_settings
from quintet.training.settings import TrainSettings

SCORES = tuple(dict.fromkeys((*SINGLE_LABEL, *MULTI_LABEL)))


class DataSettings(Stage):
    """Where the clips come from.

    `source`: folder, manifest, or the name of a built-in dataset; a recipe without one says in `expects` what `--data` must name. `multilabel`:
    labels are sets, even where every set holds one. `limit`: at most so many clips of each label, dealt over its groups.
    """

    source: str | None = None
    expects: str = ""
    multilabel: bool = False
    limit: int | None = Field(default=None, ge=2)
    group_by: str | None = None
    columns: dict[str, str] = Field(default_factory=dict)


class FeatureSettings(Stage):
    """Which descriptors; passed on to `quintet.features.parameters.FeatureParameters`."""

    set: str = "full"
    families: tuple[str, ...] | None = None
    overrides: dict[str, Any] = Field(default_factory=dict)


class SegmentSettings(Stage):
    """Multi-framing, for networks: every clip in segments, cut after the split; early stopping and scores by clip.

    `length_s`, `hop_s`: of the segments, seconds. `skip_s`: left out at both ends of a clip. `pooling`: of a clip's segments: average, vote, knn.
    """

    length_s: float = Field(gt=0)
    hop_s: float | None = Field(default=None, gt=0)
    skip_s: float = Field(default=0.0, ge=0)
    pooling: Literal["average", "vote", "knn"] = "average"

    def frames(self, log_mel: LogMelParameters) -> dict[str, Any]:
        """The same as settings of a network that reads these spectrograms."""
        rate = log_mel.sample_rate / log_mel.hop_length
        hop_s = self.length_s if self.hop_s is None else self.hop_s
        seconds = {"patch_frames": self.length_s, "hop_frames": hop_s}
        return {name: max(1, round(s * rate)) for name, s in seconds.items()} | {
            "skip_frames": round(self.skip_s * rate),
            "pooling": self.pooling,
        }


class PredictSettings(Stage):
    """What to predict at the end of a run: files, folders or globs; `held_out` stands for the demo's unheard pieces."""

    files: tuple[str, ...] = ()


class Published(Stage):
    """What the paper reports, and under which protocol: printed beside our figures."""

    protocol: str
    scores: dict[str, dict[str, float]]

    def require_known(self, names: tuple[str, ...]) -> None:
        """Refuse figures of nobody who takes part, and scores that there are not."""
        for name, figures in self.scores.items():
            if name not in names:
                raise unknown_name("member or ensemble with published figures", name, names)
            for score in figures:
                if score not in SCORES:
                    raise unknown_name("published score", score, SCORES)


class Recipe(Stage):
    """A whole run: data → features → training → report → predictions.

    `spectrogram`: what networks read. `segments`: multi-framing. `augmentation`: of audio. All three are for networks. `scale`: what `scale_recipe` made.
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
    def _stages_fit(self) -> Self:
        networks = self.networks
        for section in ("spectrogram", "segments", "augmentation"):
            if getattr(self, section) is not None and not networks:
                raise ValueError(
                    f"[{section}] is for networks. None of the members is one: {', '.join(self.train.members)}."
                )
        if self.spectrogram is not None and "log_mel" in self.features.overrides:
            raise ValueError(
                "Spectrograms are described once: in [spectrogram], or under log_mel in [features.overrides]. Received both."
            )
        if self.augmentation is not None and self.train.augmentation is not None:
            raise ValueError(
                "Augmentation is described once: in [augmentation], or in [train.augmentation]. Received both."
            )
        if both := sorted({"feature_set", "families"} & self.features.overrides.keys()):
            raise ValueError(
                f"[features] decides set and families. [features.overrides] names them too: {', '.join(both)}."
            )
        if self.published is not None:
            self.published.require_known((*self.train.members, *self.train.ensembles, *self.train.rules))
        if self.segments is not None:
            own = self.segments.frames(self.parameters.log_mel)
            for name in networks:
                if both := sorted(own.keys() & self.train.settings.get(name, {}).keys()):
                    raise ValueError(
                        f"[segments] decides {', '.join(own)}. The settings of {name} name them too: {', '.join(both)}."
                    )
        self.parameters  # noqa: B018  what cannot be is refused here
        return self

    @property
    def networks(self) -> tuple[str, ...]:
        """The members that read spectrograms."""
        return tuple(name for name in self.train.members if member_entry(name).input == "spectrogram")

    @property
    def parameters(self) -> FeatureParameters:
        """What is measured, complete."""
        own: dict[str, Any] = {} if self.spectrogram is None else {"log_mel": self.spectrogram}
        return FeatureParameters(
            feature_set=self.features.set, families=self.features.families, **self.features.overrides, **own
        )

    @property
    def training(self) -> TrainSettings:
        """How members are trained, segments and augmentation put in their places."""
        settings = {name: dict(chosen) for name, chosen in self.train.settings.items()}
        if self.segments is not None:
            for name in self.networks:
                settings[name] = settings.get(name, {}) | self.segments.frames(self.parameters.log_mel)
        return self.train.model_copy(
            update={"settings": settings, "augmentation": self.augmentation or self.train.augmentation}
        )


SMALL_NETWORK = {"epochs": 2, "patches_per_clip": 1, "max_patches": 2}
SMALL: dict[
    str, dict[str, Any]
] = {  # what `--scale small` changes of each member: everything else stays the recipe's
    "random_forest": {"n_estimators": 30},
    "xgboost": {"n_estimators": 20},
    "vgg16_transfer": {"weights": "random", "size": 48},
    "vgg16_fine_tune": {"weights": "random", "size": 32},
    "feed_forward": {"size": 32},
    "musicnn": {"filters": 16, "units": 32},
    "pons2017": {"filters": 32, "units": 32},
    "folmer_cnn": {"size": 64, "filters": 8, "units": 32},
    "densenet121": {"weights": "random", "size": 32, "blocks": [2, 2, 2, 2]},
    "crnn": {"filters": 8},
    "lachmish_mel": {"units": 64},
    "lachmish_mfcc": {"units": 64},
}
SCALES = ("full", "small")


def scale_recipe(recipe: Recipe, scale: str) -> Recipe:
    """The recipe at another scale: `small` is the same run with few clips, trees and epochs, narrow networks without downloads, two folds.

    Raises:
        ConfigError: for another scale than `full` and `small`.
    """
    if scale not in SCALES:
        raise unknown_name("scale", scale, SCALES)
    if scale == "full":
        return recipe
    settings = {name: dict(recipe.train.settings.get(name, {})) for name in recipe.train.members}
    for name, chosen in settings.items():
        chosen.update(SMALL.get(name, {}))
        if name in recipe.networks:
            chosen.update(SMALL_NETWORK if recipe.segments is None else {"epochs": 2})
    train = {
        "settings": settings,
        "folds": 2,
        "test_size": 0.3,
        "resamples": 50,
        "protocols": (),
        "learning_curve": None,
    }
    data = recipe.data.model_copy(update={"limit": min(recipe.data.limit or 6, 6)})
    return recipe.model_copy(
        update={"scale": scale, "data": data, "train": recipe.train.model_copy(update=train)}
    )


def override_settings(recipe: Recipe, found: Mapping[str, Mapping[str, Any]]) -> Recipe:
    """The recipe with other settings of its members over its own, such as `quintet tune` found; of members that take no part, none.

    Raises:
        ConfigError: for a setting that another section of the recipe decides.
    """
    settings = {
        name: merge_settings(recipe.train.settings.get(name, {}), found.get(name, {}))
        for name in recipe.train.members
    }
    train = recipe.train.model_copy(
        update={"settings": {name: chosen for name, chosen in settings.items() if chosen}}
    )
    content = {name: getattr(recipe, name) for name in Recipe.model_fields}
    return parse_settings(
        Recipe, {**content, "train": train}, where=f"The recipe '{recipe.name}' with these settings"
    )


def load_recipe(path: str | Path, *, data: str | None = None) -> Recipe:
    """The recipe in a TOML file.

    Args:
        path: the file.
        data: a source that takes the place of the recipe's own.

    Raises:
        ConfigError: if the file is missing, is not TOML, or a key or value is not valid; the message names the key,
            and the nearest valid key where one was misspelt.
    """
    file = Path(path)
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"A recipe must be a TOML file. There is no file {file}. `quintet list recipes` shows those that come along."
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"A recipe must be TOML. {file} is not: {error}.") from None
    if data is not None:
        content.setdefault("data", {})["source"] = data
    return parse_settings(Recipe, content, where=str(file))


def require_data(recipe: Recipe) -> str:
    """The recipe's source.

    Raises:
        ConfigError: if it has none: a recipe for data that everyone keeps elsewhere.
    """
    if recipe.data.source is None:
        wanted = f" (published with {recipe.data.expects})" if recipe.data.expects else ""
        raise ConfigError(
            f"The recipe '{recipe.name}' needs data{wanted}. Add --data PATH, or try it with --data demo --scale small."
        )
    return recipe.data.source


def is_recipe(name: str | Path) -> bool:
    """Whether a word of the command line means a recipe, and not a file of another kind: a .toml, or a name where there is no such file.

    Example:
        >>> is_recipe("bahuleyan2018"), is_recipe("mine.toml"), is_recipe("features.parquet")
        (True, True, False)
    """
    path = Path(name)
    return path.suffix == ".toml" or not (path.suffix or path.exists())


def find_recipe(name: str | Path) -> Path:
    """The file of a recipe: a path as it is, or the name of one that comes along with quintet.

    Raises:
        ConfigError: for a name that is neither, with the nearest valid one.
    """
    path = Path(name)
    if path.suffix == ".toml" or path.exists():
        return path
    recipes = shipped_recipes()
    if str(name) not in recipes:
        raise unknown_name("recipe", str(name), recipes)
    return recipes[str(name)]


def shipped_recipes() -> dict[str, Path]:
    """Name → file of the recipes that come along (in a checkout: the folder `recipes/`)."""
    here = Path(__file__).parents[1]
    folder = here / "recipes" if (here / "recipes").is_dir() else here.parent / "recipes"
    return {file.stem: file for file in sorted(folder.glob("*.toml"))}
