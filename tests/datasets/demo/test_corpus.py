"""The demo corpus: complete or absent, reproducible, and harder by artist than at random."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest
import soundfile

from quintet.datasets.demo import corpus as module
from quintet.datasets.demo.corpus import pieces, render_demo, render_held_out
from quintet.datasets.demo.piece import render
from quintet.datasets.demo.styles import STYLES
from quintet.datasets.source import load_source
from quintet.datasets.splits.folds import grouped_folds
from quintet.datasets.splits.protocols import make_split
from quintet.errors import ConfigError


def digest(samples):
    return hashlib.sha256(samples.tobytes()).hexdigest()


@pytest.fixture
def quick(monkeypatch):
    """A quarter of a second of noise for every piece, and a count of the pieces."""
    rendered = []

    def noise(style, artist, *, seed, number):
        rendered.append(number)
        return np.random.default_rng([seed, number]).integers(-9_000, 9_000, 5_000).astype(np.int16)

    monkeypatch.setattr(module, "render", noise)
    return rendered


class TestSamples:
    def test_any_order_gives_the_same_bits(self):
        some = list(pieces(seed=0, per_style=2))[::3]
        forward = [digest(render(p.style, p.artist, seed=0, number=p.number)) for p in some]
        again = {p.number: p for p in pieces(seed=0, per_style=2)}
        backward = [
            digest(render(again[p.number].style, again[p.number].artist, seed=0, number=p.number))
            for p in reversed(some)
        ]
        assert forward == backward[::-1]
        assert len(set(forward)) == len(some)

    def test_another_seed_is_another_corpus(self):
        (a, *_), (b, *_) = list(pieces(seed=0, per_style=1)), list(pieces(seed=1, per_style=1))
        assert digest(render(a.style, a.artist, seed=0, number=a.number)) != digest(
            render(b.style, b.artist, seed=1, number=b.number)
        )

    @pytest.mark.parametrize("index", [0, 30, 60, 90, 120, 143])
    def test_level_and_length(self, index):
        piece = list(pieces(seed=0, per_style=24))[index]
        samples = render(piece.style, piece.artist, seed=0, number=piece.number)
        assert samples.dtype == np.int16
        assert 6 <= len(samples) / 22_050 <= 10
        assert -30 < 20 * np.log10(samples.std() / 32_767) < -16.9
        assert np.abs(samples.astype(int)).max() < 32_767

    def test_sound_has_not_changed_unless_the_version_has(self):
        """Golden numbers of version 1. The tolerance allows another processor, not another sound."""
        assert module.VERSION == 1
        found = []
        for index in (0, 40, 100):
            piece = list(pieces(seed=0, per_style=24))[index]
            samples = render(piece.style, piece.artist, seed=0, number=piece.number) / 32_767
            found.append((len(samples), float(samples.std()), float(np.diff(samples).std())))
        np.testing.assert_allclose(found, GOLDEN, rtol=1e-4)


GOLDEN = [
    (145097, 0.0923881, 0.0124956),
    (200954, 0.0741492, 0.0404715),
    (182007, 0.1382849, 0.0203557),
]  # samples, level, level of the differences


class TestPieces:
    def test_artists_and_guests_of_each_style(self):
        frame = pd.DataFrame(
            [(p.style, p.artist.name, p.artist.home, p.path) for p in pieces(seed=0, per_style=24)]
        )
        frame.columns = ["style", "artist", "home", "path"]
        assert len(frame) == 144
        assert frame["path"].is_unique
        assert frame["artist"].nunique() == 24
        assert (frame["home"] != frame["style"]).groupby(frame["style"]).sum().tolist() == [2] * 6
        assert frame.groupby("style")["artist"].nunique().tolist() == [6] * 6
        assert frame["artist"].value_counts().min() >= 5

    def test_number_of_pieces_does_not_change_them(self):
        few = {p.number: p.artist.name for p in pieces(seed=0, per_style=3)}
        many = {p.number: p.artist.name for p in pieces(seed=0, per_style=24)}
        assert few.items() <= many.items()


class TestFolder:
    def test_files_and_manifest(self, tmp_path):
        seen = []
        manifest = load_source(
            render_demo(
                tmp_path / "demo", pieces_per_style=1, progress=lambda done, total: seen.append((done, total))
            )
        )
        assert manifest.classes == tuple(STYLES)
        assert manifest.grouped
        assert manifest.frame["problem"].isna().all()
        assert seen == [(k, 6) for k in range(1, 7)]
        piece = next(pieces(seed=0, per_style=1))
        samples, rate = soundfile.read(manifest.frame["path"][0], dtype="int16")
        assert rate == 22_050
        np.testing.assert_array_equal(samples, render(piece.style, piece.artist, seed=0, number=piece.number))

    def test_rendered_once(self, tmp_path, quick):
        render_demo(tmp_path / "demo", pieces_per_style=2)
        assert len(quick) == 12
        render_demo(tmp_path / "demo", pieces_per_style=2)
        assert len(quick) == 12
        render_demo(tmp_path / "demo", pieces_per_style=2, seed=1)
        assert len(quick) == 24
        next((tmp_path / "demo" / "rock").iterdir()).unlink()
        render_demo(tmp_path / "demo", pieces_per_style=2, seed=1)
        assert len(quick) == 36
        assert len(list((tmp_path / "demo").rglob("*.flac"))) == 12

    def test_interrupted_rendering_leaves_nothing(self, tmp_path, quick):
        def stop(done, total):
            if done == 3:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            render_demo(tmp_path / "demo", pieces_per_style=1, progress=stop)
        assert list(tmp_path.iterdir()) == []

    def test_other_folders_are_left_alone(self, tmp_path, quick):
        (tmp_path / "mine.txt").write_text("precious")
        with pytest.raises(ConfigError, match="a folder of its own"):
            render_demo(tmp_path)
        assert (tmp_path / "mine.txt").read_text() == "precious"
        assert quick == []

    def test_a_file_beside_the_pieces_is_never_deleted(self, tmp_path, quick):
        render_demo(tmp_path / "demo", pieces_per_style=1)
        (tmp_path / "demo" / "rock" / "mine.txt").write_text("precious")
        assert render_demo(tmp_path / "demo", pieces_per_style=1)  # complete: nothing is written
        with pytest.raises(ConfigError, match=r"other content, such as 'mine\.txt'"):
            render_demo(tmp_path / "demo", pieces_per_style=1, seed=1)
        assert (tmp_path / "demo" / "rock" / "mine.txt").read_text() == "precious"

    def test_demo_by_name(self, tmp_path, quick, monkeypatch):
        monkeypatch.setenv("QUINTET_CACHE_DIR", str(tmp_path / "cache"))
        manifest = load_source("demo")
        assert (len(manifest), manifest.name, manifest.grouped) == (144, "demo", True)
        assert manifest.root == tmp_path / "cache" / "demo"
        split = make_split(manifest.frame["id"], manifest.frame["label"], manifest.frame["group"])
        assert split.grouped
        assert split.n_folds >= 3
        assert len(load_source(f"demo:{tmp_path / 'elsewhere'}")) == 144

    def test_held_out_pieces_are_by_other_artists(self, tmp_path, quick):
        held_out = load_source(render_held_out(tmp_path / "new"))
        corpus = {p.artist.name for p in pieces(seed=0, per_style=24)}
        assert held_out.classes == tuple(STYLES)
        assert not corpus & set(held_out.frame["group"])

    def test_nothing_to_render(self, tmp_path):
        with pytest.raises(ConfigError, match="at least one piece"):
            render_demo(tmp_path / "demo", pieces_per_style=0)


@pytest.mark.slow
def test_a_split_by_artist_is_harder_than_a_random_one(tmp_path):
    """Random forest on the set `full`: random folds score higher than folds by artist; both are below 1."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import roc_auc_score

    from quintet.audio.decode import load_clip
    from quintet.features.describe import describe
    from quintet.features.parameters import FeatureParameters

    frame = load_source(render_demo(tmp_path / "demo")).frame
    parameters = FeatureParameters(feature_set="full")
    x = np.array(
        [
            list(describe(load_clip(path, sample_rate=22_050).clip, parameters).features.values())
            for path in frame["path"]
        ]
    )
    y, accuracy, auc = frame["label"].to_numpy(str), {}, {}
    for name, units in (("random", frame["id"]), ("artist", frame["group"])):
        p = np.zeros((len(y), 6))
        for train, valid in grouped_folds(y, units.tolist(), n_splits=5, seed=0):
            p[valid] = (
                RandomForestClassifier(200, random_state=0).fit(x[train], y[train]).predict_proba(x[valid])
            )
        accuracy[name], auc[name] = (
            np.mean(np.unique(y)[p.argmax(axis=1)] == y),
            roc_auc_score(y, p, multi_class="ovr"),
        )
    assert accuracy["artist"] + 0.1 < accuracy["random"] < 0.97
    assert 0.45 < accuracy["artist"] < 0.85
    assert 0.8 < auc["artist"] < auc["random"] < 0.999
