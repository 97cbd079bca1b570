from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from numpy.typing import NDArray

import quintet
from quintet.auditing import AuditReport, audit, write_groups
from quintet.errors import DatasetError
from quintet.features.extraction.chunks import Progress
from quintet.features.storage.external_table import Roles, foreign_table
from quintet.features.storage.read import read_feature_table
from quintet.features.storage.table import FeatureTable

RATE = 44100
GTZAN = Path(__file__).parents[2] / "../shared/data/gtzan97/gtzan97.csv"


def test_an_audit_of_nothing_is_an_error(tmp_path: Path) -> None:
    """A report on no clips would say that nothing is wrong."""
    table = pd.DataFrame({"id": [], "label": [], "f": []}).astype({"id": "str", "label": "str"})
    with pytest.raises(DatasetError, match="at least one clip"):
        audit(foreign_table(table, Roles(), name="nothing"))
    (tmp_path / "empty.csv").write_text("path,label\n")
    with pytest.raises(DatasetError):
        audit(tmp_path / "empty.csv")
    with pytest.raises(DatasetError):
        audit(tmp_path)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, sounds: dict[str, NDArray[np.float64]]) -> Path:
    """Two classes: a flac copy in the other class, an mp3 copy, a silent file and a file without audio."""
    root = tmp_path_factory.mktemp("corpus")
    for label in ("tunes", "drums"):
        (root / label).mkdir()
    rounded = {name: np.round(32767 * samples).astype(np.int16) for name, samples in sounds.items()}
    for name, samples in rounded.items():
        soundfile.write(root / ("tunes" if "melody" in name else "drums") / f"{name}.wav", samples, RATE)
    soundfile.write(root / "drums" / "stray.flac", rounded["melody0"], RATE)
    soundfile.write(root / "tunes" / "copy.mp3", 0.5 * sounds["melody1"], RATE)
    soundfile.write(
        root / "drums" / "hushed.wav", np.append(rounded["kick0"], np.zeros(20 * RATE, np.int16)), RATE
    )
    soundfile.write(root / "tunes" / "silent.wav", np.zeros(RATE), RATE)
    (root / "drums" / "broken.wav").write_text("not audio")
    return root


@pytest.fixture(scope="module")
def report(corpus: Path) -> AuditReport:
    return audit(corpus)


def test_each_copy_is_a_pair_with_its_kind(report: AuditReport) -> None:
    found = {frozenset((r.first, r.second)): r.kind for r in report.pairs.itertuples()}
    assert found == {
        frozenset(("tunes/melody0.wav", "drums/stray.flac")): "same audio",
        frozenset(("tunes/melody1.wav", "tunes/copy.mp3")): "same recording",
        frozenset(("drums/kick0.wav", "drums/hushed.wav")): "same recording",
    }
    assert len(report.pairs_across_classes) == 1
    assert any(w.startswith("One label is wrong") and "stray.flac" in w for w in report.warnings)


def test_copies_share_a_group(report: AuditReport) -> None:
    group = report.groups.set_index("id")["group"]
    assert group["tunes/melody0.wav"] == group["drums/stray.flac"]
    assert group["tunes/melody1.wav"] == group["tunes/copy.mp3"]
    assert group.nunique() == len(group) - 3


def test_a_class_of_broken_files_is_named(tmp_path: Path, sounds: dict[str, NDArray[np.float64]]) -> None:
    for label in ("tunes", "noise"):
        (tmp_path / label).mkdir()
    soundfile.write(tmp_path / "tunes" / "a.wav", sounds["melody0"], RATE)
    (tmp_path / "noise" / "b.wav").write_text("not audio")
    assert "All rows of the class 'noise' are left out." in audit(tmp_path).notes


def test_unusable_clips_are_problems_and_have_no_facts(report: AuditReport) -> None:
    assert sorted(report.problems["id"]) == ["drums/broken.wav", "tunes/silent.wav"]
    assert not set(report.problems["id"]) & set(report.clips.index)
    assert report.oddities[["id", "kind"]].to_numpy().tolist()[:1] == [["drums/hushed.wav", "silent"]]


def test_a_recording_that_is_cut_short_is_used_and_named(tmp_path: Path) -> None:
    """The audit called unusable what `extract` and `train` use, and looked for no copies of it."""
    noise = 0.1 * np.random.default_rng(0).standard_normal((3, 6 * 11025))
    for name, samples in zip(("a/x.wav", "a/cut.wav", "b/y.wav"), noise[[0, 0, 1]], strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / name, samples, 11025)
    content = (tmp_path / "a/cut.wav").read_bytes()
    (tmp_path / "a/cut.wav").write_bytes(content[: len(content) * 8 // 10])
    table = tmp_path / "t.parquet"
    parameters = quintet.FeatureParameters(feature_set="bahuleyan2018", families=("temporal",))
    quintet.extract(tmp_path, table, parameters=parameters)
    for source in (tmp_path, table):
        report = audit(source)
        assert len(report.clips) == 3
        assert not len(report.problems)
        cut = report.oddities[report.oddities["kind"] == "cut short"]
        assert cut["id"].tolist() == ["a/cut.wav"]
        assert "4.80 s could be decoded" in cut["detail"].item()
        assert [set(pair) for pair in report.pairs[["first", "second"]].to_numpy().tolist()] == [
            {"a/x.wav", "a/cut.wav"}
        ]
    table.rename(tmp_path / "moved.parquet")
    (tmp_path / "a/cut.wav").unlink()
    assert audit(tmp_path / "moved.parquet").oddities["id"].tolist() == ["a/cut.wav"]


def test_a_file_whose_name_is_no_text_is_there(
    sounds: dict[str, NDArray[np.float64]], tmp_path: Path
) -> None:
    """It was counted among the files that are not there: it was looked for under the text of its name."""
    for name in ("a/y.wav", "b/x.wav"):
        (tmp_path / name).parent.mkdir()
        soundfile.write(tmp_path / name, sounds["melody0"], 11025)
    (tmp_path / "a/y.wav").rename(tmp_path / "a/caf\udce9.wav")
    parameters = quintet.FeatureParameters(feature_set="bahuleyan2018", families=("temporal",))
    quintet.extract(tmp_path, tmp_path / "t.parquet", parameters=parameters)
    (tmp_path / "b/x.wav").unlink()
    notes = " ".join(audit(tmp_path / "t.parquet").notes)
    assert "1 of 2 files of the table are not here" in notes


def test_equal_files_have_one_pair_each_with_the_first(
    sounds: dict[str, NDArray[np.float64]], tmp_path: Path
) -> None:
    (tmp_path / "tunes").mkdir()
    for name in ("a", "b", "c"):
        soundfile.write(tmp_path / "tunes" / f"{name}.wav", sounds["melody0"], RATE)
    pairs = audit(tmp_path).pairs
    assert pairs[["first", "second", "kind"]].to_numpy().tolist() == [
        ["tunes/a.wav", f"tunes/{k}.wav", "same audio"] for k in "bc"
    ]


def noises(
    root: Path, *, gains: tuple[float, float] = (1.0, 1.0), rates: tuple[int, int] = (16000, 16000)
) -> Path:
    """Two classes of 20 half seconds of noise each, at random levels, with another gain or rate if wanted."""
    rng = np.random.default_rng(0)
    for label, gain, rate in zip(("one", "two"), gains, rates, strict=True):
        (root / label).mkdir()
        for k in range(20):
            soundfile.write(
                root / label / f"{k}.wav",
                gain * 10 ** rng.uniform(-2, -1.5) * rng.normal(size=rate // 2),
                rate,
            )
    return root


@pytest.mark.parametrize(
    ("planted", "named"),
    [
        ({}, set()),
        pytest.param({"gains": (1.0, 8.0)}, {"loudness"}, marks=pytest.mark.slow),
        ({"rates": (16000, 22050)}, {"sample rate", "bandwidth cut-off"}),
    ],
)
def test_only_the_shortcut_in_the_corpus_has_a_warning(
    planted: dict[str, tuple[float, float]], named: set[str], tmp_path: Path
) -> None:
    found = audit(noises(tmp_path, **planted), fingerprints=False)  # type: ignore[arg-type]
    warned = set(found.shortcuts["signal"][found.shortcuts["warning"]])
    assert warned == (named | {"all together"} if named else set())
    sentences = [w for w in found.warnings if w.startswith("Shortcut: ")]
    assert len(sentences) == len(warned)
    assert all(any(signal in w for w in sentences) for signal in warned)


def test_the_report_is_plain_json_and_text(report: AuditReport) -> None:
    content = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert content["n"] == 17
    assert content["pairs"][0]["across_classes"] is True
    assert sum(len(ids) for ids in content["groups"].values()) == 6
    text = "\n".join(report.lines())
    for title in (
        "Classes",
        "Duplicates",
        "Odd clips",
        "Unusable",
        "AUC without any music",
        "Warnings",
    ):
        assert f"\n{title}" in text
    assert "melody0.wav" in text


def test_groups_are_written_as_a_table(report: AuditReport, tmp_path: Path) -> None:
    write_groups(report, tmp_path / "new" / "groups.csv")
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "new" / "groups.csv"), report.groups, check_dtype=False
    )


@pytest.mark.slow
def test_without_fingerprints_only_equal_audio_gives_pairs(corpus: Path) -> None:
    events: list[Progress] = []
    found = audit(corpus, fingerprints=False, progress=events.append)
    assert found.pairs["kind"].tolist() == ["same audio"]
    assert (events[-1].done, events[-1].total, events[-1].failed) == (19, 19, 2)


@pytest.mark.slow
def test_two_processes_give_the_same_report(corpus: Path, report: AuditReport) -> None:
    assert audit(corpus, n_jobs=2).to_json() == report.to_json()


def table_of(rows: NDArray[np.float64], **columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=[f"f{j}" for j in range(rows.shape[1])]).assign(**columns)


def test_duplicates_join_the_groups_of_an_external_table() -> None:
    rows = np.random.default_rng(0).normal(size=(6, 10))
    rows[4] = rows[1]
    frame = table_of(rows, id=list("abcdef"), label=list("xxyyyy"), group=["p", "p", "q", "q", "r", "r"])
    found = audit(foreign_table(frame, Roles(), name="elsewhere"))
    assert found.pairs[["first", "second", "kind", "across_classes"]].to_numpy().tolist() == [
        ["b", "e", "same row", True]
    ]
    assert found.groups["group"].tolist() == ["p", "p", "q", "q", "p", "p"]
    assert any(w.startswith("Duplicates in different groups: 1") for w in found.warnings)
    assert found.shortcuts.empty


def test_a_table_without_labels_has_its_failed_row_as_a_problem() -> None:
    rows = np.random.default_rng(0).normal(size=(4, 10))
    rows[2, 3] = np.nan
    found = audit(foreign_table(table_of(rows, id=list("abcd")), Roles(), name="bare"))
    assert found.problems["id"].tolist() == ["c"]
    assert found.balance.empty
    assert found.groups["id"].tolist() == ["a", "b", "d"]


@pytest.mark.real_data
@pytest.mark.skipif(not GTZAN.exists(), reason="needs ../shared/data")
def test_the_fourteen_pairs_of_gtzan() -> None:
    found = audit(read_feature_table(GTZAN, id_column="file_name", label_from=r"^([^.]+)"))
    assert len(found.pairs) == 14
    assert found.pairs_across_classes[["first", "second"]].to_numpy().tolist() == [
        ["metal.00058.wav", "rock.00016.wav"]
    ]
    assert found.groups["group"].nunique() == 999 - 14


@pytest.mark.slow
def test_a_table_of_two_hundred_classes_is_audited_within_a_minute_with_progress() -> None:
    """20,000 clips, of which a third are silent and share one row; every clip has facts of its file."""
    rng, n, n_classes = np.random.default_rng(0), 20_000, 200
    rows = rng.normal(size=(n, 40))
    rows[: n // 3] = 0.0
    numbers = np.arange(n) % n_classes
    labels = [f"class {k}" for k in numbers]
    groups = [f"artist {k // (5 * n_classes)} of {label}" for k, label in enumerate(labels)]
    ids = [f"clip {k}" for k in range(n)]
    table = foreign_table(table_of(rows, id=ids, label=labels, group=groups), Roles(), name="large")
    facts = {
        "duration_s": rng.normal(30, 1, n),
        "native_sample_rate": rng.choice([22050, 44100], n),
        "audio_digest": [f"xxh3:{k}" for k in range(n)],
    }
    steps: list[Progress] = []
    start = time.process_time()
    result = audit(FeatureTable(table.frame.assign(**facts), table.metadata), progress=steps.append)
    assert time.process_time() - start < 60
    assert [step.done for step in steps] == [1, 2, 3]
    assert len(result.pairs) == n // 3 - 1
    assert not result.shortcuts["warning"].any()
    assert (result.shortcuts["high"] - result.shortcuts["low"]).between(0.001, 0.03).all()
