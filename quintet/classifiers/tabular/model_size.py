"""Size of a stored classifier, as `member.json` describes it."""

from __future__ import annotations

from typing import NamedTuple


class ModelSize(NamedTuple):
    """Numbers of columns and classes that a stored classifier must have.

    Args:
        n_features: number of prepared columns.
        n_classes: number of classes, at least 2.
    """

    n_features: int
    n_classes: int

    @property
    def n_outputs(self) -> int:
        """Trees of one boosting round: one per class, or one for two classes."""
        return 1 if self.n_classes == 2 else self.n_classes
