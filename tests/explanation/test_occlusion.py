"""Occlusion and Grad-CAM point at the one region that a network depends on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from quintet.classifiers.networks.backend import load_keras
from quintet.classifiers.networks.gradients import KerasHalves, gradient, split_network
from quintet.classifiers.networks.registry import build_network
from quintet.classifiers.spectrogram.classifier import SpectrogramClassifier
from quintet.classifiers.spectrogram.fitting import forward
from quintet.classifiers.spectrogram.settings import PatchSettings
from quintet.errors import ConfigError
from quintet.explanation.spectrogram.grad_cam import _lay_out, _orient_maps, _stretch_map, grad_cam
from quintet.explanation.spectrogram.occlusion import occlusion

RNG = np.random.default_rng(5)
CLIP = RNG.normal(-50, 5, size=(48, 120)).astype(np.float32)


def depends_on(bands: slice, frames: slice) -> Any:
    """A predictor of two classes that depends on the mean level of one region only."""

    def predict(clips: Sequence[np.ndarray]) -> np.ndarray:
        level = np.array([clip[bands, frames].mean() for clip in clips])
        p = 1 / (1 + np.exp(-(level + 60) / 5))
        return np.stack([1 - p, p], axis=1)

    return predict


def test_occlusion_finds_the_band_and_time_that_the_prediction_depends_on() -> None:
    found = occlusion(
        depends_on(slice(20, 24), slice(60, 75)), CLIP, 1, n_bands=12, n_times=8, fill=np.full(48, -80.0)
    )
    assert found.cells.shape == (12, 8)
    assert np.unravel_index(found.cells.argmax(), found.cells.shape) == (5, 4)
    assert (found.bands.argmax(), found.times.argmax()) == (5, 4)
    assert np.count_nonzero(found.cells) == 1
    assert found.cells[5, 4] == found.bands[5] == found.times[4] > 0.5
    assert found.band_edges[5:7].tolist() == [20, 24]
    assert found.frame_edges[4:6].tolist() == [60, 75]


def test_two_classes_have_opposite_occlusion_values() -> None:
    predict = depends_on(slice(20, 24), slice(60, 75))
    a, b = (occlusion(predict, CLIP, k, n_bands=12, n_times=8, fill=-80.0) for k in (0, 1))
    np.testing.assert_allclose(a.cells, -b.cells, atol=1e-12)
    assert a.cells.min() < -0.5


def test_constant_prediction_gives_zeros() -> None:
    found = occlusion(lambda clips: np.full((len(clips), 2), 0.5), CLIP, 0)
    assert not found.cells.any()
    assert found.probability == 0.5


def test_a_small_clip_has_one_stripe_per_band_and_frame() -> None:
    found = occlusion(depends_on(slice(0, 3), slice(0, 5)), CLIP[:3, :5], 1)
    assert found.cells.shape == (3, 5)
    assert (found.band_edges[-1], found.frame_edges[-1]) == (3, 5)


def test_one_dimensional_clip_is_refused() -> None:
    with pytest.raises(ConfigError, match="Occlusion needs"):
        occlusion(depends_on(slice(0, 1), slice(0, 1)), CLIP[0], 0)


# ------------------------------------------------------------------------------------ Grad-CAM


@pytest.fixture(scope="module")
def burst_network() -> SpectrogramClassifier:
    """A small network that is fitted to find a burst, anywhere in time, in the upper or lower bands."""
    rng = np.random.default_rng(0)
    clips, labels = [], []
    for i in range(72):
        clip = rng.normal(-60, 4, size=(32, 64)).astype(np.float32)
        label = ("none", "high", "low")[i % 3]
        start = rng.integers(2, 54)
        if label != "none":
            clip[(22 if label == "high" else 4) :, start : start + 8][:6] += 35
        clips.append(clip)
        labels.append(label)
    settings = {"filters": 6, "blocks": 3, "dropout": 0.0}
    return SpectrogramClassifier(
        settings=settings, epochs=14, patch_frames=64, validation_share=0, batch_size=12, learning_rate=5e-3
    ).fit(clips, labels)


@pytest.mark.parametrize(("label", "band", "start"), [("high", 22, 44), ("low", 4, 10)])
def test_grad_cam_points_at_the_burst(
    burst_network: SpectrogramClassifier, label: str, band: int, start: int
) -> None:
    clip = np.random.default_rng(9).normal(-60, 4, size=(32, 64)).astype(np.float32)
    clip[band : band + 6, start : start + 8] += 35
    column = burst_network.classes_.tolist().index(label)
    assert burst_network.predict([clip])[0] == label
    found = grad_cam(burst_network, clip, column)
    assert found is not None
    assert found.shape == clip.shape
    assert found.min() >= 0
    assert found.max() == 1.0
    top, left = np.unravel_index(found.argmax(), found.shape)
    assert abs(top - (band + 3)) <= 7
    assert abs(left - (start + 4)) <= 8
    hidden = occlusion(
        burst_network.predict_proba, clip, column, n_bands=5, n_times=8, fill=burst_network.mean_
    )
    i, j = np.unravel_index(hidden.cells.argmax(), hidden.cells.shape)
    assert hidden.band_edges[i] < band + 6
    assert hidden.band_edges[i + 1] > band
    assert hidden.frame_edges[j] < start + 8
    assert hidden.frame_edges[j + 1] > start


@pytest.mark.parametrize("frames", [30, 64, 150])
def test_grad_cam_fits_clips_of_any_length(burst_network: SpectrogramClassifier, frames: int) -> None:
    clip = np.random.default_rng(2).normal(-60, 4, size=(32, frames)).astype(np.float32)
    found = grad_cam(burst_network, clip, 0)
    assert found is not None
    assert found.shape == (32, frames)
    assert np.isfinite(found).all()


def test_frames_that_no_patch_covers_are_nan() -> None:
    found = _lay_out(np.ones((2, 3, 4)), (3, 20), PatchSettings(4, max_patches=2))
    assert np.flatnonzero(np.isfinite(found[0])).tolist() == [0, 1, 2, 3, 16, 17, 18, 19]


def test_maps_of_overlapping_patches_are_averaged() -> None:
    found = _lay_out(
        np.stack([np.full((1, 3), 1.0), np.full((1, 3), 3.0)]),
        (1, 5),
        PatchSettings(3, max_patches=9),
    )
    np.testing.assert_allclose(found[0] * 3, [1, 1, 2, 3, 3])


def test_a_network_without_convolutions_has_no_grad_cam() -> None:
    assert split_network(_network("feed_forward")) is None


def _network(name: str, **settings: Any) -> Any:
    return build_network(name, (96, 128), 3, multilabel=False, seed=0, precision="float32", settings=settings)


@pytest.mark.parametrize(
    ("name", "settings", "has_bands"),
    [
        ("vgg_small", {"filters": 4}, True),
        ("crnn", {"filters": 8}, True),
        ("folmer_cnn", {"size": 64, "filters": 8, "units": 8}, True),  # high bands come first
        ("lachmish_mel", {"units": 8}, True),  # time comes first
        ("lachmish_mfcc", {"units": 8}, False),  # coefficients are not bands
        ("musicnn", {"filters": 8, "units": 8}, False),  # its filters cover all bands
    ],
)
def test_maps_of_every_network_are_turned_to_bands_and_time(
    name: str, settings: dict[str, Any], has_bands: bool
) -> None:
    halves = KerasHalves.cut(_network(name, **settings), batch_size=1)
    assert halves is not None
    quiet = np.zeros((1, 96, 128), np.float32)
    loud = quiet.copy()
    loud[:, 6:16, 84:108] = 3.0  # low, and three quarters through
    made = [halves.features(x) for x in (quiet, loud)]
    upright = _orient_maps(np.abs(made[1] - made[0]).sum(axis=-1), halves, quiet)
    found = _stretch_map(upright[0], (96, 128))
    band, frame = (
        (found.sum(axis=1) * np.arange(96)).sum() / found.sum(),
        (found.sum(axis=0) * np.arange(128)).sum() / found.sum(),
    )
    assert 75 < frame < 117
    assert (band < 36) if has_bands else abs(band - 47.5) < 1


def test_halves_equal_the_network_and_gradient_equals_finite_differences() -> None:
    model = _network("vgg_small", filters=4)
    halves = split_network(model)
    assert halves is not None
    x = RNG.normal(size=(2, 96, 128)).astype(np.float32)
    made = forward(halves.front, x, batch_size=2).astype(np.float32)
    np.testing.assert_allclose(
        forward(halves.head, made, batch_size=2), forward(model, x, batch_size=2), atol=1e-6
    )
    slopes = gradient(halves.head, made, 1)
    assert slopes.shape == made.shape
    step = np.zeros_like(made)
    place = tuple(
        int(i) for i in np.unravel_index(made.argmax(), made.shape)
    )  # it wins its pooling: no kink near
    step[place] = 1e-2
    up, down = (
        float(forward(halves.head, made + sign * step, batch_size=2)[place[0], 1]) for sign in (1, -1)
    )
    assert slopes[place] == pytest.approx((up - down) / 2e-2, rel=1e-2)


def test_backend_without_gradients_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_keras().backend, "backend", lambda: "numpy")
    with pytest.raises(ConfigError, match="numpy"):
        gradient(None, np.zeros(1), 0)
