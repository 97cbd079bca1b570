"""Music as an owner has it, for the tutorial of the library: the demo corpus with artists and genres."""

from __future__ import annotations

import shutil
from pathlib import Path

from mutagen.flac import FLAC

from quintet.datasets.demo.corpus import pieces, render_demo

TITLES = ("Blue Window", "Late Train", "Second Summer", "Paper Boats", "North Road", "Small Hours")


def make_tagged_music(folder: Path, work: Path) -> int:
    """Write the songs into `folder/ARTIST/`, every third without a genre; their number.

    Args:
        folder: folder to make.
        work: folder of the demo corpus, which is rendered if it is not there.
    """
    render_demo(work)
    numbers: dict[str, int] = {}
    for piece in pieces(seed=0, per_style=24):
        artist = piece.artist.name.replace("_", " ")
        number = numbers[artist] = numbers.get(artist, 0) + 1
        title = f"{TITLES[number % len(TITLES)]} {number}"
        path = folder / artist / f"{number:02d} {title}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(work / piece.path, path)
        tags = FLAC(path)
        tags.update({"artist": artist, "title": title, "album": "Demos", "tracknumber": str(number)})
        if number % 3:
            tags["genre"] = piece.style.replace("_", " ").title()
        tags.save()
    return sum(numbers.values())
