"""Grad-CAM: the places of a spectrogram where the last filters of a network respond to a class.

In: a fitted network and one spectrogram. Out: a map over mel bands and time. The map is the last feature map
of the network, weighted by the gradient of the logit of the class with respect to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quintet.classifiers.spectrogram.patches import even_patches
from quintet.classifiers.spectrogram.settings import PatchSettings
from quintet.explanation.contracts import Floats
from quintet.frozen.network_member import NetworkMember

if TYPE_CHECKING:
    from quintet.classifiers.spectrogram.classifier import SpectrogramClassifier

MIN_SHIFT = 0.1
"""Least shift, in half lengths of an axis, that shows that an axis of a feature map stands for bands."""


class CutNetwork(Protocol):
    """A network cut at its last feature map."""

    def features(self, patches: NDArray[np.float32]) -> Floats:
        """The feature map of standardised patches `(n, bands, frames)`: `(n, …, channels)`."""
        ...

    def slopes(self, features: Floats, column: int) -> Floats:
        """Derivative of the logit `column` with respect to a feature map: the shape of `features`."""
        ...


def grad_cam(member: SpectrogramClassifier | NetworkMember, clip: ArrayLike, column: int) -> Floats | None:
    """The places where the last filters of a network respond to a class.

    `max(0, Σ_c mean(∂logit/∂A[c]) · A[c])` of the last feature map A, patch by patch, stretched to bands and
    frames. If the feature map has lost the order of the bands, the map shows time only: its rows are equal.

    Args:
        member: a fitted network.
        clip: (n_mels, frames), dB.
        column: of the class in `classes_`.

    Returns:
        (n_mels, frames) in [0, 1], with 1 at the strongest place; NaN in frames that no patch covers. All 0
        if no filter speaks for the class. None if the network has no convolutions.

    Source:
        Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based localization"
        (2017), equations 1 and 2.
    """
    halves = _cut(member)
    if halves is None:
        return None
    spectrogram = np.asarray(clip, dtype=np.float32)
    settings = member.patch_settings
    patches = member.standardise(even_patches(spectrogram, settings))
    patches = patches.astype(np.float32)
    maps = _class_maps(halves, patches, column)
    maps = _orient_maps(maps, halves, patches)
    stretched = np.stack([_stretch_map(one, patches.shape[1:]) for one in maps])
    n_bands, n_frames = spectrogram.shape
    return _lay_out(stretched, (n_bands, n_frames), settings)


def _cut(member: SpectrogramClassifier | NetworkMember) -> CutNetwork | None:
    """A network cut at its last feature map: without Keras if it is frozen. None if it has none."""
    if isinstance(member, NetworkMember):
        return member.halves
    from quintet.classifiers.networks.gradients import KerasHalves

    return KerasHalves.cut(member.fitted_network(), member.batch_size)


def _class_maps(halves: CutNetwork, patches: NDArray[np.float32], column: int) -> Floats:
    """(n, height, width) or (n, steps): the feature maps of the patches, weighted for a class."""
    features = halves.features(patches)
    inner_axes = tuple(range(1, features.ndim - 1))
    channel_weights = halves.slopes(features, column).mean(axis=inner_axes, keepdims=True)
    weighted_sum = (channel_weights * features).sum(axis=-1)
    return np.asarray(np.maximum(weighted_sum, 0.0))


def _orient_maps(maps: Floats, halves: CutNetwork, patches: NDArray[np.float32]) -> Floats:
    """Turn maps (n, height, width) or (n, steps) into (n, bands, times), low bands first.

    The order of axes depends on the network. It is measured: noise is added to the upper bands, and to the
    last frames, of one patch, and the place where the feature map changes shows the axis and its direction.
    """
    probe = patches[:1]
    _, n_bands, n_frames = probe.shape
    rng = np.random.default_rng(0)
    noise = rng.normal(scale=2.0, size=probe.shape).astype(np.float32)
    later, higher = noise.copy(), noise.copy()
    later[:, :, : 3 * n_frames // 4] = 0.0
    higher[:, : 3 * n_bands // 4] = 0.0
    silence = 0.0 * noise
    before = halves.features(probe + silence)[0]
    after_later = halves.features(probe + later)[0]
    after_higher = halves.features(probe + higher)[0]
    in_time = _shifts(np.abs(after_later - before))
    in_bands = _shifts(np.abs(after_higher - before))
    time_axis = int(np.abs(in_time).argmax())
    if in_time[time_axis] < 0:
        maps = np.flip(maps, time_axis + 1)
    if maps.ndim == 2:
        return maps[:, None, :]
    band_axis = 1 - time_axis
    upright = np.moveaxis(maps, time_axis + 1, 2)
    if abs(in_bands[band_axis]) < MIN_SHIFT:
        return np.asarray(upright.mean(axis=1, keepdims=True))
    return upright if in_bands[band_axis] > 0 else np.flip(upright, 1)


def _shifts(change: Floats) -> Floats:
    """For each axis except the last: the centre of a change, in [-1, 1]; 0 is the middle of the axis."""
    shifts = []
    for axis in range(change.ndim - 1):
        other_axes = tuple(i for i in range(change.ndim) if i != axis)
        profile = change.sum(axis=other_axes)
        places = np.linspace(-1.0, 1.0, len(profile))
        moment = (profile * places).sum()
        total = max(float(profile.sum()), 1e-12)
        shifts.append(float(moment / total))
    return np.array(shifts)


def _stretch_map(small: Floats, shape: tuple[int, ...]) -> Floats:
    """A map at another size, linear between the centres of its cells."""
    for size in shape:  # each turn stretches the rows and transposes
        n = small.shape[0]
        places = (np.arange(size) + 0.5) / size * n - 0.5
        small = np.stack([np.interp(places, np.arange(n), line) for line in small.T])
    return small


def _lay_out(patches: Floats, shape: tuple[int, int], settings: PatchSettings) -> Floats:
    """Put maps of patches (n, n_mels, patch) in their places on the clip `shape`.

    Overlapping patches are averaged. The largest value becomes 1.
    """
    n_frames = shape[1]
    frames = np.arange(max(n_frames, settings.patch_frames))
    sources = np.where(frames < n_frames, frames, frames % n_frames)  # a short clip is repeated
    numbers = even_patches(sources[None].astype(np.float64), settings)
    places = numbers.astype(int)[:, 0]
    total = np.zeros(shape)
    n_patches = np.zeros(n_frames)
    for place, values in zip(places, patches, strict=True):
        np.add.at(total.T, place, values.T)
        np.add.at(n_patches, place, 1.0)
    mean = total / np.maximum(n_patches, 1.0)
    mean = np.where(n_patches > 0, mean, np.nan)
    top = float(np.nanmax(mean))
    return np.asarray(mean / top if top > 0 else mean)
