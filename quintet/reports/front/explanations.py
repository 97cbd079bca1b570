"""Commands that explain the mistakes of a report, and the places of the pages that they write."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from quintet.model_folder.run import Run
from quintet.reports.formats import slug
from quintet.reports.front.sounds import local_sources

MAX_SLUG = 60
"""Letters of the name of an explanation's folder."""


@dataclass(frozen=True)
class ExplainCommands:
    """Commands of the shape `quintet explain MODEL FILE -o PAGES/NAME`, to be called in the report's folder.

    Args:
        model: the model folder, relative to the report, as a shell reads it.
        pages: folder of the explanations, relative to the report.
        files: clip → its file, relative to the report, as a shell reads it.
        names: clip → name of the folder of its explanation.
    """

    model: str = ""
    pages: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)

    def command(self, clip: str) -> str:
        """The command for a clip."""
        page = shlex.quote(f"{self.pages}/{self.names[clip]}")
        return f"quintet explain {self.model} {self.files[clip]} -o {page}"

    @property
    def json(self) -> str:
        """Clip → command and address of its page, as JSON that is safe inside of a script element."""
        places = {clip: [self.command(clip), f"{self.pages}/{name}/"] for clip, name in self.names.items()}
        return json.dumps(places).replace("<", "\\u003c")


def explain_commands(run: Run, clips: Sequence[str], folder: Path | None) -> ExplainCommands:
    """Commands for those of the clips that are whole files on this machine.

    The explanations lie beside the report: those of `report` in `report-explanations`.

    Args:
        run: the model folder.
        clips: ids.
        folder: folder of the report; None if the page may name no file.
    """
    if folder is None:
        return ExplainCommands()
    sources = {
        clip: source
        for clip, source in local_sources(run, clips).items()
        if not source.start_s and source.end_s is None
    }
    here = folder.absolute()
    return ExplainCommands(
        model=shlex.quote(_relative(run.path, here)),
        pages=f"../{here.name}-explanations",
        files={clip: shlex.quote(_relative(source.path, here)) for clip, source in sources.items()},
        names={clip: _folder_name(clip) for clip in sources},
    )


def _relative(path: str | Path, folder: Path) -> str:
    """A path as seen from a folder; it never begins like an option."""
    name = Path(os.path.relpath(Path(path).absolute(), folder)).as_posix()
    return f"./{name}" if name.startswith("-") else name


def _folder_name(clip: str) -> str:
    """Name of a folder for a clip; clips with other names have other folders."""
    return f"{slug(clip)[:MAX_SLUG]}-{sha256(clip.encode(errors='surrogatepass')).hexdigest()[:6]}"
