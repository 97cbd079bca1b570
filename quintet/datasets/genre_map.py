"""Maps of genres: which names are one genre, which are wanted, and which are not. Users edit a TOML file.

```toml
only = ["rock", "metal", "jazz"]    # white list; leave it out to keep all
never = ["other", "unknown"]        # black list
several = "sets"                    # songs with several genres: "sets", "first" or "none" (they are left out)
least = 10                          # rarer genres are left out

[map]
metal = ["viking metal", "black metal"]   # metal <- viking metal, black metal
```

Names are compared without capital letters, and hyphens and underscores are blanks.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from quintet.datasets.labels import label_set
from quintet.errors import ConfigError
from quintet.files.untrusted.strict_toml import read_toml

Several = Literal["sets", "first", "none"]
KEYS = ("only", "never", "several", "least", "map")
DEFAULT_LEAST = 10
_BETWEEN = re.compile(r"[\s_\-‐–]+")
_SEPARATORS = re.compile(r"\s*(?:;|\x00|\s/\s|\|)\s*")


def genre_key(name: str) -> str:
    """A genre in the spelling in which names are compared.

    Example:
        >>> genre_key("Hip-Hop"), genre_key(" hip  hop ")
        ('hip hop', 'hip hop')
    """
    return _BETWEEN.sub(" ", name.casefold()).strip()


@dataclass(frozen=True)
class GenreMap:
    """Which genres of songs are used, and under which names.

    Args:
        only: white list; empty: all.
        never: black list.
        several: what becomes of songs with several genres.
        least: songs that a genre must have.
        names: key of a genre → the genre that it counts as.
    """

    only: frozenset[str] = frozenset()
    never: frozenset[str] = frozenset()
    several: Several = "sets"
    least: int = DEFAULT_LEAST
    names: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> GenreMap:
        """The map of a TOML file.

        Raises:
            ConfigError: it is no TOML, has an unknown key, or maps a name to two genres or in a circle.
        """
        try:
            content = read_toml(path)
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"A genre map must be a TOML file. '{path}' is not ({error}).") from error
        unknown = [key for key in content if key not in KEYS]
        if unknown:
            raise ConfigError(
                f"A genre map must have the keys {', '.join(KEYS)}. '{path}' has '{unknown[0]}'."
            )
        several, least = content.get("several", "sets"), content.get("least", DEFAULT_LEAST)
        if several not in ("sets", "first", "none"):
            raise ConfigError(f"`several` must be sets, first or none. Received '{several}' in '{path}'.")
        if not isinstance(least, int) or isinstance(least, bool) or least < 1:
            raise ConfigError(f"`least` must be a whole number from 1 on. Received {least!r} in '{path}'.")
        names = _resolve(_pairs(content.get("map", {}), path), path)
        only, never = (frozenset(map(genre_key, _texts(content, key, path))) for key in ("only", "never"))
        return cls(only, never, several, least, names)

    def genres(self, values: Sequence[str]) -> tuple[str, ...]:
        """Genres of a song that are used, each once, in order.

        Args:
            values: as found in its tags; one value may hold several, separated by `;`, ` / ` or `|`.

        Example:
            >>> GenreMap(never=frozenset(["other"]), names={"viking metal": "metal"}).genres(
            ...     ["Viking-Metal; Other", "Rock"]
            ... )
            ('metal', 'rock')
        """
        found: dict[str, None] = {}
        for value in values:
            for part in _SEPARATORS.split(value):
                for text in label_set(part):
                    name = self.names.get(genre_key(text), genre_key(text))
                    key = genre_key(name)
                    if key and key not in self.never and (not self.only or key in self.only):
                        found.setdefault(name)
        return tuple(found)

    def label(self, genres: Sequence[str]) -> tuple[str, ...]:
        """The genres that become the label of a song, by `several`; none if it is left out."""
        if len(genres) > 1 and self.several == "first":
            return tuple(genres[:1])
        if len(genres) > 1 and self.several == "none":
            return ()
        return tuple(genres)

    def labels(self, songs: Sequence[Sequence[str]]) -> tuple[list[tuple[str, ...]], list[str]]:
        """Labels of many songs, without rare genres, and notes on what was left out.

        Args:
            songs: values of the genre of each song, as found.

        Example:
            >>> GenreMap(least=2).labels([["Rock"], ["rock"], ["Polka"], []])[0]
            [('rock',), ('rock',), (), ()]
        """
        known = [self.label(self.genres(values)) for values in songs]
        counts = Counter(name for names in known for name in names)
        rare = sorted(name for name, count in counts.items() if count < self.least)
        result = [tuple(filter(lambda name: counts[name] >= self.least, names)) for names in known]
        notes = []
        without = sum(not values for values in songs)
        if without:
            notes.append(f"Songs without a genre are left out: {without} of {len(songs)}")
        others = sum(bool(values) and not names for values, names in zip(songs, result, strict=True))
        if others:
            notes.append(f"Songs whose genres are all left out: {others} of {len(songs)}")
        if rare:
            shown = ", ".join(f"{name} ({counts[name]})" for name in rare[:8]) + (
                ", …" if len(rare) > 8 else ""
            )
            notes.append(f"Genres with fewer than {self.least} songs are left out: {shown}")
        return result, notes


def _texts(content: Mapping[str, Any], key: str, path: Path) -> list[str]:
    values = content.get(key, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ConfigError(f"`{key}` must be a list of genres in quotes. Received {values!r} in '{path}'.")
    return values


def _pairs(table: object, path: Path) -> list[tuple[str, str]]:
    """(name, genre) pairs of the table `map`."""
    if not isinstance(table, dict):
        raise ConfigError(f"`map` must be a table of genres. Received {table!r} in '{path}'.")
    return [(name, genre) for genre in table for name in _texts(table, genre, path)]


def _resolve(pairs: Sequence[tuple[str, str]], path: Path) -> dict[str, str]:
    """Key of each name → the last genre that it leads to, in the spelling that the file has first."""
    first: dict[str, str] = {}
    for name, genre in pairs:
        known = first.setdefault(genre_key(name), genre)
        if genre_key(known) != genre_key(genre):
            raise ConfigError(
                f"A name must count as one genre. '{name}' has two in '{path}': {known}, {genre}."
            )
    spelling: dict[str, str] = {}
    for _, genre in pairs:
        spelling.setdefault(genre_key(genre), genre)
    resolved: dict[str, str] = {}
    for start in first:
        way, genre = {start: None}, first[start]
        while (key := genre_key(genre)) in first and first[key] != genre and key not in resolved:
            if key in way:
                raise ConfigError(f"Genres must not lead in a circle. '{key}' does in '{path}'.")
            way[key] = None
            genre = first[key]
        resolved |= dict.fromkeys(way, resolved.get(key, spelling[key]))
    return spelling | resolved


def write_template(path: Path, counts: Mapping[str, int]) -> None:
    """Write a genre map to edit, with the genres that were found as remarks.

    Args:
        path: the file, which must not exist.
        counts: genre → number of its songs.

    Raises:
        ConfigError: the file exists.
    """
    from quintet.files.atomic import write_text
    from quintet.files.display.names import printable

    if path.exists():
        raise ConfigError(f"A new genre map must have a new name. '{path}' exists: it is left as it is.")
    lines = [
        "# Genres of your songs. Edit this file, then give it to the next command.",
        '# only = ["rock", "jazz"]   # white list',
        'never = ["other", "unknown", "genre", "misc"]   # black list',
        'several = "sets"   # songs with several genres: sets, first, none',
        f"least = {DEFAULT_LEAST}   # rarer genres are left out",
        "",
        "[map]",
        '# metal = ["viking metal", "black metal"]   # these count as metal',
        "",
        "# Found:",
    ]
    lines += [f"#   {count:6d}  {printable(name)}" for name, count in counts.items()]
    write_text(path, "\n".join(lines) + "\n", errors="replace")
