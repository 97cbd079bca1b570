"""Plugin of beets: fills genre, tempo, key and mood of items from a library or a model of Quintet.

    plugins: quintet
    quintet:
        library: ~/my.library      # made by `quintet library scan`
        # model: ~/model           # instead of a library: genres only, the files are read
        fields: genre bpm key      # also: mood, which only the database of beets keeps
        min_confidence: 0.5
        force: no                  # yes: fields that are not empty, too

`beet quintet QUERY` shows what each field holds and what it would get, and asks. `--pretend` only shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beets import ui
from beets.plugins import BeetsPlugin

if TYPE_CHECKING:
    from beets.library import Item, Library

    from quintet.library.tags.plan import Proposal

Proposals = Mapping[Path, Mapping[str, "Proposal"]]

FIELDS = {"genre": "genres", "bpm": "bpm", "key": "initial_key", "mood": "mood"}
"""Field of Quintet → field of beets."""


class QuintetPlugin(BeetsPlugin):
    """The plugin, with one command."""

    def __init__(self) -> None:
        super().__init__()
        self.config.add(
            {
                "library": "",
                "model": "",
                "fields": "genre bpm key",
                "min_confidence": 0.5,
                "set_confidence": 0.9,
                "force": False,
            }
        )

    def commands(self) -> list[ui.Subcommand]:
        """The command `beet quintet`."""
        command = ui.Subcommand("quintet", help="fill genre, tempo, key and mood from a library of Quintet")
        parser = command.parser
        parser.add_option("-l", "--library", help="library made by `quintet library scan`")
        parser.add_option("-m", "--model", help="model folder: genres only, the files are read")
        parser.add_option("-F", "--fields", help="fields, with spaces or commas: genre, bpm, key, mood")
        parser.add_option("-f", "--force", action="store_true", help="fields that are not empty, too")
        parser.add_option("-p", "--pretend", action="store_true", help="show the changes, make none")
        parser.add_option("-y", "--yes", action="store_true", help="do not ask")
        parser.add_option("-w", "--write", action="store_true", default=None, help="write the files, too")
        parser.add_option("-W", "--nowrite", action="store_false", dest="write", help="write no file")
        command.func = self.fill
        return [command]

    def fill(self, lib: Library, opts: Any, args: list[str]) -> None:
        """Show the changes, ask, and make them."""
        items = list(lib.items(args))
        names = _names(opts.fields or self.config["fields"].get(str))
        force = bool(opts.force or self.config["force"].get(bool))
        changes, n_unknown = [], 0
        proposals = self._proposals(opts, items, names)
        for item in items:
            found = proposals.get(_place(item))
            n_unknown += found is None
            values = {} if found is None else new_values(item, found, force=force)
            if values:
                changes.append((item, values))
                _show(item, values)
        ui.print_(f"{len(changes)} of {len(items)} items get new values; {n_unknown} have no proposal.")
        if opts.pretend or not changes:
            return
        write = ui.should_write(opts.write)
        if not opts.yes and not ui.input_yn(f"Change the database{' and the files' * write} (Y/n)?"):
            return
        for item, values in changes:
            item.update(values)
            if write:
                item.try_write()
            item.store()

    def _proposals(self, opts: Any, items: Sequence[Item], names: tuple[str, ...]) -> Proposals:
        from quintet.errors import QuintetError
        from quintet.library.tags.file_proposals import library_proposals, model_proposals

        library = opts.library or (not opts.model and self.config["library"].get(str))
        model = opts.model or self.config["model"].get(str)
        least = self.config["min_confidence"].get(float)
        try:
            if library:
                return library_proposals(Path(library).expanduser(), names, least)
            if model:
                confidence = self.config["set_confidence"].get(float)
                places = [_place(item) for item in items]
                return model_proposals(Path(model).expanduser(), places, least, confidence)
        except (QuintetError, OSError) as error:
            raise ui.UserError(str(error)) from error
        raise ui.UserError(
            "A library or a model of Quintet must be named: --library FOLDER, or `library:` in the section "
            "`quintet:` of the configuration."
        )


def new_values(item: Item, found: Mapping[str, Proposal], *, force: bool) -> dict[str, object]:
    """Field of beets → new value, where the item has none (or another one, if `force`)."""
    result: dict[str, object] = {}
    for name, proposal in found.items():
        field = FIELDS[name]
        now = item.get(field)
        value: object = list(proposal.values) if field == "genres" else "; ".join(proposal.values)
        if field == "bpm":
            value = int(proposal.values[0])
        if (force or not now) and now != value:
            result[field] = value
    return result


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.replace(",", " ").split())
    for name in names:
        if name not in FIELDS:
            raise ui.UserError(f"A field must be one of {', '.join(FIELDS)}. Received '{name}'.")
    return names


def _place(item: Item) -> Path:
    return Path(item.filepath).resolve()


def _show(item: Item, values: Mapping[str, object]) -> None:
    ui.print_(str(item))
    for field, value in values.items():
        now, new = (", ".join(v) if isinstance(v, list) else str(v) for v in (item.get(field) or "", value))
        ui.print_(f"  {field}: {now or '(empty)'} → {new}")
