"""What the ensemble prediction relies on: feature families and columns in plain words."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from quintet.explanation.ensemble import ColumnExplanation, EnsembleExplanation
from quintet.explanation.importance import family
from quintet.explanation.members import RunExplanation
from quintet.explanation.shapley.family_shapley import SPECTROGRAM
from quintet.model_folder.run import Run
from quintet.reports.formats import column_notes, format_list, format_signed
from quintet.reports.front.bars import Measure, Scale, Span, common_scale
from quintet.reports.front.headline import HEAVY
from quintet.reports.style import family_paint
from quintet.reports.text import display_name, inline_name, truth

FAMILY_WORDS: Mapping[str, str] = {
    "cepstral": "timbre: the rough shape of the spectrum",
    "spectral": "brightness, width and noisiness of the spectrum",
    "tonal": "harmony: pitch classes, fifths and thirds",
    "rhythm": "tempo and note onsets",
    "temporal": "loudness and zero crossings of the waveform",
    "modulation": "pulse: how fast the loudness of a band changes",
    "covariance": "bands that rise and fall together",
    "parts": "steady tones against beats and noise",
    "mfcc": "timbre: the rough shape of the spectrum",
    "mfccs": "timbre: the rough shape of the spectrum",
    "chroma": "strength of the twelve pitch classes",
    "tonnetz": "harmony: fifths and thirds",
    "rms": "loudness",
    "rmse": "loudness",
    "zcr": "noisiness: zero crossings",
    "tempo": "tempo",
    SPECTROGRAM: "the picture that the networks see",
}
"""Feature family → what it measures, in plain words."""

NO_INTERVAL = " How sure this is cannot be said: the clips come from a single group."
"""What stands in the place of an interval; intervals resample groups."""
MAX_COLUMNS = 10
"""Columns on the first screens."""


@dataclass(frozen=True)
class Reason:
    """A family or a column, and what it adds to the probability of the true class.

    Args:
        name: its technical name.
        words: the same in plain words; empty if they are not known.
        family: its feature family.
        paint: name of the CSS variable of its colour.
        span: its bar.
        is_certain: whether its interval does not hold zero.
        by_class: class → its bar for the clips of the class.
        others: which other columns it stands for, in words; empty for a family, or a column of its own.
    """

    name: str
    words: str
    family: str
    paint: str
    span: Span
    is_certain: bool
    by_class: Mapping[str, Span]
    others: str = ""


@dataclass(frozen=True)
class Weight:
    """A member and its weight.

    Args:
        name: the member in plain words.
        bar: its weight, from 0 to 1.
    """

    name: str
    bar: Span


@dataclass(frozen=True)
class Reasons:
    """Why the ensemble predicts what it predicts.

    Args:
        lead: what matters most, in one sentence.
        families: the families, largest first.
        columns: at most ten columns, largest first.
        families_note: how the families were measured.
        columns_note: how the columns were measured, and what the others add.
        members: the members that decide, with their weights; empty for a single member.
        members_note: what these weights are, and which members have none.
    """

    lead: str
    families: tuple[Reason, ...]
    columns: tuple[Reason, ...]
    families_note: str
    columns_note: str
    members: tuple[Weight, ...]
    members_note: str


def reasons(run: Run, explanation: RunExplanation) -> Reasons | None:
    """What the ensemble prediction relies on; None if it could not be explained.

    Args:
        run: the model folder.
        explanation: of its members and its ensemble.
    """
    game, columns = explanation.game, explanation.column_game
    if game is None:
        return None
    families = _family_reasons(game)
    listed: tuple[Reason, ...] = ()
    columns_note = ""
    if columns is not None:
        listed, columns_note = _column_reasons(columns, run)
    return Reasons(
        lead=lead(game, run),
        families=families,
        columns=listed,
        families_note=_families_note(game, run),
        columns_note=columns_note,
        members=member_weights(run),
        members_note=members_note(run),
    )


def lead(game: EnsembleExplanation, run: Run) -> str:
    """What matters most, in one sentence.

    Args:
        game: values of the families.
        run: the model folder.
    """
    gain = game.prediction - game.base
    if game.shares.empty:
        return f"Nothing yet: the {truth(run)} gets hardly more probability than by guessing."
    first = game.steps.iloc[0]
    name = str(first["player"])
    words = FAMILY_WORDS.get(name, "")
    title = f"the {name} columns"
    if name == SPECTROGRAM:
        title = "the spectrogram that the networks see"
    elif words:
        title = f"{words.partition(':')[0]} ({title})"
    doubt = ""
    if not _has_interval(first):
        doubt = NO_INTERVAL
    elif _holds_zero(first):
        doubt = " This may be chance."
    return (
        f"{title[0].upper()}{title[1:]}: {first['value']:.2f} of the {gain:.2f} by which all inputs raise "
        f"the probability of the {truth(run)}.{doubt}"
    )


def member_weights(run: Run) -> tuple[Weight, ...]:
    """The members that decide together, with their weights, largest first; empty for a single member."""
    shares = run.member_shares
    if len(shares) == 1:
        return ()
    scale, nan = Scale(0.0, 1.0), float("nan")
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    return tuple(
        Weight(display_name(name, run), scale.span(Measure(share, nan, nan, f"{share:.2f}")))
        for name, share in ordered
        if share >= HEAVY
    )


def members_note(run: Run) -> str:
    """What the weights of the members are, and which members have none."""
    shares = run.member_shares
    if len(shares) == 1:
        return f"One classifier decides: {inline_name(next(iter(shares)), run)}."
    text = "The classifiers that decide together (members of the ensemble), by their weights."
    without = [display_name(name, run) for name, share in shares.items() if share < HEAVY]
    if without:
        text += f" Without weight: {format_list(without)}."
    return text


def _family_reasons(game: EnsembleExplanation) -> tuple[Reason, ...]:
    measures, certain = {}, {}
    for row in game.steps.to_dict("records"):
        name, text = str(row["player"]), format_signed(row["value"], 2)
        measures[name] = Measure(row["value"], row["low"], row["high"], text)
        certain[name] = not _holds_zero(row)
    scale = common_scale(list(measures.values()))
    nan = float("nan")
    by_class: dict[str, dict[str, Span]] = {name: {} for name in measures}
    per_class = game.by_class
    class_scale = common_scale([Measure(float(x), nan, nan, "") for x in per_class.to_numpy().ravel()])
    for label, values in per_class.iterrows():
        for name in measures:
            value = float(values[name])
            by_class[name][str(label)] = class_scale.span(Measure(value, nan, nan, format_signed(value, 2)))
    return tuple(
        Reason(
            name=name,
            words=FAMILY_WORDS.get(name, ""),
            family=name,
            paint=family_paint(name),
            span=scale.span(measure),
            is_certain=certain[name],
            by_class=by_class[name],
        )
        for name, measure in measures.items()
    )


def _column_reasons(columns: ColumnExplanation, run: Run) -> tuple[tuple[Reason, ...], str]:
    """The first columns, and the note below them."""
    steps = columns.steps
    is_rest = steps["player"].map(_is_rest)
    own = steps[~is_rest & (steps["player"] != SPECTROGRAM)].head(MAX_COLUMNS)
    note = (
        f"{_sum_words(steps, own)} Estimated on {len(columns.shapley.values)} clips by adding columns in "
        "random orders (sampled Shapley values); columns with nearly the same values count as one."
    )
    if own.empty:
        return (), note
    certain = [not _holds_zero(row) for row in own.to_dict("records")]
    has_intervals = any(map(_has_interval, own.to_dict("records")))
    if has_intervals and not any(certain):
        names = format_list([_words(str(name), run) or str(name) for name in own["player"].head(3)])
        text = (
            f"No single column moves the prediction beyond chance; the largest are {names}. The information "
            f"is spread over many columns. {note}"
        )
        return (), text
    measures = [
        Measure(row["value"], row["low"], row["high"], format_signed(row["value"], 3))
        for row in own.to_dict("records")
    ]
    scale = common_scale(measures)
    found = []
    for name, measure, is_certain in zip(own["player"], measures, certain, strict=True):
        first, _, alike = str(name).partition(" + ")
        found.append(
            Reason(
                name=first,
                words=_words(str(name), run),
                family=family(first),
                paint=family_paint(family(first)),
                span=scale.span(measure),
                is_certain=is_certain,
                by_class={},
                others=_others(alike),
            )
        )
    return tuple(found), note + (_marks(certain, has_intervals=has_intervals))


def _sum_words(steps: pd.DataFrame, own: pd.DataFrame) -> str:
    """What the columns that are not listed add, and the sum of all, which is that of the families."""
    is_spectrogram = steps["player"] == SPECTROGRAM
    rest = float(steps.loc[~steps.index.isin(own.index) & ~is_spectrogram, "value"].sum())
    text = f"All other columns together add {format_signed(rest, 2)}"
    picture = format_signed(float(steps.loc[is_spectrogram, "value"].sum()), 2)
    if picture.strip("+−0."):
        text += f", and the spectrogram {picture}"
    total = format_signed(float(steps["value"].sum()), 2)
    return f"{text}. The sum of all is {total}, as that of the families."


def _marks(certain: Sequence[bool], *, has_intervals: bool) -> str:
    """What a faint bar means, if there is one."""
    if not has_intervals:
        return NO_INTERVAL
    return "" if all(certain) else " Faint: may be chance, because the interval holds zero."


def _others(alike: str) -> str:
    """What `2 alike` means: `and 2 near-copies`; nothing of nothing."""
    number = alike.partition(" ")[0]
    if not number.isdigit():
        return ""
    return "and a near-copy" if number == "1" else f"and {number} near-copies"


def _is_rest(player: str) -> bool:
    """Whether a player stands for the other columns of a family: `372 other cepstral columns`."""
    first, _, after = player.partition(" ")
    return first.isdigit() and after.startswith("other ")


def _words(player: str, run: Run) -> str:
    return " ".join(column_notes(player.partition(" + ")[0], run))


def _has_interval(row: Mapping[Hashable, float] | pd.Series) -> bool:
    return math.isfinite(float(row["low"])) and math.isfinite(float(row["high"]))


def _holds_zero(row: Mapping[Hashable, float] | pd.Series) -> bool:
    """Whether the interval of a step holds zero; without an interval nothing is certain."""
    return not _has_interval(row) or float(row["low"]) <= 0 <= float(row["high"])


def _families_note(game: EnsembleExplanation, run: Run) -> str:
    n = len(game.clips)
    has_intervals = any(map(_has_interval, game.steps.to_dict("records")))
    lines = "; thin lines: 95 % intervals" if has_intervals else ""
    return (
        f"What each feature family adds to the probability of the {truth(run)}, from {game.base:.2f} without "
        f"input to {game.prediction:.2f} with all of it (exact Shapley values of the ensemble, mean over {n} "
        f"clips that no member was trained on{lines})."
    )
