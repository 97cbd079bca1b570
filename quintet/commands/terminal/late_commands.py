"""Commands that are made when somebody asks for them, and advice for words that are none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Any

import typer
import typer.main
from typer.core import TyperCommand

from quintet.files.paths import require_path

_TAGS = (
    "`quintet tag FILES` says genre, mood and instruments without training; `quintet predict MODEL FILES` "
    "says your own classes."
)
_LIBRARY = (
    "It is a part of the library: `quintet library {name} LIBRARY`, after `quintet library scan MUSIC`."
)
ADVICE = {
    **dict.fromkeys(("genre", "genres", "mood", "moods", "instrument", "instruments", "classify"), _TAGS),
    **{
        name: _LIBRARY.format(name=name)
        for name in ("scan", "similar", "playlist", "songs", "watch", "retrain")
    },
    **dict.fromkeys(("app", "browse", "gui", "open", "ui"), _LIBRARY.format(name="open")),
    **dict.fromkeys(("tags", "autotag", "write"), _LIBRARY.format(name="tags")),
}
"""Word that people try as a command → where it is."""


class Command(TyperCommand):
    """A command that refuses an option of one value that is given twice, and a path without a letter.

    One of the two values would be ignored. The path would be the current folder.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words of the command line. `ctx` has a class of typer that is not public."""
        values, _, given = self.make_parser(ctx).parse_args(args=list(args))
        self._require_paths(values)
        for option in self.params:
            is_flag = getattr(option, "is_flag", True)  # an argument has no such word
            if is_flag or option.multiple or given.count(option) < 2:
                continue
            ctx.fail(
                f"{option.opts[0]} must be given once. Received it {given.count(option)} times: keep one. "
                "Several values of a list stand in one word, with commas (svm,xgboost)."
            )
        return super().parse_args(ctx, args)

    def _require_paths(self, values: Mapping[str, object]) -> None:
        """Refuse an empty text where a path is asked for. `values`: name of a parameter → what was given."""
        parameter: Any  # its class in typer is not public
        for parameter in self.params:
            value, word = values.get(parameter.name), parameter.opts[0]
            is_empty = value == "" or (isinstance(value, (list, tuple)) and "" in value)
            if is_empty and "Path" in str(parameter.type_descriptor.annotation):
                require_path("", word if word.startswith("-") else word.upper())


class LateCommands(MutableMapping[str, Any]):
    """Name of a command → the command of typer, made at the first access.

    So `quintet predict` reads the module and the options of `predict`, and of no other command.

    Args:
        modules: name of a command → its module in `quintet.commands`, in the order of the help. The module
            has a function of the name of the command (`list_` for `list`) and `EXAMPLE`, or a group `app`.

    Example:
        >>> commands = LateCommands({"list": "list"})
        >>> list(commands), commands["list"].name
        (['list'], 'list')
    """

    def __init__(self, modules: Mapping[str, str]) -> None:
        self._modules = modules
        self._made: dict[str, Any] = dict.fromkeys(modules)

    def __getitem__(self, name: str) -> Any:
        if self._made[name] is None:
            module = import_module(f"quintet.commands.{self._modules[name]}")
            holder = typer.Typer(add_completion=False, rich_markup_mode="rich")
            holder.callback()(_do_nothing)
            if hasattr(module, "app"):
                holder.add_typer(module.app, name=name)
            else:
                function = getattr(module, name, None) or getattr(module, f"{name}_")
                holder.command(name, cls=Command, epilog=module.EXAMPLE)(function)
            self._made[name] = typer.main.get_command(holder).commands[name]  # type: ignore[attr-defined]
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._made

    def __iter__(self) -> Iterator[str]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)


def _do_nothing() -> None:
    """A callback: with one, typer makes a group of commands even of a single one."""
