"""A frozen table member with the names of a fitted one: what an explanation asks, without scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quintet.classifiers.tabular.preparation import Preparation
from quintet.frozen.members import FrozenTable
from quintet.frozen.scorers import Boosted, Forest, Scorer

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ArrayMember:
    """A frozen table member. Names are those of `quintet.classifiers.tabular.members.TableMember`.

    Args:
        member: kind of the member, such as `svm`.
        classes_: names of the classes or tags.
        columns: the columns of the model, in their order.
        frozen: the numbers.
    """

    member: str
    classes_: NDArray[np.object_]
    columns: tuple[str, ...]
    frozen: FrozenTable

    @property
    def is_complete(self) -> bool:
        """Whether its trees say how many training rows passed their nodes, which their values need."""
        trees = [model.trees for model in self.models_ if isinstance(model, Forest | Boosted)]
        return all(one.cover is not None for one in trees)

    @property
    def models_(self) -> tuple[Scorer | None, ...]:
        """One classifier, or one per tag; None for a tag with a constant probability."""
        return self.frozen.scorers

    @property
    def constants_(self) -> Floats:
        """Constant probabilities of the tags, NaN for the others."""
        return self.frozen.constants

    @property
    def multilabel_(self) -> bool:
        """Whether clips carry label sets."""
        return self.frozen.multilabel

    @property
    def preparation_(self) -> Preparation:
        """Prepares the columns that the member sees."""
        return self.frozen.preparation

    @property
    def feature_names_in_(self) -> NDArray[np.object_]:
        """The columns of the model."""
        return np.asarray(self.columns, dtype=object)

    @property
    def prepared_names(self) -> list[str]:
        """Names of the columns of `prepare(X)`."""
        return [self.columns[j] for j in self.preparation_.kept]

    def prepare(self, X: pd.DataFrame) -> Floats:
        """Prepared rows `(n, k)` of a table with the columns of the model."""
        return self.preparation_.transform(self._values(X))

    def predict_proba(self, X: pd.DataFrame) -> Floats:
        """Probabilities `(n, K)` of the rows of a table with the columns of the model."""
        return self.frozen.probabilities(self._values(X), None)

    def _values(self, X: pd.DataFrame) -> Floats:
        return X[list(self.columns)].to_numpy(np.float64)
