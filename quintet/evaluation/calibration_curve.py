"""Calibration curve: the share of right predictions by confidence, in bins of equal size."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.evaluation.percentile_intervals import wilson_interval

LEAST_CLIPS_IN_A_BIN = 5
CURVE_COLUMNS = ["confidence", "correct", "low", "high", "n"]


def calibration_points(
    confidence: NDArray[np.floating], correct: NDArray[np.bool_], *, n_bins: int = 8
) -> pd.DataFrame:
    """Mean confidence, share correct with a 95 % Wilson interval, and count per bin.

    Args:
        confidence: (n,) probability of each clip's prediction.
        correct: (n,) whether the prediction is right.
        n_bins: largest number of bins. There are fewer if a bin would have fewer than five clips, but always
            one.

    Returns:
        Columns `confidence, correct, low, high, n`, ordered by confidence. No rows for no clips.

    Source:
        Wilson, "Probable inference, the law of succession, and statistical inference", 1927.

    Example:
        >>> points = calibration_points(np.full(10, 0.9), np.arange(10) > 0)
        >>> points[["confidence", "correct", "n"]].round(3).values.tolist()
        [[0.9, 0.8, 5.0], [0.9, 1.0, 5.0]]
    """
    n_bins = max(1, min(n_bins, len(confidence) // LEAST_CLIPS_IN_A_BIN))
    order = np.argsort(confidence, kind="stable")
    rows = []
    for clips in np.array_split(order, n_bins) if len(order) else ():
        n = len(clips)
        mean_confidence = float(confidence[clips].mean())
        share = float(correct[clips].mean())
        low, high = wilson_interval(share, n)
        rows.append((mean_confidence, share, low, high, n))
    return pd.DataFrame(rows, columns=CURVE_COLUMNS)
