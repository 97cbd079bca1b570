"""The outcome of a judgement in sentences, for the terminal and the page."""

from __future__ import annotations

import math

from quintet.library.retraining.judgement import SETS, Judgement


def judgement_words(judgement: Judgement | str | None, n_corrections: int) -> tuple[str, ...]:
    """Whether the corrections helped, the honest answer first.

    Args:
        judgement: the judgement, the reason why there is none, or None without corrections.
        n_corrections: corrections of the owner.
    """
    if judgement is None:
        return ("There are no corrections yet, so nothing is compared.",)
    if isinstance(judgement, str):
        return (f"Whether the corrections helped cannot be judged. {judgement}",)
    return (_answer(judgement, n_corrections), _evidence(judgement), *_changed(judgement))


def _answer(found: Judgement, n_corrections: int) -> str:
    corrections = f"{n_corrections:,} correction{'' if n_corrections == 1 else 's'}"
    if found.outcome == "unseen":
        return f"No difference can be seen with {corrections}."
    return f"The {corrections} {'helped' if found.outcome == 'better' else 'made it worse'}."


def _evidence(found: Judgement) -> str:
    what = "mean PR AUC" if found.metric == SETS else "right"
    change = found.difference
    interval = ""
    if math.isfinite(change.low):
        interval = f" (95 % interval {_points(change.low)} to {_points(change.high)})"
    return (
        f"{found.n:,} songs of {found.n_groups:,} artists, each judged by members that saw no song of its "
        f"artist: {100 * found.before.value:.1f} % {what} without the corrections, "
        f"{100 * found.after.value:.1f} % with them, {_points(change.value)} points{interval}."
    )


def _changed(found: Judgement) -> tuple[str, ...]:
    """How often the songs with a corrected label are right."""
    if found.right_before is None or not found.n_changed:
        return ()
    return (
        f"Of the {found.n_changed:,} songs whose label a correction changed, {found.right_before:,} are "
        f"right without the corrections and {found.right_after:,} with them.",
    )


def _points(value: float) -> str:
    return f"{100 * value:+.1f}".replace("-", "−")
