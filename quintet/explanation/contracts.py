"""Types that the modules of this package share: arrays, fitted members and fusion functions."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

if TYPE_CHECKING:
    import shap

Floats = NDArray[np.float64]
Positions = NDArray[np.intp]
Groups = NDArray[np.generic]
"""The group of each clip `(n,)`: texts or integers."""

Fuse = Callable[[Floats], Floats]
"""Fusion of member probabilities `(members, n, K)` to ensemble probabilities `(n, K)`."""

NetworkPredictions = Mapping[str, tuple[Floats, Floats]]
"""Network → its probabilities of the explained clips `(n, K)` and of the background clips `(m, K)`."""


@dataclass(frozen=True, eq=False)
class ColumnValues:
    """SHAP values of one member, as an `Explanation` of the library shap has them.

    Args:
        values: (n, d, classes).
        base_values: (n, classes).
        data: (n, d) the rows that are explained.
        feature_names: the d columns.
        output_names: the classes.
    """

    values: Floats
    base_values: Floats
    data: Floats
    feature_names: list[str]
    output_names: list[str]

    def to_shap(self) -> shap.Explanation:
        """The same as an `Explanation` of shap, for its plots."""
        return import_shap().Explanation(**vars(self))


def import_shap() -> ModuleType:
    """The module shap, imported on first use. Its import warns about a future version of matplotlib; ignored
    here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return import_module("shap")


class Classifier(Protocol):
    """A fitted classifier of feature rows."""

    def predict_proba(self, X: pd.DataFrame, /) -> Floats:
        """Probabilities `(n, K)` of the rows of a feature table."""
        ...
