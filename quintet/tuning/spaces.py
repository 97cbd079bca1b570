"""Search spaces: the settings of each member that `quintet tune` searches, and their ranges."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal, cast

from quintet.classifiers.networks.registry import published_music
from quintet.classifiers.registry import make_member, member_entry
from quintet.classifiers.views import split_name
from quintet.errors import ConfigError, unknown_name
from quintet.settings import TomlTable, flatten_settings

Value = str | float
FloatRange = tuple[Literal["float"], float, float, bool]
IntRange = tuple[Literal["int"], int, int, bool]
Choice = tuple[Literal["choice"], *tuple[Value, ...]]
Range = FloatRange | IntRange | Choice
"""`("float", low, high, logarithmic)`, `("int", low, high, logarithmic)` or `("choice", value, …)`."""

_RATE: Range = ("float", 1e-4, 1e-2, True)
_GENTLE_RATE: Range = ("float", 1e-5, 1e-3, True)  # for a network with pretrained weights
_MIXUP: Range = ("float", 0.0, 0.6, False)

# member → setting → range; a dotted name is a setting in a table
SPACES: dict[str, dict[str, Range]] = {
    "logistic_regression": {"C": ("float", 1e-4, 1e2, True)},
    "random_forest": {  # the number of trees is not searched: more trees are never worse, only slower
        "min_samples_split": ("int", 2, 20, False),
        "max_features": ("choice", "sqrt", "log2", "tenth", 0.2, 0.4),
    },
    "xgboost": {
        "max_depth": ("int", 2, 8, False),
        "learning_rate": ("float", 0.01, 0.3, True),
        "n_estimators": ("int", 50, 500, True),
        "subsample": ("float", 0.5, 1.0, False),
        "colsample_bytree": ("float", 0.1, 1.0, False),
    },
    "svm": {"C": ("float", 1e-2, 1e3, True), "gamma": ("float", 1e-5, 1.0, True)},
    "vgg_small": {
        "learning_rate": ("float", 3e-4, 1e-2, True),
        "patch_frames": ("choice", 64, 128, 256),
        "filters": ("choice", 8, 16, 24, 32),
        "dropout": ("float", 0.0, 0.7, False),
        "augmentation.mixup": _MIXUP,
        "augmentation.mask_bands": ("int", 0, 24, False),
    },
    "vgg16_transfer": {"learning_rate": ("float", 1e-5, 1e-2, True), "max_patches": ("int", 1, 6, False)},
    "vgg16_fine_tune": {"learning_rate": _GENTLE_RATE, "base_rate": ("float", 1e-2, 1.0, True)},
    "feed_forward": {"learning_rate": ("float", 1e-6, 1e-4, True), "batch_size": ("choice", 16, 32, 64)},
    "musicnn": {"learning_rate": _RATE, "units": ("choice", 100, 200, 400), "augmentation.mixup": _MIXUP},
    "musicnn_vgg": {"learning_rate": _RATE, "base_rate": ("float", 1e-2, 1.0, True)},
    "musicnn_vgg_transfer": {"learning_rate": _RATE, "patches_per_clip": ("int", 1, 10, False)},
    "pons2017": {"learning_rate": _RATE, "batch_size": ("choice", 16, 32, 64), "augmentation.mixup": _MIXUP},
    "folmer_cnn": {
        "learning_rate": _RATE,
        "filters": ("choice", 16, 32, 48),
        "units": ("choice", 64, 128, 256),
    },
    "densenet121": {"learning_rate": _GENTLE_RATE, "base_rate": ("float", 1e-2, 1.0, True)},
    "crnn": {
        "learning_rate": _RATE,
        "filters": ("choice", 16, 32, 48),
        "dropout": ("float", 0.0, 0.6, False),
    },
    "lachmish_mel": {
        "learning_rate": _RATE,
        "batch_size": ("choice", 16, 32, 64),
        "augmentation.mixup": _MIXUP,
    },
    "lachmish_mfcc": {
        "learning_rate": _RATE,
        "batch_size": ("choice", 16, 32, 64),
        "augmentation.mixup": _MIXUP,
    },
}


def search_space(member: str, fixed: Mapping[str, object] | None = None) -> dict[str, Range]:
    """Settings of a member that are searched, with their ranges: its row of `SPACES` without fixed settings.

    Published weights of music fix the sizes of their network, too.

    Args:
        member: its name.
        fixed: settings that are not searched. A table within them fixes all settings of the table.

    Raises:
        ConfigError: no such member, or all settings of its row are fixed.

    Example:
        >>> search_space("svm", {"C": 3.0})
        {'gamma': ('float', 1e-05, 1.0, True)}
    """
    kind, _ = split_name(member)
    if kind not in SPACES:
        raise unknown_name("member that can be tuned", kind, SPACES)
    names = {*(fixed or {}), *flatten_settings(fixed or {})}
    if published_music(kind, fixed or {}) is not None:
        names |= {"filters", "units"}
    space = {}
    for name, limits in SPACES[kind].items():
        table = name.split(".")[0]
        if name not in names and table not in names:
            space[name] = limits
    if not space:
        settings = ", ".join(SPACES[kind])
        raise ConfigError(
            f"At least one setting must be left to search. All of {member} are fixed: {settings}. "
            "Leave one out."
        )
    return space


def default_point(
    member: str, space: Mapping[str, Range], fixed: TomlTable, *, n_columns: int
) -> dict[str, Value]:
    """Default settings as a point of a search space, which optuna stores for trial 0.

    Trial 0 is fitted with the true default. Only the stored point is changed to fit the space: a default that
    is a rule becomes its number (`gamma="scale"` is 1 / columns, for standardised columns), and a default
    outside its range becomes the nearest limit.

    Args:
        member: name of the member.
        space: setting → range.
        fixed: settings that are not searched.
        n_columns: number of columns of the feature table.
    """
    defaults = _defaults(member, space, fixed)
    point: dict[str, Value] = {}
    for name, limits in space.items():
        value = defaults.get(name, 0)  # a setting that is absent from its table is off
        number = 1.0 / n_columns if value in ("scale", "auto") else value
        point[name] = _clip(limits, number)
    return point


def _defaults(member: str, names: Collection[str], fixed: TomlTable) -> TomlTable:
    """Dotted name → default, of the member and (for a network) of its build function."""
    parameters = dict(make_member(member, **fixed).get_params(deep=False))
    build_settings = dict(parameters.pop("settings", None) or {})
    parameters["augmentation"] = parameters.get("augmentation") or {}
    defaults = _build_defaults(member, names, parameters)
    return {**defaults, **flatten_settings(build_settings), **flatten_settings(parameters)}


def _build_defaults(member: str, names: Collection[str], parameters: Collection[str]) -> TomlTable:
    """Defaults of a network's build function, if one of its settings is searched."""
    is_table_member = member_entry(member).input == "table"
    if is_table_member or all(name.split(".")[0] in parameters for name in names):
        return {}
    from quintet.classifiers.networks.registry import build_defaults

    return build_defaults(member)


def _clip(limits: Range, value: Value) -> Value:
    """Value of a range that is nearest to `value`; for choices, the first one if `value` is none of them."""
    if limits[0] == "choice":
        choices = limits[1:]
        return value if value in choices else choices[0]
    kind, low, high, _ = limits
    number = min(max(cast("float", value), low), high)
    return int(number) if kind == "int" else float(number)
