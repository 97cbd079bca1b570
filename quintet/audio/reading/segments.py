"""Segments of a recording, cut while it is decoded: their number follows from the sound, never from a header.

A long recording is read once, from its start. The samples and digests of a segment are those of
`decode.load_clip` with its window.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from quintet.audio.clip import Clip
from quintet.audio.decode import DecodedClip, decoded_clip, load_clip
from quintet.audio.reading.checks import BlockChecks, truncation
from quintet.audio.reading.native import Ending
from quintet.audio.reading.native import Window as NativeWindow
from quintet.audio.reading.recording import open_native
from quintet.audio.reading.soundfile_reader import length_in_frames, require_rate
from quintet.audio.resample import MonoMixer, resample_blocks
from quintet.errors import AudioError, DecodeError

LONG_FILE_SEGMENTS = 1.5
"""A file longer than this many segments is cut."""
MOST_SEGMENTS = 100_000
"""Most segments of a recording: a day in segments of a second has 86,400."""
SHORTEST_REST_SEGMENTS = 0.25
"""A rest longer than this part of a segment gets a segment that ends with the file."""
MOST_GAPS = 2
"""Segments behind a damage that may fail one after another before the file counts as ended."""


class Window(NamedTuple):
    """A time window in a file, in seconds; `end` is NaN for the end of the file."""

    start: float
    end: float

    @property
    def is_whole_file(self) -> bool:
        """Whether the window is the whole file."""
        return math.isnan(self.end)


WHOLE_FILE = Window(0.0, float("nan"))


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """A segment of a recording.

    Args:
        window: its window; `WHOLE_FILE` if the file is not cut.
        sound: its samples, or why they cannot be used.
    """

    window: Window
    sound: DecodedClip | AudioError


@dataclass(frozen=True, slots=True)
class Whole:
    """Facts of the whole recording, known after its last segment.

    Args:
        duration_s: seconds that could be decoded.
        audio_digest: digest of the whole recording; empty if it was not asked for or its end is damaged.
        truncation: why the recording counts as cut short, as a sentence; empty if it is complete.
    """

    duration_s: float
    audio_digest: str = ""
    truncation: str = ""


class _Part:
    """Samples of a segment as they come.

    Args:
        checks: what its checks need.
        pieces: its samples, mixed to mono, at the rate of the file.
    """

    def __init__(self, sample_rate: int, channels: int) -> None:
        self.checks = BlockChecks(sample_rate, channels)
        self.pieces: list[NDArray[np.float32]] = []


def read_segments(
    path: str | os.PathLike[str],
    *,
    sample_rate: int,
    segment_s: float,
    id: str | None = None,
    strict: bool = False,
    with_digest: bool = False,
    keep_native: bool = False,
) -> Iterator[Segment | Whole]:
    """Segments of a long file one after another, or the whole file if it is short; then facts of the file.

    If the rest of the file is longer than a quarter of a segment, the last segment ends with the file and
    overlaps the one before. If the file is cut short, its last segment says so. Behind a damage in the middle
    of a file, the segments that can be decoded again follow.

    Args:
        path: an audio file.
        sample_rate: Hz, of the samples of the segments.
        segment_s: length of a segment, seconds. Files up to 1.5 times as long are not cut.
        id: id of the clips; None takes the path.
        strict: whether a file that is cut short is refused.
        with_digest: whether to compute the digest of a file that is cut.
        keep_native: whether the clips have the samples at the rate of the file too.

    Raises:
        AudioError: the file cannot be decoded, has too many segments, or, if `strict`, is cut short.

    Example:
        >>> import soundfile, tempfile
        >>> path = Path(tempfile.mkdtemp()) / "tone.wav"
        >>> soundfile.write(path, np.sin(np.arange(19200) * 0.1), 8000)
        >>> parts = read_segments(path, sample_rate=8000, segment_s=1)
        >>> [part.window for part in parts if isinstance(part, Segment)]
        [Window(start=0.0, end=1.0), Window(start=1.0, end=2.0), Window(start=1.4, end=2.4)]
    """
    name = str(path) if id is None else id
    reader = _SegmentReader(Path(path), sample_rate, segment_s, name, keep_native=keep_native)
    yield from reader.read(strict=strict, with_digest=with_digest)


def plan_windows(duration_s: float, segment_s: float) -> list[Window]:
    """Windows of the segments of a recording whose length is known, as `read_segments` cuts it.

    Args:
        duration_s: length of the recording, seconds.
        segment_s: length of a segment, seconds.

    Raises:
        DecodeError: there would be too many.

    Example:
        >>> plan_windows(2.4, 1.0)
        [Window(start=0.0, end=1.0), Window(start=1.0, end=2.0), Window(start=1.4, end=2.4)]
    """
    if duration_s <= LONG_FILE_SEGMENTS * segment_s:
        return [WHOLE_FILE]
    _require_few(duration_s / segment_s, segment_s)
    starts = [k * segment_s for k in range(int(duration_s // segment_s))]
    if duration_s - len(starts) * segment_s > SHORTEST_REST_SEGMENTS * segment_s:
        starts.append(duration_s - segment_s)
    return [Window(round(start_s, 3), round(start_s + segment_s, 3)) for start_s in starts]


def _require_few(n_segments: float, segment_s: float) -> None:
    """Refuse a recording with too many segments.

    Raises:
        DecodeError: it has.
    """
    if n_segments > MOST_SEGMENTS:
        raise DecodeError(
            f"A recording must have at most {MOST_SEGMENTS:,} segments. It has more of {segment_s:g} s: "
            "choose longer segments, or 0, which cuts no file."
        )


class _SegmentReader:
    """One reading of a recording; see `read_segments`.

    Args:
        source: the file.
        sample_rate: Hz, of the samples of the segments.
        segment_s: length of a segment, seconds.
        id: id of the clips.
        keep_native: whether the clips have the samples at the rate of the file too.
    """

    def __init__(
        self, source: Path, sample_rate: int, segment_s: float, id: str, *, keep_native: bool
    ) -> None:
        self.source, self.sample_rate, self.segment_s, self.id = source, sample_rate, float(segment_s), id
        self.keep_native = keep_native
        self.native = open_native(source, NativeWindow())
        self.rate = require_rate(self.native.sample_rate, source)
        self.whole = self._part()
        self.last = 0  # the frame after the current segment
        self.is_long = False
        self.damage: DecodeError | None = None

    @property
    def duration_s(self) -> float:
        """Seconds that were decoded so far."""
        return self.whole.checks.n_frames / self.rate

    def read(self, *, strict: bool, with_digest: bool) -> Iterator[Segment | Whole]:
        """The segments and the facts."""
        held: Segment | None = None  # the last segment bears the mark of a file that is cut short
        n_segments = 0
        for window, part in self._parts(with_digest=with_digest):
            if held is not None:
                yield held
            held = Segment(window, self._sound(window, part, Ending()))
            n_segments += 1
            _require_few(n_segments, self.segment_s)
        ending = self.native.ending
        if not self.is_long:
            if self.damage is not None:
                raise self.damage
            sound = self._sound(WHOLE_FILE, self.whole, ending, strict=strict)
            yield Segment(WHOLE_FILE, sound)
            yield Whole(self.duration_s, "" if isinstance(sound, AudioError) else sound.audio_digest)
            return
        reason = str(self.damage) if self.damage is not None else truncation(ending, self.source)
        if strict and reason:
            raise DecodeError(reason)
        if self.duration_s - n_segments * self.segment_s > SHORTEST_REST_SEGMENTS * self.segment_s:
            if held is not None:
                yield held
            start_s = self.duration_s - self.segment_s
            held = self._window(Window(round(start_s, 3), round(start_s + self.segment_s, 3)))
        assert held is not None
        if reason and isinstance(held.sound, DecodedClip):
            missing_s = ending.missing / self.rate
            held = Segment(held.window, replace(held.sound, missing_s=missing_s, truncation=reason))
        yield held
        if reason:
            yield from self._behind_damage()
        has_digest = with_digest and not reason
        yield Whole(self.duration_s, self.whole.checks.audio_digest if has_digest else "", reason)

    def _parts(self, *, with_digest: bool) -> Iterator[tuple[Window, _Part]]:
        """The whole segments of a long recording. At the end, `whole` and `is_long` are known."""
        finished: list[tuple[Window, _Part]] = []
        checks, part = self.whole.checks, self._part()
        number = 0
        window, self.last = self._plan(number)
        for block, mono in self._pieces():
            if self.is_long and not with_digest:
                checks.n_frames += len(block)
            else:
                checks.add(block, mono)
            part.checks.add(block, mono)
            part.pieces.append(mono)
            if not self.is_long:
                self.whole.pieces.append(mono)
                self.is_long = self.duration_s > LONG_FILE_SEGMENTS * self.segment_s
                if self.is_long:
                    self.whole.pieces.clear()
            if checks.n_frames == self.last:
                finished.append((window, part))
                part = self._part()
                number += 1
                window, self.last = self._plan(number)
            if self.is_long:
                yield from finished
                finished.clear()

    def _pieces(self) -> Iterator[tuple[NDArray[np.generic], NDArray[np.float32]]]:
        """Native blocks with their mix, none longer than what is left of the current segment."""
        to_mono = MonoMixer()
        try:
            for block in self.native.blocks:
                rest = block
                while len(rest):
                    n_left = self.last - self.whole.checks.n_frames
                    piece, rest = rest[:n_left], rest[n_left:]
                    yield piece, to_mono(piece).copy()
        except DecodeError as error:
            self.damage = error

    def _plan(self, number: int) -> tuple[Window, int]:
        """Window of a segment, and the frame after its last."""
        start_s = number * self.segment_s
        window = Window(round(start_s, 3), round(start_s + self.segment_s, 3))
        return window, max(round(window.end * self.rate), round(window.start * self.rate) + 1)

    def _part(self) -> _Part:
        return _Part(self.rate, self.native.channels)

    def _sound(
        self, window: Window, part: _Part, ending: Ending, *, strict: bool = False
    ) -> DecodedClip | AudioError:
        """The samples of a part, at the wanted rate."""
        try:
            facts = part.checks.facts(ending, self.source, strict=strict)
        except AudioError as error:
            return error
        blocks = resample_blocks(iter(part.pieces), orig_sr=self.rate, target_sr=self.sample_rate)
        clip = Clip(np.concatenate(list(blocks)), self.sample_rate, self._clip_id(window))
        return decoded_clip(clip, facts, np.concatenate(part.pieces) if self.keep_native else None)

    def _clip_id(self, window: Window) -> str:
        return self.id if window.is_whole_file else f"{self.id}#t={window.start:g},{window.end:g}"

    def _window(self, window: Window) -> Segment:
        """A segment that is decoded for itself."""
        try:
            sound = load_clip(
                self.source,
                sample_rate=self.sample_rate,
                start_s=window.start,
                end_s=window.end,
                id=self._clip_id(window),
                strict=False,
                keep_native=self.keep_native,
            )
        except AudioError as error:
            return Segment(window, error)
        return Segment(window, sound)

    def _behind_damage(self) -> Iterator[Segment]:
        """Segments behind the place where decoding broke off, if the file can be decoded again there."""
        try:
            stated = length_in_frames(self.source)
        except (DecodeError, soundfile.LibsndfileError):
            return
        if stated is None:
            return
        gap: list[Segment] = []
        number = math.ceil(self.duration_s / self.segment_s)
        while len(gap) < MOST_GAPS:
            window, last = self._plan(number)
            if last > stated[0]:
                return
            segment = self._window(window)
            gap.append(segment)
            if isinstance(segment.sound, DecodedClip):
                yield from gap
                gap.clear()
            number += 1
