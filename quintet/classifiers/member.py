"""Interface of a member: what every classifier of the registry offers to the rest of the package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from quintet.classifiers.labels import Labels
from quintet.classifiers.spectrogram.sequences import SpectrogramInput
from quintet.files.json_types import JsonObject

MemberInput = pd.DataFrame | NDArray[np.float64] | SpectrogramInput
"""A feature table (rows, features) for a table member, or spectrograms for a spectrogram member."""


class Member(Protocol):
    """A classifier that `make_member` makes: a scikit-learn estimator with groups and label sets.

    A table member reads feature tables only, and a spectrogram member reads spectrograms only.

    Args:
        classes_: sorted labels, or the names of the tags. Exists after `fit`.
        multilabel_: whether clips carry label sets. Exists after `fit`.
    """

    classes_: Labels
    multilabel_: bool

    @property
    def member(self) -> str:
        """Name in the registry."""
        ...

    def fit(
        self,
        X: MemberInput,
        y: ArrayLike,
        groups: ArrayLike | None = None,
        *,
        classes: Sequence[str] | None = None,
    ) -> Self:
        """Fit on labels `(n,)`, or on an indicator matrix `(n, tags)` whose tags are called `classes`."""
        ...

    def predict_proba(self, X: MemberInput) -> NDArray[np.float64]:
        """Probabilities `(n, classes)`."""
        ...

    def predict(self, X: MemberInput) -> Labels:
        """Labels `(n,)`, or an indicator matrix `(n, tags)`."""
        ...

    def get_params(self, deep: bool = True) -> JsonObject:
        """Constructor parameters: name → value."""
        ...

    def set_params(self, **parameters: object) -> Self:
        """Change constructor parameters."""
        ...
