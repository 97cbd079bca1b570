"""The run file: one TOML, composed of the stages' small models. Unknown keys are errors that name the nearest valid one."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from quintet.audio.augment import AudioAugmentation
from quintet.classifiers.registry import model as member_entry
from quintet.errors import ConfigError, unknown_name
from quintet.evaluation.metrics import MULTI_LABEL, SINGLE_LABEL
from quintet.features.parameters import FeatureParameters, LogMelParameters
from quintet.tuning.spaces import merged

M = TypeVar("M", bound=BaseModel)
SCORES = tuple(dict.fromkeys((*SINGLE_LABEL, *MULTI_LABEL)))
Protocol = Literal["auto", "group", "random", "given"]


class Stage(BaseModel):
    """A frozen, complete, validated set of options."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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
        return {name: max(1, round(s * rate)) for name, s in seconds.items()} | {"skip_frames": round(self.skip_s * rate), "pooling": self.pooling}


class LearningCurveSettings(Stage):
    """What more data would bring: `members` (default: those of the run that read tables) trained on `shares` of the groups of every training fold,
    drawn `repeats` times; the whole folds come on top."""

    shares: tuple[float, ...] = (0.25, 0.35, 0.5, 0.7)
    repeats: int = Field(default=3, ge=2)
    members: tuple[str, ...] = ()

    @field_validator("shares")
    @classmethod
    def _rise(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        if len(shares) < 2 or not all(low < high for low, high in pairwise((0.0, *shares, 1.0))):
            raise ValueError(f"Shares must be two or more that rise between 0 and 1. Received: {', '.join(map(str, shares))}.")
        return shares


class TrainSettings(Stage):
    """How members are trained, joined and judged.

    `protocol`: `group` keeps groups together, `random` ignores them on purpose (its scores are stamped), `given` follows the
    data's own `split` column, `auto` takes `given` where there is such a column and `group` otherwise. `protocols`: the leak gate
    compares the same members under these splits, beside the run itself. `folds`: None is 5, or fewer where a class lies in fewer groups.
    `ensembles`: name → some of the members, whose plain mean is judged beside them. `augmentation`: of the audio of training clips, for networks.
    `learning_curve`: true, or its settings: what more data would bring.
    """

    members: tuple[str, ...] = ("logistic_regression", "random_forest", "xgboost", "svm", "vgg_small")
    settings: dict[str, dict[str, Any]] = Field(default_factory=dict)
    rules: tuple[str, ...] = ("mean", "geometric", "weighted", "greedy", "stacked")
    rule: str = "auto"
    protocol: Protocol = "auto"
    protocols: tuple[Literal["random", "group", "given"], ...] = ()
    test_size: float = Field(default=0.2, ge=0.0, lt=1.0)
    folds: int | None = Field(default=None, ge=2)
    seed: int = Field(default=0, ge=0)
    resamples: int = Field(default=1000, ge=0)
    ensembles: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    augmentation: AudioAugmentation | None = None
    learning_curve: LearningCurveSettings | None = None

    @field_validator("learning_curve", mode="before")
    @classmethod
    def _switched_on(cls, given: Any) -> Any:
        return {} if given is True else None if given is False else given

    @model_validator(mode="after")
    def _no_contradictions(self) -> Self:
        if not self.members:
            raise ValueError("There must be at least one member. Received none.")
        if len(set(self.members)) != len(self.members):
            raise ValueError(f"Members must differ. Received: {', '.join(self.members)}.")
        if self.rule != "auto" and self.rule not in self.rules:
            raise ValueError(f"The rule must be 'auto' or one of the rules ({', '.join(self.rules)}). Received '{self.rule}'.")
        if len(set(self.protocols)) == 1:
            raise ValueError(f"The leak gate compares at least two protocols. Received: {self.protocols[0]}.")
        for name in self.members:
            member_entry(name)
        for name, members in self.ensembles.items():
            if name in self.members or name in self.rules or len(members) < 2 or not set(members) <= set(self.members):
                raise ValueError(f"An ensemble must have a name of its own and join members that take part. Received {name}: {', '.join(members)}.")
        if stray := sorted(set(self.learning_curve.members) - set(self.members) if self.learning_curve else ()):
            raise ValueError(f"A learning curve is drawn by members that take part. Received: {', '.join(stray)}.")
        if stray := sorted(set(self.settings) - set(self.members)):
            raise ValueError(f"Settings must be for members that take part. Received settings for: {', '.join(stray)}.")
        return self


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

    `spectrogram`: what networks read. `segments`: multi-framing. `augmentation`: of audio. All three are for networks. `scale`: what `scaled` made.
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
                raise ValueError(f"[{section}] is for networks. None of the members is one: {', '.join(self.train.members)}.")
        if self.spectrogram is not None and "log_mel" in self.features.overrides:
            raise ValueError("Spectrograms are described once: in [spectrogram], or under log_mel in [features.overrides]. Received both.")
        if self.augmentation is not None and self.train.augmentation is not None:
            raise ValueError("Augmentation is described once: in [augmentation], or in [train.augmentation]. Received both.")
        if both := sorted({"feature_set", "families"} & self.features.overrides.keys()):
            raise ValueError(f"[features] decides set and families. [features.overrides] names them too: {', '.join(both)}.")
        if self.published is not None:
            self.published.require_known((*self.train.members, *self.train.ensembles, *self.train.rules))
        if self.segments is not None:
            own = self.segments.frames(self.parameters.log_mel)
            for name in networks:
                if both := sorted(own.keys() & self.train.settings.get(name, {}).keys()):
                    raise ValueError(f"[segments] decides {', '.join(own)}. The settings of {name} name them too: {', '.join(both)}.")
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
        return FeatureParameters(feature_set=self.features.set, families=self.features.families, **self.features.overrides, **own)

    @property
    def training(self) -> TrainSettings:
        """How members are trained, segments and augmentation put in their places."""
        settings = {name: dict(chosen) for name, chosen in self.train.settings.items()}
        if self.segments is not None:
            for name in self.networks:
                settings[name] = settings.get(name, {}) | self.segments.frames(self.parameters.log_mel)
        return self.train.model_copy(update={"settings": settings, "augmentation": self.augmentation or self.train.augmentation})


SMALL_NETWORK = {"epochs": 2, "patches_per_clip": 1, "max_patches": 2}
SMALL: dict[str, dict[str, Any]] = {  # what `--scale small` changes of each member: everything else stays the recipe's
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


def scaled(recipe: Recipe, scale: str) -> Recipe:
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
    train = {"settings": settings, "folds": 2, "test_size": 0.3, "resamples": 50, "protocols": (), "learning_curve": None}
    data = recipe.data.model_copy(update={"limit": min(recipe.data.limit or 6, 6)})
    return recipe.model_copy(update={"scale": scale, "data": data, "train": recipe.train.model_copy(update=train)})


def with_settings(recipe: Recipe, found: Mapping[str, Mapping[str, Any]]) -> Recipe:
    """The recipe with other settings of its members over its own, such as `quintet tune` found; of members that take no part, none.

    Raises:
        ConfigError: for a setting that another section of the recipe decides.
    """
    settings = {name: merged(recipe.train.settings.get(name, {}), found.get(name, {})) for name in recipe.train.members}
    train = recipe.train.model_copy(update={"settings": {name: chosen for name, chosen in settings.items() if chosen}})
    content = {name: getattr(recipe, name) for name in Recipe.model_fields}
    return validated(Recipe, {**content, "train": train}, where=f"The recipe '{recipe.name}' with these settings")


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
        raise ConfigError(f"A recipe must be a TOML file. There is no file {file}. `quintet list recipes` shows those that come along.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"A recipe must be TOML. {file} is not: {error}.") from None
    if data is not None:
        content.setdefault("data", {})["source"] = data
    return validated(Recipe, content, where=str(file))


def require_data(recipe: Recipe) -> str:
    """The recipe's source.

    Raises:
        ConfigError: if it has none: a recipe for data that everyone keeps elsewhere.
    """
    if recipe.data.source is None:
        wanted = f" (published with {recipe.data.expects})" if recipe.data.expects else ""
        raise ConfigError(f"The recipe '{recipe.name}' needs data{wanted}. Add --data PATH, or try it with --data demo --scale small.")
    return recipe.data.source


def validated(kind: type[M], content: dict[str, Any], *, where: str) -> M:
    """`content` as a settings model, with errors for people.

    Raises:
        ConfigError: with one line per fault: the key, what is wrong with it, and the nearest valid key.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        lines = [_fault(kind, fault) for fault in error.errors()]
        raise ConfigError(f"{where}: " + "; ".join(lines)) from None


def _fault(kind: type[BaseModel], fault: Any) -> str:
    *parents, key = [str(part) for part in fault["loc"]] or [""]
    place = ".".join([*parents, key])
    if fault["type"] == "extra_forbidden":
        valid = _fields_at(kind, parents)
        near = difflib.get_close_matches(key, valid, n=1)
        return f"unknown key '{place}'" + (f" (did you mean '{near[0]}'?)" if near else f" (valid: {', '.join(valid)})")
    if fault["type"] == "missing":
        return f"'{place}' is missing"
    received = fault["input"]
    if fault["type"] == "value_error":
        message = fault["msg"].removeprefix("Value error, ")
        return f"'{place}': {message}" if place else message
    if fault["type"] == "literal_error":
        message = str(unknown_name("value here", str(received), re.findall(r"'([^']*)'", fault["ctx"]["expected"]))).removeprefix("A value here ")
        return f"'{place}' {message}"
    kinds = {"tuple_type": 'a list, such as ["a", "b"]', "dict_type": "a table", "model_type": "a table", "model_attributes_type": "a table"}
    wanted = kinds.get(fault["type"]) or fault["msg"].removeprefix("Input should be ")
    return f"'{place}' must be {wanted}. Received {received!r}"


def _fields_at(kind: type[BaseModel], parents: list[str]) -> list[str]:
    fields: Any = kind
    for parent in parents:
        annotation = fields.model_fields[parent].annotation
        fields = next((a for a in getattr(annotation, "__args__", (annotation,)) if isinstance(a, type) and issubclass(a, BaseModel)), fields)
    return list(fields.model_fields)


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
