"""The run file: one TOML, composed of the stages' small models. Unknown keys are errors that name the nearest valid one."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from quintet.errors import ConfigError, unknown_name

M = TypeVar("M", bound="Stage")
Protocol = Literal["auto", "group", "random", "given"]


class Stage(BaseModel):
    """A frozen, complete, validated set of options."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSettings(Stage):
    """Where the clips come from. `source`: folder, manifest, or the name of a built-in dataset."""

    source: str
    group_by: str | None = None
    columns: dict[str, str] = Field(default_factory=dict)


class FeatureSettings(Stage):
    """Which descriptors; passed on to `quintet.features.parameters.FeatureParameters`."""

    set: str = "full"
    families: tuple[str, ...] | None = None
    overrides: dict[str, Any] = Field(default_factory=dict)


class TrainSettings(Stage):
    """How members are trained, joined and judged.

    `protocol`: `group` keeps groups together, `random` ignores them on purpose (its scores are stamped), `given` follows the
    data's own `split` column, `auto` takes `given` where there is such a column and `group` otherwise. `protocols`: the leak gate
    compares the same members under these splits, beside the run itself. `folds`: None is 5, or fewer where a class lies in fewer groups.
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

    @model_validator(mode="after")
    def _no_contradictions(self) -> Self:
        if len(set(self.members)) != len(self.members):
            raise ValueError(f"Members must differ. Received: {', '.join(self.members)}.")
        if self.rule != "auto" and self.rule not in self.rules:
            raise ValueError(f"The rule must be 'auto' or one of the rules ({', '.join(self.rules)}). Received '{self.rule}'.")
        if len(set(self.protocols)) == 1:
            raise ValueError(f"The leak gate compares at least two protocols. Received: {self.protocols[0]}.")
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


class Recipe(Stage):
    """A whole run: data → features → training → report → predictions."""

    name: str
    title: str = ""
    source: str = ""
    data: DataSettings
    features: FeatureSettings = FeatureSettings()
    train: TrainSettings = TrainSettings()
    predict: PredictSettings = PredictSettings()
    published: Published | None = None


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


def _fault(kind: type[Stage], fault: Any) -> str:
    *parents, key = [str(part) for part in fault["loc"]] or [""]
    place = ".".join([*parents, key])
    if fault["type"] == "extra_forbidden":
        valid = _fields_at(kind, parents)
        near = difflib.get_close_matches(key, valid, n=1)
        return f"unknown key '{place}'" + (f" (did you mean '{near[0]}'?)" if near else f" (valid: {', '.join(valid)})")
    message = fault["msg"].removeprefix("Value error, ")
    return f"'{place}': {message}" if place else message


def _fields_at(kind: type[Stage], parents: list[str]) -> list[str]:
    fields: Any = kind
    for parent in parents:
        annotation = fields.model_fields[parent].annotation
        fields = next((a for a in getattr(annotation, "__args__", (annotation,)) if isinstance(a, type) and issubclass(a, Stage)), fields)
    return list(fields.model_fields)


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
    here = Path(__file__).parent
    folder = here / "recipes" if (here / "recipes").is_dir() else here.parent / "recipes"
    return {file.stem: file for file in sorted(folder.glob("*.toml"))}
