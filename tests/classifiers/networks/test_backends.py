"""Networks on TensorFlow, JAX and PyTorch: fits, resumed fits, and members that another backend wrote.

JAX and PyTorch are skipped if they are not installed (`pip install jax`, `pip install torch`). A backend is
chosen when Keras is imported, so each runs in a new process.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from quintet.classifiers.networks.backend import Device, data_parallel, device, load_keras
from quintet.classifiers.networks.registry import NETWORKS
from quintet.classifiers.registry import make_member
from quintet.errors import ConfigError

BACKENDS = ("tensorflow", "jax", "torch")
TOLERANCE = 1e-5  # of probabilities: backends sum float32 in different orders
HERE = Path(__file__).parent


def installed(backend):
    """A parameter, skipped where the backend is not installed."""
    if importlib.util.find_spec(backend):
        return pytest.param(backend)
    reason = f"{backend} is not installed: pip install {backend}"
    return pytest.param(backend, marks=pytest.mark.skip(reason=reason))


def work(task, folder, backend, **environment):
    """Run a task of `backend_work.py` in a new process."""
    clean = {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"}
    done = subprocess.run(
        [sys.executable, HERE / "backend_work.py", task, folder],
        env=clean | {"KERAS_BACKEND": backend, "OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """Function of a backend that returns the folder with its results; each backend learns once."""
    folders = {}

    def learn_once(backend):
        if backend not in folders:
            folders[backend] = tmp_path_factory.mktemp("learnt") / backend
            folders[backend].mkdir()
            work("learn", folders[backend], backend)
        return folders[backend]

    return learn_once


@pytest.mark.slow
@pytest.mark.parametrize("backend", [installed(name) for name in BACKENDS])
def test_each_backend_learns_stops_early_and_resumes_to_the_same_weights(backend, learnt):
    results = json.loads((learnt(backend) / "results.json").read_text())
    assert results["backend"] == backend
    assert results["resumed to the same weights"]
    assert results["accuracy"] > 0.9
    assert results["accuracy of tags"] > 0.9
    assert results["epochs"] == min(results["best"] + 2, 6)  # a patience of 2


@pytest.mark.parametrize("backend", [installed(name) for name in BACKENDS[1:]])
def test_a_backend_reads_members_of_another_with_the_same_probabilities(backend, learnt, tmp_path):
    for written_by in ("tensorflow", backend):
        (tmp_path / written_by).symlink_to(learnt(written_by))
    for reader in ("tensorflow", backend):
        work("read", tmp_path, reader)
        for written_by in ("tensorflow", backend):
            read = np.load(tmp_path / written_by / f"read by {reader}.npy")
            written = np.load(tmp_path / written_by / "written.npy")
            np.testing.assert_allclose(read, written, atol=TOLERANCE)
    assert np.ptp(read) > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("backend", [installed(name) for name in BACKENDS[1:]])
def test_every_network_of_one_backend_predicts_the_same_on_another(backend, tmp_path):
    """Both directions, after an epoch, so that batch norm has statistics."""
    for writer, reader in (("tensorflow", backend), (backend, "tensorflow")):
        (tmp_path / writer).mkdir()
        work("write", tmp_path / writer, writer)
        work("read", tmp_path / writer, reader)
        for name in NETWORKS:
            place = tmp_path / writer / name
            written, read = np.load(place / "written.npy"), np.load(place / f"read by {reader}.npy")
            assert np.ptp(written[:, 0]) > 100 * TOLERANCE, f"{name} predicts the same for every clip"
            np.testing.assert_allclose(
                read, written, atol=TOLERANCE, err_msg=f"{name}: written by {writer}, read by {reader}"
            )


@pytest.mark.slow
@pytest.mark.parametrize("backend", [installed(name) for name in BACKENDS[1:]])
def test_every_network_keeps_the_contracts_on_every_backend(backend):
    """TensorFlow is left out, because `tests/contracts` runs on it anyway."""
    file = HERE.parents[1] / "contracts" / "test_model_contracts.py"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        file,
        "-k",
        " or ".join(NETWORKS),
        "-W",
        "ignore::DeprecationWarning",
    ]
    done = subprocess.run(
        command,
        env=os.environ | {"KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
        cwd=HERE.parents[2],
    )
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize("backend", [installed("jax")])
def test_two_devices_learn_what_one_learns(backend, tmp_path):
    work("two_devices", tmp_path, backend, XLA_FLAGS="--xla_force_host_platform_device_count=2")
    assert json.loads((tmp_path / "results.json").read_text()) == {"one": 1, "two": 2}
    np.testing.assert_allclose(np.load(tmp_path / "two.npy"), np.load(tmp_path / "one.npy"), atol=TOLERANCE)


def test_several_devices_are_refused_on_a_backend_without_distribution():
    if load_keras().backend.backend() == "jax":
        pytest.skip("JAX distributes batches")
    with pytest.raises(ConfigError, match="KERAS_BACKEND=jax"), data_parallel(2):
        pass
    with data_parallel(1):
        pass


@pytest.mark.parametrize(
    ("backend", "cards", "expected"),
    [
        ("tensorflow", None, "CPU, float32"),
        ("jax", None, "CPU, float32, XLA"),
        ("torch", None, "CPU, float32"),
        ("tensorflow", ("H200", True, 1), "H200, mixed_bfloat16, XLA"),
        (
            "tensorflow",
            ("T4", False, 4),
            "T4, mixed_float16, XLA, 3 more idle: KERAS_BACKEND=jax trains on all",
        ),
        ("torch", ("H200", True, 2), "H200, mixed_bfloat16, 1 more idle: KERAS_BACKEND=jax trains on all"),
        ("jax", ("H200", True, 2), "2 × H200, mixed_bfloat16, XLA"),
    ],
)
def test_precision_xla_and_cards_follow_the_machine(backend, cards, expected, monkeypatch):
    from quintet.classifiers.networks import backend as module

    monkeypatch.setattr(module.load_keras().backend, "backend", lambda: backend)
    monkeypatch.setattr(module, f"_{backend}_gpu", lambda: cards)
    device.cache_clear()
    try:
        assert str(device()) == expected
    finally:
        device.cache_clear()


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        pytest.param("vgg_small", "mixed_bfloat16", marks=pytest.mark.slow),
        pytest.param("vgg16_transfer", "mixed_float16", marks=pytest.mark.slow),
    ],
)
def test_networks_learn_with_mixed_precision_and_xla(name, precision, monkeypatch):
    """The settings of a GPU, tried on the CPU: for float16 the loss is scaled, also with a frozen base."""
    from quintet.classifiers.spectrogram import classifier as spectrogram

    gpu = Device("pretended", is_gpu=True, precision=precision, jit=True)
    compiled, compile_network = [], spectrogram.compile_network

    def compile_and_record(model, *arguments, **options):
        compile_network(model, *arguments, **options)
        compiled.append(model)

    monkeypatch.setattr(spectrogram, "device", lambda: gpu)
    monkeypatch.setattr(spectrogram, "compile_network", compile_and_record)
    settings = {
        "vgg_small": {"filters": 4, "blocks": 2},
        "vgg16_transfer": {"weights": "random", "size": 32},
    }[name]
    rng, y = np.random.default_rng(0), np.array(["low", "high"] * 8)
    X = [rng.normal(-40, 5, size=(16, 16)).astype(np.float32) for _ in y]
    for clip, label in zip(X, y, strict=True):
        clip[slice(8, None) if label == "high" else slice(8)] += 20
    plan = {
        "epochs": 12,
        "batch_size": 8,
        "learning_rate": 0.02 if name == "vgg_small" else 1e-3,
        "schedule": "constant",
        "validation_share": 0.0,
    }
    member = make_member(name, settings=settings, patch_frames=16, augmentation=None, **plan).fit(X, y)
    assert compiled[0].jit_compile
    optimizer = "LossScaleOptimizer" if precision == "mixed_float16" else "Adam"
    assert type(compiled[0].optimizer).__name__ == optimizer
    embedding = member.new_network(pretrained=False).get_layer("embedding")
    assert embedding.compute_dtype == precision.removeprefix("mixed_")
    assert all(np.isfinite(row["loss"]) for row in member.history_)
    assert (member.predict(X) == y).mean() > 0.9
