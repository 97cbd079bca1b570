"""Ranges of the numbers among the members' settings: a number beyond its range is a slip.

A larger number would take hours or all memory, or give a model that `load_model` refuses.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping

from quintet.classifiers.penalties import AUTO, LADDERS
from quintet.classifiers.views import split_name
from quintet.errors import ConfigError
from quintet.files.untrusted import limits

TINY = 1e-12
LARGE = 1e12

RANGES: Mapping[str, tuple[float, float]] = {
    "C": (TINY, LARGE),
    "gamma": (TINY, LARGE),
    "calibration_folds": (2, 1_000),
    "landmarks": (1, 50_000),
    "max_samples": (1, LARGE),
    "early_stopping_rounds": (1, 10_000),
    "n_estimators": (1, limits.TREES),
    "min_samples_split": (2, LARGE),
    "min_samples_leaf": (1, LARGE),
    "max_depth": (0, 1_000),
    "max_bin": (2, 65_536),
    "n_jobs": (-limits.THREADS, limits.THREADS),
    "subsample": (TINY, 1),
    "colsample_bytree": (TINY, 1),
    "learning_rate": (TINY, 10),
    "base_rate": (0, 1_000),
    "epochs": (1, limits.EPOCHS),
    "patience": (1, limits.EPOCHS),
    "batch_size": (1, limits.BATCH_PATCHES),
    "patch_frames": (1, limits.FRAMES),
    "hop_frames": (1, limits.FRAMES),
    "skip_frames": (0, limits.FRAMES),
    "patches_per_clip": (1, 10_000),
    "max_patches": (1, limits.CLIP_PATCHES),
    "filters": (1, limits.NETWORK_SETTING),
    "units": (1, limits.NETWORK_SETTING),
    "blocks": (1, limits.NETWORK_SETTING),
    "dropout": (0, 0.99),
}
"""Setting → smallest and largest value."""


def require_plausible(member: str, settings: Mapping[str, object], kinds: Mapping[str, object]) -> None:
    """Refuse numbers beyond their range, and values that are no numbers where one must stand.

    Args:
        member: name of the member, for the message.
        settings: the settings that the caller chose.
        kinds: setting → its parameter (`inspect.Parameter`) or its default value. Other settings are not
            checked here.

    Raises:
        ConfigError: names the setting, its range and what was received.

    Example:
        >>> require_plausible("svm", {"C": 3.0}, {"C": 10.0})
        >>> require_plausible("svm", {"C": True}, {"C": 10.0})
        Traceback (most recent call last):
        ...
        quintet.errors.ConfigError: C of 'svm' must be a number from 1e-12 to 1e+12. Received True.
    """
    ladder = LADDERS.get(split_name(member)[0])
    for name, value in settings.items():
        if name not in kinds:
            continue
        kind = kinds[name]
        default = kind.default if isinstance(kind, inspect.Parameter) else kind
        annotation = str(kind.annotation) if isinstance(kind, inspect.Parameter) else ""
        if value is None and (default is None or "None" in annotation):
            continue
        is_chosen = value == AUTO and ladder is not None and ladder.setting == name
        if is_chosen or (isinstance(value, str) and "str" in annotation):
            continue
        is_whole = isinstance(default, int) or "int" in annotation
        is_number = name in RANGES or (isinstance(default, (int, float)) and not isinstance(default, bool))
        takes_list = isinstance(default, (list, tuple))
        numbers = value if takes_list and isinstance(value, (list, tuple)) and value else [value]
        if is_number and not all(_lies_inside(name, number, is_whole=is_whole) for number in numbers):
            raise ConfigError(f"{name} of '{member}' must be {_range(name, is_whole)}. Received {value!r}.")


def _lies_inside(name: str, value: object, *, is_whole: bool) -> bool:
    """Whether a value is a finite number in the range of its setting."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    if is_whole and not isinstance(value, int):
        return False
    low, high = RANGES.get(name, (-LARGE, LARGE))
    return math.isfinite(value) and low <= value <= high


def _range(name: str, is_whole: bool) -> str:
    """What a setting must be, in words."""
    noun = "a whole number" if is_whole else "a number"
    if name not in RANGES:
        return noun
    low, high = RANGES[name]
    return f"{noun} from {low:g} to {high:,}" if is_whole else f"{noun} from {low:g} to {high:g}"
