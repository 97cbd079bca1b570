"""SPACES: what `quintet tune` may turn of each member, and how far. A literal table: read it, diff it, add a row."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from quintet.classifiers.registry import make_member, member_entry
from quintet.errors import ConfigError, unknown_name
from quintet.settings import flatten_settings

Range = tuple[Any, ...]

_RATE = ("float", 1e-4, 1e-2, True)
_GENTLE_RATE = ("float", 1e-5, 1e-3, True)  # for a base that has learnt already
_MIXUP = ("float", 0.0, 0.6, False)

# member → setting → ("float", low, high, logarithmic), ("int", low, high, logarithmic) or ("choice", value, …); a dot leads into a table
SPACES: dict[str, dict[str, Range]] = {
    "logistic_regression": {"C": ("float", 1e-4, 1e2, True)},
    "random_forest": {  # more trees are never worse, only slower: their number is not searched
        "min_samples_split": ("int", 2, 20, False),
        "max_features": ("choice", "sqrt", "log2", 0.1, 0.2, 0.4),
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


def search_space(member: str, held: Mapping[str, Any] | None = None) -> dict[str, Range]:
    """What is searched of a member: its row of `SPACES` without the settings that are held.

    Raises:
        ConfigError: no such member, or every setting of its row is held.

    Example:
        >>> search_space("svm", {"C": 3.0})
        {'gamma': ('float', 1e-05, 1.0, True)}
    """
    if member not in SPACES:
        raise unknown_name("member that can be tuned", member, SPACES)
    space = {
        name: limits
        for name, limits in SPACES[member].items()
        if name not in flatten_settings(held or {}) and name.split(".")[0] not in (held or {})
    }
    if not space:
        raise ConfigError(
            f"Something must be left to search. All of {member} is set already: {', '.join(SPACES[member])}. Leave one out."
        )
    return space


def default_point(
    member: str, space: Mapping[str, Range], held: Mapping[str, Any], *, n_columns: int
) -> dict[str, Any]:
    """Where the default lies in a search space, so that the search knows where it comes from.

    A default that is a rule gets the number that it means (`gamma="scale"` is 1 / columns, on standardised columns); one that lies
    outside is moved to the border. This is only what the search remembers: the default itself is fitted as it is.

    Args:
        member: its name. space: setting → range. held: settings of the caller.
        n_columns: of the feature table.
    """
    return {
        name: _inside(limits, _as_number(value, n_columns))
        for (name, limits), value in zip(space.items(), _defaults(member, space, held), strict=True)
    }


def _defaults(member: str, names: Mapping[str, Range], held: Mapping[str, Any]) -> list[Any]:
    estimator = make_member(member, **held)
    known = dict(estimator.get_params(deep=False))
    built = dict(known.pop("settings", None) or {})
    known["augmentation"] = known.get("augmentation") or {}
    known = {**_of_build(member, names, known), **flatten_settings(built), **flatten_settings(known)}
    return [known.get(name, 0) for name in names]  # what a table does not name is off


def _of_build(member: str, names: Mapping[str, Range], known: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults of a network's `build`, where any of them is searched."""
    if member_entry(member).input == "table" or all(name.split(".")[0] in known for name in names):
        return {}
    from quintet.classifiers.networks.backend import load_keras
    from quintet.classifiers.networks.registry import NETWORKS

    load_keras()  # quietly
    module, function = NETWORKS[member].split(":")
    signature = inspect.signature(getattr(importlib.import_module(module), function))
    return {name: p.default for name, p in signature.parameters.items() if p.default is not p.empty}


def _as_number(value: Any, n_columns: int) -> Any:
    return 1.0 / n_columns if value in ("scale", "auto") else value


def _inside(limits: Range, value: Any) -> Any:
    kind, *rest = limits
    if kind == "choice":
        return value if value in rest else rest[0]
    low, high, _ = rest
    return (int if kind == "int" else float)(min(max(value, low), high))
