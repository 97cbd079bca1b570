"""Networks: published parameter counts, preprocessing equal to Keras, frozen bases and pretrained weights."""

import numpy as np
import pytest

from quintet.classifiers.networks.backend import building_context, load_keras
from quintet.classifiers.networks.registry import NETWORKS, PRETRAINED, build_defaults, build_network
from quintet.classifiers.registry import MEMBERS, make_member, member_entry, require_weights
from quintet.classifiers.spectrogram.fitting import forward
from quintet.errors import ArtefactError, ConfigError
from quintet.pipeline.recipe import load_recipe, shipped_recipes
from quintet.pipeline.runner import run_recipe
from quintet.training.settings import TrainSettings
from quintet.training.train import train

RANDOM = {"weights": "random"}


def network(name, shape, n_outputs=7, seed=0, **settings):
    return build_network(
        name, shape, n_outputs, multilabel=False, seed=seed, precision="float32", settings=settings
    )


def trainable(built):
    return sum(int(np.prod(variable.shape)) for variable in built.trainable_variables)


def conv(n_in, n_out, *size, bias=True):
    return int(np.prod(size)) * n_in * n_out + n_out * bias


def test_the_registry_lists_every_network():
    assert [row.name for row in MEMBERS if row.input == "spectrogram"] == list(NETWORKS)


@pytest.mark.parametrize("name", ["vgg16_transfer", "vgg16_fine_tune"])
def test_vgg16_has_the_published_number_of_weights(name):
    expected = {"vgg16_transfer": 9_441_287, "vgg16_fine_tune": 24_155_975}[name]
    assert (
        trainable(network(name, (96, 431), **RANDOM))
        == member_entry(name).parameters
        == member_entry(name).published
        == expected
    )


SHAPES = {  # bands, outputs
    "vgg_small": (96, 7),
    "musicnn": (96, 50),
    "musicnn_vgg": (96, 50),
    "musicnn_vgg_transfer": (96, 50),
    "pons2017": (96, 50),
    "crnn": (96, 10),
    "folmer_cnn": (90, 10),
    "densenet121": (90, 10),
    "feed_forward": (96, 7),
    "lachmish_mel": (128, 10),
    "lachmish_mfcc": (128, 10),
}
LARGE = ("densenet121", "feed_forward", "lachmish_mel", "lachmish_mfcc")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in LARGE else []) for name in SHAPES]
)
def test_the_registry_states_the_size_of_every_network(name):
    bands, n_outputs = SHAPES[name]
    row = member_entry(name)
    built = network(
        name,
        (bands, row.settings.get("patch_frames", 128)),
        n_outputs,
        **(RANDOM if name in PRETRAINED else {}),
    )
    assert trainable(built) == row.parameters
    assert row.published is None or row.parameters // 1000 * 1000 == row.published


def test_feed_forward_has_dense_layers_of_512_and_32_units():
    expected = conv(24 * 24 * 3, 512, 1) + conv(512, 32, 1) + conv(32, 7, 1)
    assert trainable(network("feed_forward", (96, 431), size=24)) == expected


def test_pons2017_has_the_weights_of_its_paper():
    filters = [(7, 86, 16), (3, 86, 32), (1, 86, 64), (7, 38, 16), (3, 38, 32), (1, 38, 64)]
    rhythms = [(165, 16), (128, 32), (64, 64), (32, 128)]
    front = (
        sum(conv(1, n, a, b) + 2 * n for a, b, n in filters)
        + sum(conv(1, n, a) + 2 * n for a, n in rhythms)
        + 2
    )
    back = conv(224 + 240, 512, 7) + 2 * conv(512, 512, 7) + 3 * 2 * 512
    end = conv(1024, 500, 1) + 2 * 500 + conv(500, 50, 1)
    assert trainable(network("pons2017", (96, 646), 50)) == front + back + end


def test_musicnn_has_the_787_thousand_weights_of_the_small_published_variant():
    front = (
        sum(conv(1, 204, 7, bands) + 2 * 204 for bands in (38, 67))
        + sum(conv(1, 51, n) + 2 * 51 for n in (128, 64, 32))
        + 2
    )
    middle = conv(561, 64, 7) + 2 * conv(64, 64, 7) + 3 * 2 * 64
    end = 2 * 1506 + conv(1506, 200, 1) + 2 * 200 + conv(200, 50, 1)
    built = network("musicnn", (96, 187), 50)
    assert trainable(built) == front + middle + end
    assert round(trainable(built) / 1000) == 787


def test_crnn_folmer_and_lachmish_are_as_described():
    crnn = (
        conv(1, 32, 3, 3, bias=False)
        + conv(32, 64, 3, 3, bias=False)
        + 2 * conv(64, 64, 3, 3, bias=False)
        + 2 * (32 + 3 * 64)
    )
    crnn += 3 * 32 * (2 * 64 // 2 + 32 + 2) + 3 * 32 * (32 + 32 + 2)  # per gate: inputs, state, two biases
    assert trainable(network("crnn", (96, 128), 10)) == crnn + conv(32, 10, 1)
    folmer = conv(1 * 3, 32, 3, 3, bias=False) + conv(32, 64, 3, 3, bias=False) + 2 * (32 + 64)
    assert trainable(network("folmer_cnn", (90, 259), 10)) == folmer + conv(14 * 14 * 64, 128, 1) + conv(
        128, 10, 1
    )
    convolutions = conv(1, 149, 4, 4) + conv(149, 73, 4, 4) + conv(73, 35, 4, 4)
    for name, bands in (("lachmish_mel", 5), ("lachmish_mfcc", 4)):
        built = network(name, (128, 599), 10, units=64)
        assert trainable(built) == convolutions + conv(35 * bands * 35, 64, 1) + conv(64, 10, 1)
        n_steps = [built.get_layer(f"pool{k}").output.shape[1] for k in (1, 2, 3)]
        assert n_steps == [149, 73, 35]  # equal to the numbers of filters


@pytest.mark.slow
def test_densenet121_has_the_base_of_its_paper():
    built = network("densenet121", (90, 259), 10, **RANDOM)
    assert built.count_params() == 7_037_504 + conv(1024, 10, 1)
    assert trainable(built) == 6_953_856 + conv(1024, 10, 1)


def test_other_blocks_make_a_smaller_densenet_without_published_weights():
    growth, channels, weights = 32, 64, 7 * 7 * 3 * 64 + 2 * 64
    for k, layers in enumerate((2, 1, 1, 1)):
        for _ in range(layers):
            weights += 2 * channels + channels * 4 * growth + 2 * 4 * growth + 9 * 4 * growth * growth
            channels += growth
        weights += 2 * channels
        if k < 3:  # the last block ends in its normalisation
            weights += channels * (channels // 2)
            channels = channels // 2
    built = network("densenet121", (90, 259), 10, **RANDOM, blocks=(2, 1, 1, 1), size=32)
    assert trainable(built) == weights + conv(channels, 10, 1)
    with pytest.raises(ConfigError, match=r"blocks of \[6, 12, 24, 16\]"):
        network("densenet121", (90, 259), 10, weights="imagenet", blocks=(2, 1, 1, 1))


@pytest.mark.parametrize(("order", "family"), [("bgr", "vgg16"), ("rgb", "densenet")])
def test_preprocessing_equals_that_of_keras(order, family):
    keras = load_keras()
    from quintet.classifiers.networks.images import imagenet_preprocessing

    rgb = np.random.default_rng(0).random((2, 5, 5, 3)).astype(np.float32)
    expected = getattr(keras.applications, family).preprocess_input(rgb * 255.0)
    np.testing.assert_allclose(np.asarray(imagenet_preprocessing(rgb, order=order)), expected, atol=1e-4)


def test_a_picture_has_low_bands_at_the_bottom_and_values_in_its_range():
    load_keras()
    from quintet.classifiers.networks.images import Picture

    patch = np.full((1, 4, 4), -9.0, np.float32)
    patch[0, 0] = 9.0  # the lowest band is bright
    paper = np.asarray(Picture(4, preprocessing="paper", order="rgb")(patch))
    np.testing.assert_allclose(paper[0, 3], [[0.5, 0.0, 0.0]] * 4, atol=1e-6)  # dark red at the bottom
    np.testing.assert_allclose(paper[0, 0], [[0.0, 0.0, 0.5]] * 4, atol=1e-6)  # dark blue elsewhere
    grey = np.asarray(Picture(4, preprocessing="imagenet", order="bgr")(patch))
    np.testing.assert_allclose(grey[0, 3, 0], 255.0 - np.array([103.939, 116.779, 123.68]), atol=1e-3)
    with pytest.raises(ConfigError, match="Did you mean 'imagenet'"):
        Picture(4, preprocessing="imagnet", order="bgr")


def test_jet_is_the_colour_map_of_matplotlib():
    colormaps = pytest.importorskip("matplotlib").colormaps
    load_keras()
    from quintet.classifiers.networks.images import jet

    v = np.linspace(0, 1, 51)
    actual = np.asarray(jet(v[:, None].astype(np.float32)))
    np.testing.assert_allclose(actual, colormaps["jet"](v)[:, :3], atol=0.02)  # matplotlib has 256 steps


def test_mfcc_are_the_orthonormal_cosine_transform_over_bands():
    load_keras()
    from scipy.fft import dct

    from quintet.classifiers.networks.lachmish import Cepstrum

    patches = np.random.default_rng(0).normal(size=(2, 128, 9)).astype(np.float32)
    expected = dct(patches, type=2, norm="ortho", axis=1)[:, :13]
    np.testing.assert_allclose(np.asarray(Cepstrum(13)(patches)), expected, atol=1e-5)


def test_initial_weights_depend_on_the_seed_only():
    weights = [network("crnn", (96, 32), seed=seed).get_weights() for seed in (1, 1, 2)]
    assert all(np.array_equal(a, b) for a, b in zip(weights[0], weights[1], strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(weights[0], weights[2], strict=True))


def test_building_restores_the_precision():
    keras = load_keras()
    with building_context(seed=0, precision="mixed_bfloat16"):
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert keras.config.dtype_policy().name == "float32"


def test_a_network_in_mixed_precision_ends_in_float32():
    built = build_network(
        "vgg_small", (32, 32), 3, multilabel=False, seed=0, precision="mixed_bfloat16", settings={"blocks": 2}
    )
    assert built.get_layer("block1_conv").compute_dtype == "bfloat16"
    assert built.output.dtype == "float32"


def pictures(n=10):
    rng = np.random.default_rng(0)
    return [rng.normal(-40, 5, size=(16, 20)).astype(np.float32) for _ in range(n)], np.arange(n) % 2


@pytest.mark.slow
def test_a_frozen_base_does_not_change_and_runs_once_per_patch(monkeypatch):
    X, y = pictures()
    calls = []
    from quintet.classifiers.spectrogram import batches, classifier

    def counted(model, inputs, *, batch_size):
        calls.append((model.output.shape[-1], len(inputs)))
        return forward(model, inputs, batch_size=batch_size)

    for module in (batches, classifier):
        monkeypatch.setattr(module, "forward", counted)
    settings = {"settings": {"weights": "random", "size": 32}, "patch_frames": 16, "epochs": 3}
    member = make_member("vgg16_transfer", **settings, learning_rate=1e-3).fit(X, y)

    initial = network("vgg16_transfer", (16, 16), 2, weights="random", size=32).get_weights()
    moved = [not np.array_equal(a, b) for a, b in zip(initial, member.weights_, strict=True)]
    # 13 convolutions with their biases, then two dense layers with theirs
    assert moved == [False] * 26 + [True] * 4
    with pytest.raises(ConfigError, match="Augmentation needs"):
        make_member("vgg16_transfer", **settings, augmentation={"mixup": 0.2}).fit(X, y)
    through_base = sum(n for width, n in calls if width == 512)
    n_validation = len(member.validation_)
    assert through_base == len(X) - n_validation + 2 * n_validation  # two patches per validation clip


@pytest.mark.slow
def test_the_base_learns_at_its_own_rate():
    X, y = pictures(8)
    settings = {
        "settings": {"weights": "random", "size": 32},
        "patch_frames": 16,
        "epochs": 1,
        "validation_share": 0.0,
        "learning_rate": 1e-3,
    }
    first = network("vgg16_fine_tune", (16, 16), 2, weights="random", size=32).get_weights()
    member = make_member("vgg16_fine_tune", **settings, base_rate=0.1).fit(X, y)
    moved = [np.abs(a - b).max() for a, b in zip(first, member.weights_, strict=True)]
    assert moved[0] == pytest.approx(1e-4, rel=0.02)  # Adam's first step is its rate
    assert moved[-2] == pytest.approx(1e-3, rel=0.02)
    with pytest.raises(ConfigError, match="base_rate needs"):
        make_member("vgg_small", base_rate=0.1, patch_frames=32, settings={"blocks": 2}).fit(X, y)


def test_a_base_reads_its_weights_from_a_file(tmp_path):
    base = network("vgg16_fine_tune", (16, 16), 2, seed=1, weights="random", size=32).get_layer("base")
    base.save_weights(tmp_path / "base.weights.h5")
    loaded = network(
        "vgg16_fine_tune", (16, 16), 2, seed=2, weights=str(tmp_path / "base.weights.h5"), size=32
    ).get_layer("base")
    np.testing.assert_array_equal(loaded.get_weights()[0], base.get_weights()[0])
    with pytest.raises(ArtefactError, match="there is no file"):
        network("vgg16_fine_tune", (16, 16), 2, weights=str(tmp_path / "none.h5"), size=32)


def test_a_file_without_the_base_is_refused(tmp_path):
    network("vgg_small", (32, 32), blocks=2).save_weights(tmp_path / "small.weights.h5")
    with pytest.raises(ArtefactError, match="holds the base"):
        network("vgg16_fine_tune", (16, 16), 2, weights=str(tmp_path / "small.weights.h5"), size=32)


def test_unobtainable_weights_are_refused_before_any_work(monkeypatch, tmp_path):
    load_keras()
    from quintet.classifiers.networks import images

    assert [name for name in NETWORKS if "weights" in build_defaults(name)] == list(PRETRAINED)
    for name in PRETRAINED:
        asked = TrainSettings(
            members=(name,), settings={name: {"weights": str(tmp_path / "gone.weights.h5")}}
        )
        with pytest.raises(ArtefactError, match="there is no file"):
            train(tmp_path / "no table yet.parquet", tmp_path / "model", settings=asked)
    monkeypatch.setattr(images, "keras_home", lambda: str(tmp_path))
    monkeypatch.setattr(images, "urlopen", unreachable)
    with pytest.raises(ArtefactError, match=r'no route.*weights="random"'):
        train(
            tmp_path / "no table yet.parquet",
            tmp_path / "model",
            settings=TrainSettings(members=("densenet121",)),
        )
    recipe = load_recipe(shipped_recipes()["bahuleyan2018"], data="demo")
    with pytest.raises(ArtefactError, match=r'no route.*weights="random"'):
        run_recipe(recipe, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
    require_weights(make_member("densenet121", weights="random"))


def unreachable(*args, **kwargs):
    raise OSError("no route")


def test_an_unreachable_download_is_refused_with_advice(monkeypatch, tmp_path):
    load_keras()
    from quintet.classifiers.networks import images

    monkeypatch.setattr(images, "urlopen", unreachable)
    monkeypatch.setattr(images, "keras_home", lambda: str(tmp_path))
    with pytest.raises(ArtefactError, match=r'no route.*weights="random"'):
        network("vgg16_transfer", (16, 16), 2, size=32)


def test_patches_that_are_too_small_are_refused():
    with pytest.raises(ConfigError, match=r"pons2017.*\(64, 40\)"):
        network("pons2017", (64, 40))
