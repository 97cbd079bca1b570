"""Sound files of libsndfile that are only read forwards: whole files, and views of them.

libsndfile looks for the resource fork (Sound Designer II) of an MPEG file that has no name under `._` and in
`.AppleDouble/` of the current folder: if something is there, it refuses the file. The samples of a file must
not depend on the current folder, so such a file is then opened by the name of a copy.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import soundfile

from quintet.audio.reading.byte_view import ByteView

FORK_ERRORS = range(149, 155)
"""libsndfile's numbers of errors of a resource fork."""


class ForwardFile(soundfile.SoundFile):  # type: ignore[misc]
    """A sound file that is only read forwards.

    soundfile seeks to the current position after every read. The mp3 decoder then starts anew, which is
    slower and gives other samples than one undisturbed read.
    """

    def seekable(self) -> bool:
        """False: see above."""
        return False


def open_pieces(source: Path, pieces: Sequence[tuple[int, int] | bytes]) -> ForwardFile:
    """A decoder of a view of a file.

    Args:
        source: the file.
        pieces: those of the view.

    Raises:
        soundfile.LibsndfileError: libsndfile cannot read it.
    """
    try:
        return ForwardFile(ByteView(source, pieces))
    except soundfile.LibsndfileError as error:
        if error.code not in FORK_ERRORS:
            raise
    with tempfile.TemporaryDirectory(prefix="quintet-", ignore_cleanup_errors=True) as folder:
        copy = Path(folder, "sound")
        with ByteView(source, pieces) as view, copy.open("wb") as file:
            shutil.copyfileobj(view, file)
        return ForwardFile(copy)  # the file stays open, and is deleted
