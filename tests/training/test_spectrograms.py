"""The spectrograms of a run: those of the sound that the rows of its table describe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quintet.errors import ArtefactError
from quintet.features.parameters import FeatureParameters
from quintet.features.storage.external_table import Roles, foreign_table
from quintet.features.storage.spectrograms import SpectrogramWriter
from quintet.features.storage.table import FeatureTable
from quintet.training.settings import TrainSettings
from quintet.training.spectrograms import find_spectrograms

SETTINGS = TrainSettings(members=("folmer_cnn",))


def table(digests: list[str | None]) -> FeatureTable:
    frame = pd.DataFrame({"id": list("abc"), "label": list("xyx"), "f": [1.0, 2.0, 3.0]})
    foreign = foreign_table(frame, Roles(), name="t")
    return FeatureTable(foreign.frame.assign(audio_digest=digests), foreign.metadata)


def store(folder: Path, digests: list[str]) -> Path:
    parameters = FeatureParameters().log_mel
    with SpectrogramWriter(folder, parameters) as writer:
        for id, digest in zip("abc", digests, strict=True):
            writer.add(id, np.zeros((parameters.n_mels, 3), np.float32), digest)
    return folder


def test_spectrograms_of_another_sound_are_refused_and_counted(tmp_path: Path) -> None:
    folder = store(tmp_path / "s", ["xxh3:1", "xxh3:2", "xxh3:4"])
    rows = table(["xxh3:1", "xxh3:2", "xxh3:3"])
    with pytest.raises(ArtefactError, match=r"1 of 3 .* for example 'c'"):
        find_spectrograms(rows, rows, SETTINGS, folder)


@pytest.mark.parametrize("known", [["xxh3:1", "xxh3:2", "xxh3:3"], ["1", "0", "9"], [None, None, None]])
def test_digests_of_other_kinds_and_absent_ones_are_not_compared(
    tmp_path: Path, known: list[str | None]
) -> None:
    rows = table(known)
    found = find_spectrograms(rows, rows, SETTINGS, store(tmp_path / "s", ["xxh3:1", "xxh3:2", "xxh3:3"]))
    assert found is not None
    assert found.ids == ("a", "b", "c")
