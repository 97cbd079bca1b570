"""What limits the trust in a run, and what to do next: short sentences for the first screen of the report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from quintet.model_folder.run import Run
from quintet.reports.formats import count, format_list
from quintet.reports.front.chance_range import chance_range
from quintet.reports.front.headline import Success, percent_range, unknown_groups
from quintet.reports.front.unseen import worst_row
from quintet.reports.sections.leak_gate import gap_sentence
from quintet.reports.text import (
    FEW_CLIPS,
    FEW_GROUPS,
    LARGE_CALIBRATION_ERROR,
    evaluation_part,
    group_noun,
    groups_known,
    kind,
    split_note,
)

WIDE = 0.2
"""Width of the interval of the headline from which the number of clips is said to be too small."""

MAX_STEPS = 3

MOST_NAMED = 3
"""Classes that a step names; the others are counted."""


@dataclass(frozen=True)
class Check:
    """One thing that decides how far the numbers can be trusted.

    Args:
        name: what was checked.
        kind: `good`, `warn`, or `open` if it was not measured.
        text: what was found.
        anchor: id of the part of the page with the details.
    """

    name: str
    kind: str
    text: str
    anchor: str


def checks(run: Run, result: Success | None, calibration_error: float) -> tuple[Check, ...]:
    """Groups, number of clips, calibration, and what the members may recognise instead of the class.

    Args:
        run: the model folder.
        result: the success; None if there is none.
        calibration_error: expected calibration error of the ensemble prediction.
    """
    leak = _leak_check(run)
    return (
        _group_check(run),
        _sample_check(run, result),
        _calibration_check(calibration_error),
        *((leak,) if leak else ()),
    )


def summary(found: Sequence[Check]) -> str:
    """The checks in a few words: `With care: 2 of 4 checks warn, 1 is open.`"""
    kinds = [check.kind for check in found]
    n, n_open = kinds.count("warn"), kinds.count("open")
    left = f", {n_open} {'is' if n_open == 1 else 'are'} open" if n_open else ""
    if n == 0:
        return f"Yes, for music like this{left}."
    verb = "warns" if n == 1 else "warn"
    return f"With care: {n} of {len(found)} checks {verb}{left}."


def _group_check(run: Run) -> Check:
    stamp = split_note(run)
    text = unknown_groups(run.results.split.protocol)
    if groups_known(run):
        text = stamp.text.partition(" Intervals resample")[0]
    return Check(stamp.short, stamp.kind, text, "split")


def _sample_check(run: Run, result: Success | None) -> Check:
    scores = run.report_scores
    if scores is None or result is None:
        return Check("Few scores", "warn", "The run has no score of the ensemble prediction.", "scores")
    clips = count(result.n, "held-out clip" if result.held_out else "clip")
    few = [name for name, n in scores.support.items() if n < FEW_CLIPS]
    groups = scores.n_groups if groups_known(run) else 0
    texts = []
    if result.has_interval and result.high - result.low > WIDE:
        ends = percent_range(result.low, result.high).replace("–", " and ")
        texts.append(f"{clips} leave the result open between {ends}.")
    if 0 < groups < FEW_GROUPS:
        texts.append(f"They come from {count(groups, group_noun(run))} only.")
    if few:
        subject = f"each {kind(run)}" if len(few) == len(run.classes) else format_list(few[:3])
        if 3 < len(few) < len(run.classes):
            subject = count(len(few), kind(run))
        part = "held-out clips" if result.held_out else "clips"
        texts.append(f"Fewer than ten {part} of {subject}: what they say about one {kind(run)} is anecdotal.")
    if texts:
        return Check("Few clips", "warn", " ".join(texts), "card")
    enough = f"{clips}, at least ten of each {kind(run)}."
    return Check("Enough clips", "good", enough, "card")


def _calibration_check(error: float) -> Check:
    if not math.isfinite(error):
        return Check("Probabilities", "open", "They could not be compared with the labels.", "trust")
    if error > LARGE_CALIBRATION_ERROR:
        text = f"They are off by {error:.2f} on average: good for ranking clips, not as frequencies."
        return Check("Probabilities", "warn", text, "trust")
    text = f"They are off by {error:.2f} on average; up to {LARGE_CALIBRATION_ERROR} is good."
    return Check("Probabilities", "good", text, "trust")


def _leak_check(run: Run) -> Check | None:
    """The leak gate, else copies of a clip on both sides of the split; None if neither is known.

    The split itself has its own check.
    """
    gate = run.results.leak_gate
    between = chance_range(run.results)
    if between:
        return Check("Range", "warn", between, "gate")
    sentence = gap_sentence(gate, run) if gate else ""
    is_good = split_note(run).kind == "good"
    if sentence:
        return Check("Leak", "good" if is_good else "warn", sentence, "gate")
    n = count_copies(run)
    if n:
        clips = count(n, f"{evaluation_part(run)} clip")
        text = (
            f"{clips} {'has' if n == 1 else 'have'} exactly the sound of a clip that members were trained on."
        )
        return Check("Copies", "warn", text, "split")
    text = "" if n is None else "No clip that was scored has exactly the sound of a training clip."
    if is_good:
        return Check("Copies", "good", text, "split") if text else None
    harder = "group" if groups_known(run) else "sound"
    advice = f"How much a harder split would take away: `train --protocols random,{harder}` measures it."
    return Check("Leak", "open", f"{text} {advice}".strip(), "split")


def count_copies(run: Run) -> int | None:
    """Number of scored clips whose decoded sound is also that of a clip their members were trained on.

    Args:
        run: the model folder. Without a held-out part, members are those of the other folds.

    Returns:
        None if the digests of the sounds are not known.
    """
    features, split = run.features, run.split
    if "audio_digest" not in features or not {"id", "part", "fold"} <= set(split.columns):
        return None
    clips = split.assign(digest=split["id"].map(features["audio_digest"])).dropna(subset=["digest"])
    if clips.empty:
        return None
    training = clips[clips["part"] == "train"]
    if run.part == "test":
        return int(clips.loc[clips["part"] == "test", "digest"].isin(training["digest"]).sum())
    folds = training.groupby("digest")["fold"].transform("nunique")
    return int((folds > 1).sum())


def next_steps(run: Run, strip: pd.DataFrame, found: Sequence[Check], *, can_play: bool) -> tuple[str, ...]:
    """What the reader can do to get a better or a surer model, the most useful first.

    Args:
        run: the model folder.
        strip: result of `class_strip`.
        found: result of `checks`.
        can_play: whether mistakes can be played on the page.
    """
    steps = []
    kinds_found = {check.name: check.kind for check in found}
    worst = worst_row(strip)
    if worst is not None:
        verb = "Listen to" if can_play else "Look at"
        name = worst["class"]
        steps.append(f"{verb} the mistakes about {name}: a click on {name} shows them.")
    if not groups_known(run):
        step = "Name the groups (`train --groups FILE`), so that no artist is on both sides"
        by_sound = run.results.split.protocol == "sound"
        steps.append(f"{step}." if by_sound else f"{step}; `train --protocol sound` estimates that score.")
    few = [str(name) for name, n in zip(strip["class"], strip["clips"], strict=True) if n < FEW_CLIPS]
    if few:
        verb = "has" if len(few) == 1 else "have"
        named = few if len(few) <= MOST_NAMED else [*few[:MOST_NAMED], f"{len(few) - MOST_NAMED} more"]
        steps.append(f"Bring ten clips or more of each {kind(run)}; {format_list(named)} {verb} fewer.")
    elif kinds_found.get("Few clips") == "warn":
        units = "groups (artists, recordings)" if groups_known(run) else "clips"
        steps.append(f"Bring more {units}: four times as many make the interval half as wide.")
    if kinds_found.get("Probabilities") == "warn":
        steps.append(
            "Do not read a probability as a frequency: `predict --confidence 0.9` lists the classes among "
            "which the true one is nine times in ten."
        )
    if run.results.learning_curve is None:
        steps.append("`train --learning-curve` measures what more data would bring.")
    return tuple(steps[:MAX_STEPS])
