"""Predictions of files: plain columns, which become tables of pandas when somebody reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from quintet.files.json_text import is_missing

if TYPE_CHECKING:
    import pandas as pd

    from quintet.files.json_types import JsonObject

TEXT_COLUMNS = frozenset({"file", "verdict", "set", "known_id", "known_part", "stage", "reason", "status"})


class Columns(dict[str, Sequence[Any]]):
    """A table: name of a column → its values, None where one is missing."""

    def frame(self) -> pd.DataFrame:
        """The table of pandas."""
        import pandas as pd

        return pd.DataFrame(
            {
                name: pd.Series(list(values), dtype="str") if name in TEXT_COLUMNS else np.asarray(values)
                for name, values in self.items()
            }
        )

    def rows(self) -> list[dict[str, Any]]:
        """One object per row."""
        return [dict(zip(self, values, strict=True)) for values in zip(*self.values(), strict=True)]

    @classmethod
    def of(cls, table: pd.DataFrame) -> Columns:
        """The columns of a table of pandas."""
        columns = cls()
        for name in table.columns:
            values = table[name].tolist()
            columns[str(name)] = [None if is_missing(value) or value != value else value for value in values]
        return columns


class TableField:
    """Field of a result: given as columns or as a table of pandas, read as a table of pandas."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, result: None, owner: type) -> TableField: ...

    @overload
    def __get__(self, result: PredictionResult, owner: type) -> pd.DataFrame: ...

    def __get__(self, result: PredictionResult | None, owner: type) -> TableField | pd.DataFrame:
        if result is None:
            raise AttributeError(self.name)  # the field has no default
        tables = result.__dict__["tables"]
        if isinstance(tables[self.name], Columns):
            tables[self.name] = tables[self.name].frame()
        frame: pd.DataFrame = tables[self.name]
        return frame

    def __set__(self, result: PredictionResult, value: pd.DataFrame | Columns) -> None:
        result.__dict__.setdefault("tables", {})[self.name] = value


@dataclass(frozen=True)
class PredictionResult:
    """Predictions, one row per file.

    Args:
        frame: columns `file`, `verdict` (the ensemble prediction: the most probable class; for label sets the
            tags with a probability of 0.5 or more), `confidence` (the highest probability), `segments` (their
            number), `duration_s` (seconds that were used), `missing_s` (seconds that a truncated file states
            and does not hold), `set` if a confidence was asked for (the classes that cannot be excluded,
            joined by `;`; empty for none of the known classes; for label sets the tags with the promised
            recall or precision), `out_of_class` in [0, 1), near 1 if no known
            class fits (not for label sets), `known_id` and `known_part` (the same recording in the data of
            the training, and its part of the split: `train`, `test` or `unused`; missing if there is none),
            and `probability.<class>`.
        segments: one row per segment: `file`, `start`, `end`, `probability.<class>`, and `distance` from all
            classes in feature space if the model measures it.
        failures: `file`, `stage`, `reason`, one row per segment that could not be read.
        truncated: `file`, `reason` of each file that is cut short; its prediction is made from the sound that
            is there.
        classes: class names.
        notes: limits of these predictions, and what was left out of folders, one sentence each.
        multilabel: whether labels are sets, so that `verdict` may be the empty set.
        drift: comparison of ten new files or more with the training clips: `n`, `n_groups`, `unlike`, and per
            family (first all columns) the `ratio` of the distances and the corrected `p`. None for fewer.
    """

    frame: TableField = TableField()
    segments: TableField = TableField()
    failures: TableField = TableField()
    truncated: TableField = TableField()
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    multilabel: bool = False
    drift: JsonObject | None = None

    def _repr_html_(self) -> str:
        from quintet.files.display.notebook import notebook_html

        n_failed = self.failures["file"].nunique()
        facts = f"Predictions of {len(self.frame)} files; {n_failed} could not be read"
        return notebook_html(facts, self.frame, notes=self.notes)

    def with_drift(self, drift: JsonObject, notes: tuple[str, ...]) -> PredictionResult:
        """The same tables with a comparison of the new files, and other notes.

        Args:
            drift: the comparison.
            notes: all notes.
        """
        tables = {name: self.columns(name) for name in ("frame", "segments", "failures", "truncated")}
        return PredictionResult(
            **tables, classes=self.classes, notes=notes, multilabel=self.multilabel, drift=drift
        )

    def columns(self, name: str) -> Columns:
        """A table as plain columns, for which pandas is not imported.

        Args:
            name: `frame`, `segments`, `failures` or `truncated`.
        """
        table = self.__dict__["tables"][name]
        return table if isinstance(table, Columns) else Columns.of(table)
