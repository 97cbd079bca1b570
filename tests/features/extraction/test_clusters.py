"""Clips and tables at URLs, and a dask cluster: the same table as at home."""

from __future__ import annotations

import functools
import os
import pickle
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from quintet.audio.isolation import cluster as clusters
from quintet.datasets.manifest import Manifest
from quintet.datasets.source import load_source
from quintet.errors import ConfigError, MissingExtraError, QuintetError
from quintet.features.extraction import extract as extraction
from quintet.features.extraction.chunks import Progress
from quintet.features.extraction.extract import Options, run_extraction
from quintet.features.extraction.worker import Job
from quintet.features.parameters import FeatureParameters
from quintet.features.storage.read import read_feature_table
from quintet.workflow import extract

sys.path.insert(0, str(Path(__file__).parent))
import stand_ins

fsspec = pytest.importorskip("fsspec")
PARAMETERS = FeatureParameters(feature_set="bahuleyan2018", families=("temporal",))


def give(answer: object, **_: object) -> object:
    """The answer of a worker: a value, or an error."""
    if isinstance(answer, Exception):
        raise answer
    return answer


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    for k in range(6):
        stand_ins.tone(tmp_path / "corpus" / ("rock", "jazz")[k % 2] / f"{k:03d}.wav", k)
    return load_source(tmp_path / "corpus")


@pytest.fixture
def memory() -> Iterator[Any]:
    filesystem = fsspec.filesystem("memory")
    filesystem.store.clear()
    yield filesystem
    filesystem.store.clear()


def at(manifest: Manifest, prefix: str) -> Manifest:
    """The same clips under another address."""
    return Manifest(
        manifest.frame.assign(path=prefix + manifest.frame["path"]),
        manifest.name,
        manifest.root,
        False,
        False,
    )


class TestUrls:
    def test_clips_in_a_bucket_give_the_same_features(
        self, manifest: Manifest, tmp_path: Path, memory: Any
    ) -> None:
        for path in manifest.frame["path"]:
            memory.pipe_file(path, Path(path).read_bytes())
        extract(manifest, tmp_path / "here.parquet", parameters=PARAMETERS, n_jobs=0)
        extract(at(manifest, "memory://"), tmp_path / "there.parquet", parameters=PARAMETERS, n_jobs=0)
        here, there = (read_feature_table(tmp_path / f"{name}.parquet") for name in ("here", "there"))
        assert here.features.equals(there.features)
        assert here.meta["audio_digest"].equals(there.meta["audio_digest"])
        assert (
            extract(
                at(manifest, "memory://"), tmp_path / "there.parquet", parameters=PARAMETERS, n_jobs=0
            ).n_reused
            == 6
        )

    def test_workers_fetch_for_themselves(self, manifest: Manifest, tmp_path: Path) -> None:
        summary = extract(at(manifest, "file://"), tmp_path / "f.parquet", parameters=PARAMETERS, n_jobs=1)
        assert (summary.n_ok, summary.n_failed) == (6, 0)
        Path(manifest.frame["path"][0]).unlink()
        Path(manifest.frame["path"][1]).write_bytes(b"")
        summary = extract(at(manifest, "file://"), tmp_path / "f.parquet", parameters=PARAMETERS, n_jobs=1)
        assert (summary.n_ok, summary.n_reused) == (4, 4)
        gone, empty = summary.failures["reason"]
        assert gone == f"The file must exist. file://{manifest.frame['path'][0]} does not. Check the address."
        assert (
            f"'file://{manifest.frame['path'][1]}' is empty" in empty
        )  # the address, not the name of a temporary copy

    def test_a_table_at_a_url_is_made_and_taken_up_again(
        self, manifest: Manifest, tmp_path: Path, memory: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("QUINTET_CACHE_DIR", str(tmp_path / "cache"))
        extract(manifest, tmp_path / "here.parquet", parameters=PARAMETERS, n_jobs=0)
        assert (
            extract(manifest, "memory://bucket/deep/f.parquet", parameters=PARAMETERS, n_jobs=0).output
            == "memory://bucket/deep/f.parquet"
        )
        assert memory.cat_file("/bucket/deep/f.parquet") == (tmp_path / "here.parquet").read_bytes()
        assert (
            extract(manifest, "memory://bucket/deep/f.parquet", parameters=PARAMETERS, n_jobs=0).n_reused == 6
        )
        assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []

    def test_an_interrupted_table_at_a_url_goes_on(
        self, manifest: Manifest, tmp_path: Path, memory: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("QUINTET_CACHE_DIR", str(tmp_path / "cache"))
        monkeypatch.setattr(extraction, "CHUNK_CLIPS", 1)

        def interrupt(progress: Progress) -> None:
            if progress.done == 3:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            extract(
                manifest, "memory://bucket/f.parquet", parameters=PARAMETERS, n_jobs=0, progress=interrupt
            )
        assert not memory.exists("/bucket/f.parquet")
        assert extract(manifest, "memory://bucket/f.parquet", parameters=PARAMETERS, n_jobs=0).n_reused == 3

    def test_an_address_costs_its_row_and_not_the_run(self, tmp_path: Path) -> None:
        """Attack A8: one of these addresses ended the extraction, and no table was written."""
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            port = closed.getsockname()[1]
        paths = [stand_ins.tone(tmp_path / f"{k}.wav", k) for k in range(2)]
        paths += [
            *(
                "foo://x/y.wav",
                "s3://bucket/key.wav",
                "gs://bucket/key.wav",
                "zip://a.wav::file:///etc/passwd",
            ),
            *(
                f"ftp://127.0.0.1:{port}/a.wav",
                f"http://127.0.0.1:{port}/a.wav",
                "http://",
                "https://[x/a.wav",
            ),
            *("file:///dev/zero", "file:///etc/passwd", "memory://nowhere.wav", "az://b/c.wav"),
        ]
        frame = pd.DataFrame({"path": [str(path) for path in paths], "label": "rock"})
        frame.to_csv(tmp_path / "list.csv", index=False)
        manifest = load_source(tmp_path / "list.csv")
        summary = extract(manifest, tmp_path / "f.parquet", parameters=PARAMETERS, n_jobs=0)
        assert summary.n_ok == 2
        assert summary.failures["path"].tolist() == paths[2:]
        assert all(summary.failures["reason"].str.len() > 30)

    def test_what_cannot_be_is_refused(self, manifest: Manifest, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="local folder"):
            extract(manifest, tmp_path / "f.parquet", parameters=PARAMETERS, spectrograms="s3://bucket/store")
        with pytest.raises(ConfigError, match="scheme that fsspec knows"):
            extract(manifest, "nosuch://bucket/f.parquet", parameters=PARAMETERS)


class TestCluster:
    def test_errors_come_whole_from_another_process(self) -> None:
        error = pickle.loads(pickle.dumps(MissingExtraError("A search", "tune")))
        assert (str(error), error.extra) == (str(MissingExtraError("A search", "tune")), "tune")

    def test_no_scheduler_is_said(
        self, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        distributed = pytest.importorskip("distributed")

        def unreachable(*_: object, **__: object) -> None:
            raise OSError("Timed out")

        monkeypatch.setattr(distributed, "Client", unreachable)
        with pytest.raises(ConfigError, match=r"None does at tcp://nowhere:1 \(Timed out\)"):
            extract(manifest, tmp_path / "f.parquet", parameters=PARAMETERS, scheduler="tcp://nowhere:1")

    @pytest.mark.filterwarnings("ignore")
    def test_a_cluster_that_would_never_answer_says_so(
        self, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without workers; with workers that have no quintet, or another one."""
        distributed = pytest.importorskip("distributed")
        monkeypatch.setattr(clusters, "WORKERS_S", 0.3)
        options = {"threads_per_worker": 1, "processes": False, "dashboard_address": None, "silence_logs": 50}
        start = time.monotonic()
        for n_workers, question, match in (
            (0, None, "must have workers"),
            (1, ModuleNotFoundError("No module named 'quintet'"), "cannot import"),
            (1, "0.0.7", "0.0.7"),
        ):
            with distributed.LocalCluster(n_workers=n_workers, **options) as cluster:
                if question is not None:
                    answer = SimpleNamespace(result=functools.partial(give, question))
                    monkeypatch.setattr(distributed.Client, "submit", lambda *_, a=answer, **__: a)
                with pytest.raises(ConfigError, match=match):
                    extract(
                        manifest,
                        tmp_path / "f.parquet",
                        parameters=PARAMETERS,
                        scheduler=cluster.scheduler_address,
                    )
        assert time.monotonic() - start < 3 * 15

    @pytest.mark.filterwarnings("ignore")
    def test_a_lost_scheduler_says_that_the_same_command_goes_on(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        distributed = pytest.importorskip("distributed")
        monkeypatch.setattr(extraction, "CHUNK_CLIPS", 1)
        for k in range(8):
            stand_ins.tone(tmp_path / "corpus" / ("rock", "jazz")[k % 2] / f"slow{k:03d}.wav", k)
        manifest, job = load_source(tmp_path / "corpus"), Job(PARAMETERS, load=stand_ins.load)
        cluster = distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, silence_logs=50
        )
        address = cluster.scheduler_address

        def lose(progress: Progress) -> None:
            if progress.done >= 3:
                cluster.close()

        with pytest.raises(QuintetError, match="same command"):
            run_extraction(manifest, tmp_path / "f.parquet", Options(job, scheduler=address, progress=lose))
        summary = run_extraction(manifest, tmp_path / "f.parquet", Options(job, n_jobs=0))
        assert summary.n_ok == 8
        assert summary.n_reused >= 3

    @pytest.mark.slow
    @pytest.mark.filterwarnings("ignore")
    def test_a_killed_worker_loses_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        distributed = pytest.importorskip("distributed")
        monkeypatch.setattr(extraction, "CHUNK_CLIPS", 2)
        for k in range(60):
            stand_ins.tone(tmp_path / "corpus" / ("rock", "jazz")[k % 2] / f"slow{k:03d}.wav", k)
        manifest, job = load_source(tmp_path / "corpus"), Job(PARAMETERS, load=stand_ins.load)
        killed: list[int] = []
        with distributed.LocalCluster(
            n_workers=3, threads_per_worker=1, dashboard_address=None, silence_logs=50
        ) as cluster:

            def kill(progress: Progress) -> None:
                if progress.done > 15 and not killed:
                    killed.append(next(iter(cluster.workers.values())).pid)
                    os.kill(killed[0], signal.SIGKILL)

            summary = run_extraction(
                manifest,
                tmp_path / "there.parquet",
                Options(job, scheduler=cluster.scheduler_address, progress=kill),
            )
        run_extraction(manifest, tmp_path / "here.parquet", Options(job, n_jobs=0))
        assert killed
        assert summary.n_ok == 60
        assert (tmp_path / "there.parquet").read_bytes() == (tmp_path / "here.parquet").read_bytes()

    @pytest.mark.filterwarnings("ignore")
    def test_gives_the_same_table(
        self, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        distributed = pytest.importorskip("distributed")
        monkeypatch.setattr(extraction, "CHUNK_CLIPS", 2)
        stand_ins.tone(tmp_path / "corpus" / "rock" / "memory.wav", 0)
        manifest, job = load_source(tmp_path / "corpus"), Job(PARAMETERS, load=stand_ins.load)
        with distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None, silence_logs=50
        ) as cluster:
            summary = run_extraction(
                manifest, tmp_path / "there.parquet", Options(job, scheduler=cluster.scheduler_address)
            )
        run_extraction(manifest, tmp_path / "here.parquet", Options(job, n_jobs=0))
        assert (summary.n_ok, summary.n_failed) == (6, 1)
        assert (tmp_path / "there.parquet").read_bytes() == (tmp_path / "here.parquet").read_bytes()
