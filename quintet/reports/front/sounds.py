"""Sound of clips in the report: excerpts inside of the page within a budget, and links to files."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from quintet.audio.decode import ClipSource
from quintet.audio.encode import excerpt_bytes
from quintet.audio.isolation.calls import map_isolated
from quintet.files.internet.remote import is_remote
from quintet.model_folder.run import Run
from quintet.reports.formats import count

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup

BUDGET = 1_000_000
"""Size in bytes of all sound inside of a page, as base64."""
MAX_INSIDE = 24
"""Most clips whose sound is inside of a page."""
EXCERPT_S = 4.0
LONGEST_S = 60.0
"""Longest clip that is decoded for an excerpt; longer ones are linked."""
SAMPLE_RATE = 22050
PLACE_COLUMNS = ["path", "audio_digest", "start", "end", "duration_s"]
"""Columns of the feature table that say where a clip is."""
PLAYED = frozenset({".mp3", ".wav", ".flac", ".ogg", ".opus", ".m4a"})
"""Suffixes of files that browsers play."""


@dataclass(frozen=True)
class Sounds:
    """Sounds of clips.

    Args:
        inside: clip → excerpt as a data URI.
        linked: clip → address of its file, relative to the page.
    """

    inside: Mapping[str, str]
    linked: Mapping[str, str]

    @property
    def note(self) -> str:
        """Where the sounds are, in one sentence."""
        if not self.inside and not self.linked:
            return "The recordings are not on this machine, so that nothing can be played."
        parts = []
        if self.inside:
            parts.append(f"inside this page: {count(len(self.inside), 'excerpt')} of {EXCERPT_S:g} s")
        if self.linked:
            parts.append(f"played from files on this machine: {count(len(self.linked), 'clip')}")
        return f"Sound {'; '.join(parts)}."


def make_sounds(run: Run, clips: Sequence[str], folder: Path | None, *, n_inside: int = MAX_INSIDE) -> Sounds:
    """Sounds of clips, the first of them inside of the page.

    A clip can be played only if its file is on this machine and still holds the sound that was described.

    Args:
        run: the model folder.
        clips: ids, the most important first.
        folder: folder of the page; None if the page may link nothing.
        n_inside: most clips inside of the page.
    """
    sources = local_sources(run, clips)
    places = _places(run, clips)
    is_short = places["duration_s"].astype(float) <= LONGEST_S
    digests = places["audio_digest"]
    wanted = [clip for clip in sources if is_short[clip]][:n_inside]
    inside: dict[str, str] = {}
    size = 0
    calls = [(sources[clip], str(digests[clip]), SAMPLE_RATE, EXCERPT_S) for clip in wanted]
    for clip, content in zip(wanted, map_isolated(excerpt_bytes, calls), strict=True):
        if not isinstance(content, bytes):
            sources.pop(clip)  # the file is gone, damaged, or holds another sound
            continue
        text = f"data:audio/ogg;base64,{base64.b64encode(content).decode()}"
        if size + len(text) <= BUDGET:
            inside[clip] = text
            size += len(text)
    linked = {}
    if folder is not None:
        for clip, source in sources.items():
            if clip not in inside and Path(source.path).suffix.lower() in PLAYED:
                linked[clip] = _address(source, folder)
    return Sounds(inside, linked)


def local_sources(run: Run, clips: Sequence[str]) -> dict[str, ClipSource]:
    """Where clips are on this machine; those without a file are left out.

    Args:
        run: the model folder.
        clips: ids.
    """
    sources = {}
    for clip, row in zip(clips, _places(run, clips).itertuples(index=False), strict=True):
        source = _local_source(clip, *row[:4])
        if source is not None:
            sources[clip] = source
    return sources


def _places(run: Run, clips: Sequence[str]) -> pd.DataFrame:
    """One row per clip with `PLACE_COLUMNS`."""
    return run.features.reindex(columns=PLACE_COLUMNS).reindex(list(clips))


def play_button(clip: str, sounds: Sounds) -> Markup:
    """Button that plays a clip; nothing if it has no sound.

    Args:
        clip: id of the clip.
        sounds: the sounds of the page.
    """
    from markupsafe import Markup

    return button(clip) if clip in sounds.inside or clip in sounds.linked else Markup("")


def button(clip: str) -> Markup:
    """Button that plays a clip. A page removes it if it has no sound of the clip.

    Args:
        clip: id of the clip.
    """
    from markupsafe import Markup

    text = Markup('<button type="button" class="play" data-clip="{0}" aria-label="Play {0}">▶</button> ')
    return text.format(clip)


def sounds_json(sounds: Sounds) -> str:
    """Clip → address of its sound as JSON, safe inside of a script element."""
    return json.dumps({**sounds.linked, **sounds.inside}).replace("<", "\\u003c")


def _local_source(clip: str, path: object, digest: object, start: float, end: float) -> ClipSource | None:
    """Where a clip is on this machine; None if its file is not there, or at a URL."""
    if not isinstance(path, str) or not isinstance(digest, str) or is_remote(path):
        return None
    source = ClipSource.from_row(clip, path, float(start), float(end))
    return source if os.path.isfile(source.path) else None


def _address(source: ClipSource, folder: Path) -> str:
    """Address of a file relative to the page; a window of it as a media fragment."""
    link = Path(os.path.relpath(Path(source.path).absolute(), folder.absolute())).as_posix()
    address = quote(os.fsencode(link))
    if source.end_s is not None:
        return f"{address}#t={source.start_s:g},{source.end_s:g}"
    return f"{address}#t={source.start_s:g}" if source.start_s else address
