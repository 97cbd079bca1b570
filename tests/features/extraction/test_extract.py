"""Many clips: one row each whatever happens, resumed to the byte, and nothing done twice."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import soundfile

from quintet.audio.decode import load_clip
from quintet.datasets.manifest import Manifest
from quintet.datasets.source import load_source
from quintet.errors import ArtefactError, ConfigError, DatasetError
from quintet.features.describe import describe
from quintet.features.extraction import extract as extraction
from quintet.features.extraction.chunks import Progress
from quintet.features.extraction.extract import Options, run_extraction
from quintet.features.extraction.worker import Job
from quintet.features.parameters import FeatureParameters
from quintet.features.storage.read import read_feature_table
from quintet.features.storage.spectrograms import SpectrogramStore
from quintet.features.storage.table import FeatureTable, write_feature_table
from quintet.workflow import extract

sys.path.insert(0, str(Path(__file__).parent))
import stand_ins
from stand_ins import tone

PARAMETERS = FeatureParameters(feature_set="bahuleyan2018", families=("temporal", "spectral"))


def corpus_of(root: Path, n: int = 6) -> Path:
    for k in range(n):
        tone(root / ("rock", "jazz")[k % 2] / f"{k:03d}.wav", k)
    return root


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return corpus_of(tmp_path / "corpus")


def logged(**options: Any) -> Options:
    """Settings with which every decode is logged."""
    return Options(
        Job(PARAMETERS, log_mel="spectrograms" in options, load=stand_ins.load), **{"n_jobs": 0, **options}
    )


def test_one_row_per_clip_with_features_of_its_own(corpus: Path, tmp_path: Path) -> None:
    manifest = load_source(corpus)
    summary = extract(
        manifest, tmp_path / "f.parquet", parameters=PARAMETERS, spectrograms=tmp_path / "s", n_jobs=0
    )
    table, store = read_feature_table(tmp_path / "f.parquet"), SpectrogramStore(tmp_path / "s")
    assert (summary.n_ok, summary.n_failed, summary.n_reused) == (6, 0, 0)
    assert table.frame["id"].tolist() == manifest.frame["id"].tolist()
    assert table.parameters == PARAMETERS
    for id, path in zip(manifest.frame["id"], manifest.frame["path"], strict=True):
        decoded = load_clip(path, sample_rate=22050)
        expected = describe(decoded.clip, PARAMETERS, log_mel=True)
        assert table.features.loc[id].to_dict() == {
            name: np.float32(value) for name, value in expected.features.items()
        }
        assert table.meta.loc[id, "audio_digest"] == decoded.audio_digest
        assert table.meta.loc[id, "source_size"] == os.stat(path).st_size
        np.testing.assert_array_equal(store[id], expected.log_mel.astype(np.float16))
    assert not (tmp_path / "f.parquet.parts").exists()


def test_metadata_says_how_it_was_made(corpus: Path, tmp_path: Path) -> None:
    extract(load_source(corpus), tmp_path / "f.parquet", parameters=PARAMETERS, n_jobs=0)
    metadata = json.loads(pq.read_schema(tmp_path / "f.parquet").metadata[b"quintet"])
    assert metadata["parameter_hash"] == PARAMETERS.hash
    assert FeatureParameters(**metadata["parameters"]) == PARAMETERS
    assert {"quintet", "librosa", "numpy", "soundfile", "soxr"} <= set(metadata["versions"])
    assert (metadata["schema_version"], metadata["dataset"], metadata["multilabel"], metadata["grouped"]) == (
        1,
        "corpus",
        False,
        False,
    )


def test_number_of_jobs_does_not_matter(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extraction, "CHUNK_CLIPS", 2)
    manifest = load_source(corpus)
    for jobs in (0, 1, 2):
        extract(
            manifest,
            tmp_path / f"{jobs}.parquet",
            parameters=PARAMETERS,
            spectrograms=tmp_path / f"{jobs}",
            n_jobs=jobs,
        )
    assert (
        (tmp_path / "0.parquet").read_bytes()
        == (tmp_path / "1.parquet").read_bytes()
        == (tmp_path / "2.parquet").read_bytes()
    )
    one, two = SpectrogramStore(tmp_path / "0"), SpectrogramStore(tmp_path / "2")
    assert set(one.ids) == set(two.ids)
    assert all(np.array_equal(one[id], two[id]) for id in one.ids)


class TestReuse:
    def run(self, corpus: Path, output: Path, **options: Any) -> extraction.ExtractionSummary:
        return run_extraction(load_source(corpus), output, logged(**options))

    def test_nothing_is_decoded_twice_and_nothing_written(self, corpus: Path, tmp_path: Path) -> None:
        output = tmp_path / "f.parquet"
        self.run(corpus, output)
        before = output.stat()
        assert self.run(corpus, output).n_reused == 6
        assert set(stand_ins.counts(corpus).values()) == {1}
        assert (output.stat().st_mtime_ns, output.stat().st_ino) == (before.st_mtime_ns, before.st_ino)

    def test_a_file_whose_name_is_no_text_is_read_once(self, corpus: Path, tmp_path: Path) -> None:
        """The file was looked for under the text of its name (caf\\xe9.wav), and so had always changed."""
        for path in sorted(corpus.glob("jazz/*.wav")):
            path.rename(path.with_name(f"caf\udce9{path.name}"))
        self.run(corpus, tmp_path / "f.parquet")
        assert self.run(corpus, tmp_path / "f.parquet").n_reused == 6

    def test_only_a_changed_file_is_read_again(self, corpus: Path, tmp_path: Path) -> None:
        output = tmp_path / "f.parquet"
        self.run(corpus, output)
        tone(corpus / "rock" / "000.wav", 99)
        assert self.run(corpus, output).n_reused == 5
        assert {name: n for name, n in stand_ins.counts(corpus).items() if n > 1} == {"000.wav": 2}
        fresh = tmp_path / "fresh.parquet"
        self.run(corpus, fresh)
        assert output.read_bytes() == fresh.read_bytes()

    def test_clips_come_and_go(self, corpus: Path, tmp_path: Path) -> None:
        output, fresh = tmp_path / "f.parquet", tmp_path / "fresh.parquet"
        self.run(corpus, output)
        (corpus / "rock" / "002.wav").unlink()
        tone(corpus / "jazz" / "000.wav", 50)
        assert self.run(corpus, output).n_reused == 5
        self.run(corpus, fresh)
        assert output.read_bytes() == fresh.read_bytes()

    def test_labels_groups_and_splits_are_the_manifest_s(self, corpus: Path, tmp_path: Path) -> None:
        output, manifest = tmp_path / "f.parquet", load_source(corpus)
        run_extraction(manifest, output, logged())
        frame = manifest.frame.assign(label="polka", group="all", split="test")
        run_extraction(Manifest(frame, "other", manifest.root, False, True), output, logged())
        table = read_feature_table(output)
        assert set(table.meta["label"]) == {"polka"}
        assert set(table.meta["group"]) == {"all"}
        assert set(table.meta["split"]) == {"test"}
        assert (table.metadata["dataset"], table.grouped) == ("other", True)
        assert set(stand_ins.counts(corpus).values()) == {1}

    def test_another_window_of_the_same_name_is_another_clip(self, corpus: Path, tmp_path: Path) -> None:
        for end in (0.3, 0.2):
            (corpus / "w.csv").write_text(
                f"id,path,label,start,end\nx,rock/000.wav,rock,0,{end}\ny,rock/000.wav,rock,0,0.25\n"
            )
            summary = run_extraction(load_source(corpus / "w.csv"), tmp_path / "f.parquet", logged())
        assert summary.n_reused == 1
        assert read_feature_table(tmp_path / "f.parquet").meta["duration_s"].round(3).tolist() == [0.2, 0.25]

    def test_other_parameters_make_everything_stale(self, corpus: Path, tmp_path: Path) -> None:
        output = tmp_path / "f.parquet"
        self.run(corpus, output)
        other = FeatureParameters(feature_set="bahuleyan2018", hop_length=256)
        summary = run_extraction(
            load_source(corpus), output, Options(Job(other, load=stand_ins.load), n_jobs=0)
        )
        assert summary.n_reused == 0
        assert "Other parameters than before" in summary.notes[0]
        assert read_feature_table(output).parameters == other
        assert set(stand_ins.counts(corpus).values()) == {2}

    def test_rows_with_digests_of_an_earlier_version_are_made_again(
        self, corpus: Path, tmp_path: Path
    ) -> None:
        output, fresh = tmp_path / "f.parquet", tmp_path / "fresh.parquet"
        self.run(corpus, fresh)
        table = read_feature_table(fresh)
        digests = (
            table.frame["audio_digest"]
            .str.removeprefix("xxh3:")
            .where(table.frame.index < 2, table.frame["audio_digest"])
        )
        write_feature_table(FeatureTable(table.frame.assign(audio_digest=digests), table.metadata), output)
        summary = self.run(corpus, output)
        assert summary.n_reused == 4
        assert "2 clips are extracted again" in summary.notes[0]
        pd.testing.assert_frame_equal(read_feature_table(output).frame, table.frame)

    def test_failures_are_tried_again_only_when_asked_or_changed(self, corpus: Path, tmp_path: Path) -> None:
        output = tmp_path / "f.parquet"
        tone(corpus / "rock" / "memory.wav", 0)
        assert self.run(corpus, output).n_failed == 1
        assert self.run(corpus, output).n_failed == 1
        assert stand_ins.counts(corpus)["memory.wav"] == 1
        assert self.run(corpus, output, retry_failed=True).n_failed == 1
        assert stand_ins.counts(corpus)["memory.wav"] == 2
        tone(corpus / "rock" / "memory.wav", 1, seconds=0.5)
        self.run(corpus, output)
        assert stand_ins.counts(corpus) == {f"{k:03d}.wav": 1 for k in range(6)} | {"memory.wav": 3}

    def test_spectrograms_asked_for_later_are_made(self, corpus: Path, tmp_path: Path) -> None:
        output, fresh = tmp_path / "f.parquet", tmp_path / "fresh.parquet"
        self.run(corpus, fresh)
        self.run(corpus, output)
        assert self.run(corpus, output, spectrograms=tmp_path / "s").n_reused == 0
        assert len(SpectrogramStore(tmp_path / "s")) == 6
        assert self.run(corpus, output, spectrograms=tmp_path / "s").n_reused == 6
        assert output.read_bytes() == fresh.read_bytes()

    def test_a_changed_file_replaces_its_spectrogram(self, corpus: Path, tmp_path: Path) -> None:
        for seconds in (0.4, 0.8):
            tone(corpus / "rock" / "000.wav", 7, seconds=seconds)
            self.run(corpus, tmp_path / "f.parquet", spectrograms=tmp_path / "s")
        assert SpectrogramStore(tmp_path / "s")["rock/000.wav"].shape[1] == 1 + int(22050 * 0.8) // 512

    def test_interrupted_it_goes_on_where_it_was(
        self, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(extraction, "CHUNK_CLIPS", 1)
        output, fresh = tmp_path / "f.parquet", tmp_path / "fresh.parquet"
        self.run(corpus, fresh, spectrograms=tmp_path / "s0")
        (corpus / "decoded.log").unlink()

        def interrupt(progress: Progress) -> None:
            if progress.done == 4:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            self.run(corpus, output, progress=interrupt, spectrograms=tmp_path / "s1")
        assert not output.exists()
        assert self.run(corpus, output, spectrograms=tmp_path / "s1").n_reused == 4
        assert set(stand_ins.counts(corpus).values()) == {1}
        assert output.read_bytes() == fresh.read_bytes()

    def test_parts_of_other_parameters_are_not_taken(
        self, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupt(progress: Progress) -> None:
            if progress.done:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            self.run(corpus, tmp_path / "f.parquet", progress=interrupt)
        other = replace(
            logged(), job=Job(FeatureParameters(feature_set="bahuleyan2018"), load=stand_ins.load)
        )
        assert run_extraction(load_source(corpus), tmp_path / "f.parquet", other).n_reused == 0
        assert read_feature_table(tmp_path / "f.parquet").features.shape == (6, 97)


class TestLedger:
    def test_every_bad_file_has_a_row_and_a_reason(self, corpus: Path, tmp_path: Path) -> None:
        bad = corpus / "rock"
        (bad / "empty.wav").write_bytes(b"")
        (bad / "text.wav").write_text("this is a text\n" * 100)
        soundfile.write(bad / "zero.wav", np.zeros(0), 22050)
        soundfile.write(bad / "short.wav", np.full(10, 0.1), 22050)
        soundfile.write(bad / "silent.wav", np.zeros(22050), 22050)
        soundfile.write(bad / "nan.wav", np.full(22050, np.nan, np.float32), 22050, subtype="FLOAT")
        (bad / "cut.wav").write_bytes((bad / "000.wav").read_bytes()[:5000])
        manifest, output = load_source(corpus), tmp_path / "f.parquet"
        summary = extract(manifest, output, parameters=PARAMETERS, n_jobs=0, strict=True)
        ledger = summary.failures.set_index(summary.failures["id"].str.removeprefix("rock/"))
        assert sorted(ledger.index) == [
            "cut.wav",
            "empty.wav",
            "nan.wav",
            "short.wav",
            "silent.wav",
            "text.wav",
            "zero.wav",
        ]
        assert ledger["stage"].isin(["decode", "check", "describe"]).all()
        assert ledger["error"].to_dict() | {"cut.wav": ""} == ledger["error"].to_dict() | {
            "cut.wav": "",
            "empty.wav": "DecodeError",
            "text.wav": "DecodeError",
            "silent.wav": "SilentError",
            "short.wav": "TooShortError",
            "nan.wav": "NonFiniteError",
        }
        assert ledger["reason"].str.endswith(".").all()
        assert summary.n_ok == 6
        assert len(read_feature_table(tmp_path / "f.parquet").failures) == 7

    def test_problems_of_the_manifest_are_rows(self, corpus: Path, tmp_path: Path) -> None:
        lines = [
            "path,label",
            "rock/000.wav,rock",
            "rock/000.wav,rock",
            "jazz/001.wav,",
            "gone.wav,rock",
            "jazz/003.wav,jazz",
        ]
        (corpus / "list.csv").write_text("\n".join(lines) + "\n")
        summary = extract(
            load_source(corpus / "list.csv"), tmp_path / "f.parquet", parameters=PARAMETERS, n_jobs=0
        )
        assert (summary.n_ok, summary.n_failed) == (2, 3)
        assert set(summary.failures["stage"]) == {"manifest"}
        assert summary.failures["reason"].str.len().min() > 10
        again = extract(
            load_source(corpus / "list.csv"), tmp_path / "f.parquet", parameters=PARAMETERS, n_jobs=0
        )
        assert (again.n_ok, again.n_failed, again.n_reused) == (2, 3, 2)
        (corpus / "list.csv").write_text(
            "\n".join(lines).replace("jazz/001.wav,", "jazz/001.wav,jazz") + "\n"
        )
        assert (
            extract(
                load_source(corpus / "list.csv"), tmp_path / "f.parquet", parameters=PARAMETERS, n_jobs=0
            ).n_ok
            == 3
        )

    def test_errors_that_are_not_ours_are_rows_too(self, corpus: Path, tmp_path: Path) -> None:
        tone(corpus / "rock" / "memory.wav", 0)
        tone(corpus / "rock" / "index.wav", 0)
        ledger = run_extraction(load_source(corpus), tmp_path / "f.parquet", logged()).failures.set_index(
            "error"
        )
        assert "not enough memory" in ledger.loc["MemoryError", "reason"]
        assert "IndexError: list index out of range" in ledger.loc["IndexError", "reason"]

    def test_windows_are_clips(self, corpus: Path, tmp_path: Path) -> None:
        (corpus / "w.csv").write_text(
            "path,label,start,end\n"
            "rock/000.wav,rock,0.1,0.3\nrock/000.wav,rock,0.2,0.4\nrock/000.wav,rock,5,6\n"
        )
        summary = extract(
            load_source(corpus / "w.csv"), tmp_path / "f.parquet", parameters=PARAMETERS, n_jobs=0
        )
        table = read_feature_table(tmp_path / "f.parquet")
        assert (summary.n_ok, summary.n_failed) == (2, 1)
        assert table.meta["duration_s"].round(3).tolist() == [0.2, 0.2]
        assert table.meta["audio_digest"].nunique() == 2

    @pytest.mark.parametrize("limit", [1, 0.2])
    def test_too_many_failures_end_the_run_and_keep_what_was_done(
        self, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: float
    ) -> None:
        monkeypatch.setattr(extraction, "CHUNK_CLIPS", 1)
        for name in ("memory1", "memory2"):
            tone(corpus / "rock" / f"{name}.wav", 0, seconds=0.39)  # the shortest come last
        manifest = load_source(corpus)
        with pytest.raises(
            DatasetError,
            match=r"At most 1(\.6)? clips may fail .*2 of 8 have, for example: There is not enough memory",
        ):
            run_extraction(manifest, tmp_path / "f.parquet", logged(max_failures=limit))
        assert run_extraction(manifest, tmp_path / "f.parquet", logged(max_failures=2)).n_reused == 8

    @pytest.mark.parametrize("limit", [-1, 1.5])
    def test_a_limit_that_cannot_be_is_refused(self, corpus: Path, tmp_path: Path, limit: float) -> None:
        with pytest.raises(ConfigError, match="max_failures"):
            extract(load_source(corpus), tmp_path / "f.parquet", parameters=PARAMETERS, max_failures=limit)


class TestRefusals:
    def test_an_output_that_is_something_else(self, corpus: Path, tmp_path: Path) -> None:
        pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "other.parquet")
        (tmp_path / "text.parquet").write_text("mine")
        for name, message in (("other", "another parquet file"), ("text", "is not readable")):
            with pytest.raises(ArtefactError, match=message):
                extract(load_source(corpus), tmp_path / f"{name}.parquet", parameters=PARAMETERS, n_jobs=0)
        assert (tmp_path / "text.parquet").read_text() == "mine"

    def test_two_runs_on_one_output(self, corpus: Path, tmp_path: Path) -> None:
        pytest.importorskip("fcntl")
        manifest, output = load_source(corpus), tmp_path / "f.parquet"

        def nested(progress: Progress) -> None:
            with pytest.raises(ArtefactError, match=f"process {os.getpid()}"):
                extract(manifest, output, parameters=PARAMETERS, n_jobs=0)

        assert extract(manifest, output, parameters=PARAMETERS, n_jobs=0, progress=nested).n_ok == 6

    def test_a_store_of_other_spectrograms(self, corpus: Path, tmp_path: Path) -> None:
        manifest = load_source(corpus)
        extract(
            manifest, tmp_path / "f.parquet", parameters=PARAMETERS, spectrograms=tmp_path / "s", n_jobs=0
        )
        other = PARAMETERS.model_copy(
            update={"log_mel": PARAMETERS.log_mel.model_copy(update={"n_mels": 40})}
        )
        with pytest.raises(ConfigError, match=r"n_mels \(96 there, 40 now\)"):
            extract(manifest, tmp_path / "g.parquet", parameters=other, spectrograms=tmp_path / "s", n_jobs=0)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"timeout_s": 0.0}, "positive"),
            ({"timeout_s": 1.0, "n_jobs": 0}, "this process"),
            ({"timeout_s": 1.0, "scheduler": "tcp://x:1"}, "a cluster"),
            ({"n_jobs": -1000}, "At least one job"),
        ],
    )
    def test_settings_that_contradict(
        self, corpus: Path, tmp_path: Path, settings: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(ConfigError, match=message):
            extract(load_source(corpus), tmp_path / "f.parquet", parameters=PARAMETERS, **settings)


def test_progress_counts_every_clip_once(corpus: Path, tmp_path: Path) -> None:
    tone(corpus / "rock" / "memory.wav", 0)
    seen: list[Progress] = []
    run_extraction(load_source(corpus), tmp_path / "f.parquet", logged(progress=seen.append))
    assert seen[0] == Progress(total=7)
    assert (seen[-1].done, seen[-1].failed, seen[-1].reused) == (7, 1, 0)
    assert seen[-1].audio_s == pytest.approx(6 * 0.4, abs=1e-3)
    seen.clear()
    run_extraction(load_source(corpus), tmp_path / "f.parquet", logged(progress=seen.append))
    assert seen == [Progress(total=7, done=7, reused=7, failed=1)]


def test_the_longest_are_begun_first(tmp_path: Path) -> None:
    for k, seconds in enumerate((0.4, 1.2, 0.8)):
        tone(tmp_path / "corpus" / "rock" / f"{k}.wav", k, seconds=seconds)
    run_extraction(load_source(tmp_path / "corpus"), tmp_path / "f.parquet", logged())
    assert (tmp_path / "corpus" / "decoded.log").read_text().split() == ["1.wav", "2.wav", "0.wav"]
