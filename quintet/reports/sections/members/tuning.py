"""Section "Settings search" of the report: trials, best settings and gain of each member.

It also says whether the members were trained with the best settings.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pandas as pd

from quintet.model_folder.run import Run
from quintet.reports.drawing import Drawing
from quintet.reports.figures.curves import search_figure, search_range
from quintet.reports.formats import LOWER_IS_BETTER, SCORE_NAMES, format_settings, format_signed, number, slug
from quintet.reports.report_data import ReportData
from quintet.reports.section import (
    Blocks,
    Cell,
    Column,
    Download,
    Note,
    Row,
    Section,
    Table,
    Text,
    grid,
    number_cell,
    sort_text,
)
from quintet.reports.style import to_svg
from quintet.reports.text import display_name, group_noun, groups_known

SEARCH_COLUMNS = [
    "member",
    "default",
    "best",
    "gain",
    "low",
    "high",
    "n_trials",
    "n_pruned",
    "settings",
    "used",
    "verdict",
]
TRIAL_COLUMNS = ["member", "number", "state", "value", "best_so_far", "settings", "seconds"]


def tuning_section(data: ReportData) -> Section | None:
    """Trials and gain of the settings search; None if the run has no search."""
    run = data.run
    table = search_table(run)
    if table.empty:
        return None
    return Section(
        id="search",
        title="Settings search",
        contents="Settings",
        blocks=(
            _method(run, table),
            *search_warnings(run, table),
            _search_block(run, table),
            *grid(*search_drawings(run)),
        ),
    )


def search_table(run: Run) -> pd.DataFrame:
    """One row per member with a search, columns `SEARCH_COLUMNS`.

    `used` says whether the member was trained with the best settings. There are no rows if nothing was
    searched.
    """
    rows = []
    for name, result in run.tuning.get("members", {}).items():
        if name not in run.members:
            continue
        gain = result["gain"]
        values = (result["default_value"], result["best_value"], gain["value"], gain["low"], gain["high"])
        trials = (result["n_trials"], result["n_pruned"])
        used = contains(run.member_settings(name), result["settings"])
        rows.append((name, *values, *trials, json.dumps(result["settings"]), used, result["verdict"]))
    return pd.DataFrame(rows, columns=SEARCH_COLUMNS)


def trial_table(run: Run) -> pd.DataFrame:
    """One row per trial of the members in `search_table`, columns `TRIAL_COLUMNS`.

    `best_so_far` is the best value of the complete trials up to this one. Trials that stopped early do not
    count, because they have no value for all folds.
    """
    if run.trials.empty:
        return run.trials
    searched = search_table(run)["member"]
    trials = run.trials[run.trials["member"].isin(searched)].reset_index(drop=True)
    members = trials["member"]
    complete = trials["value"].where(trials["state"] == "complete").groupby(members)
    best = complete.cummin() if _lower_is_better(run) else complete.cummax()
    trials["best_so_far"] = best.groupby(members).ffill()
    return trials[TRIAL_COLUMNS]


def _lower_is_better(run: Run) -> bool:
    return run.tuning.get("metric") in LOWER_IS_BETTER


def contains(settings: Mapping[str, object], part: Mapping[str, object]) -> bool:
    """Whether `settings` has every setting of `part`, nested settings included.

    Example:
        >>> contains({"C": 3.0, "augmentation": {"mixup": 0.3}}, {"augmentation": {"mixup": 0.3}})
        True
    """
    for name, value in part.items():
        if name not in settings:
            return False
        given = settings[name]
        if isinstance(value, dict) and isinstance(given, dict):
            if not contains(given, value):
                return False
        elif given != value:
            return False
    return True


def _method(run: Run, table: pd.DataFrame) -> Text:
    """Paragraph on the metric, the clips and the limits of the search, with the downloads."""
    metric = run.tuning["metric"]
    warning = (
        "The best of many trials on the same folds looks better than it is, so expect a smaller gain than "
        "the one below"
    )
    if run.part == "test":
        warning += ". The held-out test, which the search did not use, is the fair comparison"
    return Text(
        f"{SCORE_NAMES.get(metric, metric)} on {search_basis(run)}. {warning}.",
        downloads=(Download("search", table), Download("search-trials", trial_table(run), "Every trial")),
    )


def search_basis(run: Run) -> str:
    """Phrase that names the clips and folds on which the trials were scored."""
    tuning = run.tuning
    clips = f"{tuning['n']:,} clips" if "n" in tuning else "the clips"
    if "n" in tuning and groups_known(run):
        clips += f" of {tuning['n_groups']:,} {group_noun(run)}s"
    if tuning.get("n_folds") == 1:
        return f"{clips} of the validation part"
    return f"{clips} of the training part, out of fold on {tuning.get('n_folds', 'several')} folds"


def search_warnings(run: Run, table: pd.DataFrame) -> Blocks:
    """Warnings if the search used another split, or if members were trained with other settings."""
    notes = []
    digest = (run.config.get("split") or {}).get("digest")
    if run.tuning.get("split") != digest:
        text = (
            "The search and this training split the clips differently. So the search may have used clips "
            "that are in the test part here."
        )
        notes.append(Note("warn", "Another split.", text))
    unused = [display_name(name, run) for name in table.loc[~table["used"].astype(bool), "member"]]
    if unused:
        verb = "was" if len(unused) == 1 else "were"
        text = f"{', '.join(unused)} {verb} not trained with the best settings of the search."
        notes.append(Note("warn", "Best settings not used.", text))
    return tuple(notes)


def _search_block(run: Run, table: pd.DataFrame) -> Table:
    """Table with one row per member: default, best value, gain, trials, best settings.

    If the best trial has no settings, it is the default, and there is no gain to show.
    """
    rows = []
    for record in table.to_dict("records"):
        settings = json.loads(record["settings"])
        pruned = (f"{record['n_pruned']} stopped early",) if record["n_pruned"] else ()
        cells = (
            number_cell(record["default"]),
            number_cell(record["best"]),
            _gain_cell(record["gain"], record["low"], record["high"]) if settings else Cell("–", sort=""),
            Cell(str(record["n_trials"]), pruned),
            Cell(format_settings(settings) or "the default", (record["verdict"],)),
        )
        rows.append(Row(Cell(display_name(record["member"], run)), cells))
    columns = (
        Column("Member"),
        Column("Default", numeric=True),
        Column("Best", numeric=True),
        Column("Gain", numeric=True),
        Column("Trials", numeric=True),
        Column("Settings"),
    )
    caption = (
        "The default settings against the best trial of each member, on the same clips. The gain, with its "
        "paired 95 % interval, is positive if the best trial is better."
    )
    return Table("Result of the settings search", columns, tuple(rows), caption)


def _gain_cell(gain: float, low: float, high: float) -> Cell:
    """Cell of a gain, with its interval below it if there is one."""
    notes = (f"{format_signed(low)} – {format_signed(high)}",) if np.isfinite(low) else ()
    return Cell(format_signed(gain), notes, sort_text(gain))


def search_drawings(run: Run) -> list[Drawing]:
    """One figure per member: its trials, and the best value so far."""
    table = search_table(run)
    trials = trial_table(run)
    drawings = []
    for _, row in table.iterrows():
        drawings.append(_search_drawing(run, row, trials[trials["member"] == row["member"]]))
    return drawings


def _search_drawing(run: Run, row: pd.Series, trials: pd.DataFrame) -> Drawing:
    """Figure of one member.

    Args:
        run: the model folder.
        row: its row of `search_table`.
        trials: its rows of `trial_table`.
    """
    score = SCORE_NAMES.get(run.tuning.get("metric", ""), "")
    title = display_name(row["member"], run)
    best_so_far = trials["best_so_far"].to_numpy(np.float64)
    best_position = int((best_so_far == row["best"]).argmax()) + 1  # the figure counts trials from 1
    alt = (
        f"{score} of {title} by trial: the default {number(row['default'])}, the best of {row['n_trials']} "
        f"trials {number(row['best'])}, in trial {best_position}."
    )
    caption = f"{'Lower' if _lower_is_better(run) else 'Higher'} is better. Trial 1 is the default."
    axis_low, axis_high = search_range(best_so_far)
    if not trials["value"].between(axis_low, axis_high).all():
        caption += " An arrowhead stands for a trial whose value lies outside of the axis."
    id_ = f"search-{slug(row['member'])}"
    figure = search_figure(trials, label=score[:1].lower() + score[1:])
    return Drawing(id_, to_svg(figure, id_, alt), caption, trials, title)
