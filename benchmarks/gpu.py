"""Fine-tuning of VGG-16 on a GPU, against a plain PyTorch loop: `python -m benchmarks.gpu`.

It needs CUDA and PyTorch. `--rehearse` runs a tiny version on a CPU, to try the code. Three things are
measured in turn in one run, so that the state of the card is the same:
- ours: `SpectrogramClassifier("vgg16_fine_tune").fit` from spectrograms in memory, on the backend in
  KERAS_BACKEND;
- the reference: a plain PyTorch loop with the same network (its parameters are counted), batch, precision and
  pictures;
- the matrix rate: the speed of one large matrix product in that precision.

It prints the pictures per second of both, their ratio by round, and the share of the matrix rate that
training reaches. The share counts the multiplications and additions of the convolutions and dense layers
only: forward once, backward twice.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quintet.errors import ConfigError

BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))  # VGG-16: convolutions, filters
N_CLASSES, N_MELS, FRAMES, UNITS = 7, 96, 431, 512
BGR_MEAN = (103.939, 116.779, 123.68)


@dataclass(frozen=True)
class Size:
    """Size of a measurement.

    Args:
        picture: side of a picture, pixels.
        batch: pictures per batch.
        batches: batches per epoch.
        matrix: side of the matrices.
        rounds: number of rounds.
    """

    picture: int
    batch: int
    batches: int
    matrix: int
    rounds: int


FULL, TINY = Size(216, 32, 16, 8192, 5), Size(32, 4, 2, 128, 1)


def products(size: int) -> float:
    """Multiplications and additions of one training step per picture.

    They count 2 per multiplication, forward once and backward twice.

    Example:
        >>> round(products(224) / 3e9, 1)  # the base alone needs 2 · 15.3 thousand million at 224 × 224
        30.7
    """
    total, side, channels = 0, size, 3
    for convolutions, filters in BLOCKS:
        for _ in range(convolutions):
            total += side * side * 9 * channels * filters
            channels = filters
        side //= 2
    return 3.0 * 2.0 * (total + side * side * channels * UNITS + UNITS * N_CLASSES)


def plain_network(torch: Any, size: int) -> Any:
    """The same network in plain PyTorch: pictures (batch, 3, size, size) → logits."""
    nn, layers, channels = torch.nn, [], 3
    for convolutions, filters in BLOCKS:
        for _ in range(convolutions):
            layers += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU()]
            channels = filters
        layers.append(nn.MaxPool2d(2))
    flat = channels * (size // 2 ** len(BLOCKS)) ** 2
    return nn.Sequential(
        *layers, nn.Flatten(), nn.Linear(flat, UNITS), nn.ReLU(), nn.Dropout(0.3), nn.Linear(UNITS, N_CLASSES)
    )


def pictures(torch: Any, patches: Any, size: int) -> Any:
    """Pictures from standardised patches (batch, n_mels, frames), as `networks.images.Picture` makes them."""
    grey = torch.flip((patches.clamp(-3, 3) + 3) / 6, dims=[1])[:, None]
    grey = torch.nn.functional.interpolate(grey, (size, size), mode="bilinear")
    return (grey * 255 - torch.tensor(BGR_MEAN, device=patches.device).view(1, 3, 1, 1)).contiguous(
        memory_format=torch.channels_last
    )


def plain_loop(
    torch: Any, data: tuple[Any, Any], *, size: Size, precision: str, device: str
) -> tuple[Callable[[], float], int]:
    """Function that runs and times one epoch of the plain loop, and the number of trainable parameters."""
    model = plain_network(torch, size.picture).to(device, memory_format=torch.channels_last).train()
    adam, cross_entropy = torch.optim.Adam(model.parameters(), lr=1e-5), torch.nn.CrossEntropyLoss()
    half = {"mixed_bfloat16": torch.bfloat16, "mixed_float16": torch.float16}.get(precision)
    scaler = torch.amp.GradScaler(device, enabled=half is torch.float16)
    patches, labels = torch.from_numpy(data[0]), torch.from_numpy(data[1])

    def epoch() -> float:
        begin = time.perf_counter()
        for order in torch.randperm(len(patches)).split(size.batch):
            x, y = patches[order].to(device, non_blocking=True), labels[order].to(device, non_blocking=True)
            adam.zero_grad(set_to_none=True)
            with torch.autocast(device, dtype=half or torch.bfloat16, enabled=half is not None):
                loss = (
                    cross_entropy(model(pictures(torch, x, size.picture)), y)
                    + 1e-3 * model[-4].weight.square().sum()
                )  # L2 of the dense layer
            scaler.scale(loss).backward()
            scaler.step(adam)
            scaler.update()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - begin

    return epoch, sum(p.numel() for p in model.parameters())


def matrix_rate(torch: Any, *, side: int, precision: str, device: str) -> float:
    """Multiplications and additions per second in a product of two square matrices: the best of ten runs."""
    kind = {"mixed_bfloat16": torch.bfloat16, "mixed_float16": torch.float16}.get(precision, torch.float32)
    a, b = (torch.randn(side, side, device=device).to(kind) for _ in range(2))
    seconds = []
    for _ in range(10):
        begin = time.perf_counter()
        for _ in range(10):
            a @ b
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begin)
    return 10 * 2.0 * side**3 / min(seconds)


def our_epoch(data: tuple[Any, Any], *, size: Size, precision: str) -> tuple[float, int]:
    """Seconds of an epoch of our estimator, and its number of trainable parameters.

    The seconds are the median of the epochs after the first two.
    """
    from quintet.classifiers.registry import make_member
    from quintet.classifiers.spectrogram.classifier import SpectrogramClassifier

    settings: dict[str, Any] = {
        "epochs": 5,
        "batch_size": size.batch,
        "learning_rate": 1e-5,
        "schedule": "constant",
        "validation_share": 0.0,
    }
    member = make_member(
        "vgg16_fine_tune",
        weights="random",
        size=size.picture,
        precision=precision,
        standard="none",
        **settings,
    )
    assert isinstance(member, SpectrogramClassifier)
    member.fit(data[0], data[1])
    trainable = sum(int(np.prod(tuple(v.value.shape))) for v in member.fitted_network().trainable_variables)
    return float(np.median([row["seconds"] for row in member.history_[2:]])), trainable


def measure(size: Size, *, precision: str, device: str) -> dict[str, Any]:
    """Measure all three in one run; the order of ours and the reference alternates between rounds."""
    torch = importlib.import_module("torch")
    n, rng = size.batch * size.batches, np.random.default_rng(0)
    data = (
        rng.normal(0, 1, (n, N_MELS, FRAMES)).astype(np.float32),
        (np.arange(n) % N_CLASSES).astype(np.int64),
    )
    epoch, counted = plain_loop(torch, data, size=size, precision=precision, device=device)
    epoch()
    ours, plain, rates = [], [], []
    for number in range(size.rounds):
        for turn in ((0, 1), (1, 0))[number % 2]:
            if turn == 0:
                seconds, trainable = our_epoch(data, size=size, precision=precision)
                if trainable != counted:
                    raise ConfigError(
                        "Both networks must be the same. "
                        f"Ours has {trainable} parameters, the plain one {counted}."
                    )
                ours.append(seconds)
            else:
                plain.append(float(np.median([epoch() for _ in range(3)])))
        rates.append(matrix_rate(torch, side=size.matrix, precision=precision, device=device))
    low, middle, high = np.percentile(np.array(plain) / np.array(ours), [25, 50, 75])
    ours_per_s, plain_per_s = n / float(np.median(ours)), n / float(np.median(plain))
    rate = float(np.median(rates))
    return {
        "parameters": counted,
        "precision": precision,
        "pictures_per_second": {"ours": ours_per_s, "plain_pytorch": plain_per_s},
        "throughput_ratio": {"median": middle, "q25": low, "q75": high},
        "matrix_rate_tflops": rate / 1e12,
        "share_of_matrix_rate": {
            "ours": ours_per_s * products(size.picture) / rate,
            "plain_pytorch": plain_per_s * products(size.picture) / rate,
        },
        "rounds": size.rounds,
    }


def require_cuda() -> None:
    """Refuse a machine without a CUDA GPU that PyTorch and Keras can use.

    Raises:
        ConfigError: PyTorch is not installed, there is no CUDA device, or Keras does not see it.
    """
    if importlib.util.find_spec("torch") is None:
        raise ConfigError(
            "The reference is a loop in PyTorch, which is not installed here: pip install torch."
        )
    if not importlib.import_module("torch").cuda.is_available():
        raise ConfigError(
            "This benchmark measures a CUDA GPU. PyTorch finds none here. Run it where there is one; "
            "--rehearse tries the code on a CPU."
        )
    from quintet.classifiers.networks.backend import device

    if not device().is_gpu:
        name = os.environ.get("KERAS_BACKEND", "tensorflow")
        raise ConfigError(
            f"Keras on {name} must find the GPU. It computes on the {device()}. "
            "Install that backend for CUDA, or set KERAS_BACKEND."
        )


def main(arguments: list[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--rehearse",
        action="store_true",
        help="tiny, on the CPU: shows that the code runs, and measures nothing",
    )
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(arguments)
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # both libraries share one card
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if not asked.rehearse:
        try:
            require_cuda()
        except ConfigError as error:
            raise SystemExit(f"Error: {error}") from None
    from quintet.classifiers.networks.backend import device, load_keras

    size, place = (TINY, "cpu") if asked.rehearse else (FULL, "cuda")
    result = measure(size, precision="float32" if asked.rehearse else device().precision, device=place)
    result |= {
        "device": str(device()),
        "backend": load_keras().backend.backend(),
        "rehearsal": asked.rehearse,
    }
    rate, ratio, share = (
        result["pictures_per_second"],
        result["throughput_ratio"],
        result["share_of_matrix_rate"],
    )
    rehearsal = "REHEARSAL, no measurement: " * asked.rehearse
    print(f"{rehearsal}{result['device']}, Keras on {result['backend']}")
    print(
        f"ours {rate['ours']:.1f} pictures/s, plain PyTorch {rate['plain_pytorch']:.1f}: "
        f"ratio {ratio['median']:.2f}"
    )
    print(f"[{ratio['q25']:.2f} … {ratio['q75']:.2f}] over {result['rounds']} round(s)")
    print(
        f"matrix rate {result['matrix_rate_tflops']:.2f} TFLOP/s; "
        f"share of it: ours {share['ours']:.1%}, plain PyTorch {share['plain_pytorch']:.1%}"
    )
    if asked.json:
        asked.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
