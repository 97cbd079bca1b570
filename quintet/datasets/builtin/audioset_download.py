"""AudioSet's clips from YouTube: each video's sound through yt-dlp, its ten seconds through ffmpeg, and a ledger of what is gone.

Never done by itself, only when it is called: `quintet fetch audioset FOLDER`. A clip appears as `FOLDER/audio/ID.flac`, complete or not at
all. What is here is not asked for again, so that the same call goes on where it stopped. `FOLDER/gone.csv` has one row for every
attempt that got nothing, with its outcome:

- `n_unavailable`: removed, private, or closed to the public. Asked for again with `retry_gone` only.
- `failed`: anything else (no network, too many requests, a program too old). Asked for again the next time.
"""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import soundfile

from quintet.datasets.builtin.audioset import (
    LEDGER,
    LEDGER_COLUMNS,
    Segment,
    clip_files,
    read_ledger,
    segments,
)
from quintet.errors import ConfigError, DatasetError

PROGRAMS = {
    "yt-dlp": "its project page has a single file to download",
    "ffmpeg": "your system's packages have it",
}
PATIENCE = 5  # so many failures in a row are no accident
TIMEOUT_S = 600.0
UNAVAILABLE = re.compile(
    r"video unavailable|private video|video is private|video is not available|no longer available|not available in your country|been removed|"
    r"account .*terminated|removed by the uploader|copyright|violat|members.only|confirm your age|recording is not available",
    re.IGNORECASE,
)


class Progress(NamedTuple):
    """How far a retrieval is: clips asked for, to be asked for in all, and those of the former that did not come."""

    done: int
    total: int
    failed: int


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What became of a retrieval: numbers of clips.

    Args:
        n_requested: segments with one of the genres.
        n_present: those whose clip is in the folder now.
        new: those that came now.
        n_unavailable: those that the ledger calls gone.
        failed: those that failed now.
        ledger: the file with the reasons; it exists once there is one.
    """

    n_requested: int
    n_present: int
    new: int
    n_unavailable: int
    failed: int
    ledger: Path


def retrieve(
    folder: Path | str,
    *,
    variant: str | None = None,
    limit: int | None = None,
    retry_gone: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Retrieval:
    """Gets the clips of an AudioSet folder that are not there, one after the other.

    Args:
        folder: with the segments (and the ontology); clips are written to `audio/` below it.
        variant: `single`, `branches` or None: which segments, as in `audioset.load`.
        limit: ask for at most so many now, in the order of the segments.
        retry_gone: ask again for what the ledger calls gone.
        progress: called after each clip.

    Raises:
        ConfigError: if yt-dlp or ffmpeg is not on this machine, or `limit` is below 1.
        DatasetError: if there are no segments, or `PATIENCE` attempts in a row failed for reasons that are not the video's.
    """
    root = Path(folder)
    if limit is not None and limit < 1:
        raise ConfigError(f"A limit must be at least 1 clip. Received {limit}.")
    yt_dlp, ffmpeg = (program_path(name) for name in PROGRAMS)
    listed, _ = segments(root, variant)
    if variant == "single":
        listed = [segment for segment in listed if len(segment.genres) == 1]
    files = clip_files(root) if root.is_dir() else {}
    given_up = set() if retry_gone else {row["id"] for row in read_ledger(root) if row["outcome"] == "gone"}
    asked = [segment for segment in listed if segment.id not in files and segment.id not in given_up][:limit]
    outcomes: list[str] = []
    for done, segment in enumerate(asked, start=1):
        outcome, reason = _one(segment, root / "audio", yt_dlp=yt_dlp, ffmpeg=ffmpeg)
        outcomes.append(outcome)
        if outcome != "new":
            _note(root / LEDGER, segment, outcome, reason)
        if outcomes[-PATIENCE:] == ["failed"] * PATIENCE:
            raise DatasetError(
                f"Retrieval must get an answer now and then. {PATIENCE} attempts in a row failed, the last one with: {reason} "
                f"Look at the network, and whether yt-dlp is the newest. What came is kept; {root / LEDGER} has the reasons."
            )
        if progress:
            progress(Progress(done, len(asked), failed=done - outcomes.count("new")))
    new = outcomes.count("new")
    gone = {row["id"] for row in read_ledger(root) if row["outcome"] == "gone"}
    here = clip_files(root)
    return Retrieval(
        n_requested=len(listed),
        n_present=sum(segment.id in here for segment in listed),
        new=new,
        n_unavailable=sum(segment.id in gone and segment.id not in here for segment in listed),
        failed=outcomes.count("failed"),
        ledger=root / LEDGER,
    )


def program_path(name: str) -> str:
    """Where a program is, or the error that says that it is not on this machine."""
    found = shutil.which(name)
    if found is None:
        raise ConfigError(
            f"Retrieval needs the program {name}. It is not on the PATH of this machine: install it ({PROGRAMS[name]})."
        )
    return found


def download_command(yt_dlp: str, segment: Segment, folder: Path) -> list[str]:
    """The command that gets the best sound of the whole video, as `folder/whole.EXT`; settings of the user's own have no say."""
    quiet = ["--ignore-config", "--no-playlist", "--no-warnings", "--quiet", "--no-progress"]
    template = f"{str(folder).replace('%', '%%')}{os.sep}whole.%(ext)s"
    return [
        yt_dlp,
        *quiet,
        "--format",
        "bestaudio/best",
        "--output",
        template,
        "--",
        f"https://www.youtube.com/watch?v={segment.id}",
    ]


def cut_command(ffmpeg: str, segment: Segment, whole: Path, clip: Path) -> list[str]:
    """The command that cuts the segment out of the video's sound, to FLAC at its own rate and channels."""
    window = ["-ss", f"{segment.start_s:.3f}", "-t", f"{segment.end_s - segment.start_s:.3f}"]
    return [
        ffmpeg,
        "-nostdin",
        "-hide_banner",
        "-loglevel",
        "error",
        "-y",
        *window,
        "-i",
        str(whole),
        "-map",
        "0:a:0",
        "-c:a",
        "flac",
        str(clip),
    ]


def _one(segment: Segment, audio: Path, *, yt_dlp: str, ffmpeg: str) -> tuple[str, str]:
    """One clip: its outcome (new, gone, failed) and the reason."""
    audio.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=audio) as name:
        beside = Path(name)
        refusal = _run(download_command(yt_dlp, segment, beside))
        if refusal is not None:
            return ("gone" if UNAVAILABLE.search(refusal) else "failed"), refusal
        whole = next(iter(sorted(beside.glob("whole.*"))), None)
        if whole is None:
            return "failed", "yt-dlp ended well and wrote nothing."
        clip = beside / "clip.flac"
        refusal = _run(cut_command(ffmpeg, segment, whole, clip))
        if refusal is not None:
            return "failed", refusal
        if not clip.is_file() or not _frames(clip):
            return "gone", f"The video ends before {segment.start_s:g} s."
        os.replace(clip, audio / f"{segment.id}.flac")
    return "new", ""


def _run(command: Sequence[str]) -> str | None:
    """None, or what the program said when it failed: its last line of complaint."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"{Path(command[0]).name} took longer than {TIMEOUT_S:g} s."
    if done.returncode == 0:
        return None
    said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return next(
        (line for line in reversed(said) if "ERROR" in line),
        said[-1] if said else f"{Path(command[0]).name} ended with {done.returncode}.",
    )


def _frames(clip: Path) -> int:
    try:
        return int(soundfile.info(clip).frames)
    except soundfile.SoundFileError:
        return 0


def _note(ledger: Path, segment: Segment, outcome: str, reason: str) -> None:
    """Adds a row to the ledger at once, so that an interruption loses none."""
    first = not ledger.exists()
    with ledger.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        if first:
            writer.writerow(LEDGER_COLUMNS)
        writer.writerow(
            [segment.id, segment.label, f"{segment.start_s:g}", f"{segment.end_s:g}", outcome, reason]
        )
