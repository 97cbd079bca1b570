"""What the page asks about a library, without HTTP.

What writes tags, explains and trains is imported when it is asked for, so that the page opens at once.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from quintet.datasets.labels import label_set
from quintet.errors import ArtefactError, ConfigError, QuintetError
from quintet.files.atomic import write_text
from quintet.files.display.file_names import name_text
from quintet.files.json_types import JsonObject
from quintet.files.untrusted import limits
from quintet.files.untrusted.bounded import read_bounded
from quintet.files.untrusted.strict_json import parse_json
from quintet.library.corrections import add_correction, read_corrections
from quintet.library.playlists.write import m3u_lines
from quintet.library.store import Library
from quintet.serving.browser.learning import LearningDesk
from quintet.serving.browser.song_view import SongView, shown_text

if TYPE_CHECKING:
    from quintet.library.playlists.space import SongSpace
    from quintet.library.tags.plan import Plan, PlanOptions
    from quintet.serving.desks import ExplanationDesk

PLAYLISTS_FILE = "playlists.json"
PLANS_FOLDER = "plans"
MOST_SIMILAR = 50
PATIENCE_S = 10.0
"""Longest time that `warm_up` waits for a page to be drawn, which must not share the processor with it."""
MOST_LISTED = 10_000
"""Songs of a playlist, and playlists."""


class Shelf:
    """An open library: its songs, and what the page changes.

    Args:
        folder: the library.

    Raises:
        ArtefactError: the folder is no library, or is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.view = SongView(Library.open(folder))
        self._plan: Plan | None = None
        self._space: SongSpace | None = None
        self._writing, self._asking = threading.Lock(), threading.Lock()
        self._is_shown, self.is_prepared = threading.Event(), threading.Event()
        self._is_closed = False
        self._desk: ExplanationDesk | None = None
        self._desk_lock = threading.Lock()
        self.learning = LearningDesk(folder, self.reload)

    def reload(self) -> None:
        """Read the library anew: its songs have other predictions, and another model explains them."""
        view = SongView(Library.open(self.folder))
        with self._asking, self._desk_lock:
            self.view, self._space, self._plan = view, None, None
            desk, self._desk = self._desk, None
        if desk is not None:
            desk.close()

    def close(self) -> None:
        """End the processes of explanations and trainings, and what `warm_up` has not begun."""
        self._is_closed = True
        self._is_shown.set()
        self.learning.close()
        if self._desk is not None:
            self._desk.close()

    def warm_up(self) -> None:
        """Prepare what a page asks for first, and when it is shown the rest and the map; a thread does it."""
        self.view.prepare()
        self._is_shown.wait(PATIENCE_S)
        with suppress(QuintetError):
            for prepare in (self._near, lambda: self.where("tempo > 0")):
                if not self._is_closed:
                    prepare()
        self.is_prepared.set()
        if not self._is_closed:
            self.view.draw_map()

    def state(self) -> JsonObject:
        """What the page shows about the library as a whole."""
        facts = self.view.library.facts
        model = facts.model or {}
        return {
            "name": name_text(self.folder.absolute().name),
            "n": self.view.songs.num_rows,
            "roots": [name_text(root) for root in facts.roots],
            "classes": [shown_text(str(name)) for name in model.get("classes", [])],
            "model": model.get("path"),
            "score": shown_text(str(model.get("score") or "")),
            "drift": shown_text(facts.drift_words),
            "corrections": len(read_corrections(self.folder)),
            "failures": self.view.library.table("failures").num_rows,
        }

    def columns(self) -> bytes:
        """Numbers and names of all songs, with the genres that the owner has corrected."""
        return self.view.columns_bytes(read_corrections(self.folder))

    def texts(self) -> bytes:
        """Texts of all songs. A page that asks for them has drawn its map."""
        found = self.view.texts_bytes()
        self._is_shown.set()
        return found

    def details(self, id: str) -> JsonObject:
        """Everything about one song: its tags, and the probabilities of its classes.

        Raises:
            ArtefactError: there is no such song.
        """
        song = self._song(id)
        library = self.view.library
        verdicts = _rows_of(library.table("verdicts"), id)
        verdicts.sort(key=lambda row: -(row["probability"] or 0))
        fields = _rows_of(library.table("tags"), id)
        return {
            "id": id,
            "path": name_text(library.path_of(song)),
            "reason": song["reason"],
            "probabilities": [[shown_text(row["label"]), row["probability"]] for row in verdicts],
            "tags": [[row["field"], shown_text(row["value"])] for row in fields],
        }

    def similar(self, id: str, n: int, per_artist: int) -> list[JsonObject]:
        """The nearest songs: no copies of the song or of each other, and at most so many of an artist.

        Args:
            id: of the song.
            n: how many.
            per_artist: songs of one artist at most.

        Raises:
            ArtefactError: there is no such song.
            ConfigError: it has no vector.
        """
        self._song(id)
        nearest = self._near().nearest([id], n=min(n, MOST_SIMILAR), per_artist=per_artist)
        return [{"row": self.view.row_of[near.id], "similarity": near.similarity} for near in nearest]

    def where(self, condition: str) -> list[int]:
        """Rows of the songs that meet a condition of SQL.

        Raises:
            ConfigError: the condition is not one expression over the columns.
        """
        with self._asking:  # a connection of DuckDB answers one question at a time
            rows: list[int] = self.view.query.positions(condition).tolist()
        return rows

    def explain(self, id: str) -> Future[str]:
        """The explanation page of a song.

        Raises:
            ArtefactError: the library has no model, its folder is gone, or there is no such song.
        """
        model = (self.view.library.facts.model or {}).get("path")
        folder = None if model is None else Path(str(model))
        if folder is None or not (folder / "bundle.json").is_file():
            raise ArtefactError(
                "A genre must come from a model to be explained. "
                f"{'This library has none' if folder is None else f'{folder} is none'}: scan with --model."
            )
        path = self._path(id)
        from quintet.serving.desks import ExplanationDesk

        with self._desk_lock:  # a desk that `reload` has closed answers nothing
            if self._desk is None:
                self._desk = ExplanationDesk(folder)
                self._desk.open()
            return self._desk.ask(str(path), name_text(path.name), None)

    def plan(self, options: PlanOptions) -> JsonObject:
        """A plan of tags, which `apply` carries out in part or as a whole.

        Args:
            options: fields, mode and confidence.
        """
        from quintet.library.tags.plan import make_plan

        with self._writing:
            self._plan = make_plan(self.view.library, options)
            row_of = {self.view.library.path_of(song): row for row, song in enumerate(self._places())}
            rows = [{**row.to_json(), "row": row_of.get(row.file, -1)} for row in self._plan.rows]
            return {**self._plan.to_json(), "rows": rows}

    def apply(self, numbers: Sequence[int]) -> JsonObject:
        """Write the accepted rows of the latest plan.

        Args:
            numbers: of the rows.

        Raises:
            ConfigError: there is no plan, or a number is none of its rows.
        """
        from quintet.library.tags.plan_file import write_plan
        from quintet.library.tags.writing import WritingOptions, apply_plan

        with self._writing:
            plan = self._plan
            if plan is None or not numbers or not all(0 <= number < len(plan.rows) for number in numbers):
                raise ConfigError(
                    "Rows must be those of the plan on the page: make a new plan, and choose rows."
                )
            file = _new_plan_file(self.folder / PLANS_FOLDER)
            write_plan([plan.rows[number] for number in sorted(set(numbers))], file)
            self._plan = None
            return apply_plan(file, WritingOptions()).to_json()

    def undo(self, journal: str) -> JsonObject:
        """Take back what a journal of the page says.

        Args:
            journal: name of the file in the folder of plans.

        Raises:
            ConfigError: there is no such journal.
        """
        from quintet.library.tags.writing import undo

        names = {path.name: path for path in self._journals()}
        if journal not in names:
            raise ConfigError(
                "A journal must be one of this library. There is none of this name: reload the page."
            )
        with self._writing:
            return undo(names[journal]).to_json()

    def journals(self) -> list[str]:
        """Names of the journals of the page, the newest first."""
        return [path.name for path in sorted(self._journals(), key=lambda path: -path.stat().st_mtime_ns)]

    def _journals(self) -> list[Path]:
        """Journals in the folder of plans; links and other things of such a name are none."""
        found = (self.folder / PLANS_FOLDER).glob("*.jsonl")
        return [path for path in found if path.is_file() and not path.is_symlink()]

    def correct(self, id: str, label: str) -> JsonObject:
        """Keep the genre that the owner gives to a song, and to all copies of its sound.

        Raises:
            ArtefactError: there is no such song.
            ConfigError: the genre is no plain text.
        """
        song = self._song(id)
        name = add_correction(self.folder, str(song["audio_digest"]), label)
        return {"label": name, "rows": self.view.rows_of({str(song["audio_digest"]): name})}

    def playlists(self) -> JsonObject:
        """Name of a playlist → ids of its songs, of those that are kept with the library."""
        path = self.folder / PLAYLISTS_FILE
        content = parse_json(read_bounded(path, limits.JSON_BYTES), path) if path.is_file() else {}
        return _require_playlists(content)

    def keep_playlists(self, content: object) -> JsonObject:
        """Replace the playlists.

        Args:
            content: name → ids.

        Raises:
            ConfigError: the content is of another form.
        """
        kept = _require_playlists(content)
        with self._writing:
            write_text(self.folder / PLAYLISTS_FILE, json.dumps(kept, indent=1) + "\n")
        return kept

    def export(self, name: str, ids: Sequence[str]) -> bytes:
        """An extended M3U playlist with absolute paths.

        Args:
            name: of the playlist.
            ids: of songs, in their order; unknown ones are left out.

        Raises:
            ConfigError: the name or the ids are none.
        """
        _require_playlists({name: ids})
        found = [song for song in map(self.view.song, ids) if song is not None]
        lines, _ = m3u_lines(found, self.folder, absolute=True, name=name)
        return b"\n".join(lines) + b"\n"

    def sound_path(self, id: str) -> Path:
        """The file of a song.

        Raises:
            ArtefactError: there is no such song, or its file is gone.
        """
        return self._path(id)

    def genres(self) -> list[str]:
        """Genres that a correction may choose: classes of the model, and genres of the tags."""
        texts = self.view.songs.column("genre").unique().to_pylist()
        tagged = [name for text in texts for name in label_set(shown_text(text))]
        found: dict[str, str] = {}
        for name in (*tagged, *filter(None, self.state()["classes"])):  # classes have small letters
            found.setdefault(name.casefold(), name)
        return [found[key] for key in sorted(found)]

    def _near(self) -> SongSpace:
        """The space of the songs, which is made once."""
        from quintet.library.playlists.space import SongSpace

        with self._asking:
            if self._space is None:
                self._space = SongSpace(self.view.library)
            return self._space

    def _song(self, id: str) -> JsonObject:
        song = self.view.song(id)
        if song is None:
            raise ArtefactError("A song must be in the library. There is none of this id: reload the page.")
        return song

    def _path(self, id: str) -> Path:
        self._song(id)
        path = self.view.path(id)
        if path is None or not path.is_file():
            raise ArtefactError("A song must be in a folder of the library. Its file is not: scan again.")
        return path

    def _places(self) -> list[JsonObject]:
        places: list[JsonObject] = self.view.songs.select(["root", "path"]).to_pylist()
        return places


def _new_plan_file(folder: Path) -> Path:
    """An empty file of its own in the folder of plans, also if two pages of a library ask at once."""
    folder.mkdir(exist_ok=True)
    number = 1
    while True:
        path = folder / f"plan-{number}.csv"
        with suppress(FileExistsError):
            path.touch(exist_ok=False)
            return path
        number += 1


def _rows_of(table: pa.Table, id: str) -> list[JsonObject]:
    """Rows of one song."""
    rows: list[JsonObject] = table.filter(pc.equal(table.column("id"), id)).to_pylist()
    return rows


def _require_playlists(content: object) -> JsonObject:
    """Playlists, if the content has their form.

    Raises:
        ConfigError: it has another.
    """
    is_right = isinstance(content, dict) and len(content) <= MOST_LISTED
    for name, ids in content.items() if is_right and isinstance(content, dict) else ():
        is_list = isinstance(ids, list) and len(ids) <= MOST_LISTED
        is_right &= is_list and all(isinstance(id, str) and len(id) <= 64 for id in ids)
        is_right &= 0 < len(str(name)) <= 200
    if not is_right or not isinstance(content, dict):
        raise ConfigError(
            "Playlists must be names with lists of ids. Received something else: reload the page."
        )
    return {shown_text(name): ids for name, ids in content.items()}
