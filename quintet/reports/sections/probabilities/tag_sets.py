"""Section "Tag sets": the promise of the sets of tags, and what they reach on the clips of the report."""

from __future__ import annotations

import numpy as np
import pandas as pd

from quintet.ensemble.label_sets.risk_control import PROMISES, TagSets, score_tag_sets
from quintet.model_folder.run import Run
from quintet.reports.formats import count
from quintet.reports.report_data import ReportData
from quintet.reports.section import Cell, Column, Download, Row, Section, Table, Text, number_cell
from quintet.reports.text import clips_of_report, group_noun, groups_known

CONFIDENCES = (0.8, 0.9, 0.95)
COLUMNS = ["promise", "confidence", "threshold", "recall", "precision", "size", "empty"]


def tag_sets_section(data: ReportData) -> Section | None:
    """Promise and scores of the tag sets; None for classes and without calibration."""
    run = data.run
    if run.tag_sets is None:
        return None
    table = tag_set_table(run)
    blocks = (Text(_promise(run, run.tag_sets)), *((_table(run, table),) if len(table) else ()))
    return Section(id="tag-sets", title="Tag sets", contents="Tag sets", blocks=blocks)


def tag_set_table(run: Run) -> pd.DataFrame:
    """Recall, precision and size of the tag sets on held-out clips; no rows if none were held out.

    The sets were calibrated on the out-of-fold predictions, which therefore cannot test them.

    Args:
        run: the model folder.
    """
    predictions, sets = run.report_predictions, run.tag_sets
    rows = np.flatnonzero(predictions.scorable)
    if sets is None or run.part != "test" or not len(rows):
        return pd.DataFrame(columns=COLUMNS)
    p, truth = predictions.probabilities[rows], predictions.indicator()[rows]
    records = []
    for promise in PROMISES:
        for confidence in CONFIDENCES:
            inside = sets.sets(p, confidence, promise=promise)
            scores = score_tag_sets(inside, truth, predictions.units[rows])
            records.append((promise, confidence, sets.threshold(confidence, promise), *scores))
    return pd.DataFrame(records, columns=COLUMNS)


def _promise(run: Run, sets: TagSets) -> str:
    """What the sets promise, on how many groups it rests, and what these cannot give."""
    assert sets is not None
    noun = group_noun(run) if groups_known(run) else "clip"
    limits = [text for promise in PROMISES for text in sets.limits(0.9, promise)]
    weak = "" if groups_known(run) else " It is weaker if several clips are of one recording or one artist."
    sentences = (
        "With --confidence 0.9, predict gives the set of tags that holds on average at least 90 % of the "
        f"true tags of a clip of a new {noun}.",
        "With --promise precision, it gives the set of which on average at least 90 % is true, for nine of "
        "ten calibrations.",
        f"Both rest on {count(sets.n_groups, noun)}, which have one vote each, and hold for {noun}s that are "
        f"drawn like these.{weak}",
    )
    return " ".join([*sentences, *limits])


def _table(run: Run, table: pd.DataFrame) -> Table:
    rows = []
    for record in table.to_dict("records"):
        size = number_cell(record["size"], 1)
        empty = (f"{record['empty']:.0%} empty",) if record["empty"] > 0 else ()
        cells = (
            number_cell(record["recall"], 2),
            number_cell(record["precision"], 2),
            Cell(size.text, empty, size.sort),
        )
        rows.append(Row(Cell(f"{record['promise']} {record['confidence']:g}"), cells))
    heads = ("Recall", "Precision", "Tags")
    return Table(
        label="Tag sets by promise",
        columns=(Column("Promise"), *(Column(head, numeric=True) for head in heads)),
        rows=tuple(rows),
        caption=f"Tag sets on {clips_of_report(run)}; each {group_noun(run)} counts once.",
        downloads=(Download("tag-sets", table),),
        stamped=True,
    )
