"""Tables of the game of views: what pretrained networks add to hand-made columns, and a network to both."""

from __future__ import annotations

import numpy as np
import pandas as pd

from quintet.explanation.member_value import VALUE_SCORES
from quintet.explanation.shapley.view_game import ViewGame, steps, view_game
from quintet.model_folder.run import Run
from quintet.reports.formats import SCORE_NAMES, format_signed, number, rule_name
from quintet.reports.section import Blocks, Cell, Column, Download, Part, Row, Table, Text, sort_text
from quintet.reports.text import learnt_on

NAMES = {
    "handmade": "hand-made columns",
    "tags": "pretrained tags",
    "embedding": "pretrained embeddings",
    "tags and embedding": "pretrained tags and embeddings together",
    "spectrogram": "networks on the spectrogram",
}
"""View → its name on the page."""


def view_blocks(run: Run) -> Blocks:
    """What each view adds to the others; nothing for a run without pretrained views.

    Args:
        run: the model folder.
    """
    game = view_game(run)
    if game is None:
        return ()
    clips = "held-out clips" if run.part == "test" else "folds that the fusion was not fitted on"
    text = Text(
        "A view is what a member sees. The ensemble was fused and calibrated again with the members of some "
        f"views only (rule “{rule_name(run.best)}”, learnt {learnt_on(run)}), and scored on {clips}."
    )
    return (Part("views", "What each view adds", (text, _step_table(game), _coalition_table(game))),)


def view_names(views: tuple[str, ...]) -> str:
    """Views in words.

    Example:
        >>> view_names(("handmade", "tags"))
        'hand-made columns + pretrained tags'
    """
    return " + ".join(NAMES[view] for view in views)


def _step_table(game: ViewGame) -> Table:
    """Gain of every step, with its paired interval."""
    keys = [key for key in VALUE_SCORES if key in set(game.additions["score"])]
    records = {(row["added"], row["to"], row["score"]): row for row in game.additions.to_dict("records")}
    rows = []
    for added, there in steps(game.players):
        cells = []
        for key in keys:
            record = records[" + ".join(added), " + ".join(there), key]
            notes: tuple[str, ...] = ()
            if np.isfinite(record["low"]):
                notes = (f"{format_signed(record['low'])} – {format_signed(record['high'])}",)
            cells.append(Cell(format_signed(record["value"]), notes, sort_text(record["value"])))
        rows.append(Row(Cell(view_names(added)), (Cell(view_names(there), kind="words"), *cells)))
    heads = (Column("Added"), Column("To"), *(Column(SCORE_NAMES[key], numeric=True) for key in keys))
    caption = "Score with the added views minus the score without them, with the paired 95 % interval."
    downloads = (Download("view-steps", game.additions),)
    return Table("What a view adds", heads, tuple(rows), caption, downloads=downloads, stamped=True)


def _coalition_table(game: ViewGame) -> Table:
    """Scores of every coalition of views, and the Shapley value of every view."""
    keys = [key for key in VALUE_SCORES if key in game.coalitions]
    rows = []
    for record in game.coalitions.to_dict("records"):
        present = tuple(view for view in game.players if record[view])
        head = view_names(present) if present else "none: the shares of the classes"
        cells = tuple(Cell(number(record[key]), sort=sort_text(record[key])) for key in keys)
        rows.append(Row(Cell(head), cells))
    values = game.values.set_index(["view", "score"])["value"]
    for view in game.players:
        own = [float(values[view, key]) for key in keys]
        cells = tuple(Cell(format_signed(value), sort=sort_text(value)) for value in own)
        rows.append(Row(Cell(NAMES[view], ("Shapley value",)), cells))
    heads = (Column("Views"), *(Column(SCORE_NAMES[key], numeric=True) for key in keys))
    caption = (
        "Scores of the ensembles of some views. The Shapley values of the views add up to the score of all "
        "views minus that of none."
    )
    table = pd.concat([game.coalitions, game.values], ignore_index=True)
    downloads = (Download("view-coalitions", table),)
    return Table("Ensembles of some views", heads, tuple(rows), caption, downloads=downloads, stamped=True)
