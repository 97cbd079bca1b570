"""Spectrogram patches as pictures for networks that were trained on photographs, and their weights."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import keras
from keras import ops
from keras.src.backend.config import keras_home

from quintet.errors import ArtefactError, unknown_name

BGR_MEAN = (103.939, 116.779, 123.68)
"""Mean of ImageNet in 0 … 255, for VGG."""

RGB_MEAN, RGB_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet in 0 … 1, for DenseNet."""

PREPROCESSING = ("imagenet", "paper")


class Picture(keras.layers.Layer):  # type: ignore[misc]
    """Pictures `(batch, size, size, 3)` of standardised log-mel patches `(batch, n_mels, frames)`.

    Low frequencies are at the bottom. A value `z` in standard deviations becomes the brightness
    `v = (clip(z, -3, 3) + 3) / 6`, resized bilinearly. Then:

    - `"imagenet"`: the same grey in three channels, with the preprocessing that the weights expect.
      `order="bgr"` (VGG): BGR in 0 … 255 minus the mean. `order="rgb"` (DenseNet): RGB in 0 … 1 minus the
      mean, divided by the standard deviation. Equal to `preprocess_input` of Keras.
    - `"paper"`: the jet colour map in 0 … 1, as in Bahuleyan 2018 (who used a JPEG in between, and weights
      that expect another preprocessing).

    Args:
        size: side of the square picture, in pixels.
        preprocessing: `"imagenet"` or `"paper"`.
        order: `"bgr"` or `"rgb"`, for `"imagenet"`.
        name: name of the layer.

    Raises:
        ConfigError: for an unknown preprocessing.
    """

    def __init__(self, size: int, *, preprocessing: str, order: str, name: str | None = None) -> None:
        super().__init__(dtype="float32", name=name)
        if preprocessing not in PREPROCESSING:
            raise unknown_name("preprocessing", preprocessing, PREPROCESSING)
        self.size = size
        self.preprocessing = preprocessing
        self.order = order

    def call(self, patches: keras.KerasTensor) -> keras.KerasTensor:
        """Pictures of a batch of patches."""
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
        """`(batch, size, size, 3)`."""
        return (input_shape[0], self.size, self.size, 3)


def jet(v: keras.KerasTensor) -> keras.KerasTensor:
    """Jet colours: brightness `(…, 1)` in 0 … 1 as RGB `(…, 3)`.

    The colours go from dark blue over cyan and yellow to dark red. The ramps are those of matplotlib's colour
    map of that name.
    """
    rising_red, falling_red = (v - 0.35) / 0.31, 1.0 - (v - 0.89) * 0.5 / 0.11
    rising_green, falling_green = (v - 0.125) / 0.25, (0.91 - v) / 0.27
    rising_blue, falling_blue = 0.5 + v * 0.5 / 0.11, (0.65 - v) / 0.31
    red = ops.minimum(rising_red, falling_red)
    green = ops.minimum(rising_green, falling_green)
    blue = ops.minimum(rising_blue, falling_blue)
    channels = [ops.clip(channel, 0.0, 1.0) for channel in (red, green, blue)]
    return ops.concatenate(channels, axis=-1)


def imagenet_preprocessing(rgb: keras.KerasTensor, *, order: str) -> keras.KerasTensor:
    """Pictures `(…, 3)` in 0 … 1 with ImageNet preprocessing: `"bgr"` for VGG, `"rgb"` for DenseNet."""
    rgb = ops.convert_to_tensor(rgb)
    if order == "bgr":
        return ops.flip(rgb, axis=-1) * 255.0 - ops.convert_to_tensor(BGR_MEAN)
    return (rgb - ops.convert_to_tensor(RGB_MEAN)) / ops.convert_to_tensor(RGB_STD)


def require_weights(weights: str, url: str) -> None:
    """Refuse weights that cannot be obtained, before any work starts.

    Args:
        weights: `"imagenet"`, `"random"`, or the path of a file.
        url: address of the ImageNet weights.

    Raises:
        ArtefactError: if the file does not exist, or the download cannot be reached. The message says what to
            do.
    """
    if weights == "imagenet":
        _require_reachable(url)
    elif weights != "random" and not Path(weights).is_file():
        nearest = difflib.get_close_matches(str(weights), ("imagenet", "random"), n=1)
        hint = f" Did you mean '{nearest[0]}'?" if nearest else ""
        raise ArtefactError(
            'weights must be "imagenet", "random" or a file. '
            f"Received {weights!r}, where there is no file.{hint}"
        )


def pretrained_base(
    application: Callable[..., keras.Model], *, size: int, weights: str, url: str, name: str
) -> keras.Model:
    """Build the convolutional base of a network of `keras.applications`, with input `(size, size, 3)`.

    Args:
        application: a function of `keras.applications`, such as `VGG16`.
        size: side of the picture, in pixels.
        weights: `"imagenet"` (downloaded once and checked by Keras), `"random"`, or the path of a weights
            file of this base.
        url: address from which Keras downloads the ImageNet weights.
        name: name of the base.

    Raises:
        ArtefactError: if the file does not exist or does not hold weights of this base, or the download
            cannot be reached.
    """
    require_weights(weights, url)
    source = "imagenet" if weights == "imagenet" else None
    base = application(include_top=False, weights=source, input_shape=(size, size, 3), name=name)
    if weights not in ("imagenet", "random"):
        _load_base_weights(base, weights)
    return base


def _load_base_weights(base: keras.Model, path: str) -> None:
    try:
        with warnings.catch_warnings():
            # If the file lacks some weights, Keras only warns and keeps the initial ones. Make that an error.
            warnings.simplefilter("error", UserWarning)
            base.load_weights(path)
    except (ValueError, OSError, KeyError, UserWarning) as error:
        raise ArtefactError(
            f"weights must be a file that holds the base of this network. {path}: {error}"
        ) from error


def _require_reachable(url: str) -> None:
    """Refuse an unreachable download. Keras' own error is a bare Exception; this one says what to do."""
    cached = Path(keras_home()) / "models" / url.rsplit("/", 1)[-1]
    if cached.is_file():
        return
    try:
        urlopen(url, timeout=20).close()
    except OSError as error:
        raise ArtefactError(
            f"The ImageNet weights must be downloaded once, and they cannot be reached ({error}). "
            f"Try again with a network connection; or copy {cached.name} from another machine into "
            f'{cached.parent}; or give its path as weights="…"; or start from weights="random".'
        ) from error
