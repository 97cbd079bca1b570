"""Types of the arrays that the ensemble works with: M members, n clips, K classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from quintet.evaluation.array_types import Codes, Floats, Groups, Labels, Target

__all__ = [
    "Codes",
    "Float",
    "Floats",
    "Folds",
    "Groups",
    "Labels",
    "Positions",
    "Probabilities",
    "Target",
]

Float = TypeVar("Float", bound=np.floating)
"""Dtype of probabilities, float32 or float64. Fusion and calibration keep it."""

Probabilities = NDArray[np.floating]
"""Float32 or float64 in [0, 1], `(n, K)` or `(M, n, K)`."""

Positions = NDArray[np.intp]

Folds = Sequence[tuple[Positions, Positions]]
"""Positions of the training rows and of the held-out rows, one pair per fold."""
