"""Proposals that are added to a plan which somebody may have edited.

`watch.json` in the library says until when the songs of each plan have been looked at, so that no song is
forgotten if a run is interrupted, and none comes back that somebody has removed from the plan.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from quintet.errors import ArtefactError
from quintet.files.atomic import write_text
from quintet.files.display.file_names import name_text
from quintet.files.display.spreadsheets import columns_csv, plain_cell
from quintet.files.json_text import is_missing
from quintet.files.locks import output_lock
from quintet.files.tables import read_table_file
from quintet.files.untrusted import limits
from quintet.files.untrusted.bounded import read_bounded
from quintet.files.untrusted.strict_json import parse_object
from quintet.library.store import Library
from quintet.library.tags.plan import PlanOptions, make_plan
from quintet.library.tags.plan_file import MARK, PlanRow, require_columns, write_plan

MARKS_FILE = "watch.json"
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def add_proposals(folder: Path, plan: Path, options: PlanOptions) -> int:
    """Add proposals for the songs that are new or have changed since the last call. No song is changed.

    At the first call these are the songs that have changed since the plan was written, or all if there is
    no plan.

    Args:
        folder: the library.
        plan: the CSV file.
        options: what is proposed.

    Returns:
        Number of rows that were added.

    Raises:
        ArtefactError: a file is damaged, or another command is writing the plan.
    """
    library = Library.open(folder)
    songs = library.present_songs()
    marks = _read_marks(folder)
    name = name_text(plan.absolute())
    since = marks.get(name)
    if since is None:
        since = datetime.fromtimestamp(plan.stat().st_mtime, UTC) if plan.exists() else BEGINNING
    changed = songs.column("changed").to_pylist()
    ids = [
        id for id, when in zip(songs.column("id").to_pylist(), changed, strict=True) if when and when > since
    ]
    if name in marks and not ids:
        return 0
    n_added = grow_plan(plan, make_plan(library, options, ids=ids).rows)
    _keep_mark(folder, name, max([since, *(when for when in changed if when)]))
    return n_added


def _keep_mark(folder: Path, name: str, until: datetime) -> None:
    """Note until when the songs have been looked at for a plan. The marks of other plans stay.

    Raises:
        HeldOutputError: another command is writing the marks.
    """
    path = folder / MARKS_FILE
    with output_lock(path):
        marks = _read_marks(folder) | {name: until}  # another plan may have grown in between
        content = {plan_name: when.isoformat() for plan_name, when in marks.items()}
        write_text(path, json.dumps({"plans": content}, indent=1) + "\n")


def _read_marks(folder: Path) -> dict[str, datetime]:
    """Plan → until when its songs have been looked at. A damaged file counts as none."""
    path = folder / MARKS_FILE
    if not path.is_file():
        return {}
    try:
        plans: Mapping[str, str] = parse_object(read_bounded(path, limits.JSON_BYTES), path)["plans"]
        return {name: datetime.fromisoformat(when).astimezone(UTC) for name, when in plans.items()}
    except (ArtefactError, LookupError, AttributeError, TypeError, ValueError):
        return {}


def grow_plan(path: Path, rows: Sequence[PlanRow]) -> int:
    """Add proposals to a plan. Its rows stay as they are, those that were edited or emptied too.

    Args:
        path: the CSV file; it is made if it does not exist. A spreadsheet may have saved it.
        rows: the proposals. Those for a file and field that the plan has a row for are left out.

    Returns:
        Number of rows that were added.

    Raises:
        ArtefactError: the file is no plan, or another command is writing it.
    """
    with output_lock(path):
        if not path.exists():
            if rows:
                write_plan(rows, path)
            return len(rows)
        frame = read_table_file(path).frame
        names = require_columns(frame.columns, path)
        columns = {str(name): [_cell(value) for value in frame[name]] for name in frame.columns}
        known = set(zip(columns[names["file"]], map(str.casefold, columns[names["field"]]), strict=True))
        new = [row for row in rows if (name_text(row.file), row.field) not in known]
        if new:
            cells = [{names.get(name, name): value for name, value in row.to_json().items()} for row in new]
            for name, values in columns.items():
                values += [_cell(row.get(name)) for row in cells]
            write_text(path, MARK + columns_csv(columns, for_spreadsheets=True))
        return len(new)


def _cell(value: object) -> str:
    return "" if is_missing(value) or value != value else plain_cell(str(value))
