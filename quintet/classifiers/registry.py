"""MODELS: every member by name, what it reads, where it is made, where it was described. Nothing is imported until it is made."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from quintet.errors import unknown_name


@dataclass(frozen=True)
class Model:
    """One row of the table.

    Attributes:
        name: what the command line, the documentation and the tests call it.
        input: `"table"` (rows of features) or `"spectrogram"` (arrays of n_mels × frames).
        factory: `"module:function"`; called with `seed` and the settings, it gives an unfitted estimator.
        source: where it was described.
        parameters: trainable parameters as published, for 7 classes unless the source says otherwise; None where that means nothing.
        settings: what it is called with unless the caller says otherwise.
    """

    name: str
    input: str
    factory: str
    source: str
    parameters: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


NETWORK = "quintet.classifiers.spectrogram:SpectrogramClassifier"

MODELS: tuple[Model, ...] = (
    Model("logistic_regression", "table", "quintet.classifiers.tabular:LogisticRegressionMember", "Bahuleyan 2018, §5.2"),
    Model("random_forest", "table", "quintet.classifiers.tabular:RandomForestMember", "Breiman 2001; Bahuleyan 2018, §5.2"),
    Model("xgboost", "table", "quintet.classifiers.tabular:XGBoostMember", "Chen and Guestrin 2016; Bahuleyan 2018, §5.2"),
    Model("svm", "table", "quintet.classifiers.tabular:SVMMember", "Cortes and Vapnik 1995; Bahuleyan 2018, §5.2"),
    Model("vgg_small", "spectrogram", NETWORK, "after Simonyan and Zisserman 2015", None, {"network": "vgg_small"}),
)


def model(name: str) -> Model:
    """The row called `name`.

    Raises:
        ConfigError: no such row; the valid names are listed and the nearest is pointed at.
    """
    for row in MODELS:
        if row.name == name:
            return row
    raise unknown_name("member", name, [row.name for row in MODELS])


def make_member(name: str, *, seed: int = 0, **settings: Any) -> Any:
    """The unfitted estimator called `name`.

    Parameters:
        name: a name in `MODELS`. seed: >= 0, decides everything random in it. settings: parameters of that member.

    Raises:
        ConfigError: an unknown name, or a setting that the member does not have.

    Example:
        >>> make_member("svm", C=3.0)
        SVMMember(C=3.0)
    """
    row = model(name)
    module, function = row.factory.split(":")
    factory = getattr(importlib.import_module(module), function)
    accepted = [key for key in inspect.signature(factory).parameters if key not in ("seed", "network")]
    for key in settings:
        if key not in accepted:
            raise unknown_name(f"setting of '{name}'", key, accepted)
    return factory(seed=seed, **{**row.settings, **settings})
