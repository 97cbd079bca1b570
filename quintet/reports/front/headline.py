"""Headline of a run: how often the ensemble prediction is right, in words, with counts and chance.

The report and the terminal say it with these functions, so that they have the same digits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from quintet.evaluation.scores import Scores
from quintet.reports.formats import count

SHARES: tuple[tuple[float, str], ...] = (
    (0.99, "99 times in 100"),
    (0.98, "49 times in 50"),
    (0.95, "19 times in 20"),
    (0.9, "nine times in ten"),
    (7 / 8, "seven times in eight"),
    (5 / 6, "five times in six"),
    (0.8, "four times in five"),
    (0.75, "three times in four"),
    (0.7, "seven times in ten"),
    (2 / 3, "two times in three"),
    (0.6, "three times in five"),
    (0.55, "11 times in 20"),
    (0.5, "every second time"),
    (0.45, "nine times in 20"),
    (0.4, "two times in five"),
    (1 / 3, "one time in three"),
    (0.3, "three times in ten"),
    (0.25, "one time in four"),
    (0.2, "one time in five"),
    (1 / 6, "one time in six"),
    (1 / 8, "one time in eight"),
    (0.1, "one time in ten"),
    (0.05, "one time in 20"),
    (0.02, "one time in 50"),
)
"""Share → the same in words, for headlines."""

NUMBERS = (
    "no",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)

HEAVY = 0.005
"""Share of the weights from which a member is named with its weight."""

GROUPS_UNKNOWN = (
    "Nothing says which clips share an artist or a recording. If some do, the scores are too high."
)
"""What a split without groups means for the scores."""

SOUND_BLOCKS = (
    "Nothing says which clips share an artist or a recording, so clips that sound alike were kept on one "
    "side. Blocks by sound are not artists: the score by artist can be lower or higher."
)
"""What a split by blocks that sound alike means for the scores."""


def unknown_groups(protocol: str | None) -> str:
    """What it means for the scores that groups are not known, by the protocol of the split."""
    return SOUND_BLOCKS if protocol == "sound" else GROUPS_UNKNOWN


UNEVEN = 1.5
"""Share of the most frequent class, in shares of even classes, from which the headline names it."""


@dataclass(frozen=True)
class Success:
    """How good the ensemble prediction is on the clips of the report.

    Args:
        value: accuracy; for label sets the macro AUC.
        low: lower end of its 95 % interval; NaN if there is none.
        high: upper end.
        n: number of scored clips.
        n_classes: number of classes of the model.
        most_frequent: number of scored clips of the most frequent class.
        held_out: whether the clips are the held-out part.
        multilabel: whether clips carry label sets.
    """

    value: float
    low: float
    high: float
    n: int
    n_classes: int
    most_frequent: int
    held_out: bool
    multilabel: bool

    @property
    def n_right(self) -> int:
        """Number of clips whose class is right."""
        return round(self.value * self.n)

    @property
    def chance(self) -> float:
        """What guessing would reach: one of K classes, or an AUC of one half."""
        return 0.5 if self.multilabel else 1 / self.n_classes

    @property
    def has_interval(self) -> bool:
        """Whether the interval is known."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def clips_text(self) -> str:
        """Number and kind of the clips: `23 held-out clips`."""
        return count(self.n, "held-out clip" if self.held_out else "out-of-fold clip")

    @property
    def interval_text(self) -> str:
        """The interval as it stands after the value: ` (52–91 %)`; empty if there is none."""
        return f" ({percent_range(self.low, self.high)})" if self.has_interval else ""

    @property
    def beats_chance(self) -> bool:
        """Whether the whole interval is above the level of guessing and of the most frequent class."""
        return self.has_interval and self.low > max(self.chance, self.share_of_most_frequent)

    @property
    def share_of_most_frequent(self) -> float:
        """Accuracy of the constant answer with the most frequent class; 0 for label sets."""
        return 0.0 if self.multilabel or not self.n else self.most_frequent / self.n

    @property
    def is_uneven(self) -> bool:
        """Whether the most frequent class is so frequent that guessing it is the better comparison."""
        return self.share_of_most_frequent >= UNEVEN * self.chance and not self.multilabel


def success(scores: Scores | None, *, n_classes: int, held_out: bool, multilabel: bool) -> Success | None:
    """The success that scores show; None if they have no accuracy, or no macro AUC for label sets.

    Args:
        scores: of the ensemble prediction on the clips of the report.
        n_classes: number of classes of the model.
        held_out: whether the clips are the held-out part.
        multilabel: whether clips carry label sets.
    """
    estimate = scores.scores.get("macro_auc" if multilabel else "accuracy") if scores else None
    if scores is None or estimate is None or not math.isfinite(estimate.value):
        return None
    return Success(
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        n=scores.n,
        n_classes=n_classes,
        most_frequent=max(scores.support.values(), default=0),
        held_out=held_out,
        multilabel=multilabel,
    )


def share_words(share: float) -> str:
    """A share in words, to the nearest simple one.

    Example:
        >>> share_words(17 / 23), share_words(1.0), share_words(0.0)
        ('three times in four', 'every time', 'not once')
    """
    if share >= 0.995:
        return "every time" if share == 1 else "nearly every time"
    if share < 0.01:
        return "not once" if share == 0 else "hardly ever"
    return min(SHARES, key=lambda pair: abs(pair[0] - share))[1]


def number_word(n: int) -> str:
    """A number as a word up to twelve, then in digits.

    Example:
        >>> number_word(10), number_word(50)
        ('ten', '50')
    """
    return NUMBERS[n] if 0 <= n < len(NUMBERS) else f"{n:,}"


def percent(share: float) -> str:
    """A share in whole percent, which never says 0 % or 100 % of a share that is not.

    Example:
        >>> percent(17 / 23), percent(0.999), percent(1.0), percent(0.001)
        ('74 %', '99 %', '100 %', '1 %')
    """
    whole = round(100 * share)
    if whole == 100 and share < 1:
        whole = 99
    if whole == 0 and share > 0:
        whole = 1
    return f"{whole} %"


def percent_range(low: float, high: float) -> str:
    """Ends of an interval in percent: `52–91 %`.

    Example:
        >>> percent_range(0.522, 0.913)
        '52–91 %'
    """
    return f"{percent(low).removesuffix(' %')}–{percent(high)}"


def one_in(share: float) -> str:
    """A level of chance as odds: `1 in 10`.

    Example:
        >>> one_in(0.1), one_in(0.5)
        ('1 in 10', '1 in 2')
    """
    return f"1 in {round(1 / share):,}"


def headline(result: Success, noun: str = "class") -> str:
    """The result in one sentence of words.

    Args:
        result: the success.
        noun: what a class is called: `class`, `instrument`, …

    Example:
        >>> headline(Success(17 / 23, 0.52, 0.91, 23, 10, 3, True, False), "instrument")
        'Names the right one of ten instruments three times in four'
    """
    if result.multilabel:
        return f"Puts a clip with a {noun} before a clip without it {share_words(result.value)}"
    nouns = count(result.n_classes, noun).split(" ", 1)[1]
    return f"Names the right one of {number_word(result.n_classes)} {nouns} {share_words(result.value)}"


def evidence(result: Success) -> str:
    """Counts, interval and level of chance behind the headline.

    Example:
        >>> evidence(Success(17 / 23, 0.522, 0.913, 23, 10, 3, True, False))
        '17 of 23 held-out clips, 74 % (52–91 %); guessing: 1 in 10'
    """
    value = f"{percent(result.value)}{result.interval_text}"
    text = f"{result.n_right:,} of {result.clips_text}, {value}"
    if result.multilabel:
        text = f"{value}, mean over {count(result.n_classes, 'tag')}, {result.clips_text}"
    text += f"; guessing: {one_in(result.chance)}"
    if result.is_uneven:
        text += f"; always the most frequent class: {result.most_frequent:,} of {result.n:,}"
    return text


def luck(result: Success) -> str:
    """A sentence if the result may be chance, or is worse; otherwise nothing.

    Example:
        >>> luck(Success(0.3, 0.2, 0.4, 80, 2, 40, True, False))
        'This is worse than what guessing reaches.'
    """
    if result.beats_chance or not result.has_interval:
        return ""
    rival, level = "guessing", result.chance
    if result.is_uneven or result.low > level:
        rival, level = "the most frequent class", result.share_of_most_frequent
    if result.high < level:
        return f"This is worse than what {rival} reaches."
    return f"This may be chance: the interval holds what {rival} reaches."


def terminal_line(result: Success) -> str:
    """The result in one line for the terminal.

    Example:
        >>> terminal_line(Success(17 / 23, 0.522, 0.913, 23, 10, 3, True, False))
        '10 classes, 23 held-out clips: 74 % right (52–91 %); guessing: 10 %'
    """
    noun, what = "class", "right"
    if result.multilabel:
        noun, what = "tag", "of pairs of clips with and without a tag in the right order"
    text = (
        f"{count(result.n_classes, noun)}, {result.clips_text}: {percent(result.value)} "
        f"{what}{result.interval_text}; guessing: {percent(result.chance)}"
    )
    if result.is_uneven:
        text += f"; always the most frequent class: {percent(result.share_of_most_frequent)}"
    return text
