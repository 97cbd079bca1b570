"""Texts of numbers, counts, lists and names of scores, as the pages show them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import pandas as pd

from quintet.features.embedding_columns import split_column
from quintet.features.parameters import FeatureParameters
from quintet.features.words import column_words
from quintet.model_folder.run import Run

SCORE_NAMES: Mapping[str, str] = {
    "accuracy": "Accuracy",
    "subset_accuracy": "Subset accuracy",
    "macro_f1": "Macro F1",
    "macro_auc": "Macro AUC",
    "macro_pr_auc": "Macro PR AUC",
    "log_loss": "Log loss",
}
"""Scores that the tables of the page show → their names. The other scores are in the downloads."""

LOWER_IS_BETTER = frozenset({"log_loss", "brier", "ece"})
"""Scores that are losses: the smallest value is the best."""

DASH = "–"
MINUS = "−"


def number(value: float | None, digits: int = 3) -> str:
    """Number with fixed digits. A missing number (None, NaN, infinity) is a dash.

    Example:
        >>> number(0.91234), number(None), number(float("nan"))
        ('0.912', '–', '–')
    """
    if value is None or not math.isfinite(value):
        return DASH
    return f"{value:.{digits}f}"


def format_signed(value: float | None, digits: int = 3) -> str:
    """Difference with its sign: `+0.012`, `−0.100`, `0.000`. A missing number is a dash.

    Example:
        >>> format_signed(0.0124), format_signed(-0.1), format_signed(0.0), format_signed(None)
        ('+0.012', '−0.100', '0.000', '–')
    """
    text = number(value, digits)
    if text == DASH:
        return text
    if float(text) == 0:
        return text.lstrip("-")
    return text.replace("-", MINUS) if text.startswith("-") else f"+{text}"


def format_tiny(value: float) -> str:
    """Rounding error with one digit. Its hyphen does not allow a line break.

    Example:
        >>> format_tiny(8.2e-11).replace("\N{NON-BREAKING HYPHEN}", "-"), format_tiny(0.0)
        ('8e-11', '0')
    """
    return "0" if value == 0 else f"{value:.0e}".replace("-", "\N{NON-BREAKING HYPHEN}")


def format_range(low: float, high: float, digits: int = 2) -> str:
    """Ends of an interval: `0.81 – 0.92`.

    Example:
        >>> format_range(0.812, 0.92)
        '0.81 – 0.92'
    """
    return f"{number(low, digits)} {DASH} {number(high, digits)}"


def count(n: int, noun: str) -> str:
    """Count with its noun: `1 clip`, `58 clips`, `7 classes`, `2 families`.

    Example:
        >>> count(1, "clip"), count(7, "class"), count(2, "family")
        ('1 clip', '7 classes', '2 families')
    """
    if n == 1:
        return f"1 {noun}"
    if noun.endswith(("s", "x")):
        plural = f"{noun}es"
    elif noun.endswith("y"):
        plural = f"{noun[:-1]}ies"
    else:
        plural = f"{noun}s"
    return f"{n:,} {plural}"


def format_list(items: Sequence[str]) -> str:
    """List as a phrase: `a`, `a and b`, `a, b and c`.

    Example:
        >>> format_list(["a", "b", "c"])
        'a, b and c'
    """
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def all_hold_zero(low: pd.Series, high: pd.Series) -> bool:
    """Whether there are intervals, and each of them holds zero: a figure of them would show nothing.

    Example:
        >>> all_hold_zero(pd.Series([-1.0, 0.0]), pd.Series([1.0, 2.0]))
        True
        >>> all_hold_zero(pd.Series([0.1, -1.0]), pd.Series([0.3, 1.0]))
        False
    """
    is_known = low.notna() & high.notna()
    return bool(is_known.any()) and bool(((low <= 0) & (high >= 0))[is_known].all())


def short_name(name: str, limit: int = 28) -> str:
    """Name that fits into a figure: its middle is left out if it is long. A line break becomes a blank.

    Args:
        name: the name.
        limit: largest number of characters, at least 3.

    Example:
        >>> short_name("rock"), short_name("a very long name of a class", 12)
        ('rock', 'a very…class')
    """
    line = " ".join(name.split())
    if len(line) <= limit:
        return line
    end = (limit - 1) // 2
    return f"{line[: limit - 1 - end].rstrip()}…{line[-end:].lstrip()}"


def format_duration(seconds: float) -> str:
    """Length of a corpus: `3 h 20 min`, `27 min`, `40 s`.

    Example:
        >>> format_duration(12000), format_duration(1620)
        ('3 h 20 min', '27 min')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def format_settings(settings: Mapping[str, object], prefix: str = "") -> str:
    """Settings of a member. Floats have three digits, and nested settings have dotted names.

    Example:
        >>> format_settings({"C": 3.5, "augmentation": {"mixup": 0.28946, "mask_bands": 21}})
        'C 3.5, augmentation.mixup 0.289, augmentation.mask_bands 21'
    """
    parts = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            parts.append(format_settings(value, f"{prefix}{name}."))
        else:
            text = f"{value:.3g}" if isinstance(value, float) else str(value)
            parts.append(f"{prefix}{name} {text}")
    return ", ".join(parts)


def score_phrase(score: str) -> str:
    """Name of a score of `SCORE_NAMES` within a sentence.

    Example:
        >>> score_phrase("macro_auc"), score_phrase("accuracy")
        ('macro AUC', 'accuracy')
    """
    name = SCORE_NAMES[score]
    return name[0].lower() + name[1:]


def rule_name(rule: str) -> str:
    """Name of a fusion rule with blanks for underscores."""
    return rule.replace("_", " ")


def slug(text: str) -> str:
    """Name for an id or a file: lower-case letters, digits and hyphens.

    Example:
        >>> slug("Hip hop / R&B")
        'hip-hop-r-b'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "x"


def column_notes(column: object, run: Run) -> tuple[str, ...]:
    """Plain words for a feature column, as the notes of a cell; none if quintet did not name it."""
    given = run.bundle.get("feature_parameters")
    if given is None and split_column(str(column)) is None:
        return ()
    parameters = None if given is None else FeatureParameters.parse(given, where="The model")
    words = column_words(str(column), parameters)
    return (words,) if words else ()
