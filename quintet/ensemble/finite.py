"""Answers that are no numbers: the numbers of a model may be so large that their products are not finite."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quintet.errors import ArtefactError

Floats = NDArray[np.float64]


def quiet_arithmetic() -> np.errstate:
    """A context in which NumPy does not warn of overflows; `require_finite` looks at what comes out."""
    return np.errstate(over="ignore", invalid="ignore", divide="ignore")


def require_finite(values: Floats, whose: str) -> Floats:
    """The same values, if all are finite.

    Args:
        values: what a model answered.
        whose: the begin of a sentence, such as `Its distances`.

    Raises:
        ArtefactError: a value is NaN or infinite.

    Example:
        >>> require_finite(np.array([0.5, 0.5]), "Its probabilities").tolist()
        [0.5, 0.5]
    """
    if np.isfinite(values).all():
        return values
    raise ArtefactError(
        f"What a model answers must be finite numbers. {whose} are not: the model is damaged. "
        "Copy its folder, or train, again."
    )
