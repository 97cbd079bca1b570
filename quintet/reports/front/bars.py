"""Bars that are drawn by the style sheet: text stays text, and they fit a phone as well as a wide screen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

MARGIN = 0.03
"""Room beyond the farthest intervals, as a share of their range."""


@dataclass(frozen=True)
class Measure:
    """A value with its interval.

    Args:
        value: the value.
        low: lower end of its interval; NaN if there is none.
        high: upper end.
        text: the value in words or digits.
    """

    value: float
    low: float
    high: float
    text: str


@dataclass(frozen=True)
class Span:
    """Place of a bar and of its interval, in percent of the width of the figure.

    Args:
        left: left edge of the bar.
        width: its width.
        low: left end of the interval; None if there is none.
        reach: width of the interval.
        zero: place of zero.
        text: text beside the bar.
    """

    left: float
    width: float
    low: float | None
    reach: float
    zero: float
    text: str


@dataclass(frozen=True)
class Scale:
    """Range of values that the bars share.

    Args:
        low: value at the left edge.
        high: value at the right edge.
    """

    low: float
    high: float

    def place(self, value: float) -> float:
        """Place of a value in percent, within the figure.

        Example:
            >>> Scale(-1.0, 3.0).place(0.0)
            25.0
        """
        width = self.high - self.low
        if not width > 0:
            return 0.0
        return round(100 * min(max((value - self.low) / width, 0.0), 1.0), 2)

    def span(self, measure: Measure) -> Span:
        """Bar from zero to the value, with its interval."""
        zero, end = self.place(0.0), self.place(measure.value)
        left, width = min(zero, end), round(abs(end - zero), 2)
        if not (math.isfinite(measure.low) and math.isfinite(measure.high)):
            return Span(left, width, None, 0.0, zero, measure.text)
        low = self.place(measure.low)
        return Span(left, width, low, round(self.place(measure.high) - low, 2), zero, measure.text)


def common_scale(measures: Sequence[Measure]) -> Scale:
    """Range that holds zero, and every value with its interval, so that no interval ends at the edge.

    Example:
        >>> common_scale([Measure(0.2, 0.1, 0.3, ""), Measure(-0.1, float("nan"), float("nan"), "")])
        Scale(low=-0.112, high=0.312)
    """
    numbers = [0.0]
    for measure in measures:
        numbers += [x for x in (measure.value, measure.low, measure.high) if math.isfinite(x)]
    low, high = min(numbers), max(numbers)
    room = MARGIN * (high - low)
    return Scale(round(low - room, 9) if low < 0 else 0.0, round(high + room, 9) if high > 0 else 0.0)
