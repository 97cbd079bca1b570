"""Types that the modules of this package share: arrays, fitted members and fusion functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Positions = NDArray[np.intp]
Groups = NDArray[np.generic]
"""The group of each clip `(n,)`: texts or integers."""

Fuse = Callable[[Floats], Floats]
"""Fusion of member probabilities `(members, n, K)` to ensemble probabilities `(n, K)`."""

NetworkPredictions = Mapping[str, tuple[Floats, Floats]]
"""Network → its probabilities of the explained clips `(n, K)` and of the background clips `(m, K)`."""


class Classifier(Protocol):
    """A fitted classifier of feature rows."""

    def predict_proba(self, X: pd.DataFrame, /) -> Floats:
        """Probabilities `(n, K)` of the rows of a feature table."""
        ...
