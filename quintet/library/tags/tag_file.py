"""The tags of a file, in the form of its format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quintet.errors import MissingExtraError
from quintet.library.tags.entries import TagError
from quintet.library.tags.form import TagForm
from quintet.library.tags.forms import ApeForm, AsfForm, Mp4Form, VorbisForm
from quintet.library.tags.id3_form import Id3Form, has_id3


def open_tags(path: Path, like: TagForm | None = None) -> TagForm:
    """The tags of a file.

    Args:
        path: the file.
        like: tags of the file of which this one is a copy; its format is taken, not guessed.

    Raises:
        TagError: mutagen does not know the format, or the tags are damaged.
        MissingExtraError: mutagen is not installed.
        OSError: the file cannot be read.
    """
    try:
        import mutagen
    except ImportError as error:
        raise MissingExtraError("Reading and writing tags", "library") from error

    try:
        file = mutagen.File(path) if like is None else type(like.file)(path)
        if file is None:
            raise TagError(
                f"The tags of a file must be of a known format. '{path.name}' is of none: "
                "convert it to flac, mp3 or m4a."
            )
        return _kind_of(file)(path, _without_translation(file, path))
    except mutagen.MutagenError as error:
        if isinstance(error.__cause__ or error.__context__, OSError) and not path.is_file():
            raise OSError(f"The file must exist. '{path}' does not. Check the path.") from None
        raise TagError(
            f"The tags of a file must be whole. Those of '{path.name}' are not ({error})."
        ) from error


def _kind_of(file: Any) -> type[TagForm]:
    """The class for the form of the tag of a file."""
    from mutagen._vorbis import VComment
    from mutagen.apev2 import APEv2File
    from mutagen.asf import ASF
    from mutagen.flac import FLAC
    from mutagen.mp4 import MP4

    if isinstance(file, FLAC) or isinstance(file.tags, VComment):
        return VorbisForm
    for kind, form in ((MP4, Mp4Form), (ASF, AsfForm), (APEv2File, ApeForm)):
        if isinstance(file, kind):
            return form
    if has_id3(file):
        return Id3Form
    raise TagError(
        f"The tags of a file must be of a known format. {type(file).__name__} is none: "
        "convert it to flac, mp3 or m4a."
    )


def _without_translation(file: Any, path: Path) -> Any:
    """The file once more with the frames of an ID3 tag as they stand in it. Other formats stay."""
    if not has_id3(file):
        return file
    return type(file)(path, translate=False, load_v1=False)
