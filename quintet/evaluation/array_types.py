"""Types of the arrays that are evaluated: n clips, K classes, B resamples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

Probabilities = NDArray[np.floating]
"""Float32 or float64 in [0, 1], `(n, K)`."""

Labels = NDArray[np.generic]
"""Labels `(n,)`, an indicator matrix `(n, K)`, or label sets `(n,)` that are written `rock;live`."""

Groups = NDArray[np.generic]
"""Group of each clip, `(n,)`: texts or integers."""

Codes = NDArray[np.int64]
"""Integer code of each clip's class or group, `(n,)`."""

Indicator = NDArray[np.bool_]
"""Indicator matrix of label sets, `(n, K)`."""

Target = Codes | Indicator
"""Encoded labels: class codes `(n,)`, or an indicator matrix `(n, K)` for label sets."""

Weights = NDArray[np.floating] | None
"""Weight of each clip: None (all 1), `(n,)`, or `(B, n)` for B bootstrap resamples."""
