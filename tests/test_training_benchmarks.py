"""Benchmarks of training: they run, and refuse what they cannot measure."""

import importlib.util

import numpy as np
import pytest

from benchmarks import gpu, training


def has_cuda():
    return (
        importlib.util.find_spec("torch") is not None and importlib.import_module("torch").cuda.is_available()
    )


def test_the_products_of_vgg16_are_those_of_its_layers():
    layers = [(32, 3, 64), (32, 64, 64)]  # side, channels, filters
    layers += [(16, 64, 128), (16, 128, 128)]
    layers += [(8, 128, 256), (8, 256, 256), (8, 256, 256)]
    layers += [(4, 256, 512), (4, 512, 512), (4, 512, 512)]
    layers += [(2, 512, 512)] * 3
    by_hand = sum(side**2 * 9 * channels * filters for side, channels, filters in layers)
    assert gpu.products(32) == 6 * (by_hand + 512 * 512 + 512 * 7)


def test_vgg16_needs_15_3_thousand_million_multiplications_at_224():
    assert gpu.products(224) / 3e9 == pytest.approx(30.7, abs=0.05)


@pytest.mark.skipif(has_cuda(), reason="there is a GPU to measure")
def test_the_gpu_benchmark_is_refused_without_a_gpu():
    with pytest.raises(SystemExit, match=r"finds none here|pip install torch"):
        gpu.main([])


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torch is not installed: pip install torch"
)
def test_the_gpu_benchmark_can_be_rehearsed(tmp_path, capsys):
    gpu.main(["--rehearse", "--json", str(tmp_path / "found.json")])
    assert capsys.readouterr().out.startswith("REHEARSAL, no measurement")
    torch = importlib.import_module("torch")
    counted = sum(p.numel() for p in gpu.plain_network(torch, 216).parameters())
    assert counted == 24_155_975
    patches = np.random.default_rng(0).normal(0, 2, (2, 96, 431)).astype(np.float32)
    from quintet.classifiers.networks.images import Picture

    ours = np.asarray(Picture(32, preprocessing="imagenet", order="bgr")(patches))
    theirs = gpu.pictures(torch, torch.from_numpy(patches), 32).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(theirs, ours, atol=1e-2)  # of 255


@pytest.mark.slow
def test_the_training_benchmark_runs(tmp_path):
    store = training.write_store(tmp_path / "store", clips=16, seconds=6.0)
    found = training.measure(store, network="vgg_small", settings={"filters": 2, "epochs": 3}, rounds=1)
    assert found["time_ratio"]["median"] > 0
    assert found["patches_per_second"]["from_memory"] > 0
