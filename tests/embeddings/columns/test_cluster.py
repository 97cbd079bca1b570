"""Columns of pretrained networks on a dask cluster: the same table, or a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from quintet.datasets.manifest import Manifest
from quintet.datasets.source import load_source
from quintet.embeddings.columns import embedder
from quintet.embeddings.columns.networks import find_embedder, with_embeddings
from quintet.errors import ArtefactError, MachineError, MissingExtraError
from quintet.features.extraction import extract as extraction
from quintet.features.extraction.extract import Options, run_extraction
from quintet.features.extraction.worker import Job
from quintet.features.parameters import FeatureParameters

distributed = pytest.importorskip("distributed")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
HAND_MADE = FeatureParameters(feature_set="bahuleyan2018", families=("temporal",))


@pytest.fixture
def clips(tmp_path: Path) -> Manifest:
    rng = np.random.default_rng(0)
    for k in range(6):
        file = tmp_path / "music" / ("rock", "jazz")[k % 2] / f"{k}.wav"
        file.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(file, rng.normal(size=(2 + k) * 16000) / 9, 16000)
    return load_source(tmp_path / "music")


@pytest.fixture
def job(networks: Path) -> Job:
    parameters = with_embeddings(HAND_MADE, ("musicnn_msd", "musicnn_mtt"), 3)
    return Job(parameters, embedder=find_embedder(parameters))


@pytest.fixture
def scheduler() -> Iterator[str]:
    """A cluster of two processes that have no network open."""
    options: dict[str, Any] = {"threads_per_worker": 1, "dashboard_address": None, "silence_logs": 50}
    with distributed.LocalCluster(n_workers=2, **options) as cluster:
        yield cluster.scheduler_address


def test_a_cluster_gives_the_same_table(
    job: Job, clips: Manifest, scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extraction, "CHUNK_CLIPS", 2)
    summary = run_extraction(clips, tmp_path / "there.parquet", Options(job, scheduler=scheduler))
    run_extraction(clips, tmp_path / "here.parquet", Options(job, n_jobs=0))
    assert (summary.n_ok, summary.n_failed) == (6, 0)
    assert (tmp_path / "there.parquet").read_bytes() == (tmp_path / "here.parquet").read_bytes()


def test_workers_without_the_weights_end_the_run_with_a_sentence(
    job: Job, networks: Path, clips: Manifest, scheduler: str, tmp_path: Path
) -> None:
    target = tmp_path / "f.parquet"
    networks.rename(tmp_path / "elsewhere")
    with pytest.raises(ArtefactError, match=r"musicnn_msd.*on every machine"):
        run_extraction(clips, target, Options(job, scheduler=scheduler))
    assert not target.exists()
    (tmp_path / "elsewhere").rename(networks)
    assert run_extraction(clips, target, Options(job, scheduler=scheduler)).n_ok == 6


def test_workers_without_onnx_runtime_end_the_run_with_a_sentence(
    job: Job, clips: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_without_runtime(*_: object) -> None:
        raise MissingExtraError("A pretrained network", "embeddings")

    monkeypatch.setattr(embedder, "_open", open_without_runtime)
    options: dict[str, Any] = {"processes": False, "dashboard_address": None, "silence_logs": 50}
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, **options) as cluster,
        pytest.raises(MachineError, match=r"optional libraries.*quintet-music\[embeddings\]"),
    ):
        run_extraction(clips, tmp_path / "f.parquet", Options(job, scheduler=cluster.scheduler_address))
