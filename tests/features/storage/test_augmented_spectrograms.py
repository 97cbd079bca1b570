"""Augmented copies: made once from training clips only, always the same, and read by `fit` only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from quintet.audio.augment import AudioAugmentation
from quintet.audio.clip import Clip
from quintet.features.describe import describe
from quintet.features.extraction.chunks import Progress
from quintet.features.parameters import FeatureParameters, LogMelParameters
from quintet.features.storage.augmented_spectrograms import AugmentedSpectrograms, make_augmented_copies
from quintet.features.storage.spectrograms import SpectrogramStore, SpectrogramWriter

PARAMETERS = FeatureParameters(families=("temporal",), log_mel=LogMelParameters(n_mels=16))
LOUDER = AudioAugmentation(copies=2, gain_db=(6.0206, 6.0206))


@pytest.fixture
def clips(tmp_path: Path) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    for name in "abc":
        soundfile.write(tmp_path / f"{name}.wav", 0.1 * rng.standard_normal(11025), 22050, subtype="FLOAT")
    rows = [
        {
            "id": name,
            "path": str(tmp_path / f"{name}.wav"),
            "start": np.nan,
            "end": np.nan,
            "audio_digest": name,
        }
        for name in "abc"
    ]
    return pd.DataFrame(rows).set_index("id")


def made(clips: pd.DataFrame, folder: Path, **changes: object) -> dict[str, tuple[str, ...]]:
    return make_augmented_copies(
        clips, folder, **{"parameters": PARAMETERS, "augmentation": LOUDER, "seed": 0, **changes}
    )


def test_copies_are_the_clips_own_picture_changed(clips, tmp_path):
    of = made(clips, tmp_path / "copies")
    assert {id: len(names) for id, names in of.items()} == {"a": 2, "b": 2, "c": 2}
    samples, _ = soundfile.read(clips.loc["a", "path"], dtype="float32")
    plain = describe(Clip(samples, 22050), PARAMETERS, log_mel=True).log_mel
    np.testing.assert_allclose(
        SpectrogramStore(tmp_path / "copies")[of["a"][0]], plain + 6.0206, atol=0.05
    )  # twice as loud; float16


def test_copies_are_made_once_and_anew_where_something_changed(clips, tmp_path):
    made_now = []

    def note(progress: Progress) -> None:
        made_now.append(progress.done - progress.reused)

    first = made(clips, tmp_path / "copies", progress=note)
    assert made_now == [2, 4, 6]
    assert made(clips, tmp_path / "copies", progress=note) == first
    assert made_now == [2, 4, 6]
    made(clips.assign(audio_digest=["a", "changed", "c"]), tmp_path / "copies", progress=note)
    assert made_now == [2, 4, 6, 2]
    assert made(clips, tmp_path / "copies", seed=1) != first


def test_a_clip_takes_its_copies_with_it_and_shows_itself_alone(clips, tmp_path):
    with SpectrogramWriter(tmp_path / "store", PARAMETERS.log_mel) as writer:
        for k, id in enumerate("abc"):
            writer.add(id, np.full((16, 5), float(k)))
    of = made(clips.loc[["a", "c"]], tmp_path / "copies")
    every = AugmentedSpectrograms(
        SpectrogramStore(tmp_path / "store"), list("abc"), copies=SpectrogramStore(tmp_path / "copies"), of=of
    )
    assert len(every) == 3
    assert every[1].shape == (16, 5)
    fold = every[np.array([2, 1])]
    copies, origin = fold.copies
    assert fold.ids == ("c", "b")
    assert [name.partition("#")[0] for name in copies.ids] == ["c", "c"]
    assert origin.tolist() == [0, 0]
    assert [len(every[np.array([k])].copies[1]) for k in range(3)] == [2, 0, 2]


def test_copies_are_the_same_whatever_the_number_of_jobs_and_are_counted(clips, tmp_path):
    several = AudioAugmentation(copies=2, noise_db=(5, 30), gain_db=(-6, 6))
    told = []
    first = made(clips, tmp_path / "one", augmentation=several, progress=told.append)
    assert made(clips, tmp_path / "two", augmentation=several, n_jobs=2) == first
    one, two = SpectrogramStore(tmp_path / "one"), SpectrogramStore(tmp_path / "two")
    assert one.ids == two.ids == tuple(name for names in first.values() for name in names)
    for name in one.ids:
        np.testing.assert_array_equal(one[name], two[name])
    assert not np.array_equal(*(one[name] for name in first["a"]))  # each copy is another
    assert [(p.done, p.total, p.reused) for p in told] == [(2, 6, 0), (4, 6, 0), (6, 6, 0)]
    told.clear()
    made(
        clips.assign(audio_digest=["a", "changed", "c"]),
        tmp_path / "one",
        augmentation=several,
        progress=told.append,
    )
    assert [(p.done, p.total, p.reused) for p in told] == [(6, 6, 4)]
