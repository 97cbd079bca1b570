"""What a report is about: the name of the data, and the noun for their classes."""

from __future__ import annotations

from collections import Counter
from pathlib import PurePath

from quintet.model_folder.run import Run
from quintet.reports.formats import count
from quintet.reports.text import kind

CLASS_NOUNS = {
    "instruments": "instrument",
    "genres": "genre",
    "moods": "mood",
    "emotions": "emotion",
    "artists": "artist",
    "composers": "composer",
    "performers": "performer",
    "singers": "singer",
    "speakers": "speaker",
    "languages": "language",
    "species": "species",
    "birds": "bird",
    "styles": "style",
    "dances": "dance",
    "ragas": "raga",
    "makams": "makam",
    "decades": "decade",
    "keys": "key",
    "scenes": "scene",
    "techniques": "technique",
}
"""Name of a data folder → noun for one of its classes. Other names say nothing about the classes."""

PLAIN_NAMES = frozenset(
    {"model", "models", "out", "output", "data", "audio", "clips", "music", "files", "wav", "flac", "mp3"}
    | {"train", "test", "dataset", "datasets", "sounds", "recordings", "tmp"}
)
"""Names of folders that are no titles."""


def data_name(run: Run) -> str:
    """Name of the folder that holds the clips; empty if the paths do not show it, or if it says nothing.

    The id of a clip is its path below that folder.

    Args:
        run: the model folder.
    """
    if "path" not in run.features:
        return ""
    names: Counter[str] = Counter()
    for clip, path in run.features["path"].head(200).items():
        text = str(path).replace("\\", "/")
        if text.endswith(f"/{clip}"):
            names[PurePath(text.removesuffix(f"/{clip}")).name] += 1
    name, n = names.most_common(1)[0] if names else ("", 0)
    is_common = n == min(len(run.features), 200)
    return name if is_common and name and name.lower() not in PLAIN_NAMES else ""


def class_noun(run: Run) -> str:
    """What one class is called: `instrument` if the folder of the data is called so, otherwise `class`.

    Args:
        run: the model folder.
    """
    return kind(run) if run.multilabel else CLASS_NOUNS.get(data_name(run).lower(), "class")


def default_title(run: Run) -> str:
    """Title of a report: the name of the data, else of the model folder, else the number of classes.

    Args:
        run: the model folder.
    """
    own = run.path.resolve().name
    for name in (data_name(run), own):
        if name and name.lower() not in PLAIN_NAMES:
            text = name.replace("_", " ").strip() or name
            return f"{text[0].upper()}{text[1:]}"
    return f"Classifier of {count(len(run.classes), kind(run))}"
