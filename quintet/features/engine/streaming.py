"""Long recordings, described stretch by stretch: little memory whatever their length, and the numbers of one piece.

A recording is gone through twice. The first sweep finds what can only be told of all of it: the loudest values (from which 80 dB are counted
down), the tuning, the means of the samples. With these known, the second sweep makes the series, some hundred frames at a time, by the same
kernels as in one piece, so that every frame has the same numbers to the last bit. Only series are kept; the statistics are taken of one series
after the other.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from quintet.audio.clip import Clip, require_sound_in_blocks
from quintet.audio.mel import compress_mel_power, mel_power, preemphasis
from quintet.audio.reading.probe import probe_duration_s
from quintet.audio.reading.recording import Recording
from quintet.audio.resample import resample_blocks
from quintet.audio.spectrum import require_frame, spectrum_from_frames
from quintet.features.analysis import Analysis
from quintet.features.columns import selected_groups
from quintet.features.describe import Description, describe_analysis
from quintet.features.descriptors import cepstral, modulation, rhythm, tonal
from quintet.features.engine import passes as engine
from quintet.features.engine.analysis import (
    CompiledAnalysis,
    log_mel_from_series,
    log_mel_measurement,
    required_measurement,
    shares_spectrum,
)
from quintet.features.engine.kernels.simd import LANES
from quintet.features.engine.passes import ClipTotals, Stretch
from quintet.features.engine.streamed_moments import SampleTotals
from quintet.features.parameters import FeatureParameters, LogMelParameters
from quintet.features.statistics import Moments

Array = NDArray[np.float64]
Blocks = Iterable[NDArray[np.floating]]

LONG_S = 600.0  # from this on a recording is streamed: 150 MB in one piece
SMALL_BYTES = 1 << 20  # a file below this cannot be long
STRETCH = 1 << 19  # samples that are described at a time

DERIVED = {  # group → what is kept for it, where that is not its own series
    "cepstral.delta": "cepstral.mfcc",
    "cepstral.delta2": "cepstral.mfcc",
    "tonal.tonnetz": "tonal.chroma",
    "rhythm.tempo": "rises",
    "rhythm.onset": "rises",
    "modulation.band": "bands",
    "covariance.band": "bands",
}
SAMPLES = ("temporal.signal", "temporal.amplitude")  # groups of which nothing is kept but sums


def should_stream(
    path: str | os.PathLike[str],
    parameters: FeatureParameters,
    *,
    log_mel: bool,
    start_s: float = 0.0,
    end_s: float | None = None,
) -> bool:
    """Whether a file is better described by `describe_recording`: it is long, the kernels can be had, and its spectrogram has an even `n_fft`."""
    if (
        (end_s is not None and end_s - start_s < LONG_S)
        or not os.path.isfile(path)
        or os.path.getsize(path) < SMALL_BYTES
    ):
        return False
    possible = engine.kernels_available() and (parameters.log_mel.n_fft % 2 == 0 or not log_mel)
    return possible and (probe_duration_s(path) or 0.0) - start_s >= LONG_S


def describe_recording(
    recording: Recording, parameters: FeatureParameters, *, log_mel: bool = False, name: str = ""
) -> Description:
    """The features of a recording, and its log-mel spectrogram, as `extractor.describe` gives them, without ever holding its samples.

    Args:
        recording: at `parameters.sample_rate`.
        parameters: what to measure; a spectrogram must have an even `n_fft`.
        log_mel: whether to make the spectrogram, too; it is float16, as it is kept.
        name: what to call the recording in messages.

    Raises:
        AudioError: as `load_clip` and `describe`.

    Source:
        Equal to `describe(load_clip(…).clip, …)` to the last bit; but the moments of the samples, sums in another order, within 1e-9.

    Example:
        >>> import soundfile, tempfile
        >>> path = tempfile.mkdtemp() + "/tone.wav"
        >>> soundfile.write(path, np.sin(2 * np.pi * 440 * np.arange(44100) / 22050), 22050)
        >>> row = describe_recording(Recording(path, sample_rate=22050), FeatureParameters(feature_set="bahuleyan2018")).features
        >>> len(row), round(row["temporal.signal.std"], 3)
        (97, 0.707)
    """
    return describe_analysis(
        StreamedAnalysis(recording, parameters, with_log_mel=log_mel, name=name), parameters, log_mel=log_mel
    )


def stretches(
    blocks: Blocks, *, sample_rate: int, n_fft: int, hop_length: int, at_once: int
) -> Iterator[Stretch]:
    """The frames of a sound that comes in blocks, `at_once` in a stretch.

    Example:
        >>> parts = stretches(np.ones((10, 100), np.float32), sample_rate=100, n_fft=64, hop_length=10, at_once=40)
        >>> [part.frames for part in parts]  # 1 + 1000 // 10
        [40, 40, 21]
    """
    pieces: list[NDArray[np.floating]] = []
    begin, length, first = (
        0,
        0,
        -(n_fft // 2),
    )  # where the pieces begin, how long they are, where the next frame begins
    for block in blocks:
        pieces.append(block)
        length += len(block)
        while first + (at_once - 1) * hop_length + n_fft <= begin + length:
            held = np.concatenate(pieces)
            yield Stretch(held, sample_rate, first - begin, at_once)
            first += at_once * hop_length
            done = min(max(first - LANES - begin, 0), length)  # the sample before a frame must stay
            pieces, begin, length = [held[done:].copy()], begin + done, length - done
    rest = 1 + (begin + length - first - n_fft // 2) // hop_length
    if rest > 0:
        yield Stretch(np.concatenate([np.zeros(0, np.float32), *pieces]), sample_rate, first - begin, rest)


class Passage(CompiledAnalysis):
    """A stretch of a recording of which the whole is known."""

    def __init__(
        self, stretch: Stretch, parameters: FeatureParameters, whole: ClipTotals, *, with_log_mel: bool
    ) -> None:
        self.stretch = stretch
        self.parameters = parameters
        self.totals = whole
        self.measurement = required_measurement(parameters, with_log_mel)


class SeriesBuffer:
    """Series that grow, in memory that is taken once.

    Args:
        length: values of each in the end, at most.
    """

    def __init__(self, length: int) -> None:
        self.length = length
        self.filled = 0
        self.memory: Array | None = None

    def add(self, rows: Array) -> None:
        """The next values: shape `(count, n)` or `(n,)`."""
        rows = np.atleast_2d(rows)
        if self.memory is None:
            self.memory = np.empty((len(rows), self.length))
        self.memory[:, self.filled : self.filled + rows.shape[1]] = rows
        self.filled += rows.shape[1]

    @property
    def rows(self) -> Array:
        """What there is, shape `(count, n)`."""
        return np.zeros((1, 0)) if self.memory is None else self.memory[:, : self.filled]


class StreamedAnalysis(Analysis):
    """The series of a recording that is never in memory; see `describe_recording`."""

    autocorrelation = staticmethod(engine.mean_autocorrelation)
    moments_class = engine.RowMoments

    def __init__(
        self, recording: Recording, parameters: FeatureParameters, *, with_log_mel: bool, name: str
    ) -> None:
        self.recording = recording
        self.parameters = parameters
        self.with_log_mel = with_log_mel and shares_spectrum(parameters, parameters.log_mel)
        medians = {group for group, statistics in selected_groups(parameters) if "median" in statistics}
        self.totals = SampleTotals([group in medians for group in SAMPLES])
        self.wanted = {DERIVED.get(group, group) for group, _ in selected_groups(parameters)} - set(SAMPLES)
        self.whole = self._first_sweep(name)
        self.frames = 1 + self.totals.count // parameters.hop_length
        self.kept = {what: SeriesBuffer(self.frames) for what in sorted(self.wanted)}
        self.spectrogram = np.empty(
            (self.frames, parameters.log_mel.n_mels) if self.with_log_mel else (0, 0), np.float16
        )
        self._second_sweep()
        self.moments = dict(zip(SAMPLES, self.totals.moments(), strict=True))

    def _stretches(self, add: Callable[[NDArray[np.float32]], None]) -> Iterator[Stretch]:
        """One sweep: each block is added to the totals, and cut into frames."""

        def blocks() -> Iterator[NDArray[np.float32]]:
            for block in self.recording.blocks():
                if len(block):
                    add(block)
                    yield block

        p = self.parameters
        unit = LANES * p.chroma_stride
        at_once = unit * max(1, STRETCH // (unit * p.hop_length))
        return stretches(
            blocks(), sample_rate=p.sample_rate, n_fft=p.n_fft, hop_length=p.hop_length, at_once=at_once
        )

    def _first_sweep(self, name: str) -> ClipTotals:
        measurement = required_measurement(self.parameters, False)
        whole = engine.combine_stretches(
            engine.measure(stretch, measurement) for stretch in self._stretches(self.totals.add_first)
        )
        count, n_fft = self.totals.count, self.parameters.n_fft
        require_sound_in_blocks(0, count, sound=self.totals.low < 0 or self.totals.high > 0, name=name)
        require_frame(Clip(np.zeros(min(count, n_fft), np.float32), self.parameters.sample_rate, name), n_fft)
        return whole

    def _second_sweep(self) -> None:
        frame, before = 0, np.zeros((self.parameters.n_mels, 0))
        for stretch in self._stretches(self.totals.add_second):
            passage = Passage(stretch, self.parameters, self.whole, with_log_mel=self.with_log_mel)
            for what, kept in self.kept.items():
                if what == "rises":
                    kept.add(rhythm.mean_rises(np.concatenate([before, passage.mel_db], axis=1)))
                    before = passage.mel_db[:, -1:]
                else:
                    kept.add(passage.bands_db if what == "bands" else np.asarray(passage.series(what)))
            if self.with_log_mel:
                self.spectrogram[frame : frame + stretch.frames] = log_mel_from_series(
                    passage.frame_series, self.parameters.log_mel
                ).T
            frame += stretch.frames

    def values(self, group: str, statistics: tuple[str, ...]) -> Array:
        if group in ("rhythm.tempo", "modulation.band", "covariance.band"):
            return super().values(group, statistics)
        reduced = [self.summaries(row, statistics) for row in self.rows(group)]
        return np.array([row[statistic][0] for statistic in statistics for row in reduced])

    def rows(self, group: str) -> Iterable[Array | Moments]:
        """The series of a group one by one, so that nothing of the size of all of them is needed beside them."""
        if group in SAMPLES:
            return [self.moments[group]]
        if group == "rhythm.onset":
            return [self.onset]
        if group == "tonal.tonnetz":
            return tonal.tonnetz(self.kept["tonal.chroma"].rows)
        if group in ("cepstral.delta", "cepstral.delta2"):
            return (
                cepstral.delta(row[None], order=1 + group.endswith("2"))[0]
                for row in self.kept["cepstral.mfcc"].rows
            )
        return self.kept[group].rows

    @property
    def onset(self) -> Array:
        p = self.parameters
        return rhythm.rises_at_frames(
            self.kept["rises"].rows[0], n_fft=p.n_fft, hop_length=p.hop_length, frames=self.frames
        )

    @property
    def bands_db(self) -> Array:
        return self.kept["bands"].rows

    def fluctuations(self) -> Array:
        p = self.parameters
        rate = p.sample_rate / p.hop_length
        patterns = [
            modulation.fluctuation_pattern(
                row[None], frame_rate=rate, n_rates=p.n_rates, limits_hz=p.modulation_hz
            )
            for row in self.bands_db
        ]
        return np.concatenate(patterns)

    def log_mel(self, wanted: LogMelParameters) -> NDArray[np.float16]:  # type: ignore[override]
        """float16; from the second sweep, or from one of its own where its transform is another one."""
        if self.with_log_mel:
            return self.spectrogram.T
        blocks = resample_blocks(
            self.recording.blocks(), orig_sr=self.recording.sample_rate, target_sr=wanted.sample_rate
        )
        if not wanted.shares_transform:
            return _defined_log_mel(blocks, wanted)
        at_once = LANES * max(1, STRETCH // (LANES * wanted.hop_length))
        parts = stretches(
            blocks,
            sample_rate=wanted.sample_rate,
            n_fft=wanted.n_fft,
            hop_length=wanted.hop_length,
            at_once=at_once,
        )
        measurement = log_mel_measurement(wanted)
        return np.concatenate(
            [
                log_mel_from_series(engine.measure(part, measurement), wanted).T.astype(np.float16)
                for part in parts
            ]
        ).T


def _defined_log_mel(blocks: Iterable[NDArray[np.floating]], wanted: LogMelParameters) -> NDArray[np.float16]:
    """The log-mel spectrogram of a sound that comes in blocks, by the definitions: what the kernels know nothing of."""
    if wanted.pre_emphasis:
        blocks = _pre_emphasised(blocks, wanted.pre_emphasis)
    at_once = max(1, STRETCH // wanted.n_fft)
    made = []
    for part in stretches(
        blocks,
        sample_rate=wanted.sample_rate,
        n_fft=wanted.n_fft,
        hop_length=wanted.hop_length,
        at_once=at_once,
    ):
        end = part.first + (part.frames - 1) * wanted.hop_length + wanted.n_fft
        inside = part.samples[max(0, part.first) : end].astype(np.float64)
        padded = np.pad(inside, (max(0, -part.first), max(0, end - len(part.samples))))
        frames = np.lib.stride_tricks.sliding_window_view(padded, wanted.n_fft)[:: wanted.hop_length]
        own = spectrum_from_frames(frames, sample_rate=wanted.sample_rate, hop_length=wanted.hop_length)
        power = mel_power(own, n_mels=wanted.n_mels, fmin=wanted.fmin, fmax=wanted.fmax)
        made.append(
            compress_mel_power(power, compression=wanted.compression, floor_db=wanted.floor_db).T.astype(
                np.float16
            )
        )
    return np.concatenate(made).T


def _pre_emphasised(
    blocks: Iterable[NDArray[np.floating]], coefficient: float
) -> Iterator[NDArray[np.float64]]:
    before = np.zeros(1)
    for block in blocks:
        with_before = np.concatenate([before, block])
        before = with_before[-1:]
        yield np.asarray(preemphasis(with_before, coefficient)[1:], np.float64)
