"""Tables, splits and files of predictions as people have them, and what the commands make of each."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from typer.testing import CliRunner

from quintet import cli
from quintet.datasets.source import load_source
from quintet.features.storage.read import read_feature_table

FAST = ("-m", "logistic_regression", "--rules", "mean", "--resamples", "0", "--folds", "2")


def blobs(
    n: int = 90, n_classes: int = 3, n_features: int = 5, names: list[str] | None = None
) -> pd.DataFrame:
    """A table that can be learnt, its classes in turn."""
    rng, y = np.random.default_rng(0), np.arange(n) % n_classes
    means = 1.5 * rng.normal(size=(n_classes, n_features))
    frame = pd.DataFrame(rng.normal(size=(n, n_features)) + means[y])
    frame = frame.set_axis([f"f{j}" for j in range(n_features)], axis=1)
    frame.insert(0, "id", [f"clip{i:04d}" for i in range(n)])
    frame.insert(1, "label", [(names or [f"c{k}" for k in range(n_classes)])[k] for k in y])
    return frame


def call(*words: object) -> tuple[int, dict[str, object], str]:
    """Exit code, the object of `--json`, and what was printed for people, on one line."""
    done = CliRunner().invoke(cli.app, [*map(str, words), "--json"])
    error = "" if isinstance(done.exception, SystemExit | None) else f"Error: {done.exception}"
    content = json.loads(done.stdout) if done.stdout else {}
    return done.exit_code, content, " ".join([*done.stderr.split(), error])


class Run:
    """Trains on a table in a folder, and reads what came out."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = folder / "model"

    def train(self, frame: pd.DataFrame | Path, *options: object, index: bool = False) -> str:
        """Train; return the messages. The notes in the JSON and in the model are those on the terminal."""
        path = frame if isinstance(frame, Path) else self.folder / "table.csv"
        if isinstance(frame, pd.DataFrame):
            frame.to_csv(path, index=index)
        code, content, messages = call("train", path, "-o", self.model, "--overwrite", *FAST, *options)
        assert code == 0, messages
        notes = content["notes"]
        assert isinstance(notes, list)
        assert self.bundle().get("notes", []) == notes
        assert all(" ".join(note.split()) in messages for note in notes)
        return messages

    def bundle(self) -> dict[str, object]:
        content: dict[str, object] = json.loads((self.model / "bundle.json").read_text())
        return content

    def split(self) -> pd.DataFrame:
        return pd.read_parquet(self.model / "split.parquet")

    def predict(self, frame: pd.DataFrame) -> tuple[int, pd.DataFrame, str]:
        """Predictions of a table, read from the CSV that comes out, as text."""
        frame.to_csv(self.folder / "new.csv", index=False)
        output = self.folder / "out.csv"
        output.unlink(missing_ok=True)
        code, _, messages = call("predict", self.model, "--table", self.folder / "new.csv", "-o", output)
        rows = pd.read_csv(output, dtype=str, keep_default_na=False) if output.exists() else pd.DataFrame()
        return code, rows, messages


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_a_class_called_null_is_a_class(run: Run) -> None:
    run.train(blobs(names=["rock", "null", "jazz"]))
    assert run.bundle()["classes"] == ["jazz", "null", "rock"]
    assert len(run.split()) == 90


def test_artists_called_na_and_none_stay_whole(run: Run) -> None:
    artists = ["NA", "None", "Nan", "null", "Queen", "Air", "Can", "Yes", "Low", "Wire"]
    run.train(blobs().assign(group=[artists[(i // 3) % 10] for i in range(90)]))
    parts = run.split().groupby("group")["part"].nunique()
    assert sorted(parts.index) == sorted(artists)
    assert (parts == 1).all()


def test_ids_and_labels_with_zeros_stay_text_in_every_file(run: Run) -> None:
    frame = blobs(names=["01", "02", "03"]).assign(id=[f"{i:03d}" for i in range(90)])
    run.train(frame)
    assert run.bundle()["classes"] == ["01", "02", "03"]
    assert sorted(run.split()["id"]) == frame["id"].tolist()
    _, rows, _ = run.predict(frame)
    assert rows["file"].tolist() == frame["id"].tolist()
    assert set(rows["verdict"]) <= {"01", "02", "03"}


def test_whole_numbers_with_a_missing_label_are_the_numbers(run: Run) -> None:
    """Pandas writes such a column as 0.0, 1.0, 2.0 and an empty cell."""
    frame = blobs(names=["0.0", "1.0", "2.0"])
    frame.loc[7, "label"] = ""
    messages = run.train(frame)
    assert run.bundle()["classes"] == ["0", "1", "2"]
    assert "1 row of 90 is left out: 1 without a label (clip0007)" in messages
    assert "'0.0' is '0'" in messages


@pytest.mark.parametrize(
    "names",
    [["rock", "rock ", "jazz"], pytest.param(["Caf\u00e9", "Cafe\u0301", "rock"], marks=pytest.mark.slow)],
)
def test_spellings_are_joined_in_train_and_audit(run: Run, names: list[str]) -> None:
    assert "joined" in run.train(blobs(names=names))
    assert len(run.bundle()["classes"]) == 2  # type: ignore[arg-type]
    _, report, _ = call("audit", run.folder / "table.csv", "-q")
    assert len(report["balance"]) == 2  # type: ignore[arg-type]
    assert any("joined" in note for note in report["notes"])  # type: ignore[attr-defined]


def test_lists_with_zeros_and_without_suffix_find_every_clip(run: Run) -> None:
    names = [f"{i + 2:06d}" for i in range(90)]
    part = np.where(np.arange(90) % 5 == 0, "test", "train")
    options = []
    for name in ("train", "test"):
        pd.DataFrame({"id": np.array(names)[part == name]}).to_csv(run.folder / f"{name}.csv", index=False)
        options += ["--split-file", f"{name}={run.folder / name}.csv"]
    run.train(blobs().assign(id=[f"{name}.mp3" for name in names]), *options)
    assert run.split()["part"].value_counts().to_dict() == {"train": 72, "test": 18}


def test_the_row_number_of_a_sorted_table_is_no_feature(run: Run) -> None:
    """Six columns of noise: with the row number the AUC is .99, without it that of the plain table."""
    noise = np.random.default_rng(5).normal(size=(120, 6))
    frame = pd.DataFrame(noise, columns=[f"mfcc{i}" for i in range(6)])
    frame.insert(0, "id", [f"t{i}.wav" for i in range(120)])
    frame["label"] = np.repeat(["blues", "jazz", "rock"], 40)
    plain = run.train(frame)
    assert "Unnamed" not in plain
    area = json.loads((run.model / "scores.json").read_text())["oof"]["mean"]["scores"]["macro_auc"]["value"]
    assert area < 0.65
    assert "'Unnamed: 0'" in run.train(frame, index=True)
    again = json.loads((run.model / "scores.json").read_text())["oof"]["mean"]["scores"]["macro_auc"]["value"]
    assert again == area
    _, report, _ = call("audit", run.folder / "table.csv", "-q")
    assert any("'Unnamed: 0'" in note for note in report["notes"])  # type: ignore[attr-defined]
    assert report["row_order"]["tells_class"]  # type: ignore[index]


@pytest.mark.parametrize(
    "name", ["duration_s", *(pytest.param(name, marks=pytest.mark.slow) for name in ("error", "start"))]
)
def test_a_column_named_like_a_fact_is_a_feature(run: Run, name: str) -> None:
    assert name in run.train(blobs().rename(columns={"f0": name}))
    assert len(run.bundle()["feature_names"]) == 5  # type: ignore[arg-type]
    code, rows, _ = run.predict(blobs().rename(columns={"f0": name}))
    assert (code, len(rows)) == (0, 90)


def test_an_option_that_was_given_is_not_ignored(run: Run) -> None:
    frame = blobs()
    frame["id"] = [f"{label}.{i:05d}.wav" for i, label in enumerate(frame["label"])]
    frame["label"] = np.random.default_rng(0).integers(0, 2, 90)
    assert "'label' is not used" in run.train(frame, "--label-from", "^([^.]+)")
    assert run.bundle()["classes"] == ["c0", "c1", "c2"]


def test_the_roles_of_columns_are_kept_with_the_model(run: Run) -> None:
    frame = blobs().rename(columns={"label": "genre"}).assign(artist=[f"artist {i // 3}" for i in range(90)])
    run.train(frame, "--label-column", "genre", "--group-column", "artist")
    code, rows, _ = run.predict(frame)
    assert (code, len(rows)) == (0, 90)
    assert set(rows["status"]) == {"ok"}


def test_one_semicolon_among_ninety_labels_is_announced(run: Run) -> None:
    frame = blobs()
    frame.loc[3, "label"] = "c0;c1"
    assert "1 of 90 labels holds a ';' (clip0003: 'c0;c1')" in run.train(frame)
    assert run.bundle()["multilabel"]


def test_lists_in_a_parquet_file_are_label_sets(run: Run) -> None:
    labels = [["rock", "live"], ["jazz"]] * 30
    values = np.random.default_rng(0).normal(size=(60, 3))
    frame = pd.DataFrame(values, columns=list("xyz")).assign(
        id=[f"x{i}.wav" for i in range(60)], label=labels
    )
    frame.to_parquet(run.folder / "lists.parquet", index=False)
    run.train(run.folder / "lists.parquet")
    assert run.bundle()["classes"] == ["jazz", "live", "rock"]

    code, _, messages = call("extract", run.folder / "lists.parquet", "-o", run.folder / "f.parquet")
    assert code == 1
    assert "--column path=" in messages, "a manifest names files"
    noise = np.random.default_rng(1).normal(scale=0.1, size=(2, 4000))
    for k in range(2):
        soundfile.write(run.folder / f"x{k}.wav", noise[k], 8000)
    words = ("-o", run.folder / "f.parquet", "--column", "path=id", "--families", "temporal", "-j", 0)
    code, content, messages = call("extract", run.folder / "lists.parquet", *words)
    assert code == 0, messages
    assert content["classes"] == {"jazz": 1, "live": 1, "rock": 1}
    assert content["n_failed"] == 58
    table = read_feature_table(run.folder / "f.parquet")
    assert table.multilabel
    assert table.meta["label"].tolist() == ["rock;live", "jazz"]


def test_a_semicolon_in_the_name_of_a_folder_is_announced(run: Run) -> None:
    """Half of the clips lie in it, so it is no rare accident; the table and the page have the line, too."""
    for name in ("rock;pop", "jazz"):
        (run.folder / "music" / name).mkdir(parents=True)
        soundfile.write(run.folder / "music" / name / "a.wav", np.ones(100), 8000)
    manifest = load_source(run.folder / "music")
    assert manifest.multilabel
    assert any("1 of 2 labels holds a ';'" in note for note in manifest.ignored)
    words = ("-o", run.folder / "f.parquet", "--families", "temporal", "-j", 0)
    _, content, messages = call("extract", run.folder / "music", *words)
    assert "rock;pop" in messages
    assert any("rock;pop" in note for note in content["ignored"])  # type: ignore[attr-defined]
    assert any("rock;pop" in note for note in read_feature_table(run.folder / "f.parquet").metadata["notes"])


def test_other_tables_are_predicted_by_name(run: Run) -> None:
    plain = blobs()
    run.train(plain)
    _, first, _ = run.predict(plain)
    _, reordered, _ = run.predict(plain[["id", "label", "f4", "f3", "f2", "f1", "f0"]])
    pd.testing.assert_frame_equal(reordered, first)
    code, rows, messages = run.predict(plain.drop(columns="f2"))
    assert (code, len(rows)) == (1, 0)
    assert "'f2'" in messages
    _, extra, messages = run.predict(plain.assign(extra=1.0))
    pd.testing.assert_frame_equal(extra, first)
    assert "'extra'" in messages
    code, unlabelled, _ = run.predict(plain.assign(label=""))
    pd.testing.assert_frame_equal(unlabelled, first)
    assert (code, len(unlabelled)) == (0, 90)


def test_what_the_audit_does_not_look_at_is_said(run: Run) -> None:
    """Four artists are missing; one class lies in one group; most classes are too small for any shortcut."""
    frame = blobs().assign(group=[f"artist {i // 9}" for i in range(90)])
    frame.loc[frame["label"] == "c2", "group"] = "one"
    frame.loc[:3, "group"] = ""
    frame.to_csv(run.folder / "table.csv", index=False)
    _, report, _ = call("audit", run.folder / "table.csv", "-q")
    notes = "\n".join(report["notes"])  # type: ignore[arg-type]
    assert "4 of 90 clips have no group" in notes
    frame.assign(label=frame["id"]).to_csv(run.folder / "table.csv", index=False)
    _, report, _ = call("audit", run.folder / "table.csv", "-q")
    assert any("were not looked for" in note for note in report["notes"])  # type: ignore[attr-defined]


def predictions(n: int = 60) -> pd.DataFrame:
    """Predictions for three classes, mostly right."""
    rng, y = np.random.default_rng(0), np.arange(n) % 3
    z = rng.normal(size=(n, 3)) + 1.5 * np.eye(3)[y]
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    frame = pd.DataFrame({"clip_id": [f"a{i}" for i in range(n)], "label": [f"c{k}" for k in y]})
    return frame.assign(**{f"probability.c{k}": p[:, k] for k in range(3)})


def evaluate(frame: pd.DataFrame, folder: Path) -> tuple[int, dict[str, object], str]:
    frame.to_csv(folder / "p.csv", index=False)
    return call("evaluate", folder / "p.csv", "--resamples", 0)


def test_labels_that_are_no_class_are_counted(tmp_path: Path) -> None:
    known = predictions()
    frame = known.assign(label=known["label"].replace("c1", "techno"))
    code, content, _ = evaluate(frame, tmp_path)
    assert (code, content["n"], content["unknown"], content["unknown_labels"]) == (0, 40, 20, {"techno": 20})
    best = known.filter(like="probability").to_numpy().argmax(axis=1)
    n_right = int(((best == np.arange(60) % 3) & (np.arange(60) % 3 != 1)).sum())
    assert content["accuracy_with_unknown"] == pytest.approx(n_right / 60)
    printed = CliRunner().invoke(cli.app, ["evaluate", str(tmp_path / "p.csv"), "--resamples", "0"]).stdout
    assert "20 clips left out of all scores" in printed
    assert f"{n_right / 60:.3f}" in printed


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_class_that_is_named_twice_is_refused(tmp_path: Path, suffix: str) -> None:
    names = ["clip_id", "label", "probability.c0", "probability.c0", "probability.c2"]
    frame, file = predictions(), tmp_path / f"p.{suffix}"
    if suffix == "csv":
        frame.set_axis(names, axis=1).to_csv(file, index=False)
    else:
        pq.write_table(pa.Table.from_arrays([pa.array(frame[c]) for c in frame.columns], names=names), file)
    code, _, messages = call("evaluate", file)
    assert code == 1
    assert "twice" in messages
    assert "c0" in messages


def test_probabilities_of_two_decimals_are_read(tmp_path: Path) -> None:
    code, rounded, _ = evaluate(predictions().round(2), tmp_path)
    _, exact, _ = evaluate(predictions(), tmp_path)
    assert code == 0
    assert rounded["n"] == exact["n"] == 60
    gap = rounded["scores"]["log_loss"]["value"] - exact["scores"]["log_loss"]["value"]  # type: ignore[index]
    assert abs(gap) < 0.02


def test_labels_in_other_letters_are_named(tmp_path: Path) -> None:
    frame = predictions()
    code, _, messages = evaluate(frame.assign(label=frame["label"].str.upper()), tmp_path)
    assert code == 1
    assert "C0" in messages
    assert "c0" in messages


def test_labels_written_as_decimals_are_the_classes(tmp_path: Path) -> None:
    frame = predictions().rename(columns=lambda name: name.replace("probability.c", "probability."))
    code, content, _ = evaluate(frame.assign(label=frame["label"].str[1:] + ".0"), tmp_path)
    assert (code, content["n"], content["unknown"]) == (0, 60, 0)
    assert len(content["notes"]) == 1  # type: ignore[arg-type]


def test_a_class_without_a_name_is_refused(tmp_path: Path) -> None:
    """An empty name could not be told from no prediction, or from an empty set."""
    code, _, messages = evaluate(predictions().rename(columns={"probability.c0": "probability."}), tmp_path)
    assert code == 1
    assert "name" in messages
