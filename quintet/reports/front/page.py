"""The first screens of the report as values of its template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from quintet.model_folder.run import Run
from quintet.model_folder.unseen import Unseen, unseen_clips
from quintet.reports.figures.confusion import DENSE_NOTE, MAX_NUMBERED, NUMBERED_NOTE, confusion_html
from quintet.reports.formats import count, format_list, short_name
from quintet.reports.front.bars import Measure, Scale, Span
from quintet.reports.front.card import badge_svg, badge_text, card_png
from quintet.reports.front.explanations import ExplainCommands, explain_commands
from quintet.reports.front.headline import evidence, headline, luck, success
from quintet.reports.front.reasons import Reasons, reasons
from quintet.reports.front.sounds import Sounds, make_sounds
from quintet.reports.front.subject import class_noun
from quintet.reports.front.trust import Check, checks, next_steps, summary
from quintet.reports.front.unseen import all_mistakes, class_strip, unseen_confusions, worst_row
from quintet.reports.report_data import ReportData, main_confusions
from quintet.reports.section import Download, name_rows
from quintet.reports.text import FEW_CLIPS, kind, oof_noun, split_note

if TYPE_CHECKING:
    from quintet.auditing.labels.suspects import Suspects

SHOWN_CLASSES = 12
"""Classes of the strip; the others are folded."""
SHORT_STRIP = 10
"""Classes up to which there is room below the strip for what to do next."""
SHOWN_MISTAKES = 6
"""Mistakes that are shown before a class is chosen, where there is no matrix."""
FEWEST_SHOWN, MOST_SHOWN = 4, 14
"""The same beside a matrix, which is as high as the list."""
MATRIX_ROW_PX, MATRIX_HEAD_PX, MISTAKE_PX = 30, 100, 53
"""Heights of a row and of the names above the matrix, and of a mistake, in pixels."""
SHOWN_DOUBTS = 4
"""Doubtful labels whose sound comes before that of further mistakes."""
MAX_SOUNDS = 800
"""Clips that can be played."""
MAX_EXPLAINED = 100
"""Mistakes with a command that explains them."""
MAX_MISTAKES = 400
"""Mistakes that are in the page, for the choice of a class."""


@dataclass(frozen=True)
class StripRow:
    """A class in the strip.

    Args:
        name: the class.
        text: its right predictions in words: `5 of 12`.
        note: the class that is most often predicted instead, or what else there is to say.
        span: its bar.
        is_small: whether it has fewer than ten clips.
    """

    name: str
    text: str
    note: str
    span: Span
    is_small: bool


@dataclass(frozen=True)
class Mistake:
    """A wrong prediction.

    Args:
        clip: id of the clip.
        label: its label; empty for a tag that was given wrongly.
        predicted: the prediction; empty for a tag that was missed.
        text: label and prediction in words.
        confidence: probability of the prediction.
        is_shown: whether it is shown before a class is chosen.
    """

    clip: str
    label: str
    predicted: str
    text: str
    confidence: float
    is_shown: bool


@dataclass(frozen=True)
class Front:
    """Everything on the first screens.

    Args:
        sentence: the headline, in words.
        evidence: counts, interval and level of chance behind it.
        luck: a sentence if the result may be chance; otherwise empty.
        worst: the worst class in words.
        matters: what matters most, in one sentence.
        trust: the checks in a few words.
        checks: what limits the trust.
        steps: what to do next.
        strip: the classes, the worst first.
        strip_scope: what the strip counts.
        strip_note: how to read its bars.
        matrix: the confusion matrix as HTML; empty for label sets.
        matrix_note: how to read it.
        confusions: the most frequent confusions, in words.
        mistakes: wrong predictions, the most confident first.
        n_mistakes: number of all wrong predictions.
        reasons: what the prediction relies on; None if it could not be explained.
        sounds: sounds of the mistakes.
        explain: commands that explain the mistakes.
        explain_note: what these explanations do not show; empty if there is nothing to say.
        badge: text of the badge; empty without a score.
        noun: what a class is called.
        downloads: the numbers behind the first screens.
        pictures: file → content of the card and the badge.
    """

    sentence: str
    evidence: str
    luck: str
    worst: str
    matters: str
    trust: str
    checks: tuple[Check, ...]
    steps: tuple[str, ...]
    strip: tuple[StripRow, ...]
    strip_scope: str
    strip_note: str
    matrix: str
    matrix_note: str
    confusions: str
    mistakes: tuple[Mistake, ...]
    n_mistakes: int
    reasons: Reasons | None
    sounds: Sounds
    explain: ExplainCommands
    explain_note: str
    badge: str
    noun: str
    downloads: tuple[Download, ...]
    pictures: dict[str, bytes]


def front_page(data: ReportData, title: str, folder: Path | None) -> Front:
    """The first screens of a report.

    Args:
        data: data of the report.
        title: title of the page.
        folder: folder of the page, for links to files; None if it may link nothing.
    """
    run = data.run
    unseen = unseen_clips(run)
    strip, mistakes = class_strip(unseen), all_mistakes(unseen)
    confusions = unseen_confusions(unseen)
    is_dense = confusions is not None and len(confusions) > MAX_NUMBERED
    n_shown = SHOWN_MISTAKES if confusions is None else shown_mistakes(len(confusions))
    result = success(
        run.report_scores,
        n_classes=len(run.classes),
        held_out=run.part == "test",
        multilabel=run.multilabel,
    )
    noun = class_noun(run)
    found = checks(run, result, data.calibration_error)
    why = reasons(run, data.explanation)
    sentence = headline(result, noun) if result else "The scores of this model are below"
    stamp = split_note(run)
    commands = explain_commands(run, list(mistakes["clip_id"].head(MAX_EXPLAINED)), folder)
    sounds = make_sounds(run, _clips_to_hear(mistakes, n_shown, data.suspects, unseen), folder)
    pictures = {}
    if result:
        pictures["card.png"] = card_png(title, sentence, result, strip, stamp.short)
        pictures["badge.svg"] = badge_svg(result, stamp.short, is_good=stamp.kind == "good").encode()
    return Front(
        sentence=f"{sentence}.",
        evidence=f"{evidence(result)}." if result else "",
        luck=luck(result) if result else "",
        worst=worst_class(strip, run),
        matters=why.lead if why else "Not measured: the model folder lacks what an explanation needs.",
        trust=summary(found),
        checks=found,
        steps=next_steps(run, strip, found, can_play=bool(sounds.inside or sounds.linked)),
        strip=strip_rows(strip, run),
        strip_scope=strip_scope(unseen, strip, run),
        strip_note=strip_note(strip),
        matrix=""
        if confusions is None
        else confusion_html(confusions, "Confusion matrix of all unseen clips"),
        matrix_note=DENSE_NOTE if is_dense else NUMBERED_NOTE,
        confusions=confusion_words(confusions),
        mistakes=mistake_rows(mistakes, n_shown),
        n_mistakes=len(mistakes),
        reasons=why,
        sounds=sounds,
        explain=commands,
        explain_note=explain_note(run, commands),
        badge=badge_text(result, stamp.short) if result else "",
        noun=noun,
        downloads=_downloads(strip, mistakes, confusions),
        pictures=pictures,
    )


def shown_mistakes(n_classes: int) -> int:
    """Number of mistakes that fit beside the confusion matrix of some classes.

    Example:
        >>> shown_mistakes(2), shown_mistakes(6), shown_mistakes(10), shown_mistakes(100)
        (4, 5, 7, 14)
    """
    fitting = (MATRIX_ROW_PX * n_classes + MATRIX_HEAD_PX) // MISTAKE_PX
    return min(max(fitting, FEWEST_SHOWN), MOST_SHOWN)


def explain_note(run: Run, commands: ExplainCommands) -> str:
    """What explanations of mistakes in the training part do not show; empty if there are none.

    Args:
        run: the model folder.
        commands: commands that explain the mistakes.
    """
    training = run.split.loc[run.split["part"] == "train", "id"]
    if not training.isin(list(commands.names)).any():
        return ""
    return (
        "“Explain” asks the final model, which was trained on all clips that were not held out: it may know "
        "their labels by now."
    )


def _clips_to_hear(
    mistakes: pd.DataFrame, n_shown: int, suspects: Suspects | None, unseen: Unseen
) -> list[str]:
    """Clips whose sound the page wants: mistakes of the list, doubtful labels, then the clips of the maps."""
    doubted = [] if suspects is None else suspects.clips_to_compare(SHOWN_DOUBTS)
    shown, others = mistakes["clip_id"].head(n_shown), mistakes["clip_id"].head(MAX_MISTAKES)
    clips = [*shown, *doubted, *others, *unseen.predictions.clip_ids]
    return list(dict.fromkeys(map(str, clips)))[:MAX_SOUNDS]


def _downloads(
    strip: pd.DataFrame, mistakes: pd.DataFrame, confusions: pd.DataFrame | None
) -> tuple[Download, ...]:
    tables = [Download("unseen-classes", strip), Download("unseen-mistakes", mistakes)]
    if confusions is not None:
        tables.append(Download("unseen-confusion", name_rows(confusions, "true")))
    return tuple(tables)


def worst_class(strip: pd.DataFrame, run: Run) -> str:
    """The worst class in words.

    Args:
        strip: result of `class_strip`.
        run: the model folder.
    """
    if strip.empty:
        return f"No {kind(run)} has a clip that was predicted unseen."
    what = "found" if run.multilabel else "right"
    worst = worst_row(strip)
    if worst is None:
        return f"None: every clip of every {kind(run)} is {what}."
    small = " With so few clips this is anecdotal." if worst["clips"] < FEW_CLIPS else ""
    is_equal = (strip["right"] == worst["right"]) & (strip["clips"] == worst["clips"])
    if is_equal.sum() > 1 and not run.multilabel:
        names = format_list([str(name) for name in strip["class"][is_equal]])
        return f"{names}: {worst['right']} of {worst['clips']} {what} each.{small}"
    text = f"{worst['class']}: {worst['right']} of {worst['clips']} {what}"
    if worst["mistaken_for"]:
        text += f", most often taken for {worst['mistaken_for']} ({worst['mistaken_clips']})"
    if run.multilabel and worst["extra"]:
        text += f", and given to {count(int(worst['extra']), 'clip')} without it"
    return f"{text}.{small}"


def strip_rows(strip: pd.DataFrame, run: Run) -> tuple[StripRow, ...]:
    """Rows of the strip.

    Args:
        strip: result of `class_strip`.
        run: the model folder.
    """
    scale = Scale(0.0, 1.0)
    rows = []
    for record in strip.to_dict("records"):
        name, n, right = str(record["class"]), int(record["clips"]), int(record["right"])
        note = ""
        if record["mistaken_for"]:
            note = f"{record['mistaken_clips']} as {record['mistaken_for']}"
        if run.multilabel:
            note = f"{record['extra']} given wrongly"
        text = f"{right} of {n}"
        span = scale.span(Measure(record["share"], record["low"], record["high"], text))
        rows.append(StripRow(name, text, note, span, n < FEW_CLIPS))
    return tuple(rows)


def strip_scope(unseen: Unseen, strip: pd.DataFrame, run: Run) -> str:
    """Which clips the strip counts: those of the headline, the others, and both together.

    Args:
        unseen: the clips.
        strip: result of `class_strip`.
        run: the model folder.
    """
    predictions, is_held_out = unseen.predictions, unseen.part == "test"
    others = "clips in cross-validation" if oof_noun(run) == "out-of-fold" else "clips of the validation part"
    phrases = []
    for words, own in (("held-out clips", is_held_out), (others, ~is_held_out)):
        headline_mark = " (the headline)" if own is is_held_out and not own.all() else ""
        number = f"{own.sum():,}"
        if not run.multilabel:
            is_right = predictions.codes()[own] == predictions.probabilities[own].argmax(axis=1)
            number = f"{is_right.sum():,} of {number}"
        if own.any():
            phrases.append(f"{number} {words}{headline_mark}")
    listed = " and ".join(phrases)
    if run.multilabel:
        text = f"Tags that were found at a probability of one half, in {listed}."
    elif len(phrases) > 1:
        text = f"{listed}: {strip['right'].sum():,} of {len(predictions):,} are right."
    else:
        text = f"{listed} are right."
    return f"{text} Each was predicted by members that were trained without it."


def strip_note(strip: pd.DataFrame) -> str:
    """How to read the bars of the strip.

    Args:
        strip: result of `class_strip`.
    """
    grey = " Grey: fewer than ten clips." if (strip["clips"] < FEW_CLIPS).any() else ""
    return f"Thin lines: 95 % intervals.{grey}"


def confusion_words(confusions: pd.DataFrame | None) -> str:
    """The most frequent confusions in one sentence; empty if there are none.

    Args:
        confusions: result of `unseen_confusions`.
    """
    is_large = confusions is not None and len(confusions) > MAX_NUMBERED
    frequent: Sequence[tuple[str, str, int]] = main_confusions(confusions, 10 if is_large else 3)
    if not frequent:
        return ""
    phrases = [f"{true} taken for {predicted} ({n})" for true, predicted, n in frequent]
    return f"Most frequent: {format_list(phrases)}."


def mistake_rows(mistakes: pd.DataFrame, n_shown: int) -> tuple[Mistake, ...]:
    """The wrong predictions, the most confident first.

    Args:
        mistakes: result of `all_mistakes`.
        n_shown: number of those that are shown before a class is chosen.
    """
    rows = []
    for place, record in enumerate(mistakes.head(MAX_MISTAKES).to_dict("records")):
        label, predicted = str(record["label"]), str(record["predicted"])
        text = f"{short_name(label)} taken for {short_name(predicted)}"
        if not label:
            text = f"{short_name(predicted)} given wrongly"
        elif not predicted:
            text = f"{short_name(label)} missed"
        clip = str(record["clip_id"])
        shown = place < n_shown
        rows.append(Mistake(clip, label, predicted, text, float(record["confidence"]), shown))
    return tuple(rows)
