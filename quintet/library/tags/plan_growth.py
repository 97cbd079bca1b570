"""Proposals that are added to a plan which somebody may have edited, and rows that follow songs.

`watch.parquet` in the library says of each plan how every song was when it was looked at, where its file was,
and which fields the plan was offered for it. So no song is forgotten if a run is interrupted, no row comes
back that somebody has removed from the plan, and a row of a song that was moved since finds its file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from quintet.errors import ArtefactError
from quintet.files.atomic import atomic_replace, write_text
from quintet.files.display.file_names import name_text
from quintet.files.display.spreadsheets import columns_csv, plain_cell
from quintet.files.json_text import is_missing
from quintet.files.locks import output_lock
from quintet.files.tables import read_table_file
from quintet.library.corrections import read_corrections
from quintet.library.store import Library
from quintet.library.stored import read_columns
from quintet.library.tags.plan import PlanOptions, make_plan
from quintet.library.tags.plan_file import MARK, PlanRow, require_columns, write_plan

LOOKS_FILE = "watch.parquet"
LOOK_COLUMNS = ("plan", "id", "state", "offered", "file")
"""The last one is missing in files of earlier versions."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a song was when it was looked at for a plan.

    Args:
        state: what its proposals depend on: when its file changed, the model that has predicted it, the
            genre that its owner has given to it, and what was asked for.
        offered: names of `entries.FIELDS` that the plan was offered for this song, up to now.
        file: its file, as a plan names it; empty if an earlier version has looked.
    """

    state: str
    offered: frozenset[str] = frozenset()
    file: str = ""


Looks = dict[str, Look]
"""Id of a song → how it was."""


def add_proposals(folder: Path, plan: Path, options: PlanOptions) -> int:
    """Add proposals for the songs that are not as they were at the last call: new songs, changed files, songs
    that a model has predicted since or that have a correction, and all songs if other options are asked for.

    No song is changed, and no row of the plan. What a plan was once offered for a song is not offered again.
    If the library does not know a plan that is there (it comes from elsewhere), the songs that have not
    changed since it was written count as looked at.

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
    songs = _columns(library)
    states = _states(library, songs, options)
    known = _read_looks(folder, plan)
    before = _looks_of_found_plan(library, songs, states, plan) if known is None else known
    due = [id for id, state in states.items() if id not in before or before[id].state != state]
    if known is not None and not due:
        return 0
    offered = {id: before[id].offered if id in before else frozenset[str]() for id in due}
    wanted = [id for id in due if not offered[id].issuperset(options.fields)]
    rows = make_plan(library, options, ids=wanted).rows
    id_of = _id_of_files(library, songs)
    file_of = {id: file for file, id in id_of.items()}
    new = [row for row in rows if row.field not in offered[id_of[name_text(row.file)]]]
    n_added = grow_plan(plan, new)
    for row in new:
        offered[id_of[name_text(row.file)]] |= {row.field}
    _keep_looks(folder, plan, before | {id: Look(states[id], offered[id], file_of[id]) for id in due})
    return n_added


def follow_songs(folder: Path, plan: Path) -> int:
    """Let the rows of a plan name the files of songs that were moved since it was looked at, as the last scan
    has found them.

    Args:
        folder: the library, which was scanned since the songs were moved.
        plan: the CSV file, of which the library knows what it was offered.

    Returns:
        Number of rows that name another file now.

    Raises:
        ArtefactError: a file is damaged, or another command is writing the plan.
    """
    looks = _read_looks(folder, plan) or {}
    library = Library.open(folder)
    file_of = {id: file for file, id in _id_of_files(library, _columns(library)).items()}
    moved = {
        look.file: file_of[id]
        for id, look in looks.items()
        if look.file and file_of.get(id, look.file) != look.file
    }
    if not moved or not plan.exists():
        return 0
    n_rows = _rename_files(plan, moved)
    _keep_looks(
        folder, plan, {id: replace(look, file=file_of.get(id, look.file)) for id, look in looks.items()}
    )
    return n_rows


def _rename_files(path: Path, moved: Mapping[str, str]) -> int:
    """Give rows of a plan other files, except where the plan has a row of that file and field already.

    Args:
        path: the CSV file.
        moved: file that a row names → file that it shall name.

    Returns:
        Number of rows that were changed.
    """
    with output_lock(path):
        names, columns = _read_plan(path)
        files = columns[names["file"]]
        fields = list(map(str.casefold, columns[names["field"]]))
        staying = {cells for cells in zip(files, fields, strict=True) if cells[0] not in moved}
        n_rows = 0
        for row, (file, field) in enumerate(zip(files, fields, strict=True)):
            if file in moved and (moved[file], field) not in staying:
                files[row] = moved[file]
                n_rows += 1
        if n_rows:
            write_text(path, MARK + columns_csv(columns, for_spreadsheets=True))
        return n_rows


class NewPlan:
    """A plan that is made anew, and of which `add_proposals` shall know what it was offered.

    Args:
        library: whose songs it is about, as they are before the proposals are made.
        plan: the CSV file.
        options: what is proposed.

    Raises:
        ArtefactError: a table of the library is damaged.
    """

    def __init__(self, library: Library, plan: Path, options: PlanOptions) -> None:
        self._library, self._plan = library, plan
        self._songs = _columns(library)
        self._states = _states(library, self._songs, options)

    def note(self, rows: Iterable[PlanRow]) -> None:
        """Note the rows of the plan. If the library cannot be written now, nothing is noted.

        Args:
            rows: all rows.
        """
        id_of = _id_of_files(self._library, self._songs)
        file_of = {id: file for file, id in id_of.items()}
        offers = _offers(id_of, ((name_text(row.file), row.field) for row in rows))
        looks = {
            id: Look(state, offers.get(id, frozenset()), file_of[id]) for id, state in self._states.items()
        }
        with suppress(OSError):  # a lock that another command holds is one
            _keep_looks(self._library.folder, self._plan, looks)


def _columns(library: Library) -> pa.Table:
    return library.present_songs().select(["id", "root", "path", "changed", "model", "audio_digest"])


def _states(library: Library, songs: pa.Table, options: PlanOptions) -> dict[str, str]:
    """Id of a song → `Look.state` now."""
    corrections = read_corrections(library.folder)
    asked = " ".join([*sorted(options.fields), options.mode, f"{options.min_confidence:g}"])
    times = songs.column("changed").cast(pa.int64())  # Python's times are slow
    columns = (songs.column("id"), times, songs.column("model"), songs.column("audio_digest"))
    return {
        id: f"{changed}|{model}|{corrections.get(sound, '')}|{asked}"
        for id, changed, model, sound in zip(*(column.to_pylist() for column in columns), strict=True)
    }


def _id_of_files(library: Library, songs: pa.Table) -> dict[str, str]:
    """File as a plan names it → id of the song."""
    rows = songs.select(["id", "root", "path"]).to_pylist()
    return {name_text(library.path_of(song)): str(song["id"]) for song in rows}


def _offers(id_of: Mapping[str, str], cells: Iterable[tuple[str, str]]) -> dict[str, frozenset[str]]:
    """Id of a song → fields for which a plan has a row, from its cells `file` and `field`."""
    found: dict[str, frozenset[str]] = {}
    for file, field in cells:
        if file in id_of:
            found[id_of[file]] = found.get(id_of[file], frozenset()) | {field}
    return found


def _looks_of_found_plan(library: Library, songs: pa.Table, states: Mapping[str, str], plan: Path) -> Looks:
    """Songs that count as looked at for a plan that the library does not know: those that have not changed
    since it was written; none if there is no plan."""
    if not plan.exists():
        return {}
    written = pa.scalar(datetime.fromtimestamp(plan.stat().st_mtime, UTC), songs.schema.field("changed").type)
    is_older = pc.fill_null(pc.less_equal(songs.column("changed"), written), True)
    old = songs.filter(is_older)
    names, columns = _read_plan(plan)
    cells = zip(columns[names["file"]], map(str.casefold, columns[names["field"]]), strict=True)
    id_of = _id_of_files(library, old)
    offers = _offers(id_of, cells)
    return {id: Look(states[id], offers.get(id, frozenset()), file) for file, id in id_of.items()}


def _read_looks(folder: Path, plan: Path) -> Looks | None:
    """How the songs were looked at for a plan; None if they never were. A damaged file counts as none."""
    table = _looks_of_plans(folder)
    own = table.filter(pc.equal(table.column("plan"), name_text(plan.absolute())))
    columns = own.select(["id", "state", "offered", "file"]).to_pydict().values()
    looks = {
        id: Look(state, frozenset(offered.split()), file)
        for id, state, offered, file in zip(*columns, strict=True)
    }
    return looks or None


def _looks_of_plans(folder: Path) -> pa.Table:
    """The looks for all plans."""
    path = folder / LOOKS_FILE
    if path.is_file():
        with suppress(ArtefactError):
            return read_columns(path, LOOK_COLUMNS, (), remedy="Remove it.")
        with suppress(ArtefactError):
            earlier = read_columns(path, LOOK_COLUMNS[:-1], (), remedy="Remove it.")
            return earlier.append_column("file", pa.array([""] * earlier.num_rows, pa.string()))
    return pa.table({name: pa.array([], pa.string()) for name in LOOK_COLUMNS})


def _keep_looks(folder: Path, plan: Path, looks: Looks) -> None:
    """Note how the songs were looked at for a plan. The looks for other plans stay.

    Raises:
        HeldOutputError: another command is noting its looks.
    """
    path, name = folder / LOOKS_FILE, name_text(plan.absolute())
    own = {
        "plan": [name] * len(looks),
        "id": list(looks),
        "state": [look.state for look in looks.values()],
        "offered": [" ".join(sorted(look.offered)) for look in looks.values()],
        "file": [look.file for look in looks.values()],
    }
    with output_lock(path):
        before = _looks_of_plans(folder)  # another plan may have grown in between
        others = before.filter(pc.not_equal(before.column("plan"), name))
        table = pa.concat_tables([others, pa.table(own, schema=others.schema)])
        with atomic_replace(path) as temporary:
            pq.write_table(table, temporary, compression="zstd")


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
        names, columns = _read_plan(path)
        known = set(zip(columns[names["file"]], map(str.casefold, columns[names["field"]]), strict=True))
        new = [row for row in rows if (name_text(row.file), row.field) not in known]
        if new:
            cells = [{names.get(name, name): value for name, value in row.to_json().items()} for row in new]
            for name, values in columns.items():
                values += [_cell(row.get(name)) for row in cells]
            write_text(path, MARK + columns_csv(columns, for_spreadsheets=True))
        return len(new)


def _read_plan(path: Path) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Name of a column in small letters → its name in the plan, and name → cells.

    Raises:
        ArtefactError: the file is no plan.
    """
    frame = read_table_file(path).frame
    names = require_columns(frame.columns, path)
    return names, {str(name): [_cell(value) for value in frame[name]] for name in frame.columns}


def _cell(value: object) -> str:
    return "" if is_missing(value) or value != value else plain_cell(str(value))
