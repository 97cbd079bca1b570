"""Evaluation of prediction files: joined by clip id, with the JSON keys that scripts use."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from quintet.cli import app
from quintet.ensemble.fuse_files import fuse
from quintet.errors import AlignmentError, DatasetError
from quintet.evaluation.delong import delong
from quintet.evaluation.intervals import NO_RESAMPLING, Resampling
from quintet.evaluation.scores import score
from quintet.predictions.collection import PredictionFiles
from quintet.predictions.evaluate import Steps, evaluate
from quintet.predictions.predictions import Predictions, read_keys, read_predictions

CLASSES = ("a", "b", "c")


def test_files_with_equal_keys_share_them(prediction_files, tmp_path):
    paths, _, predictions = prediction_files
    (first, _), (second, _), (third, _) = read_keys(paths)
    assert third is first
    assert second is not first
    odd = predictions[2].labels.copy()
    odd[7] = "a" if odd[7] != "a" else "b"
    replace(predictions[2], labels=odd).write(paths[2])  # one label differs
    with pytest.raises(AlignmentError, match=r"same label\. 1 clips differ: 'clip7'"):
        fuse(paths, tmp_path / "x.parquet")


def test_how_files_were_read_is_said(tmp_path):
    text = "clip_id;label;probability.café;probability.rock\na;café;0,75;0,25\nb;rock;0,5;0,5\n"
    for name in ("one", "two"):
        (tmp_path / f"{name}.csv").write_text(text, encoding="cp1252")
    paths = [tmp_path / "one.csv", tmp_path / "two.csv"]
    starts = [f"{name}.csv {said}" for name in ("one", "two") for said in ("is not UTF-8", "was read with")]
    notes = evaluate(paths, n_resamples=0)["notes"]
    assert all(note.startswith(start) for note, start in zip(notes, starts, strict=True))
    assert fuse(paths, tmp_path / "fused.parquet").to_json()["notes"] == notes
    printed = CliRunner().invoke(app, ["fuse", *map(str, paths), "-o", str(tmp_path / "fused.csv")])
    assert " ".join(notes) in " ".join(printed.stderr.split())
    assert " ".join(read_predictions(paths[0]).notes) == " ".join(notes[:2])


def test_the_mark_of_an_ungrouped_split_stays_with_its_predictions(prediction_files, tmp_path):
    paths, _, predictions = prediction_files
    assert evaluate(paths, n_resamples=0)["ungrouped_split"] is False
    replace(predictions[2], ungrouped=True).write(paths[2])
    assert read_predictions(paths[2]).take(["clip3"]).ungrouped
    fuse(paths, tmp_path / "x.parquet")
    for given in (paths, [tmp_path / "x.parquet"]):
        assert evaluate(given, n_resamples=0)["ungrouped_split"] is True
    output = CliRunner().invoke(app, ["evaluate", str(tmp_path / "x.parquet"), "--resamples", "0"]).output
    assert "UNGROUPED SPLIT" in output


def test_clips_of_only_some_files_are_refused_or_left_out(prediction_files, tmp_path):
    paths, stack, predictions = prediction_files
    predictions[2].take(predictions[2].clip_ids[5:]).write(paths[2])
    with pytest.raises(AlignmentError, match=r"5 clips \('clip0', 'clip1', 'clip2', …\).*--intersection"):
        fuse(paths, tmp_path / "x.parquet")
    assert not (tmp_path / "x.parquet").exists()
    assert fuse(paths, tmp_path / "x.parquet", intersection=True).left_out == 5
    np.testing.assert_allclose(
        read_predictions(tmp_path / "x.parquet").probabilities, stack[:, 5:].mean(axis=0), atol=1e-12
    )
    result = evaluate(paths, intersection=True, n_resamples=0)
    assert (result["n"], result["left_out"]) == (55, 5)


def test_one_file_gives_the_json_object_for_scripts(prediction_files):
    paths, stack, predictions = prediction_files
    result = json.loads(json.dumps(evaluate(paths[:1], n_resamples=50), allow_nan=False))
    assert result["n"] == 60
    assert result["n_groups"] == 20
    assert result["grouped"] is True
    for name in ("accuracy", "macro_f1", "macro_auc", "micro_auc", "log_loss", "ece"):
        assert set(result["scores"][name]) == {"value", "low", "high"}
    assert (
        result["scores"]
        == score(
            predictions[0].labels,
            stack[0],
            CLASSES,
            predictions[0].groups,
            resampling=Resampling(n_resamples=50),
        ).to_json()["scores"]
    )
    assert "files" not in result


def test_several_files_give_scores_of_each_and_paired_tests_of_their_mean(prediction_files):
    paths, stack, predictions = prediction_files
    result = json.loads(json.dumps(evaluate(paths, n_resamples=50), allow_nan=False))
    mean = score(
        predictions[0].labels,
        stack.mean(axis=0),
        CLASSES,
        predictions[0].groups,
        resampling=NO_RESAMPLING,
    )
    assert result["of"] == "mean of 3 files"
    assert result["scores"]["log_loss"]["value"] == pytest.approx(mean.scores["log_loss"].value)
    assert list(result["files"]) == ["svm", "vgg", "forest"]
    assert [(c["second"], c["metric"]) for c in result["comparisons"][:3]] == [
        ("svm", "accuracy"),
        ("svm", "macro_auc"),
        ("svm", "log_loss"),
    ]
    assert all(c["p_holm"] >= c["p_value"] for c in result["comparisons"])
    y, fused = np.searchsorted(CLASSES, predictions[0].labels), stack.mean(axis=0)
    for single, test in zip(stack, result["mcnemar"], strict=True):
        right = [p.argmax(axis=1) == y for p in (fused, single)]
        assert (test["only_first"], test["only_second"]) == (
            int((right[0] & ~right[1]).sum()),
            int((right[1] & ~right[0]).sum()),
        )
        assert test["p_value"] <= test["p_holm"] <= 1
    assert [(test["second"], test["class"]) for test in result["delong"][2:4]] == [("svm", "c"), ("vgg", "a")]
    area = delong(y == 1, fused[:, 1], stack[2][:, 1], predictions[0].groups).difference
    assert (result["delong"][7]["value"], result["delong"][7]["p_value"]) == pytest.approx(
        (area.value, area.p_value)
    )
    gap = result["scores"]["accuracy"]["value"] - result["files"]["svm"]["scores"]["accuracy"]["value"]
    assert result["comparisons"][0]["value"] == pytest.approx(gap)


def test_unlabelled_clips_are_counted_and_left_out(tmp_path):
    p = np.tile([0.7, 0.2, 0.1], (5, 1))
    Predictions(
        np.array(list("vwxyz")), CLASSES, p, np.array(["a", "b", None, "polka", "polka"], dtype=object)
    ).write(tmp_path / "p.csv")
    result = evaluate([tmp_path / "p.csv"], n_resamples=0)
    assert (result["n"], result["unlabelled"], result["unknown_labels"]) == (2, 1, {"polka": 2})
    assert result["scores"]["accuracy"] == {"value": 0.5, "low": None, "high": None}
    Predictions(np.array(list("vwxyz")), CLASSES, p).write(tmp_path / "p.csv")
    with pytest.raises(DatasetError, match="None of the 5 has one"):
        evaluate([tmp_path / "p.csv"])


def test_label_sets_are_fused_and_evaluated(tmp_path):
    rng = np.random.default_rng(0)
    sets = np.array(["a;b", "", "c", "a"] * 10)
    for name in ("one", "two"):
        Predictions(np.arange(40).astype(str), CLASSES, rng.random((40, 3)), sets, multilabel=True).write(
            tmp_path / f"{name}.parquet"
        )
    paths = [tmp_path / "one.parquet", tmp_path / "two.parquet"]
    fuse(paths, tmp_path / "fused.parquet", rule="geometric")
    assert read_predictions(tmp_path / "fused.parquet").multilabel
    result = evaluate(paths, n_resamples=20)
    assert result["n"] == 40
    assert "micro_pr_auc" in result["scores"]


def test_a_tag_that_no_clip_has_is_named_and_counted(tmp_path):
    rng = np.random.default_rng(0)
    sets = np.array(["a;b", "b", "a", ""] * 10)
    Predictions(np.arange(40).astype(str), CLASSES, rng.random((40, 3)), sets, multilabel=True).write(
        tmp_path / "p.parquet"
    )
    output = CliRunner().invoke(app, ["evaluate", str(tmp_path / "p.parquet"), "--resamples", "0"]).output
    assert (
        "1 class is undefined in some scores, and left out of their means:\n"
        "  c (0 clips): recall, AUC, PR AUC\n" in output
    )


def test_names_have_as_many_folders_as_needed(prediction_files, tmp_path):
    paths, _, predictions = prediction_files
    for folder in ("oof", "test"):
        (tmp_path / folder).mkdir()
        predictions[0].write(tmp_path / folder / "svm.parquet")
    assert PredictionFiles([tmp_path / "oof/svm.parquet", tmp_path / "test/svm.parquet"]).names == [
        "oof/svm",
        "test/svm",
    ]
    assert len(PredictionFiles(paths)) == 3


def test_labels_that_are_no_class_are_counted(tmp_path):
    rows = ["a,rock,0.9,0.1", "b,jazz,0.2,0.8", "c,techno,0.5,0.5", "d,techno,0.5,0.5"]
    path = tmp_path / "p.csv"
    path.write_text("\n".join(["clip_id,label,probability.rock,probability.jazz", *rows]))
    evaluation = evaluate([path], n_resamples=0)
    assert evaluation["scores"]["accuracy"]["value"] == 1
    assert (evaluation["unknown"], evaluation["unknown_labels"]) == (2, {"techno": 2})
    assert evaluation["accuracy_with_unknown"] == 0.5
    printed = CliRunner().invoke(app, ["evaluate", str(path), "--resamples", "0"]).output
    assert "techno: 2" in printed
    assert "0.500" in printed


def test_a_file_without_rows_is_refused(tmp_path):
    (tmp_path / "p.csv").write_text("clip_id,label,probability.a,probability.b\n")
    with pytest.raises(DatasetError, match="Received no row"):
        evaluate(tmp_path / "p.csv")


def test_labels_in_another_case_are_named(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("clip_id,label,probability.rock,probability.jazz\na,ROCK,0.9,0.1\nb,Jazz,0.2,0.8\n")
    with pytest.raises(DatasetError, match=r"`Jazz`, `ROCK`.*capital"):
        evaluate([path], n_resamples=0)


@pytest.mark.slow
def test_two_hundred_classes_of_a_hundred_clips_are_scored_within_a_minute_with_progress(tmp_path) -> None:
    rng, n, n_classes = np.random.default_rng(0), 20_000, 200
    numbers = np.arange(n) % n_classes
    logits = rng.normal(size=(n, n_classes))
    logits[np.arange(n), numbers] += 3.0
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    classes = [f"class {k}" for k in range(n_classes)]
    frame = pd.DataFrame(probabilities, columns=[f"probability.{name}" for name in classes])
    frame.insert(0, "clip_id", [f"clip {k}" for k in range(n)])
    frame["label"] = [classes[k] for k in numbers]
    frame["group"] = [f"artist {k // (5 * n_classes)} of {classes[k % n_classes]}" for k in range(n)]
    frame.to_parquet(tmp_path / "large.parquet")
    steps: list[Steps] = []
    start = time.process_time()
    scores = evaluate(tmp_path / "large.parquet", progress=steps.append)
    assert time.process_time() - start < 60
    assert len(steps) > 10
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert scores["scores"]["accuracy"]["value"] == pytest.approx((logits.argmax(axis=1) == numbers).mean())
    assert len(scores["per_class"]) == n_classes


def test_a_clip_without_a_group_is_a_group_of_its_own(tmp_path):
    ids, labels = [f"clip{k}" for k in range(20)], ["x", "y"] * 10
    rows = pd.DataFrame({"clip_id": ids, "label": labels, "probability.x": 0.6, "probability.y": 0.4})
    rows["group"] = [f"g{k // 5}" if k < 10 else None for k in range(20)]
    rows.to_csv(tmp_path / "p.csv", index=False)
    found = evaluate(tmp_path / "p.csv", n_resamples=20)
    assert found["n_groups"] == 12
    assert found["notes"] == ["10 of 20 clips have no group: each is taken for a group of its own."]
    rows.assign(group=[f"g{k // 5}" for k in range(20)]).to_csv(tmp_path / "q.csv", index=False)
    both = evaluate([tmp_path / "p.csv", tmp_path / "q.csv"], n_resamples=20)
    assert both["n_groups"] == 4  # the other file knows them
    assert both["notes"] == []
