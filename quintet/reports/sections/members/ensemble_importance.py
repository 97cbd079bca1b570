"""Section "Importance": what the ensemble prediction relies on, by feature family and by column."""

from __future__ import annotations

import pandas as pd

from quintet.explanation.ensemble import ColumnExplanation, EnsembleExplanation
from quintet.explanation.members import RunExplanation
from quintet.model_folder.run import Run
from quintet.reports.drawing import Drawing
from quintet.reports.figures.bars import column_bars, waterfall
from quintet.reports.figures.heat import heat_figure
from quintet.reports.formats import MINUS, all_hold_zero, column_notes, format_signed, format_tiny, number
from quintet.reports.html import code_name
from quintet.reports.report_data import ReportData
from quintet.reports.section import (
    Block,
    Blocks,
    Cell,
    Column,
    Download,
    Note,
    Part,
    Row,
    Section,
    Table,
    Text,
    grid,
    name_rows,
    sort_text,
)
from quintet.reports.style import to_svg
from quintet.reports.text import evaluation_part, inline_name, kind, truth, unit

SMALL = 5e-3
"""Size below which a cell of a heat map shows a dot instead of a number."""
MAX_BARS = 20


def ensemble_importance_section(data: ReportData) -> Section | None:
    """Shapley values and permutation importance of the ensemble; None if it could not be explained."""
    run, explanation = data.run, data.explanation
    game = explanation.game
    if game is None:
        return None
    return Section(
        id="why",
        title="What the ensemble prediction relies on",
        contents="Importance",
        blocks=(
            *refit_note(explanation),
            *grid(family_drawing(game, run), class_drawing(game, run)),
            *_permutation_blocks(explanation, run),
            *_column_blocks(explanation, run),
        ),
    )


def refit_note(explanation: RunExplanation) -> Blocks:
    """Note that the explained members were fitted again; empty if there is a held-out part."""
    distance = explanation.distance
    if distance is None:
        return ()
    agreement = "exactly" if distance == 0 else f"within {distance:.0e}"
    text = (
        "No part was held out. Every clip is explained by members that were fitted again without its fold. "
        f"They reproduce the out-of-fold predictions above {agreement}."
    )
    return (Note("good", "Explained out of fold.", text, id="why-out-of-fold"),)


def family_drawing(game: EnsembleExplanation, run: Run) -> Drawing:
    """Contributions of the feature families to the probability of the true class, from base to prediction."""
    unit_label = f"probability of the {truth(run)}"
    figure = waterfall(
        game.steps,
        base=game.base,
        total=game.prediction,
        base_name="no input",
        total_name="all inputs",
        unit=unit_label,
    )
    first = game.steps.head(4)
    listed = ", ".join(
        f"{family} {format_signed(value, 2)}"
        for family, value in zip(first["player"], first["value"], strict=True)
    )
    alt = f"From {game.base:.2f} to {game.prediction:.2f} {unit_label}: {listed}."
    intervals = f"One {unit(run)} gives no intervals."
    if game.steps["low"].notna().any():
        intervals = f"Thin lines: 95 % intervals by {unit(run)}."
    caption = (
        "Exact Shapley values of the feature families (and of the spectrogram) for the probability that "
        f"{inline_name(run.prediction_name, run)} gives to the {truth(run)}, mean over {len(game.clips)} "
        f"{evaluation_part(run)} clips. The values of a missing family are replaced by those of "
        f"{game.n_background} training clips. {intervals} Pale: against. "
        f"The contributions add up to the prediction within {format_tiny(game.shapley.residual)}. "
        "The choice of the training clips changes a contribution by "
        f"at most {number(game.background_error)} (standard error)."
    )
    return Drawing(
        "game", to_svg(figure, "game", alt), caption, game.steps, "Contribution of each feature family"
    )


def class_drawing(game: EnsembleExplanation, run: Run) -> Drawing:
    """Contributions of the feature families by class, as a heat map."""
    table, noun = game.by_class, kind(run)
    largest = max(float(table.to_numpy().max()), 1e-9)
    strongest = ", ".join(f"{label}: {family}" for label, family in table.idxmax(axis=1).items())
    alt = f"Contribution of each feature family to each {noun}; largest by {noun}: {strongest}."
    svg = to_svg(heat_figure((table / largest).clip(0, 1), table.map(_short_number)), "game-classes", alt)
    caption = (
        f"The same by {noun}: how much each feature family adds to the probability of the {noun} for its own "
        "clips (row). A negative number means that the family misleads."
    )
    return Drawing("game-classes", svg, caption, name_rows(table, "class"), f"Contribution by {noun}")


def _short_number(value: float) -> str:
    if abs(value) < SMALL:
        return "·"
    return f"{value:.2f}".replace("0.", ".", 1).replace("-", MINUS)


def _permutation_blocks(explanation: RunExplanation, run: Run) -> Blocks:
    """Permutation importance of families and columns; empty if it was not computed."""
    blocks: list[Block] = []
    for table, by_column in (
        (explanation.family_permutation, False),
        (explanation.column_permutation, True),
    ):
        if table is not None:
            sentence = permutation_sentence(table, by_column=by_column)
            blocks.append(sentence or permutation_drawing(table, run, by_column=by_column))
    drawings = [block for block in blocks if isinstance(block, Drawing)]
    texts = [block for block in blocks if not isinstance(block, Drawing)]
    return (Part("why-lost", "Permutation importance", (*grid(*drawings), *texts)),) if blocks else ()


def permutation_sentence(table: pd.DataFrame, *, by_column: bool) -> Text | None:
    """The permutation importance as a sentence if no interval excludes zero; None if a figure shows more.

    Args:
        table: as in `permutation_drawing`.
        by_column: whether the rows are columns, whose intervals are corrected for their number.
    """
    suffix = "_corrected" if by_column else ""
    if table.empty or not all_hold_zero(table[f"low{suffix}"], table[f"high{suffix}"]):
        return None
    first = table.iloc[0]
    noun = "column" if by_column else "feature family"
    text = (
        f"By {noun}: no {noun} lowers the macro AUC for certain if its values are shuffled, because every "
        f"interval holds zero. The largest decrease is that of {first['player']} ({number(first['fall'])})."
    )
    return Text(text, downloads=(Download(f"lost-{'columns' if by_column else 'families'}", table),))


def permutation_drawing(table: pd.DataFrame, run: Run, *, by_column: bool) -> Drawing:
    """Decrease of macro AUC if a family or a column is shuffled among clips.

    Args:
        table: columns `player, fall, low, high, low_corrected, high_corrected`.
        run: the model folder.
        by_column: whether the rows are columns. Their intervals are corrected for the number of comparisons.
    """
    table = table.head(MAX_BARS)
    rows = table.set_index("player")
    suffix = "_corrected" if by_column else ""
    low, high = rows[f"low{suffix}"], rows[f"high{suffix}"]
    figure = column_bars(rows["fall"], unit="decrease of macro AUC", low=low, high=high)
    listed = ", ".join(f"{name} {value:.3f}" for name, value in rows["fall"].head(5).items())
    alt = f"Decrease of macro AUC if shuffled: {listed}."
    caption = (
        f"Decrease of the macro AUC of {inline_name(run.prediction_name, run)} on {evaluation_part(run)} "
        "clips if the values are shuffled among these clips"
    )
    if low.notna().any():
        certain = [str(name) for name in rows.index[low > 0]]
        caption += f", with 95 % intervals by {unit(run)}"
        caption += f", widened for {len(table)} comparisons. " if by_column else ". "
        caption += f"Above zero: {', '.join(certain)}. " if certain else "Every interval contains zero. "
    else:
        caption += f". One {unit(run)} gives no interval. "
    caption += "Information that other columns also hold does not count"
    if by_column:
        caption += (
            "; columns with nearly the same ranking (rank correlation 0.9 and above) are shuffled together"
        )
    name = "lost-columns" if by_column else "lost-families"
    title = f"Permutation importance by {'column' if by_column else 'feature family'}"
    return Drawing(name, to_svg(figure, name, alt), f"{caption}.", table, title)


def _column_blocks(explanation: RunExplanation, run: Run) -> Blocks:
    """Shapley values of columns in the ensemble; empty if they were not computed."""
    columns = explanation.column_game
    if columns is None:
        return ()
    table = _steps_table(columns, run)
    blocks: Blocks = grid(column_drawing(columns, run), table)
    if all_hold_zero(columns.steps["low"], columns.steps["high"]):
        first = columns.steps.iloc[0]
        text = (
            f"No column moves the probability of the {truth(run)} for certain: every interval holds zero. "
            f"The largest contribution is that of {first['player']} ({format_signed(first['value'])})."
        )
        blocks = (Text(text, downloads=(Download("sampled-columns", columns.steps),)), table)
    return (Part("why-sampled", "Columns in the ensemble prediction", blocks),)


def column_drawing(columns: ColumnExplanation, run: Run) -> Drawing:
    """Contributions of columns to the probability of the true class, with their sampling error."""
    steps, sampled = columns.steps.set_index("player"), columns.shapley
    unit_label = f"probability of the {truth(run)}"
    figure = column_bars(steps["value"], unit=unit_label, low=steps["low"], high=steps["high"])
    intervals = f", with 95 % intervals by {unit(run)}" if steps["low"].notna().any() else ""
    listed = ", ".join(f"{name} {format_signed(value)}" for name, value in steps["value"].head(5).items())
    alt = f"Contributions to the {unit_label}: {listed}."
    caption = (
        f"Shapley values of columns for the probability that {inline_name(run.prediction_name, run)} gives "
        f"to the {truth(run)}, mean over {len(sampled.values)} {evaluation_part(run)} clips{intervals}. "
        f"Columns with nearly the same values count as one. Estimated by sampling: {sampled.n_orders} orders "
        f"of the columns per clip, every second one the reverse of the one before, {columns.n_background} "
        f"training clips for missing values, {sampled.n_evaluations:,} evaluations in all. The sampling "
        f"error of a bar is at most {sampled.mean_error:.1g} (standard error). The bars add up to the "
        f"prediction within {format_tiny(sampled.residual)}."
    )
    svg = to_svg(figure, "sampled-columns", alt)
    return Drawing("sampled-columns", svg, caption, columns.steps, "Contribution of each column")


def _steps_table(columns: ColumnExplanation, run: Run) -> Table:
    rows = []
    for record in columns.steps.to_dict("records"):
        value, error, size = record["value"], record["standard_error"], record["mean_size"]
        cells = (
            Cell(format_signed(value), sort=sort_text(value)),
            Cell(number(error, 4), sort=sort_text(error)),
            Cell(number(size), sort=sort_text(size)),
        )
        rows.append(Row(Cell(code_name(record["player"]), column_notes(record["player"], run)), cells))
    return Table(
        label="Contribution of each column",
        columns=(
            Column("Columns"),
            Column("Contribution", numeric=True),
            Column("Standard error", numeric=True),
            Column("Mean size", numeric=True),
        ),
        rows=tuple(rows),
        caption="The same in numbers. The standard error is that of the sampling.",
        sticky=False,
    )
