"""The commands extract, train, report and predict from end to end, on a small folder of synthesised sound."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from typer.testing import CliRunner, Result

import quintet
from quintet.cli import app
from quintet.errors import QuintetError
from quintet.model_folder.folder import relist

RATE = 22050
FAST = [
    "--set",
    "random_forest.n_estimators=30",
    "--set",
    "xgboost.n_estimators=20",
    "--resamples",
    "50",
    "--folds",
    "3",
]


def tone(frequency: float, seed: int, *, noise: float) -> np.ndarray:
    """Two seconds of a decaying tone with overtones in noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(2 * RATE) / RATE
    wave = sum(np.sin(2 * np.pi * frequency * k * t + rng.uniform(0, 6)) / k for k in (1, 2, 3))
    return (0.2 * wave * np.exp(-t * rng.uniform(0.2, 1.5)) + noise * rng.normal(size=t.size)).astype(
        np.float32
    )


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of twelve clips by six artists, two broken files and a text."""
    root = tmp_path_factory.mktemp("music")
    for k, (label, base) in enumerate((("flute", 900.0), ("tuba", 90.0))):
        (root / label).mkdir()
        for i in range(12):
            name = root / label / f"artist{k}{i // 2}_{i:02d}.wav"
            soundfile.write(name, tone(base * (1 + 0.05 * i), 100 * k + i, noise=0.02 + 0.01 * (i % 3)), RATE)
    (root / "tuba" / "broken.wav").write_text("this is not audio")
    (root / "tuba" / "empty.mp3").write_bytes(b"")
    return root


def call(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit | QuintetError):
        raise result.exception
    assert (result.exit_code == 0) == (code == 0), result.output + str(result.exception)
    return result


@pytest.fixture(scope="module")
def run(music: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Extracted, trained and reported once for this module."""
    folder = tmp_path_factory.mktemp("run")
    shutil.rmtree(folder)
    folder.mkdir()
    call(
        "extract",
        music,
        "-o",
        folder / "features.parquet",
        "--features",
        "bahuleyan2018",
        "--group-by",
        r"/(artist\d+|broken|empty)",
    )
    members = "logistic_regression,random_forest,xgboost,svm"
    call("train", folder / "features.parquet", "-o", folder / "model", "--members", members, *FAST)
    call("report", folder / "model", "-o", folder / "report")
    return folder


def test_extract_keeps_a_row_for_every_clip_and_a_reason_for_every_failure(run: Path) -> None:
    table = quintet.read_feature_table(run / "features.parquet")
    assert len(table.features) == 24
    assert table.features.shape[1] == 97
    assert set(table.failures["id"]) == {"tuba/broken.wav", "tuba/empty.mp3"}
    assert table.failures["reason"].str.len().min() > 10


def test_no_group_is_in_training_and_test_part(run: Path) -> None:
    split = pd.read_parquet(run / "model" / "split.parquet")
    train, test = (set(split.loc[split["part"] == part, "group"]) for part in ("train", "test"))
    assert train
    assert test
    assert not train & test


def test_scores_have_clip_counts_and_intervals(run: Path) -> None:
    scores = json.loads((run / "model" / "scores.json").read_text())
    for part in ("oof", "test"):
        for name in ("logistic_regression", "random_forest", "xgboost", "svm", "mean", "weighted"):
            judged = scores[part][name]
            accuracy = judged["scores"]["accuracy"]
            assert judged["n"] > judged["n_groups"] > 0
            assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]
    assert scores["oof"]["mean"]["scores"]["macro_auc"]["value"] > 0.9


def test_saved_predictions_give_the_saved_scores(run: Path) -> None:
    predictions = quintet.read_predictions(run / "model" / "predictions" / "oof" / "svm.parquet")
    chosen = np.asarray(predictions.classes)[predictions.probabilities.argmax(axis=1)]
    saved = json.loads((run / "model" / "scores.json").read_text())["oof"]["svm"]["scores"]["accuracy"][
        "value"
    ]
    assert np.mean(chosen == predictions.labels) == pytest.approx(saved, abs=1e-12)


def test_the_report_is_one_page_without_any_outside_reference(run: Path) -> None:
    page = (run / "report" / "index.html").read_text(encoding="utf-8")
    assert "<svg" in page
    assert 'src="http' not in page
    assert 'href="http' not in page
    assert "@import" not in page


def test_predict_agrees_with_the_model_on_files_it_was_given(run: Path, music: Path) -> None:
    files = sorted((music / "flute").glob("*.wav"))[:2]
    result = quintet.predict(run / "model", files)
    ensemble = quintet.load_model(run / "model")
    table = quintet.read_feature_table(run / "features.parquet")
    expected = ensemble.predict_proba(table.features.loc[[f"flute/{f.name}" for f in files]])
    assert np.allclose(result.frame[[f"probability.{c}" for c in result.classes]], expected, atol=1e-9)


def test_predict_reports_the_bad_file_and_predicts_the_others(run: Path, music: Path) -> None:
    good, bad = music / "tuba" / "artist10_00.wav", music / "tuba" / "broken.wav"
    result = call(
        "predict", run / "model", good, bad, music / "nowhere.wav", "--format", "csv", "--quiet", code=1
    )
    rows = pd.read_csv(io.StringIO(result.stdout))
    assert rows["status"].tolist() == ["ok", "failed", "failed"]
    assert rows["verdict"].notna().tolist() == [True, False, False]
    assert "broken.wav" in result.stderr
    assert "nowhere.wav" in result.stderr


def test_long_files_are_cut_into_segments(run: Path, music: Path, tmp_path: Path) -> None:
    long = tmp_path / "long.wav"
    soundfile.write(long, np.concatenate([tone(900, seed, noise=0.02) for seed in range(4)]), RATE)
    result = quintet.predict(run / "model", [long])
    assert result.frame["segments"].tolist() == [4]
    columns = [f"probability.{c}" for c in result.classes]
    assert np.allclose(result.frame[columns].to_numpy()[0], result.segments[columns].to_numpy().mean(axis=0))
    assert quintet.predict(run / "model", [long], segment_s=0).frame["segments"].tolist() == [1]


def test_json_on_standard_output_can_be_parsed(run: Path, music: Path) -> None:
    result = call(
        "predict", run / "model", music / "flute" / "artist00_00.wav", "--format", "json", "--quiet"
    )
    row = json.loads(result.stdout)[0]
    assert row["verdict"] in {"flute", "tuba"}
    assert row["probability.flute"] + row["probability.tuba"] == pytest.approx(1)


@pytest.mark.slow
def test_a_second_training_needs_permission_and_the_same_seed_gives_the_same_numbers(
    run: Path, tmp_path: Path
) -> None:
    arguments = ["train", run / "features.parquet", "--members", "random_forest,xgboost", *FAST]
    call(*arguments, "-o", tmp_path / "a")
    refused = call(*arguments, "-o", tmp_path / "a", code=1)
    assert "must not exist yet" in str(refused.exception)
    call(*arguments, "-o", tmp_path / "b")
    for part in ("oof", "test"):
        a, b = (
            pd.read_parquet(tmp_path / name / "predictions" / part / "random_forest.parquet") for name in "ab"
        )
        pd.testing.assert_frame_equal(a, b)


def test_an_interrupted_run_continues(run: Path, tmp_path: Path) -> None:
    from quintet.ensemble.crossfit import TrainingEvent
    from quintet.training.settings import TrainSettings

    settings = TrainSettings(members=("logistic_regression", "svm"), folds=3, resamples=50)
    table = quintet.read_feature_table(run / "features.parquet")
    whole = quintet.train(table, tmp_path / "whole", settings=settings)

    def stop_at_svm(event: TrainingEvent) -> None:
        if event.member == "svm" and event.fold == 1 and event.kind == "start":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quintet.train(table, tmp_path / "cut", settings=settings, listener=stop_at_svm)
    started: list[tuple[str, int]] = []
    resumed = quintet.train(
        table,
        tmp_path / "cut",
        settings=settings,
        resume=True,
        listener=lambda e: started.append((e.member, e.fold)) if e.kind == "start" else None,
    )
    assert started == [("svm", 1), ("svm", 2), ("svm", -1)]
    assert resumed.scores == whole.scores
    with pytest.raises(QuintetError, match="begun with another"):
        quintet.train(table, tmp_path / "cut", settings=settings.model_copy(update={"seed": 1}), resume=True)


def test_a_damaged_model_is_refused(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "model"
    shutil.copytree(run / "model", copy)
    (copy / "fusion.json").write_text((copy / "fusion.json").read_text().replace("mean", "maen", 1))
    with pytest.raises(QuintetError, match="has changed since"):
        quintet.load_model(copy)


def test_features_of_another_making_are_refused(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "model"
    shutil.copytree(run / "model", copy)
    bundle = json.loads((copy / "bundle.json").read_text())
    bundle["feature_hash"] = "0" * 16
    (copy / "bundle.json").write_text(json.dumps(bundle))
    with pytest.raises(QuintetError, match="Features must be those of the training"):
        quintet.predict(copy, [run / "features.parquet"])


@pytest.mark.slow
def test_a_table_from_elsewhere_trains_and_predicts(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(["blues", "metal"], 20)
    frame = pd.DataFrame({"file_name": [f"{label}.{i:03d}.wav" for i, label in enumerate(labels)]})
    frame[["a", "b", "c"]] = rng.normal(size=(40, 3)) + 2 * (labels == "metal")[:, None]
    frame.to_csv(tmp_path / "table.csv", index=False)
    options = ["--id-column", "file_name", "--label-from", r"^([a-z]+)\."]
    call("train", tmp_path / "table.csv", "-o", tmp_path / "model", *options, *FAST)
    result = call(
        "predict",
        tmp_path / "model",
        "--table",
        tmp_path / "table.csv",
        "--id-column",
        "file_name",
        "--format",
        "csv",
        "-q",
    )
    assert len(result.stdout.strip().splitlines()) == 41


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["extract", "nowhere", "-o", "x.parquet"], "does not exist"),
        (["train", "nowhere.parquet", "-o", "m"], "There is no file"),
        (["report", "nowhere", "-o", "r"], "needs a finished model folder"),
        (["extract", ".", "-o", "x.parquet", "--features", "fulll"], "full"),
        (["extract", ".", "-o", "x.parquet", "--set", "n_fft"], "name=value"),
    ],
)
def test_mistakes_give_a_sentence_and_no_traceback(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, QuintetError)
    assert message in str(result.exception)


def test_usage_faults_exit_with_two(run: Path) -> None:
    assert CliRunner().invoke(app, ["predict", str(run / "model")]).exit_code == 2
    assert CliRunner().invoke(app, ["predict", str(run / "model"), "x.wav", "--format", "xml"]).exit_code == 2


def test_sets_grow_with_the_confidence(run: Path, music: Path) -> None:
    files = sorted((music / "tuba").glob("artist*.wav"))
    sets = {
        c: quintet.predict(run / "model", files, confidence=c).frame["set"].str.split(";") for c in (0.5, 0.9)
    }
    assert all(set(small) - {""} <= set(large) for small, large in zip(sets[0.5], sets[0.9], strict=True))
    answered = quintet.predict(run / "model", files, confidence=0.9).frame
    assert ((answered["set"] == "") == (answered["out_of_class"] >= 0.9)).all()
    plain = quintet.predict(run / "model", files).frame
    seconds = ["duration_s", "missing_s"]
    assert list(plain.columns[:7]) == ["file", "verdict", "confidence", "segments", *seconds, "out_of_class"]
    pd.testing.assert_frame_equal(plain, answered.drop(columns="set"))


def test_noise_and_clicks_get_empty_sets(run: Path, tmp_path: Path) -> None:
    """White noise and a click train are far from both classes of tones, even if the members are certain."""
    rng = np.random.default_rng(0)
    clicks = np.zeros(2 * RATE, np.float32)
    clicks[::4000] = 0.9
    soundfile.write(tmp_path / "noise.wav", 0.3 * rng.normal(size=2 * RATE).clip(-3, 3), RATE)
    soundfile.write(tmp_path / "clicks.wav", clicks, RATE)
    answered = quintet.predict(
        run / "model", [tmp_path / "noise.wav", tmp_path / "clicks.wav"], confidence=0.8
    )
    assert answered.frame["set"].tolist() == ["", ""]
    training = pd.read_parquet(run / "model" / "verdict" / "strangeness.parquet")
    assert answered.segments["distance"].min() > training["distance"].quantile(0.9)
    assert answered.notes == ()


def test_a_model_without_distances_predicts_sets_from_probabilities(
    run: Path, music: Path, tmp_path: Path
) -> None:
    old = shutil.copytree(run / "model", tmp_path / "old")
    trust = json.loads((old / "trust.json").read_text())
    predictions = pd.read_parquet(old / "verdict" / "oof.parquet")
    classes = trust["conformal"]["classes"]
    right = [row[f"probability.{row['label']}"] for row in predictions.to_dict("records")]
    trust["conformal"] |= {"score": "lac", "strangeness": [1 - p for p in right], "classes": classes}
    del trust["conformal"]["familiarity"]
    (old / "trust.json").write_text(json.dumps(trust))
    (old / "distance.npz").unlink()
    relist(old)
    file = music / "tuba" / "artist10_00.wav"
    answered = quintet.predict(old, [file], confidence=0.8)
    assert "distance" not in answered.segments
    result = call("predict", old, file, "--confidence", 0.8, "--format", "csv")
    assert "look at its probabilities alone" in result.stderr


def test_fused_member_files_equal_the_mean_of_the_ensemble(run: Path, tmp_path: Path) -> None:
    parts = run / "model" / "predictions" / "test"
    files = [parts / f"{name}.parquet" for name in ("logistic_regression", "random_forest", "xgboost", "svm")]
    call("fuse", *files, "-o", tmp_path / "fused.parquet", "--rule", "mean")
    ours, theirs = (
        quintet.read_predictions(tmp_path / "fused.parquet"),
        quintet.read_predictions(parts / "mean.parquet"),
    )
    assert np.allclose(ours.take(theirs.clip_ids).probabilities, theirs.probabilities, atol=1e-12)
    result = json.loads(call("evaluate", tmp_path / "fused.parquet", "--json", "--resamples", "50").stdout)
    saved = json.loads((run / "model" / "scores.json").read_text())["test"]["mean"]
    assert result["n"] == saved["n"]
    for name in ("accuracy", "macro_f1", "macro_auc", "micro_auc", "log_loss", "ece"):
        assert result["scores"][name]["value"] == pytest.approx(saved["scores"][name]["value"], abs=1e-9)
        assert set(result["scores"][name]) >= {"value", "low", "high"}


@pytest.mark.slow
def test_the_audit_finds_a_copy_and_groups_it_with_its_original(music: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "music"
    shutil.copytree(music, corpus)
    shutil.copy(corpus / "flute" / "artist00_00.wav", corpus / "tuba" / "stray.wav")
    result = json.loads(
        call("audit", corpus, "--json", "--quiet", "--groups-to", tmp_path / "groups.csv").stdout
    )
    assert [{p["first"], p["second"]} for p in result["pairs"] if p["across_classes"]] == [
        {"flute/artist00_00.wav", "tuba/stray.wav"}
    ]
    groups = pd.read_csv(tmp_path / "groups.csv").set_index("id")["group"]
    assert groups["flute/artist00_00.wav"] == groups["tuba/stray.wav"]
    call("extract", corpus, "-o", tmp_path / "f.parquet", "--features", "bahuleyan2018")
    call(
        "train",
        tmp_path / "f.parquet",
        "-o",
        tmp_path / "model",
        "-m",
        "logistic_regression",
        "--groups",
        tmp_path / "groups.csv",
    )
    split = pd.read_parquet(tmp_path / "model" / "split.parquet").set_index("id")
    assert split.loc["flute/artist00_00.wav", "part"] == split.loc["tuba/stray.wav", "part"]


@pytest.mark.slow
def test_the_leak_gate_finds_a_leak(tmp_path: Path) -> None:
    """Columns identify the artist, not the class: chance under `group`, far above it under `random`."""
    rng = np.random.default_rng(1)
    artists = np.arange(20)
    mark = rng.normal(size=(20, 6)) * 4
    rows = [
        (f"{a}_{i}.wav", f"class{a % 2}", f"artist{a}", *(mark[a] + rng.normal(size=6) * 0.3))
        for a in artists
        for i in range(6)
    ]
    pd.DataFrame(rows, columns=["id", "label", "group", *"abcdef"]).to_csv(tmp_path / "t.csv", index=False)
    members = ["-m", "random_forest", "--set", "random_forest.n_estimators=50", "--resamples", "100"]
    output = call(
        "train", tmp_path / "t.csv", "-o", tmp_path / "model", "--protocols", "random,group", *members
    ).output
    assert "random (ungrouped)" in output
    gate = json.loads((tmp_path / "model" / "scores.json").read_text())["leak_gate"]
    gap = next(g for g in gate["gaps"] if g["member"] == "random_forest" and g["score"] == "accuracy")
    assert gate["ungrouped"] == ["random"]
    assert gap["value"] > 0.2
    assert gap["low"] > 0


@pytest.mark.slow
def test_the_leak_gate_and_the_report_of_label_sets_without_intervals(tmp_path: Path) -> None:
    """The headline gap of label sets is that of the area under precision and recall, not of accuracy."""
    rng = np.random.default_rng(2)
    mark = rng.normal(size=(12, 4)) * 3
    rows = [
        (f"{a}_{i}.wav", ("x;y", "x", "y")[a % 3], f"artist{a}", *(mark[a] + rng.normal(size=4) * 0.3))
        for a in range(12)
        for i in range(5)
    ]
    pd.DataFrame(rows, columns=["id", "label", "group", *"abcd"]).to_csv(tmp_path / "t.csv", index=False)
    arguments = [
        "--protocols",
        "random,group",
        "-m",
        "logistic_regression,xgboost",
        "--set",
        "xgboost.n_estimators=10",
        "--resamples",
        "0",
    ]
    output = call("train", tmp_path / "t.csv", "-o", tmp_path / "model", *arguments).output
    assert "Leak gate: macro PR AUC" in output
    gate = json.loads((tmp_path / "model" / "scores.json").read_text())["leak_gate"]
    assert {g["score"] for g in gate["gaps"]} == {"macro_pr_auc", "macro_auc"}
    call("report", tmp_path / "model", "-o", tmp_path / "report")
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert 'id="figure-gate-macro-pr-auc"' in page
    assert 'id="figure-gate-accuracy"' not in page


@pytest.mark.slow
def test_a_random_split_of_grouped_clips_is_marked_everywhere(tmp_path: Path) -> None:
    """The protocol `random` splits groups, and every command marks its scores."""
    rng = np.random.default_rng(0)
    rows = [(f"{i}.wav", "ab"[i % 2], f"artist{i // 6}", *rng.normal(size=3)) for i in range(60)]
    pd.DataFrame(rows, columns=["id", "label", "group", *"xyz"]).to_csv(tmp_path / "t.csv", index=False)
    arguments = [tmp_path / "t.csv", "--protocol", "random", "-m", "logistic_regression"]
    output = call(
        "train", *arguments, "-o", tmp_path / "model", "--resamples", "20", "--learning-curve"
    ).output
    split = json.loads((tmp_path / "model" / "scores.json").read_text())["split"]
    assert (split["grouped"], split["groups_known"]) == (False, True)
    assert "Ungrouped split" in call("predict", tmp_path / "model", "--table", tmp_path / "t.csv").output
    for file in ("predictions/test/mean.parquet", "verdict/test.parquet"):
        assert "UNGROUPED SPLIT" in call("evaluate", tmp_path / "model" / file, "--resamples", "0").output
    assert output.count("RANDOM SPLIT: groups stand on both sides") == 3
    assert "RANDOM SPLIT" in call("tune", *arguments, "-o", tmp_path / "tuned", "--trials", "1").output


def test_a_leaking_split_is_refused(tmp_path: Path) -> None:
    rows = [
        (f"{i}.wav", "ab"[i % 2], f"artist{i // 4}", "test" if i % 4 == 0 else "train", i * i * 0.1)
        for i in range(24)
    ]
    lists = []
    for part in ("train", "test"):
        pd.DataFrame([(r[0],) for r in rows if r[3] == part], columns=["id"]).to_csv(
            tmp_path / f"{part}.csv", index=False
        )
        lists += ["--split-file", f"{part}={tmp_path / part}.csv"]
    pd.DataFrame([r[:3] + r[4:] for r in rows], columns=["id", "label", "group", "x"]).to_csv(
        tmp_path / "t.csv", index=False
    )
    result = call(
        "train", tmp_path / "t.csv", "-o", tmp_path / "model", "-m", "logistic_regression", *lists, code=1
    )
    assert "No group may stand on both sides" in str(result.exception)


def test_clips_and_tables_may_be_remote(music: Path, tmp_path: Path) -> None:
    rows = [
        (f.absolute().as_uri(), f.parent.name)
        for label in ("flute", "tuba")
        for f in sorted((music / label).glob("artist*.wav"))[:3]
    ]
    rows.append(((music / "nowhere.wav").absolute().as_uri(), "tuba"))
    pd.DataFrame(rows, columns=["path", "label"]).to_csv(tmp_path / "list.csv", index=False)
    there = (tmp_path / "out" / "f.parquet").as_uri()
    call("extract", tmp_path / "list.csv", "-o", there, "--features", "bahuleyan2018")
    table = quintet.read_feature_table(tmp_path / "out" / "f.parquet")
    assert len(table.features) == 6
    assert table.failures["id"].tolist() == [rows[-1][0]]


@pytest.mark.slow
def test_the_order_of_rows_changes_nothing_and_odd_names_break_no_report(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(["<script>alert(1)</script>", r"$\frac{$", "[red]☃"], 12)
    frame = pd.DataFrame({"id": [f"{i}.wav" for i in range(36)], "label": labels})
    frame[["$x_{$", "<b>y</b>"]] = rng.normal(size=(36, 2)) + np.repeat(np.arange(3), 12)[:, None]
    scores = []
    for name, rows in (("a", frame), ("b", frame.sample(frac=1, random_state=1))):
        rows.to_csv(tmp_path / f"{name}.csv", index=False)
        call(
            "train",
            tmp_path / f"{name}.csv",
            "-o",
            tmp_path / name,
            "-m",
            "logistic_regression,xgboost",
            "--set",
            "xgboost.n_estimators=10",
            *FAST[4:],
        )
        scores.append((tmp_path / name / "scores.json").read_text())
    assert scores[0] == scores[1]
    call("report", tmp_path / "a", "-o", tmp_path / "report")
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "$\\frac{$" in page


@pytest.mark.slow
def test_label_sets_from_a_table_to_predictions(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rock, live = rng.random(60) < 0.5, rng.random(60) < 0.5
    labels = [
        ";".join(t for t, has in (("rock", r), ("live", v), ("jazz", not r)) if has)
        for r, v in zip(rock, live, strict=True)
    ]
    frame = pd.DataFrame(
        {
            "id": [f"{i}.wav" for i in range(60)],
            "label": labels,
            "group": [f"artist{i // 3}" for i in range(60)],
        }
    )
    frame[["a", "b", "c"]] = rng.normal(size=(60, 3)) * 0.5 + np.stack([rock, live, ~rock], axis=1) * 2
    frame.to_csv(tmp_path / "t.csv", index=False)
    call(
        "train",
        tmp_path / "t.csv",
        "-o",
        tmp_path / "model",
        "-m",
        "logistic_regression",
        "--folds",
        "3",
        "--resamples",
        "50",
    )
    call("report", tmp_path / "model", "-o", tmp_path / "report")
    result = call("predict", tmp_path / "model", "--table", tmp_path / "t.csv", "--format", "json", "-q")
    rows = json.loads(result.stdout)
    assert len(rows) == 60
    assert (
        np.mean(
            [
                set(row["verdict"].split(";")) == set(label.split(";"))
                for row, label in zip(rows, labels, strict=True)
            ]
        )
        > 0.8
    )
