"""Types of the arrays that the ensemble works with: M members, n clips, K classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

Float = TypeVar("Float", bound=np.floating)
"""Dtype of probabilities, float32 or float64. Fusion and calibration keep it."""

Probabilities = NDArray[np.floating]
"""Float32 or float64 in [0, 1], `(n, K)` or `(M, n, K)`."""

Labels = NDArray[np.generic]
"""Labels `(n,)`, an indicator matrix `(n, K)`, or label sets `(n,)` that are written `rock;live`."""

Groups = NDArray[np.generic]
"""Group of each clip, `(n,)`: texts or integers."""

Target = NDArray[np.int64] | NDArray[np.bool_]
"""Encoded labels: class codes `(n,)`, or an indicator matrix `(n, K)` for label sets."""

Codes = NDArray[np.int64]
"""Integer code of each clip's class or group, `(n,)`."""

Positions = NDArray[np.intp]

Folds = Sequence[tuple[Positions, Positions]]
"""Positions of the training rows and of the held-out rows, one pair per fold."""
