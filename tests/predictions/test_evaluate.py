"""Files from anywhere, fused and evaluated: joined by id, weights by name, and the keys that scripts rely on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from quintet.cli import app
from quintet.ensemble.fuse_files import fuse_files
from quintet.ensemble.fusion import geometric_mean
from quintet.errors import AlignmentError, ArtefactError, ConfigError, DatasetError
from quintet.evaluation.comparisons import delong
from quintet.evaluation.scores import score
from quintet.predictions.collection import PredictionFiles
from quintet.predictions.evaluate import evaluate_files
from quintet.predictions.predictions import Predictions, read_keys, read_predictions

CLASSES = ("a", "b", "c")


@pytest.fixture
def members(tmp_path):
    """Three members of 60 clips of 20 artists; the second is CSV, in another order of rows and classes, without labels."""
    rng = np.random.default_rng(0)
    codes, groups = np.repeat(rng.integers(0, 3, 20), 3), np.repeat(np.arange(20), 3)
    ids = np.array([f"clip{i}" for i in range(60)])
    raw = rng.dirichlet(np.ones(3), (3, 60)) + 0.5 * np.eye(3)[codes]
    stack = raw / raw.sum(axis=2, keepdims=True)
    whole = [
        Predictions(ids, CLASSES, p, np.array(CLASSES)[codes], np.array([f"artist{g}" for g in groups]))
        for p in stack
    ]
    order = rng.permutation(60)
    second = Predictions(ids[order], ("c", "a", "b"), stack[1][order][:, [2, 0, 1]])
    paths = [tmp_path / "svm.parquet", tmp_path / "vgg.csv", tmp_path / "forest.parquet"]
    for path, predictions in zip(paths, (whole[0], second, whole[2]), strict=True):
        predictions.write(path)
    return paths, stack, whole


def test_the_mean_is_joined_by_id_and_class(members, tmp_path):
    paths, stack, whole = members
    summary = fuse_files(paths, tmp_path / "fused.parquet")
    fused = read_predictions(tmp_path / "fused.parquet")
    np.testing.assert_allclose(fused.probabilities, stack.mean(axis=0), atol=1e-12)
    assert list(fused.labels) == list(whole[0].labels)
    assert list(fused.groups) == list(whole[0].groups)
    assert (summary.n, summary.left_out, summary.rule) == (60, 0, "mean")
    assert summary.weights == pytest.approx({"svm": 1 / 3, "vgg": 1 / 3, "forest": 1 / 3})
    json.dumps(summary.to_json())


def test_geometric_and_weights(members, tmp_path):
    paths, stack, _ = members
    fuse_files(paths, tmp_path / "g.csv", rule="geometric")
    np.testing.assert_allclose(
        read_predictions(tmp_path / "g.csv").probabilities, geometric_mean(stack), atol=1e-12
    )
    (tmp_path / "w.toml").write_text("[weights]\nforest = 1\nsvm = 3\nvgg = 0\n")
    summary = fuse_files(paths, tmp_path / "w.parquet", rule=str(tmp_path / "w.toml"))
    np.testing.assert_allclose(
        read_predictions(tmp_path / "w.parquet").probabilities, 0.75 * stack[0] + 0.25 * stack[2], atol=1e-12
    )
    assert summary.weights == {"svm": 0.75, "vgg": 0.0, "forest": 0.25}
    (tmp_path / "w.toml").write_text('rule = "geometric"\n[weights]\nforest = 1\nsvm = 0\nvgg = 0\n')
    fuse_files(paths, tmp_path / "w.parquet", rule=str(tmp_path / "w.toml"))
    np.testing.assert_allclose(read_predictions(tmp_path / "w.parquet").probabilities, stack[2], atol=1e-5)


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ("[weights]\nsvm = 1\nvgg = 1\n", ConfigError, r"lacks \['forest'\]"),
        ("[weights]\nsvm = 1\nvgg = 1\nforest = 1\nrf = 1\n", ConfigError, r"has also \['rf'\]"),
        ("[weights]\nsvm = 1\nvgg = 1\nforest = -1\n", ConfigError, "none negative"),
        ("[weights]\nsvm = 0\nvgg = 0\nforest = 0\n", ConfigError, "not all zero"),
        ("[weights]\nsvm = true\nvgg = 0\nforest = nan\n", ConfigError, "must be numbers"),
        ('rule = "stacked"\n[weights]\nsvm = 1\n', ConfigError, r"\[weights\]"),
        ("svm = 1\n", ConfigError, r"\[weights\]"),
        ("weights = [", ArtefactError, "must be TOML"),
    ],
)
def test_weights_that_do_not_fit_are_refused(members, tmp_path, content, error, message):
    (tmp_path / "w.toml").write_text(content)
    with pytest.raises(error, match=message):
        fuse_files(members[0], tmp_path / "x.parquet", rule=str(tmp_path / "w.toml"))


def test_rules_that_are_none_are_refused(members, tmp_path):
    with pytest.raises(ConfigError, match=r"mean, geometric, or a file of weights"):
        fuse_files(members[0], tmp_path / "x.parquet", rule="weighted")
    with pytest.raises(ArtefactError, match="must exist"):
        fuse_files(members[0], tmp_path / "x.parquet", rule="no.toml")
    with pytest.raises(AlignmentError, match="given once"):
        fuse_files([members[0][0]] * 2, tmp_path / "x.parquet")
    with pytest.raises(AlignmentError, match="At least one"):
        fuse_files([], tmp_path / "x.parquet")


def test_no_file_is_replaced_by_what_is_made_of_it(members, tmp_path):
    first = Path(members[0][0])
    before = first.read_bytes()
    with pytest.raises(ConfigError, match="must not replace what they are made of"):
        fuse_files(members[0], first.parent / ".." / first.parent.name / first.name)
    assert first.read_bytes() == before


def test_files_with_the_very_keys_of_the_first_share_them(members, tmp_path):
    paths, _, whole = members
    (first, _), (second, _), (third, _) = read_keys(paths)
    assert third is first
    assert second is not first
    odd = whole[2].labels.copy()
    odd[7] = "a" if odd[7] != "a" else "b"
    replace(whole[2], labels=odd).write(paths[2])  # one label alone
    with pytest.raises(AlignmentError, match=r"same label\. 1 clips differ: 'clip7'"):
        fuse_files(paths, tmp_path / "x.parquet")


def test_probabilities_are_written_plainly_and_keys_small(members, tmp_path):
    """Dictionaries and compression on numbers that do not repeat cost five times the rest of the work."""
    fuse_files(members[0], tmp_path / "x.parquet")
    group = pq.ParquetFile(tmp_path / "x.parquet").metadata.row_group(0)
    columns = {group.column(k).path_in_schema: group.column(k) for k in range(group.num_columns)}
    assert columns["label"].has_dictionary_page
    assert not columns["probability.a"].has_dictionary_page
    assert columns["probability.a"].compression == "UNCOMPRESSED"


def test_the_stamp_of_an_ungrouped_split_travels_with_its_predictions(members, tmp_path):
    paths, _, whole = members
    assert evaluate_files(paths, n_resamples=0)["ungrouped_split"] is False
    replace(whole[2], ungrouped=True).write(paths[2])
    assert read_predictions(paths[2]).take(["clip3"]).ungrouped
    fuse_files(paths, tmp_path / "x.parquet")
    for given in (paths, [tmp_path / "x.parquet"]):
        assert evaluate_files(given, n_resamples=0)["ungrouped_split"] is True
    told = CliRunner().invoke(app, ["evaluate", str(tmp_path / "x.parquet"), "--resamples", "0"]).output
    assert "UNGROUPED SPLIT" in told


def test_what_only_some_have_is_refused_or_left_out(members, tmp_path):
    paths, stack, whole = members
    whole[2].take(whole[2].clip_ids[5:]).write(paths[2])
    with pytest.raises(AlignmentError, match=r"5 clips \('clip0', 'clip1', 'clip2', …\).*--intersection"):
        fuse_files(paths, tmp_path / "x.parquet")
    assert not (tmp_path / "x.parquet").exists()
    assert fuse_files(paths, tmp_path / "x.parquet", intersection=True).left_out == 5
    np.testing.assert_allclose(
        read_predictions(tmp_path / "x.parquet").probabilities, stack[:, 5:].mean(axis=0), atol=1e-12
    )
    found = evaluate_files(paths, intersection=True, n_resamples=0)
    assert (found["n"], found["left_out"]) == (55, 5)


def test_evaluating_one_file_gives_the_object_for_scripts(members):
    paths, stack, whole = members
    found = json.loads(json.dumps(evaluate_files(paths[:1], n_resamples=50), allow_nan=False))
    assert found["n"] == 60
    assert found["n_groups"] == 20
    assert found["grouped"] is True
    for name in ("accuracy", "macro_f1", "macro_auc", "micro_auc", "log_loss", "ece"):
        assert set(found["scores"][name]) == {"value", "low", "high"}
    assert (
        found["scores"]
        == score(whole[0].labels, stack[0], CLASSES, whole[0].groups, n_resamples=50).to_json()["scores"]
    )
    assert "files" not in found


def test_evaluating_several_gives_their_mean_and_each_with_paired_differences(members):
    paths, stack, whole = members
    found = json.loads(json.dumps(evaluate_files(paths, n_resamples=50), allow_nan=False))
    mean = score(whole[0].labels, stack.mean(axis=0), CLASSES, whole[0].groups, n_resamples=0)
    assert found["of"] == "mean of 3 files"
    assert found["scores"]["log_loss"]["value"] == pytest.approx(mean.scores["log_loss"].value)
    assert list(found["files"]) == ["svm", "vgg", "forest"]
    assert [(c["second"], c["metric"]) for c in found["comparisons"][:3]] == [
        ("svm", "accuracy"),
        ("svm", "macro_auc"),
        ("svm", "log_loss"),
    ]
    assert all(c["p_holm"] >= c["p_value"] for c in found["comparisons"])
    y, fused = np.searchsorted(CLASSES, whole[0].labels), stack.mean(axis=0)
    for own, test in zip(stack, found["mcnemar"], strict=True):
        right = [p.argmax(axis=1) == y for p in (fused, own)]
        assert (test["only_first"], test["only_second"]) == (
            int((right[0] & ~right[1]).sum()),
            int((right[1] & ~right[0]).sum()),
        )
        assert test["p_value"] <= test["p_holm"] <= 1
    assert [(test["second"], test["class"]) for test in found["delong"][2:4]] == [("svm", "c"), ("vgg", "a")]
    area = delong(y == 1, fused[:, 1], stack[2][:, 1], whole[0].groups).difference
    assert (found["delong"][7]["value"], found["delong"][7]["p_value"]) == pytest.approx(
        (area.value, area.p_value)
    )
    gap = found["scores"]["accuracy"]["value"] - found["files"]["svm"]["scores"]["accuracy"]["value"]
    assert found["comparisons"][0]["value"] == pytest.approx(gap)


def test_clips_that_cannot_be_scored_are_counted_and_left_out(tmp_path):
    p = np.tile([0.7, 0.2, 0.1], (5, 1))
    Predictions(
        np.array(list("vwxyz")), CLASSES, p, np.array(["a", "b", None, "polka", "polka"], dtype=object)
    ).write(tmp_path / "p.csv")
    found = evaluate_files([tmp_path / "p.csv"], n_resamples=0)
    assert (found["n"], found["unlabelled"], found["unknown_labels"]) == (2, 1, {"polka": 2})
    assert found["scores"]["accuracy"] == {"value": 0.5, "low": None, "high": None}
    Predictions(np.array(list("vwxyz")), CLASSES, p).write(tmp_path / "p.csv")
    with pytest.raises(DatasetError, match="None of the 5 has one"):
        evaluate_files([tmp_path / "p.csv"])


def test_label_sets_are_fused_and_evaluated(tmp_path):
    rng = np.random.default_rng(0)
    sets = np.array(["a;b", "", "c", "a"] * 10)
    for name in ("one", "two"):
        Predictions(np.arange(40).astype(str), CLASSES, rng.random((40, 3)), sets, multilabel=True).write(
            tmp_path / f"{name}.parquet"
        )
    paths = [tmp_path / "one.parquet", tmp_path / "two.parquet"]
    fuse_files(paths, tmp_path / "fused.parquet", rule="geometric")
    assert read_predictions(tmp_path / "fused.parquet").multilabel
    found = evaluate_files(paths, n_resamples=20)
    assert found["n"] == 40
    assert "micro_pr_auc" in found["scores"]


def test_a_tag_that_no_clip_has_is_named_and_counted(tmp_path):
    rng = np.random.default_rng(0)
    sets = np.array(["a;b", "b", "a", ""] * 10)
    Predictions(np.arange(40).astype(str), CLASSES, rng.random((40, 3)), sets, multilabel=True).write(
        tmp_path / "p.parquet"
    )
    told = CliRunner().invoke(app, ["evaluate", str(tmp_path / "p.parquet"), "--resamples", "0"]).output
    assert (
        "1 class is undefined in some scores, and left out of their means:\n  c (0 clips): recall, AUC, PR AUC\n"
        in told
    )


def test_names_are_as_long_as_needed(members, tmp_path):
    paths, _, whole = members
    for folder in ("oof", "test"):
        (tmp_path / folder).mkdir()
        whole[0].write(tmp_path / folder / "svm.parquet")
    assert PredictionFiles([tmp_path / "oof/svm.parquet", tmp_path / "test/svm.parquet"]).names == [
        "oof/svm",
        "test/svm",
    ]
    assert len(PredictionFiles(paths)) == 3
