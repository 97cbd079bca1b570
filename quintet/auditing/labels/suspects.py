"""Labels of a trained model's clips that are probably wrong, with the nearest clips of both classes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.auditing.labels.confident import Doubts, class_doubts, tag_doubts
from quintet.datasets.labels import join_labels, label_set
from quintet.errors import DatasetError
from quintet.explanation.neighbours import distances_between, standardise
from quintet.files.atomic import replace_output
from quintet.files.display.notebook import notebook_html
from quintet.files.display.spreadsheets import columns_csv
from quintet.files.json_types import JsonObject
from quintet.model_folder.run import Run, read_run
from quintet.model_folder.unseen import unseen_clips
from quintet.predictions.predictions import Predictions

COLUMNS = ["id", "label", "suggested", "support", "p_label", "p_suggested", "is_suspect"]
"""Columns of `Suspects.frame`, before those of the nearest clips."""
LEAST_ROWS, MOST_ROWS = 20, 500
NEAR = 2
"""Nearest clips of each class that are named."""
MARK = "\ufeff"
"""Byte order mark at the start of the CSV file, by which spreadsheets know UTF-8."""


@dataclass(frozen=True, eq=False)
class Suspects:
    """Clips whose labels are probably wrong, the most doubtful first.

    Args:
        frame: columns `id`, `label`, `suggested` (the label that fits better; for label sets the set with one
            tag more or less), `support` (probability of the label over its threshold and over the probability
            of the best other label; small for a doubtful label),
            `p_label` and `p_suggested` (probabilities; for label sets of the tag in question, to be absent or
            present as the label says and as the suggestion says), `is_suspect` (whether confident learning
            takes the label for wrong), `near_label` and `near_suggested` (tuples of ids: the nearest clips of
            other groups with the label and with the suggestion).
        n_clips: number of clips with a label.
        n_suspects: number of clips that confident learning takes for wrong; the frame may have fewer.
        multilabel: whether labels are sets.
        notes: clips that were left out, one sentence each.
    """

    frame: pd.DataFrame
    n_clips: int
    n_suspects: int
    multilabel: bool
    notes: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        return notebook_html(self.headline, self.frame, notes=self.notes)

    @property
    def headline(self) -> str:
        """The counts in words."""
        unit = "tags" if self.multilabel else "labels"
        return (
            f"The predictions contradict the {unit} of {self.n_suspects} of {self.n_clips} clips. Where the "
            "members often err, most of these are their errors: the first ones are worth a look."
        )

    def clips_to_compare(self, n_rows: int) -> list[str]:
        """Ids of the first clips of the frame, each followed by the nearest clip of each class.

        Args:
            n_rows: number of rows.
        """
        ids: list[str] = []
        for row in self.frame.head(n_rows).to_dict("records"):
            ids += [str(row["id"]), *row["near_label"][:1], *row["near_suggested"][:1]]
        return ids

    def lines(self) -> list[str]:
        """The suspects as lines of plain text."""
        rows = self.frame[self.frame["is_suspect"]]
        return [
            f"{row['id']}: {row['label'] or 'no tag'}, rather {row['suggested'] or 'no tag'} "
            f"({row['p_label']:.2f} and {row['p_suggested']:.2f})"
            for row in rows.to_dict("records")
        ]

    def to_json(self) -> JsonObject:
        """Counts, and the rows as objects."""
        return {
            "n": self.n_clips,
            "n_suspects": self.n_suspects,
            "rows": [
                {name: list(value) if isinstance(value, tuple) else value for name, value in row.items()}
                for row in self.frame.to_dict("records")
            ],
            "notes": list(self.notes),
        }


def find_suspects(model: str | Path | Run, *, labels: Mapping[str, str] | None = None) -> Suspects:
    """Labels that the predictions of unseen clips contradict.

    Every clip of a run was predicted by members that were fitted without its group: out of fold, or as part
    of the held-out part.

    Args:
        model: a model folder, or its content.
        labels: clip id → label today. Clips that are missing here, or have another label than in the
            training, are left out. Default: the labels of the training.

    Raises:
        ArtefactError: the folder is no finished model folder.
        DatasetError: no clip has a label.
    """
    run = model if isinstance(model, Run) else read_run(model)
    predictions = unseen_clips(run).predictions
    rows = np.flatnonzero(predictions.scorable)
    notes: list[str] = []
    if labels is not None:
        rows, notes = _with_same_label(predictions, rows, labels)
    if not len(rows):
        raise DatasetError(
            f"Labels can be judged if they are those of the training of '{run.path}'. No clip has such a "
            "label: name the data of the training, or train again."
        )
    some = predictions.take(predictions.clip_ids[rows])
    p = np.asarray(some.probabilities, dtype=np.float64)
    doubts = tag_doubts(p, some.indicator()) if run.multilabel else class_doubts(p, some.codes())
    frame = _ranked(some, doubts)
    return Suspects(
        frame=_with_nearest(frame, some, run),
        n_clips=len(some),
        n_suspects=int(doubts.is_suspect.sum()),
        multilabel=run.multilabel,
        notes=tuple(notes),
    )


def write_suspects(suspects: Suspects, path: str | os.PathLike[str]) -> None:
    """Write the suspects as a CSV file with an empty column `corrected`, for `train --labels`.

    No cell of it is a formula.

    Args:
        suspects: what was found.
        path: the CSV file. Its folder is made if it is missing.
    """
    frame = suspects.frame
    columns: dict[str, list[object]] = {
        "id": frame["id"].tolist(),
        "label": frame["label"].tolist(),
        "corrected": [""] * len(frame),
        "suggested": frame["suggested"].tolist(),
        "support": frame["support"].round(4).tolist(),
        "p_label": frame["p_label"].round(4).tolist(),
        "p_suggested": frame["p_suggested"].round(4).tolist(),
        "near_label": [" | ".join(ids) for ids in frame["near_label"]],
        "near_suggested": [" | ".join(ids) for ids in frame["near_suggested"]],
    }
    text = MARK + columns_csv(columns, for_spreadsheets=True)
    with replace_output(Path(path)) as file:
        file.write_text(text, encoding="utf-8", newline="")


def _with_same_label(
    predictions: Predictions, rows: NDArray[np.intp], labels: Mapping[str, str]
) -> tuple[NDArray[np.intp], list[str]]:
    """Rows whose clip has the same label today, and a note about the others."""
    trained = np.asarray(predictions.labels, dtype=str)
    kept, n_absent, n_changed = [], 0, 0
    for row in rows:
        today = labels.get(str(predictions.clip_ids[row]))
        if today is None:
            n_absent += 1
        elif set(label_set(today)) != set(label_set(trained[row])):
            n_changed += 1
        else:
            kept.append(row)
    notes = []
    if n_absent or n_changed:
        notes.append(
            f"Labels were judged for {len(kept)} of the model's {len(rows)} clips: {n_absent} are not in "
            f"this source, and {n_changed} have another label now."
        )
    return np.array(kept, dtype=np.intp), notes


def _ranked(predictions: Predictions, doubts: Doubts) -> pd.DataFrame:
    """The clips with the least support, in the columns `COLUMNS`."""
    order = np.argsort(doubts.support, kind="stable")
    n_rows = min(max(LEAST_ROWS, int(doubts.is_suspect.sum())), MOST_ROWS)
    labels = np.asarray(predictions.labels, dtype=str).tolist()
    records = []
    for row in order[:n_rows]:
        label, rival = labels[row], int(doubts.rival[row])
        p, name = predictions.probabilities[row], predictions.classes[rival]
        if predictions.multilabel:
            suggested = _toggle(label, name)
            p_present = float(p[rival])
            has_tag = name in label_set(label)
            p_label = p_present if has_tag else 1 - p_present
            p_suggested = 1 - p_label
        else:
            suggested = name
            p_label, p_suggested = float(p[predictions.classes.index(label)]), float(p[rival])
        values = (str(predictions.clip_ids[row]), label, suggested, float(doubts.support[row]))
        records.append((*values, p_label, p_suggested, bool(doubts.is_suspect[row])))
    return pd.DataFrame(records, columns=COLUMNS)


def _toggle(label: str, tag: str) -> str:
    """A label set with a tag more, or without it if it has it.

    Example:
        >>> _toggle("rock;live", "live"), _toggle("rock", "live")
        ('rock', 'rock;live')
    """
    tags = label_set(label)
    return join_labels(name for name in tags if name != tag) if tag in tags else join_labels([*tags, tag])


def _with_nearest(frame: pd.DataFrame, predictions: Predictions, run: Run) -> pd.DataFrame:
    """The frame with the nearest clips of other groups: those with the label, and those with the suggestion.

    For label sets, these are the clips that agree with the label about the tag in question, and the others.
    """
    known = run.values.reindex(predictions.clip_ids).dropna(how="all")
    if known.empty or not len(frame):
        return _add_clips(frame, [()] * len(frame), [()] * len(frame))
    clips = predictions.take(list(known.index))
    values = standardise(known, known)
    place = {str(clip): k for k, clip in enumerate(clips.clip_ids)}
    truth, units = clips.indicator(), np.asarray(clips.units, dtype=str)
    near_label: list[tuple[str, ...]] = []
    near_suggested: list[tuple[str, ...]] = []
    for row in frame.itertuples():
        own = place.get(str(row.id))
        if own is None:
            near_label.append(())
            near_suggested.append(())
            continue
        distances = distances_between(values[own][None], values)[0]
        distances[units == units[own]] = np.inf
        changed = [k for k, name in enumerate(clips.classes) if _is_changed(name, row.label, row.suggested)]
        first = changed[0] if predictions.multilabel else clips.classes.index(str(row.label))
        same = truth[:, first] == truth[own, first]
        other = ~same if predictions.multilabel else truth[:, clips.classes.index(str(row.suggested))]
        near_label.append(_nearest(distances, same, clips.clip_ids))
        near_suggested.append(_nearest(distances, other, clips.clip_ids))
    return _add_clips(frame, near_label, near_suggested)


def _add_clips(
    frame: pd.DataFrame, near_label: Sequence[tuple[str, ...]], near_suggested: Sequence[tuple[str, ...]]
) -> pd.DataFrame:
    """The frame with the columns of the nearest clips."""
    columns = {"near_label": near_label, "near_suggested": near_suggested}
    series = {name: pd.Series(list(ids), index=frame.index, dtype=object) for name, ids in columns.items()}
    return frame.assign(**series)


def _is_changed(tag: str, label: object, suggested: object) -> bool:
    """Whether one of two label strings has a tag and the other one has not."""
    return (tag in label_set(str(label))) != (tag in label_set(str(suggested)))


def _nearest(
    distances: NDArray[np.float64], is_wanted: NDArray[np.bool_], ids: NDArray[np.generic]
) -> tuple[str, ...]:
    """Ids of the nearest wanted clips."""
    order = np.argsort(np.where(is_wanted, distances, np.inf), kind="stable")[:NEAR]
    return tuple(str(ids[k]) for k in order if is_wanted[k] and np.isfinite(distances[k]))
