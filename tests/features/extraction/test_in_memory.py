"""Clips described in memory are equal to the bit to an extraction that is read back from its files."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quintet.datasets.source import load_source
from quintet.features.extraction.chunks import Progress
from quintet.features.extraction.in_memory import collect_rows, describe_clips
from quintet.features.extraction.worker import Job
from quintet.features.parameters import FeatureParameters
from quintet.features.storage.read import read_feature_table
from quintet.features.storage.spectrograms import SpectrogramStore
from quintet.features.storage.table import table_digest
from quintet.workflow import extract

sys.path.insert(0, str(Path(__file__).parent))
from stand_ins import tone

PARAMETERS = FeatureParameters(feature_set="bahuleyan2018", families=("temporal", "spectral"))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Three usable clips, one file that is not audio, and one empty file."""
    for k in range(3):
        tone(tmp_path / "corpus" / ("rock", "jazz")[k % 2] / f"{k:03d}.wav", k)
    (tmp_path / "corpus" / "rock" / "notes.mp3").write_text("this is not audio")
    (tmp_path / "corpus" / "rock" / "empty.wav").write_bytes(b"")
    return tmp_path / "corpus"


@pytest.mark.parametrize("log_mel", [False, True])
def test_table_and_spectrograms_are_those_of_the_files(corpus: Path, tmp_path: Path, log_mel: bool) -> None:
    manifest, folder = load_source(corpus), tmp_path / "s" if log_mel else None
    extract(manifest, tmp_path / "f.parquet", parameters=PARAMETERS, spectrograms=folder, n_jobs=0)
    expected = read_feature_table(tmp_path / "f.parquet")
    rows = describe_clips(manifest, Job(PARAMETERS, log_mel=log_mel))
    result = collect_rows(manifest, PARAMETERS, rows)
    pd.testing.assert_frame_equal(result.table.frame, expected.frame, check_exact=True)
    pd.testing.assert_frame_equal(result.table.failures, expected.failures)
    assert result.table.metadata == expected.metadata
    assert table_digest(result.table) == table_digest(expected)
    assert len(result.table.failures) == 2
    assert set(result.spectrograms) == (set(SpectrogramStore(tmp_path / "s").ids) if log_mel else set())
    for id, spectrogram in result.spectrograms.items():
        stored = SpectrogramStore(tmp_path / "s")[id]
        assert (spectrogram.dtype, spectrogram.flags.c_contiguous) == (stored.dtype, True)
        np.testing.assert_array_equal(spectrogram, stored)


def test_progress_counts_every_clip(corpus: Path) -> None:
    events: list[Progress] = []
    describe_clips(load_source(corpus), Job(PARAMETERS), progress=events.append)
    assert [event.done for event in events] == list(range(6))
    assert (events[-1].total, events[-1].failed, events[-1].reused) == (5, 2, 0)
    assert events[-1].audio_s > 0
