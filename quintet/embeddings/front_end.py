"""Front end of pretrained networks: windows of a clip in the form that a contract states."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from quintet.audio.mel import mel_filterbank
from quintet.embeddings.contract import Contract, LogMelInput, WaveformInput
from quintet.errors import TooShortError

Floats = NDArray[np.float32]
Windows = int | Literal["all"]
DEFAULT_WINDOWS = 10


def clip_windows(samples: Floats, contract: Contract, windows: Windows = DEFAULT_WINDOWS) -> Floats:
    """Windows of a clip as the network reads them.

    Args:
        samples: mono, at the contract's sample rate, shape `(n,)`.
        contract: the network.
        windows: number of windows, spread evenly over the clip, or `"all"`: one per hop of the contract. A
            clip that has fewer different windows gives those.

    Returns:
        Shape `(k, *window_shape)`, float32, in the order of time.

    Raises:
        TooShortError: the clip is shorter than the contract allows.
    """
    padded = pad_clip(np.asarray(samples, np.float32), contract)
    spans = window_spans(len(padded), contract, windows)
    return np.stack([window_input(_take(padded, span, contract), contract) for span in spans])


def needed_samples(contract: Contract) -> int:
    """Samples of the shortest clip that holds a window."""
    form = contract.input
    return form.samples if isinstance(form, WaveformInput) else _samples_of(form)


def window_spans(n_samples: int, contract: Contract, windows: Windows) -> list[tuple[int, int]]:
    """First sample of each window, and the sample after its last. `fill_window` gives those outside the clip.

    Args:
        n_samples: length of the clip at the contract's sample rate, at least `needed_samples`.
        contract: the network.
        windows: as in `clip_windows`.
    """
    form = contract.input
    if isinstance(form, WaveformInput):
        starts = _contract_starts(n_samples, contract, windows)
        return [(int(start), int(start) + form.samples) for start in starts]
    starts = _contract_starts(_n_frames(n_samples, form), contract, windows)
    margin = _margin(form)
    length = (form.frames - 1) * form.hop_length + form.n_fft
    firsts = [int(start) * form.hop_length - margin for start in starts]
    return [(first, first + length) for first in firsts]


def window_input(samples: Floats, contract: Contract) -> Floats:
    """The input of the network for one window, shape `window_shape`.

    Args:
        samples: the samples of a span of `window_spans`, as `fill_window` gives them.
        contract: the network.
    """
    form = contract.input
    values = samples
    if isinstance(form, LogMelInput):
        values = _log_mel(samples, contract.sample_rate, form)
        if form.layout == "mel_time":
            values = np.ascontiguousarray(values.T)
    return values.reshape(form.window_shape)


def fill_window(samples: Floats, before: int, after: int, contract: Contract) -> Floats:
    """The samples of a span of `window_spans`.

    Args:
        samples: those in the clip.
        before: samples of the span before the clip begins; they are 0.
        after: samples of the span behind its end; they are 0, or the samples again if the contract says so.
            Half a frame is always 0 where frames are centred.
        contract: the network.
    """
    form = contract.input
    margin = _margin(form) if isinstance(form, LogMelInput) else 0
    if contract.clip_end == "repeat" and after > margin:
        samples = np.resize(samples, len(samples) + after)
        after = 0
    return np.pad(samples, (before, after))


def _take(samples: Floats, span: tuple[int, int], contract: Contract) -> Floats:
    first, last = span
    inside = samples[max(first, 0) : max(last, 0)]
    return fill_window(inside, max(-first, 0), max(last - len(samples), 0), contract)


def window_times(
    n_samples: int, contract: Contract, windows: Windows = DEFAULT_WINDOWS
) -> NDArray[np.float64]:
    """Start of each window that `clip_windows` gives, seconds."""
    form = contract.input
    if isinstance(form, WaveformInput):
        starts = _contract_starts(max(n_samples, form.samples), contract, windows)
        return starts / float(contract.sample_rate)
    n_frames = max(_n_frames(n_samples, form), form.frames)
    starts = _contract_starts(n_frames, contract, windows)
    return starts * form.hop_length / float(contract.sample_rate)


def _contract_starts(length: int, contract: Contract, windows: Windows) -> NDArray[np.int64]:
    """Where windows start, in samples or frames. `length` is that of the clip, at least a window."""
    form = contract.input
    size, hop = (
        (form.samples, form.hop_samples)
        if isinstance(form, WaveformInput)
        else (form.frames, form.hop_frames)
    )
    return window_starts(length, size, hop, windows, fills_last=contract.clip_end != "drop")


def window_starts(
    length: int, window: int, hop: int, windows: Windows, *, fills_last: bool = False
) -> NDArray[np.int64]:
    """Where windows start.

    Args:
        length: of the clip, at least `window`.
        window: length of a window.
        hop: distance of windows when all are wanted.
        windows: number of windows, spread from the start to the end of the clip, or `"all"`.
        fills_last: whether all windows include one that begins in the clip and ends behind it, if whole
            windows do not reach the end.

    Example:
        >>> window_starts(10, 4, 2, "all").tolist(), window_starts(10, 4, 2, 3).tolist()
        ([0, 2, 4, 6], [0, 3, 6])
        >>> window_starts(10, 4, 4, "all", fills_last=True).tolist()
        [0, 4, 8]
    """
    last = length - window
    if windows == "all":
        starts = np.arange(0, last + hop if fills_last else last + 1, hop)
        return starts[starts < length]
    if windows == 1:
        return np.array([last // 2])
    return np.unique(np.round(np.linspace(0, last, windows)).astype(np.int64))


def pad_clip(samples: Floats, contract: Contract) -> Floats:
    """The clip; one that is shorter than a window is made as long as one.

    Raises:
        TooShortError: the clip is shorter than the contract allows.
    """
    seconds = len(samples) / contract.sample_rate
    needed = needed_samples(contract)
    if len(samples) and seconds >= contract.shortest_s:
        if len(samples) >= needed:
            return samples
        if contract.short_clips == "repeat":
            return np.resize(samples, needed)
        if contract.short_clips == "zero":
            return np.pad(samples, (0, needed - len(samples)))
    shortest = needed / contract.sample_rate if contract.short_clips == "refuse" else contract.shortest_s
    raise TooShortError(
        f"A clip for {contract.id} must be at least {shortest:.2f} s long. Received {seconds:.2f} s."
    )


def _samples_of(form: LogMelInput) -> int:
    """Samples that give the frames of one window."""
    return (form.frames - 1) * form.hop_length + (1 if form.center else form.n_fft)


def _margin(form: LogMelInput) -> int:
    """Samples of a frame before the sample that it stands for."""
    return form.n_fft // 2 if form.center else 0


def _n_frames(n_samples: int, form: LogMelInput) -> int:
    reach = n_samples if form.center else n_samples - form.n_fft
    return max(0, reach // form.hop_length + 1)


def _log_mel(samples: Floats, sample_rate: int, form: LogMelInput) -> Floats:
    """Log-mel values of the samples of a window, shape `(frames, n_mels)`."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, form.n_fft)[:: form.hop_length]
    magnitude = np.abs(np.fft.rfft(frames * _hann(form.win_length or form.n_fft, form.n_fft), axis=1))
    values = (magnitude**form.power) @ _filterbank(
        sample_rate, form.n_fft, form.n_mels, form.fmin, form.fmax, form.mel_scale, form.norm
    )
    if form.compression != "none":
        logarithm = np.log10 if form.compression == "log10" else np.log
        values = logarithm(np.maximum(form.scale * values + form.offset, np.finfo(np.float32).tiny))
    return values.astype(np.float32)


@lru_cache(maxsize=16)
def _hann(length: int, n_fft: int) -> NDArray[np.float64]:
    """A periodic Hann window in the middle of a frame."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    before = (n_fft - length) // 2
    return np.pad(window, (before, n_fft - length - before))


@lru_cache(maxsize=16)
def _filterbank(
    sample_rate: int,
    n_fft: int,
    n_mels: int,
    fmin: float,
    fmax: float | None,
    mel_scale: str,
    norm: str,
) -> NDArray[np.float64]:
    """Mel filters, shape `(n_fft // 2 + 1, n_mels)`."""
    if (mel_scale, norm) == ("slaney", "slaney"):
        filters = mel_filterbank(sample_rate=sample_rate, n_fft=n_fft, n_mels=n_mels, fmin=fmin, fmax=fmax)
        return np.ascontiguousarray(filters.T)
    from librosa.filters import mel

    weights: NDArray[np.float64] = mel(
        sr=sample_rate,
        n_fft=n_fft,
        n_mels=n_mels,
        fmin=fmin,
        fmax=fmax,
        htk=mel_scale == "htk",
        norm="slaney" if norm == "slaney" else None,
        dtype=np.float64,
    )
    return weights.T
