"""Patches as the pictures that networks of photographs were trained on, with the preprocessing that their weights want."""

from __future__ import annotations

import difflib
import warnings
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import keras
from keras import ops
from keras.src.backend.config import keras_home

from quintet.errors import ArtefactError, unknown_name

BGR_MEAN = (103.939, 116.779, 123.68)  # of ImageNet, on 0 … 255: VGG's
RGB_MEAN, RGB_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, on 0 … 1: DenseNet's
PREPROCESSING = ("imagenet", "paper")


class Picture(keras.layers.Layer):  # type: ignore[misc]
    """Standardised log-mel patches (batch, n_mels, frames) → (batch, size, size, 3), low frequencies at the bottom.

    A value `z` in standard deviations becomes the brightness `v = (clip(z, -3, 3) + 3) / 6`, resized bilinearly. Then
    - `"imagenet"`: the same grey in three channels, with the preprocessing of the weights: `order="bgr"` (VGG: BGR on 0 … 255 minus the
      mean) or `order="rgb"` (DenseNet: RGB on 0 … 1 minus the mean, over the standard deviation). Equal to `preprocess_input` of Keras;
    - `"paper"`: the jet colour map on 0 … 1, as Bahuleyan 2018 fed it (there by way of a JPEG, and with weights that want otherwise).
    """

    def __init__(self, size: int, *, preprocessing: str, order: str, **arguments: Any) -> None:
        super().__init__(dtype="float32", **arguments)
        if preprocessing not in PREPROCESSING:
            raise unknown_name("preprocessing", preprocessing, PREPROCESSING)
        self.size = size
        self.preprocessing = preprocessing
        self.order = order

    def call(self, patches: Any) -> Any:
        """The pictures of a batch of patches."""
        brightness = (ops.clip(patches, -3.0, 3.0) + 3.0) / 6.0
        upright = ops.flip(brightness, axis=1)[..., None]
        grey = ops.image.resize(
            upright, (self.size, self.size), interpolation="bilinear", data_format="channels_last"
        )
        if self.preprocessing == "paper":
            return jet(grey)
        rgb = ops.repeat(grey, 3, axis=-1)
        return imagenet_preprocessing(rgb, order=self.order)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """(batch, size, size, 3)."""
        return (input_shape[0], self.size, self.size, 3)


def jet(v: Any) -> Any:
    """Brightness (…, 1) in 0 … 1 as RGB (…, 3): dark blue, cyan, yellow, dark red; the ramps of matplotlib's colour map of that name."""
    red = ops.minimum((v - 0.35) / 0.31, 1.0 - (v - 0.89) * 0.5 / 0.11)
    green = ops.minimum((v - 0.125) / 0.25, (0.91 - v) / 0.27)
    blue = ops.minimum(0.5 + v * 0.5 / 0.11, (0.65 - v) / 0.31)
    return ops.concatenate([ops.clip(channel, 0.0, 1.0) for channel in (red, green, blue)], axis=-1)


def imagenet_preprocessing(rgb: Any, *, order: str) -> Any:
    """Pictures (…, 3) in 0 … 1 as the weights want them: `"bgr"` (VGG) or `"rgb"` (DenseNet)."""
    rgb = ops.convert_to_tensor(rgb)
    if order == "bgr":
        return ops.flip(rgb, axis=-1) * 255.0 - ops.convert_to_tensor(BGR_MEAN)
    return (rgb - ops.convert_to_tensor(RGB_MEAN)) / ops.convert_to_tensor(RGB_STD)


def require_weights(weights: str, url: str) -> None:
    """Refuse weights that cannot be had, before anything runs: a file that is not there, or a download that cannot be reached.

    Raises:
        ArtefactError: with what to do.
    """
    if weights == "imagenet":
        _require_reachable(url)
    elif weights != "random" and not Path(weights).is_file():
        near = difflib.get_close_matches(str(weights), ("imagenet", "random"), n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise ArtefactError(
            f'weights must be "imagenet", "random" or a file. Received {weights!r}, where there is no file.{hint}'
        )


def pretrained_base(application: Any, *, size: int, weights: str, url: str, name: str) -> Any:
    """The convolutional base of a network in `keras.applications`, its input (size, size, 3), under the name `name`.

    Parameters:
        weights: "imagenet" (downloaded once and checked by Keras), "random", or the path of a weights file of this base.
        url: where Keras finds the ImageNet weights.

    Raises:
        ArtefactError: the file is not there or does not hold weights of this base, or the download cannot be reached.
    """
    require_weights(weights, url)
    base = application(
        include_top=False,
        weights="imagenet" if weights == "imagenet" else None,
        input_shape=(size, size, 3),
        name=name,
    )
    if weights not in ("imagenet", "random"):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "error", UserWarning
                )  # Keras only warns of weights that it does not find, and keeps fresh ones
                base.load_weights(weights)
        except (ValueError, OSError, KeyError, UserWarning) as error:
            raise ArtefactError(
                f"weights must be a file that holds the base of this network. {weights}: {error}"
            ) from error
    return base


def _require_reachable(url: str) -> None:
    """Keras' own error for a failed download is a bare Exception; this one says what to do."""
    kept = Path(keras_home()) / "models" / url.rsplit("/", 1)[-1]
    if kept.is_file():
        return
    try:
        urlopen(url, timeout=20).close()
    except OSError as error:
        raise ArtefactError(
            f"The ImageNet weights must be downloaded once, and they cannot be reached ({error}). Try again with a network; or copy {kept.name} "
            f'from another machine into {kept.parent}; or give its path as weights="…"; or start from weights="random".'
        ) from error
