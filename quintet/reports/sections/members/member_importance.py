"""Section "Columns": SHAP values of each member, by column, by feature family and by class."""

from __future__ import annotations

import pandas as pd

from quintet.explanation.importance import TOTAL, family
from quintet.explanation.members import MemberExplanation, RunExplanation
from quintet.model_folder.run import Run
from quintet.reports.drawing import Drawing
from quintet.reports.figures.bars import column_bars
from quintet.reports.figures.heat import heat_figure
from quintet.reports.formats import column_notes, format_range, number
from quintet.reports.html import code_name
from quintet.reports.report_data import ReportData
from quintet.reports.section import (
    Block,
    Blocks,
    Cell,
    Column,
    Download,
    Grid,
    MiniTable,
    Part,
    Row,
    Section,
    Stack,
    Table,
    Text,
    bar_cell,
    name_rows,
    number_cell,
    share_of,
)
from quintet.reports.sections.members.ensemble_importance import refit_note
from quintet.reports.style import to_svg
from quintet.reports.text import (
    display_name,
    evaluation_part,
    inline_name,
    kind,
    kinds,
    unit,
)

MAX_COLUMNS = 20
COLUMNS_PER_CLASS = 6


def member_importance_section(data: ReportData) -> Section | None:
    """SHAP values of the members; None if there are neither values nor a reason why they are missing."""
    run, explanation = data.run, data.explanation
    if explanation.members:
        blocks = _importance_blocks(run, explanation)
    elif explanation.reasons:
        reasons = [f"{display_name(name, run)}: {reason}." for name, reason in explanation.reasons.items()]
        blocks = (Text(f"No column could be explained. {' '.join(reasons)}"),)
    else:
        return None
    return Section(
        id="columns",
        title="What each member relies on",
        contents="Columns",
        blocks=blocks,
        files=_files(explanation),
    )


def _files(explanation: RunExplanation) -> tuple[Download, ...]:
    if not explanation.members:
        return ()
    return (_shares_download(explanation), *_folds_downloads(explanation))


def _shares_download(explanation: RunExplanation) -> Download:
    return Download("importance-members", name_rows(explanation.columns, "column"))


def _folds_downloads(explanation: RunExplanation) -> tuple[Download, ...]:
    if not len(explanation.folds):
        return ()
    return (Download("importance-folds", name_rows(explanation.folds, "member")),)


def _importance_blocks(run: Run, explanation: RunExplanation) -> Blocks:
    main = explanation.main
    n = len(explanation.rows)
    weight = explanation.share(main.name)
    rivals = "member" if weight >= max(run.member_shares.values()) else "explained member"
    introduction = (
        f"SHAP values of {inline_name(main.name, run)}, the {rivals} with the largest weight "
        f"({weight:.2f} of the ensemble), on {n} {evaluation_part(run)} clips. "
        "A member that was not fitted on a clip explains it. The values show how much each column changed "
        "each prediction of this member, and they add up to it. They do not describe the other members."
    )
    columns, families, by_class = importance_drawings(main, run, n, weight=weight)
    return (
        *(refit_note(explanation) if explanation.game is None else ()),
        Text(introduction),
        Grid((columns, Stack((families, by_class)))),
        Part(
            "why-classes",
            f"Columns for each {kind(run)} in {inline_name(main.name, run)}",
            (_class_grid(main),),
        ),
        Part(
            "why-members",
            "The same columns in each member",
            (_members_table(run, explanation), _checks_table(run, explanation)),
        ),
    )


def importance_drawings(
    member: MemberExplanation, run: Run, n_clips: int, *, weight: float
) -> tuple[Drawing, Drawing, Drawing]:
    """Importance of the first columns, of the families, and of the families by class, for one member.

    Args:
        member: the explained member.
        run: the model folder.
        n_clips: number of clips that were explained.
        weight: share of the member in the weights of the ensemble, which stands in the titles.
    """
    title = f"{display_name(member.name, run)} (weight {weight:.2f})"
    top = member.columns[TOTAL].head(MAX_COLUMNS)
    families = {str(name): family(str(name)) for name in top.index}
    clips = f"{n_clips} {evaluation_part(run)} clips"
    return (
        _columns_drawing(member, top, families, title, f"summed over {kinds(run)}, on {clips}"),
        _families_drawing(member, families, title),
        _class_drawing(member, run, title),
    )


def _columns_drawing(
    member: MemberExplanation, top: pd.Series, families: dict[str, str], title: str, basis: str
) -> Drawing:
    alt = (
        f"Mean absolute SHAP value of the {len(top)} most important columns of {title}; first {top.index[0]}."
    )
    caption = f"Mean |SHAP value| in {member.space}, {basis}. One colour per feature family."
    figure = column_bars(top, unit=f"mean |SHAP|, {member.space}", families=families)
    numbers = name_rows(member.columns, "column")
    svg = to_svg(figure, "importance-columns", alt)
    return Drawing("importance-columns", svg, caption, numbers, f"Columns of {title}")


def _families_drawing(member: MemberExplanation, families: dict[str, str], title: str) -> Drawing:
    total = max(float(member.families[TOTAL].sum()), 1e-300)
    shares = member.families[TOTAL] / total
    listed = ", ".join(f"{name} {share:.0%}" for name, share in shares.head(4).items())
    alt = f"Share of each feature family in the prediction of {title}: {listed}."
    caption = (
        "The SHAP values of a family are added up per clip before their size is taken: columns that cancel "
        "each other do not count."
    )
    colours = _family_order(shares.index, families)
    figure = column_bars(shares * 100, unit="share of the SHAP values (%)", families=colours)
    numbers = name_rows(member.families, "family")
    svg = to_svg(figure, "importance-families", alt)
    return Drawing("importance-families", svg, caption, numbers, f"Feature families of {title}")


def _family_order(names: pd.Index, families: dict[str, str]) -> dict[str, str]:
    """Families in their order among the columns, so that both figures give them the same colours."""
    order = list(dict.fromkeys([*families.values(), *names]))
    return {name: name for name in sorted(names, key=order.index)}


def _class_drawing(member: MemberExplanation, run: Run, title: str) -> Drawing:
    noun = kind(run)
    table = member.families.drop(columns=TOTAL)
    shades = table / max(float(table.to_numpy().max()), 1e-300)
    texts = table.T.map(lambda value: f"{value:.2f}")
    alt = f"Importance of each feature family for each {noun}, {title}."
    caption = (
        f"Mean |SHAP value| of each feature family for each {noun} ({member.space}). A darker cell means "
        f"that the family is more important for the {noun}."
    )
    svg = to_svg(heat_figure(shades.T, texts), "importance-classes", alt)
    numbers = name_rows(table, "family")
    return Drawing("importance-classes", svg, caption, numbers, f"Feature families by {noun}, {title}")


def _class_grid(member: MemberExplanation) -> Grid:
    """Most important columns of each class, as short tables."""
    per_class = member.columns.drop(columns=TOTAL)
    tables: list[Block] = []
    for name in per_class.columns:
        values = per_class[name]
        largest = float(values.max())
        rows = []
        for column, value in values.nlargest(COLUMNS_PER_CLASS).items():
            rows.append((str(column), bar_cell(float(value), share_of(float(value), largest))))
        tables.append(MiniTable(str(name), tuple(rows)))
    return Grid(tuple(tables), columns=3)


def _members_table(run: Run, explanation: RunExplanation) -> Table:
    shares = explanation.columns
    means = explanation.weighted_mean(shares)
    largest = float(shares.to_numpy().max())
    rows = []
    for column, row in shares.head(MAX_COLUMNS).iterrows():
        cells = []
        for name in explanation.members:
            share = float(row[name])
            cells.append(bar_cell(share, share_of(share, largest), number(100 * share, 1)))
        mean = float(means[str(column)])
        cells.append(Cell(number(100 * mean, 1), sort=repr(mean)))
        rows.append(Row(Cell(code_name(column), column_notes(column, run)), tuple(cells)))
    heads = tuple(
        Column(f"{display_name(name, run)} ({explanation.share(name):.2f})", numeric=True)
        for name in explanation.members
    )
    return Table(
        label="Columns by member",
        columns=(Column("Column"), *heads, Column("Mean", numeric=True)),
        rows=tuple(rows),
        caption=(
            f"Share of a column in all |SHAP values| of a member (%), for the {MAX_COLUMNS} columns with the "
            "largest mean, in which a member counts by its weight in the ensemble (in brackets)."
        ),
        downloads=(_shares_download(explanation),),
    )


def _checks_table(run: Run, explanation: RunExplanation) -> Table:
    rows = []
    for name, member in explanation.members.items():
        cells = (
            Cell(member.space),
            Cell(f"{member.residual:.1e}"),
            number_cell(member.stability, 2),
            _folds_cell(explanation.folds, name),
        )
        rows.append(Row(Cell(display_name(name, run)), cells))
    for name, reason in explanation.reasons.items():
        rows.append(
            Row(Cell(display_name(name, run)), (Cell(f"not explained by columns: {reason}", span=4),))
        )
    caption = (
        "How each member was explained, and two checks. Residual: largest difference between the sum of the "
        "SHAP values and the output. Ranking: rank correlation of the columns' importance (1: same ranking, "
        f"0: chance) between two halves of the {evaluation_part(run)} {unit(run)}s, and between members that "
        "were fitted again without one fold each (mean and range over pairs of folds)."
    )
    return Table(
        label="Checks of the SHAP values",
        columns=(
            Column("Member"),
            Column("Explained output"),
            Column("Largest residual", numeric=True),
            Column("Ranking, halves", numeric=True),
            Column("Ranking, folds", numeric=True),
        ),
        rows=tuple(rows),
        caption=caption,
        downloads=_folds_downloads(explanation),
        sticky=False,
    )


def _folds_cell(folds: pd.DataFrame, name: str) -> Cell:
    if name not in folds.index:
        return Cell("–", sort="")
    values = folds.loc[[name]].to_dict("records")[0]
    interval = format_range(values["low"], values["high"])
    cell = number_cell(values["mean"], 2)
    return Cell(cell.text, (f"{interval}, {int(values['n_folds'])} folds",), cell.sort)
