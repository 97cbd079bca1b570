"""Download of AudioSet's clips from YouTube: yt-dlp gets the sound of a video, ffmpeg cuts out the segment.

Nothing is downloaded unless `quintet fetch audioset FOLDER` or `retrieve` is called. A clip appears as
`FOLDER/audio/ID.flac`, complete or not at all. A clip that is present is not requested again, so the same
call continues where it stopped. `FOLDER/gone.csv`, the ledger, has one row for every attempt that failed,
with its outcome:

- `gone`: removed, private, or closed to the public. Requested again with `retry_gone` only.
- `failed`: anything else (no network, too many requests, an old program). Requested again the next time.
"""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import soundfile

from quintet.audio.isolation.calls import call_isolated
from quintet.datasets.builtin.audioset import (
    LEDGER,
    LEDGER_COLUMNS,
    Segment,
    clip_files,
    read_ledger,
    segments,
)
from quintet.errors import AudioError, ConfigError, DatasetError
from quintet.files.atomic import append_bytes
from quintet.files.json_types import JsonObject
from quintet.files.locks import output_lock
from quintet.files.machine import machine_fault

PROGRAMS = {
    "yt-dlp": "its project page has a single file to download",
    "ffmpeg": "your system's packages have it",
}
PATIENCE = 5  # failures in a row after which the retrieval stops
TIMEOUT_S = 600.0
PROBE_BYTES = 1 << 16
UNAVAILABLE = re.compile(
    r"video unavailable|private video|video is private|video is not available|no longer available|"
    r"not available in your country|been removed|account .*terminated|removed by the uploader|copyright|"
    r"violat|members.only|confirm your age|recording is not available",
    re.IGNORECASE,
)

Outcome = Literal["new", "gone", "failed"]


class Progress(NamedTuple):
    """Progress of a retrieval.

    Args:
        done: number of clips requested so far.
        total: number of clips to be requested.
        failed: number of requested clips that were not received.
    """

    done: int
    total: int
    failed: int


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Result of a retrieval: numbers of clips.

    Args:
        n_requested: segments with one of the genres.
        n_present: segments whose clip is in the folder now.
        new: clips received by this call.
        n_unavailable: segments that are gone according to the ledger.
        failed: requests of this call that failed.
        ledger: the file with the reasons. It does not exist before the first reason.
    """

    n_requested: int
    n_present: int
    new: int
    n_unavailable: int
    failed: int
    ledger: Path

    def to_json(self) -> JsonObject:
        """JSON object with the numbers, and the ledger: its path, or None if it does not exist."""
        return {**asdict(self), "ledger": str(self.ledger) if self.ledger.exists() else None}


class Attempt(NamedTuple):
    """Result of one request.

    Args:
        outcome: `new` if the clip was received, `gone` or `failed`.
        reason: why it was not received; empty if it was.
    """

    outcome: Outcome
    reason: str


class _Programs(NamedTuple):
    """Paths of the two programs."""

    yt_dlp: str
    ffmpeg: str


def retrieve(
    folder: Path | str,
    *,
    variant: str | None = None,
    limit: int | None = None,
    retry_gone: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Retrieval:
    """Download the missing clips of an AudioSet folder, one after the other.

    Args:
        folder: contains the segments (and the ontology). Clips are written to `audio/` below it.
        variant: `single`, `branches` or None: selects the segments, as in `audioset.load`.
        limit: largest number of clips to request now, in the order of the segments.
        retry_gone: whether to request clips again that are gone according to the ledger.
        progress: called after each clip.

    Raises:
        ConfigError: if yt-dlp or ffmpeg is not on this machine, or `limit` is below 1.
        MachineError: if the disk is full.
        DatasetError: if there are no segments, or `PATIENCE` requests in a row failed for reasons other than
            the video.
    """
    root = Path(folder)
    if limit is not None and limit < 1:
        raise ConfigError(f"A limit must be at least 1 clip. Received {limit}.")
    programs = _Programs(program_path("yt-dlp"), program_path("ffmpeg"))
    listed, _ = segments(root, variant)
    if variant == "single":
        listed = [segment for segment in listed if len(segment.genres) == 1]
    with output_lock(root / "audio"):
        wanted = _missing_segments(root, listed, retry_gone=retry_gone)[:limit]
        outcomes = _request_all(root, wanted, programs, progress)
    present, gone = clip_files(root), _gone(root)
    return Retrieval(
        n_requested=len(listed),
        n_present=sum(segment.id in present for segment in listed),
        new=outcomes.count("new"),
        n_unavailable=sum(segment.id in gone and segment.id not in present for segment in listed),
        failed=outcomes.count("failed"),
        ledger=root / LEDGER,
    )


def _request_all(
    root: Path,
    wanted: Sequence[Segment],
    programs: _Programs,
    progress: Callable[[Progress], None] | None,
) -> list[Outcome]:
    """Request the clips one after the other; clips that were not received get a row in the ledger."""
    outcomes: list[Outcome] = []
    for done, segment in enumerate(wanted, start=1):
        attempt = _request(segment, root / "audio", programs)
        outcomes.append(attempt.outcome)
        if attempt.outcome != "new":
            _record(root / LEDGER, segment, attempt)
        if outcomes[-PATIENCE:] == ["failed"] * PATIENCE:
            raise DatasetError(
                f"Retrieval must get an answer now and then. {PATIENCE} attempts in a row failed, "
                f"the last one with: {attempt.reason} Look at the network, and whether yt-dlp is the newest. "
                f"Received clips are kept; {root / LEDGER} has the reasons."
            )
        if progress:
            progress(Progress(done, len(wanted), failed=done - outcomes.count("new")))
    return outcomes


def _missing_segments(root: Path, listed: Sequence[Segment], *, retry_gone: bool) -> list[Segment]:
    """Segments whose clip is to be requested."""
    present = clip_files(root) if root.is_dir() else {}
    skipped = set() if retry_gone else _gone(root)
    missing = [segment for segment in listed if segment.id not in present]
    return [segment for segment in missing if segment.id not in skipped]


def _gone(root: Path) -> set[str]:
    """Ids that are gone according to the ledger."""
    return {row["id"] for row in read_ledger(root) if row["outcome"] == "gone"}


def program_path(name: str) -> str:
    """Path of a program.

    Args:
        name: a key of `PROGRAMS`.

    Raises:
        ConfigError: if the program is not on this machine.
    """
    path = shutil.which(name)
    if path is None:
        raise ConfigError(
            f"Retrieval needs the program {name}. "
            f"It is not on the PATH of this machine: install it ({PROGRAMS[name]})."
        )
    return path


def download_command(yt_dlp: str, segment: Segment, folder: Path) -> list[str]:
    """Command that gets the best sound of the whole video, as `folder/whole.EXT`. It ignores user settings.

    Args:
        yt_dlp: path of yt-dlp.
        segment: the wanted segment.
        folder: folder to write to.
    """
    quiet = ["--ignore-config", "--no-playlist", "--no-warnings", "--quiet", "--no-progress"]
    escaped = str(folder).replace("%", "%%")
    output = ["--format", "bestaudio/best", "--output", f"{escaped}{os.sep}whole.%(ext)s"]
    return [yt_dlp, *quiet, *output, "--", f"https://www.youtube.com/watch?v={segment.id}"]


def cut_command(ffmpeg: str, segment: Segment, whole: Path, clip: Path) -> list[str]:
    """Command that cuts the segment out of the sound of the video, to FLAC at its own rate and channels.

    Args:
        ffmpeg: path of ffmpeg.
        segment: the wanted segment.
        whole: sound of the video.
        clip: file to write.
    """
    quiet = ["-nostdin", "-hide_banner", "-loglevel", "error", "-y"]
    window = ["-ss", f"{segment.start_s:.3f}", "-t", f"{segment.end_s - segment.start_s:.3f}"]
    output = ["-map", "0:a:0", "-c:a", "flac", str(clip)]
    return [ffmpeg, *quiet, *window, "-i", str(whole), *output]


def _request(segment: Segment, audio: Path, programs: _Programs) -> Attempt:
    """Download and cut one clip. It is moved to its place when it is complete."""
    audio.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=audio) as name:
        temporary = Path(name)
        failure = _run(download_command(programs.yt_dlp, segment, temporary))
        if failure is not None:
            _require_room(temporary)
            return Attempt("gone" if UNAVAILABLE.search(failure) else "failed", failure)
        downloads = sorted(temporary.glob("whole.*"))
        if not downloads:
            return Attempt("failed", "yt-dlp ended well and wrote nothing.")
        clip = temporary / "clip.flac"
        failure = _run(cut_command(programs.ffmpeg, segment, downloads[0], clip))
        if failure is not None:
            _require_room(temporary)
            return Attempt("failed", failure)
        if not clip.is_file() or not _has_frames(clip):
            return Attempt("gone", f"The video ends before {segment.start_s:g} s.")
        os.replace(clip, audio / f"{segment.id}.flac")
    return Attempt("new", "")


def _require_room(folder: Path) -> None:
    """Check that a program did not fail for a full disk, which is no fault of the video.

    Raises:
        MachineError: a small file cannot be written. What the program left is still there.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(PROBE_BYTES))
            file.flush()
    except OSError as error:
        fault = machine_fault(error)
        if fault is None:
            raise
        raise fault from error


def _run(command: Sequence[str]) -> str | None:
    """Run a program. Returns None, or if it failed the last error line of its output."""
    program = Path(command[0]).name
    try:
        process = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"{program} took longer than {TIMEOUT_S:g} s."
    if process.returncode == 0:
        return None
    lines = [line.strip() for line in process.stderr.splitlines() if line.strip()]
    for line in reversed(lines):
        if "ERROR" in line:
            return line
    return lines[-1] if lines else f"{program} ended with {process.returncode}."


def _has_frames(clip: Path) -> bool:
    """Whether a clip has sound. A worker process opens it."""
    try:
        return call_isolated(_n_frames, clip) > 0
    except AudioError:
        return False


def _n_frames(clip: Path) -> int:
    """Number of sample frames in a file; 0 if it cannot be read."""
    try:
        return int(soundfile.info(clip).frames)
    except soundfile.SoundFileError:
        return 0


def _record(ledger: Path, segment: Segment, attempt: Attempt) -> None:
    """Add a row to the ledger at once, so that an interruption loses no row."""
    rows = io.StringIO(newline="")
    writer = csv.writer(rows)
    if not ledger.exists():
        writer.writerow(LEDGER_COLUMNS)
    window = (f"{segment.start_s:g}", f"{segment.end_s:g}")
    writer.writerow([segment.id, segment.label, *window, attempt.outcome, attempt.reason])
    append_bytes(ledger, rows.getvalue().encode())
