"""Networks on TensorFlow, JAX and PyTorch: each installed backend learns, stops, resumes and reads what another one wrote.

TensorFlow takes part always; the others where they are installed (`pip install jax`, `pip install torch`), skipped otherwise. A backend is chosen
when Keras is imported, so each works in a process of its own.
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
TOLERANCE = 1e-5  # of probabilities, between backends: float32 sums in another order
HERE = Path(__file__).parent


def installed(backend):
    """A parameter, skipped where the backend is not installed."""
    gone = importlib.util.find_spec(backend) is None
    return pytest.param(
        backend,
        marks=pytest.mark.skip(reason=f"{backend} is not installed: pip install {backend}") if gone else (),
    )


def work(task, folder, backend, **environment):
    """What `backend_work.py` does, in a process of its own."""
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
    """backend → the folder with what it learnt; each learns once."""
    kept = {}

    def of(backend):
        if backend not in kept:
            kept[backend] = tmp_path_factory.mktemp("learnt") / backend
            kept[backend].mkdir()
            work("learn", kept[backend], backend)
        return kept[backend]

    return of


@pytest.mark.parametrize("backend", [installed(name) for name in BACKENDS])
def test_each_backend_learns_stops_early_and_resumes_to_the_same_weights(backend, learnt):
    found = json.loads((learnt(backend) / "found.json").read_text())
    assert found["backend"] == backend
    assert found["resumed to the same weights"]
    assert found["accuracy"] > 0.9
    assert found["tags"] > 0.9
    assert found["epochs"] == min(found["best"] + 2, 6)  # a patience of 2


@pytest.mark.parametrize("backend", [installed(name) for name in BACKENDS[1:]])
def test_what_one_backend_wrote_another_reads_with_the_same_verdicts(backend, learnt, tmp_path):
    for written_by in ("tensorflow", backend):
        (tmp_path / written_by).symlink_to(learnt(written_by))
    for reader in ("tensorflow", backend):
        work("read", tmp_path, reader)
        for written_by in ("tensorflow", backend):
            said = np.load(tmp_path / written_by / f"said by {reader}.npy")
            np.testing.assert_allclose(said, np.load(tmp_path / written_by / "said.npy"), atol=TOLERANCE)
    assert np.ptp(said) > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("backend", [installed(name) for name in BACKENDS[1:]])
def test_every_network_written_by_one_backend_says_the_same_on_another(backend, tmp_path):
    """In both directions, after an epoch, so that batch norm has statistics."""
    for writer, reader in (("tensorflow", backend), (backend, "tensorflow")):
        (tmp_path / writer).mkdir()
        work("write", tmp_path / writer, writer)
        work("read", tmp_path / writer, reader)
        for name in NETWORKS:
            place = tmp_path / writer / name
            written, read = np.load(place / "said.npy"), np.load(place / f"said by {reader}.npy")
            assert np.ptp(written[:, 0]) > 100 * TOLERANCE, f"{name} says the same of every clip"
            np.testing.assert_allclose(
                read, written, atol=TOLERANCE, err_msg=f"{name}: written by {writer}, read by {reader}"
            )


@pytest.mark.slow
@pytest.mark.parametrize("backend", [installed(name) for name in BACKENDS[1:]])
def test_every_network_keeps_the_contracts_on_every_backend(backend):
    """Among them: eight clips are learnt by heart. On TensorFlow `tests/contracts` runs by itself."""
    file = HERE.parent / "contracts" / "test_model_contracts.py"
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
    assert json.loads((tmp_path / "found.json").read_text()) == {"one": 1, "two": 2}
    np.testing.assert_allclose(np.load(tmp_path / "two.npy"), np.load(tmp_path / "one.npy"), atol=TOLERANCE)


def test_several_devices_are_refused_where_keras_cannot_deal_to_them():
    if load_keras().backend.backend() == "jax":
        pytest.skip("JAX deals batches out")
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
    ("name", "precision"), [("vgg_small", "mixed_bfloat16"), ("vgg16_transfer", "mixed_float16")]
)
def test_mixed_precision_and_xla_learn_as_on_a_gpu(name, precision, monkeypatch):
    """What `device()` switches on where there is a GPU, on the CPU: float16 with its loss scaled, also where the base is frozen."""
    from quintet.classifiers.spectrogram import classifier as spectrogram

    monkeypatch.setattr(
        spectrogram, "device", lambda: Device("pretended", is_gpu=True, precision=precision, jit=True)
    )
    compiled, compile_network = [], spectrogram.compile_network
    monkeypatch.setattr(
        spectrogram,
        "compile_network",
        lambda model, *a, **k: (compile_network(model, *a, **k), compiled.append(model)),
    )
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
    assert type(compiled[0].optimizer).__name__ == (
        "LossScaleOptimizer" if precision == "mixed_float16" else "Adam"
    )
    assert member.new_network(pretrained=False).get_layer(
        "embedding"
    ).compute_dtype == precision.removeprefix("mixed_")
    assert all(np.isfinite(row["loss"]) for row in member.history_)
    assert (member.predict(X) == y).mean() > 0.9
