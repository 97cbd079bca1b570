"""Words of the pretrained taggers, and the group of each word."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources

GROUPS = ("genre", "mood", "instrument", "voice", "era", "character")
OTHER = "other"


@cache
def _tables() -> dict[str, dict[str, list[str]]]:
    file = resources.files("quintet.embeddings").joinpath("vocabulary.toml")
    return tomllib.loads(file.read_text(encoding="utf-8"))


def tag_names(vocabulary: str) -> tuple[str, ...]:
    """The words of a tagger, in the order of its outputs.

    Args:
        vocabulary: `"mtt"` (MagnaTagATune) or `"msd"` (Million Song Dataset).

    Example:
        >>> tag_names("mtt")[:3], len(tag_names("msd"))
        (('guitar', 'classical', 'slow'), 50)
    """
    return tuple(_tables()["words"][vocabulary])


def tag_group(tag: str) -> str:
    """The group of a tag: one of `GROUPS`, or `"other"` for a word that is not listed.

    Example:
        >>> tag_group("Hip-Hop"), tag_group("piano"), tag_group("90s"), tag_group("polka")
        ('genre', 'instrument', 'era', 'other')
    """
    word = tag.lower()
    return next((group for group, words in _tables()["groups"].items() if word in words), OTHER)
