"""Short-time Fourier transform: the only one, from which every descriptor and every log-mel is computed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from quintet.audio.clip import Clip
from quintet.errors import TooShortError


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Magnitude spectrogram with the rate, frame length and hop that give its frequencies and times.

    Args:
        magnitude: shape `(n_fft // 2 + 1, frames)`, float64, >= 0. In memory a frame is contiguous.
        sample_rate: Hz.
        n_fft: samples in a frame.
        hop_length: samples between the centres of two frames.

    Example:
        >>> import numpy as np
        >>> tone = Clip(np.sin(2 * np.pi * 1000 * np.arange(8000) / 8000), sample_rate=8000)
        >>> spec = spectrum(tone, n_fft=1024, hop_length=256)
        >>> float(spec.frequencies[spec.magnitude[:, 16].argmax()])
        1000.0
    """

    magnitude: NDArray[np.float64]
    sample_rate: int
    n_fft: int
    hop_length: int

    @cached_property
    def power(self) -> NDArray[np.float64]:
        """`magnitude²`, shape `(bins, frames)`."""
        power: NDArray[np.float64] = np.square(self.magnitude)
        return power

    @cached_property
    def total(self) -> NDArray[np.float64]:
        """`Σ_k magnitude[k, t]`, shape `(frames,)`; 1 for a silent frame, so that dividing by it gives 0."""
        total = self.magnitude.sum(axis=0)
        return np.where(total < np.finfo(np.float64).tiny, 1.0, total)

    @property
    def frequencies(self) -> NDArray[np.float64]:
        """Centre of every bin, Hz, shape `(bins,)`: `k * sample_rate / n_fft`."""
        return np.arange(self.n_fft // 2 + 1, dtype=np.float64) * (self.sample_rate / self.n_fft)

    @property
    def times(self) -> NDArray[np.float64]:
        """Centre of every frame, seconds, shape `(frames,)`."""
        return np.arange(self.magnitude.shape[1], dtype=np.float64) * (self.hop_length / self.sample_rate)

    def below(self, bins: int) -> Spectrum:
        """The spectrum with zeros from bin `bins` on.

        Example:
            >>> flat = Spectrum(np.ones((3, 1)), sample_rate=8, n_fft=4, hop_length=1)
            >>> flat.below(2).magnitude[:, 0].tolist()
            [1.0, 1.0, 0.0]
        """
        if bins >= len(self.magnitude):
            return self
        is_below = np.arange(len(self.magnitude)) < bins
        magnitude = np.where(is_below[:, None], self.magnitude, 0.0)
        return Spectrum(magnitude, self.sample_rate, self.n_fft, self.hop_length)

    def with_noise(self, power: NDArray[np.float64]) -> Spectrum:
        """The spectrum with a power added in each bin of every frame, as noise adds it on average.

        Args:
            power: shape `(bins,)`.

        Example:
            >>> silence = Spectrum(np.zeros((3, 1)), sample_rate=8, n_fft=4, hop_length=1)
            >>> silence.with_noise(np.array([4.0, 1.0, 0.0])).magnitude[:, 0].tolist()
            [2.0, 1.0, 0.0]
        """
        if not power.any():
            return self
        magnitude = np.sqrt(self.power + power[:, None])
        return Spectrum(magnitude, self.sample_rate, self.n_fft, self.hop_length)

    def subsample(self, stride: int) -> Spectrum:
        """Every `stride`-th frame: the spectrum that a hop of `stride * hop_length` would give."""
        if stride == 1:
            return self
        return Spectrum(self.magnitude[:, ::stride], self.sample_rate, self.n_fft, self.hop_length * stride)


def spectrum(clip: Clip, *, n_fft: int, hop_length: int) -> Spectrum:
    """Magnitude of the short-time Fourier transform: periodic Hann window, centred frames, zero padding.

    `magnitude[k, t] = |Σ_n samples[t * hop_length + n - n_fft / 2] * window[n] * exp(-2πi k n / n_fft)|`

    Args:
        clip: at least `n_fft` samples.
        n_fft: samples.
        hop_length: samples, positive.

    Returns:
        `1 + n // hop_length` frames in float64 (`1 + (n - 1) // hop_length` where `n_fft` is odd).

    Raises:
        TooShortError: if the clip has fewer samples than one frame.

    Source:
        Equal to `abs(librosa.stft(samples.astype(float), n_fft, hop_length))` within 1e-12.
    """
    return spectrum_from_frames(
        frame_clip(clip, frame_length=n_fft, hop_length=hop_length, mode="constant"),
        sample_rate=clip.sample_rate,
        hop_length=hop_length,
    )


def spectrum_from_frames(frames: NDArray[np.float64], *, sample_rate: int, hop_length: int) -> Spectrum:
    """Spectrum of frames that are already cut, shape `(frames, n_fft)`.

    Example:
        >>> spectrum_from_frames(np.ones((3, 64)), sample_rate=8000, hop_length=16).magnitude.shape
        (33, 3)
    """
    return Spectrum(np.abs(frame_transforms(frames)).T, sample_rate, frames.shape[1], hop_length)


def frame_transforms(frames: NDArray[np.floating]) -> NDArray[np.complexfloating]:
    """Fourier transform of each frame under a periodic Hann window, in the precision of the frames.

    Args:
        frames: shape `(frames, n_fft)`, float64 or float32.

    Returns:
        Shape `(frames, n_fft // 2 + 1)`, complex128 or complex64.

    Source:
        Equal to `scipy.fft.rfft(frames * scipy.signal.get_window("hann", n_fft))`.

    Example:
        >>> found = frame_transforms(np.ones((3, 64), np.float32))
        >>> found.shape, found.dtype.name, float(abs(found[0, 0]))  # the window adds up to n_fft / 2
        ((3, 33), 'complex64', 32.0)
    """
    import scipy.fft  # takes longer to load than a clip, and the kernels do without it

    window = hann(frames.shape[1]).astype(frames.dtype, copy=False)
    transforms: NDArray[np.complexfloating] = scipy.fft.rfft(frames * window, axis=1, overwrite_x=True)
    return transforms


def frame_clip(clip: Clip, *, frame_length: int, hop_length: int, mode: str) -> NDArray[np.float64]:
    """Centred frames of a clip, a read-only view of shape `(frames, frame_length)`, float64.

    Args:
        clip: at least `frame_length` samples.
        frame_length: samples.
        hop_length: samples.
        mode: padding beyond the ends: `"constant"` (zeros) or `"edge"` (the outermost sample, repeated).

    Raises:
        TooShortError: if the clip is shorter than one frame.
    """
    require_frame(clip, frame_length)
    samples = clip.samples.astype(np.float64, copy=False)
    padded = np.pad(samples, frame_length // 2, mode=mode)  # type: ignore[call-overload]
    frames: NDArray[np.float64] = np.lib.stride_tricks.sliding_window_view(padded, frame_length)[::hop_length]
    return frames


def require_frame(clip: Clip, frame_length: int) -> None:
    """Require that a clip is at least one frame long.

    Raises:
        TooShortError: if it is not.
    """
    n = len(clip.samples)
    if n < frame_length:
        frame_s = frame_length / clip.sample_rate
        raise TooShortError(
            f"A clip must be at least one frame long ({frame_length} samples, {frame_s:.3f} s). "
            f"'{clip.id}' has {n} samples ({clip.duration_s:.3f} s at {clip.sample_rate} Hz). "
            "Leave it out, or choose a smaller n_fft."
        )


@lru_cache(maxsize=16)
def hann(length: int) -> NDArray[np.float64]:
    """The periodic Hann window, shape `(length,)`: `0.5 - 0.5 cos(2πn / length)`.

    Source:
        Equal to `scipy.signal.get_window("hann", length)` to the last bit (hence the cosine from -π).

    Example:
        >>> hann(4).tolist()
        [0.0, 0.5, 1.0, 0.5]
    """
    window = 0.5 + 0.5 * np.cos(np.linspace(-np.pi, np.pi, length + 1))[:-1]
    window.flags.writeable = False
    return window
