"""Fusion of prediction files: joined by clip id, weights by file name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from quintet.ensemble.fuse_files import fuse
from quintet.ensemble.fusion import geometric_mean
from quintet.errors import AlignmentError, ArtefactError, ConfigError
from quintet.predictions.predictions import read_predictions

CLASSES = ("a", "b", "c")


def test_the_mean_is_joined_by_clip_id_and_class(prediction_files, tmp_path):
    paths, stack, predictions = prediction_files
    summary = fuse(paths, tmp_path / "fused.parquet")
    fused = read_predictions(tmp_path / "fused.parquet")
    np.testing.assert_allclose(fused.probabilities, stack.mean(axis=0), atol=1e-12)
    assert list(fused.labels) == list(predictions[0].labels)
    assert list(fused.groups) == list(predictions[0].groups)
    assert (summary.n, summary.left_out, summary.rule) == (60, 0, "mean")
    assert summary.weights == pytest.approx({"svm": 1 / 3, "vgg": 1 / 3, "forest": 1 / 3})
    json.dumps(summary.to_json())


def test_geometric_and_weights(prediction_files, tmp_path):
    paths, stack, _ = prediction_files
    fuse(paths, tmp_path / "g.csv", rule="geometric")
    np.testing.assert_allclose(
        read_predictions(tmp_path / "g.csv").probabilities, geometric_mean(stack), atol=1e-12
    )
    (tmp_path / "w.toml").write_text("[weights]\nforest = 1\nsvm = 3\nvgg = 0\n")
    summary = fuse(paths, tmp_path / "w.parquet", rule=str(tmp_path / "w.toml"))
    np.testing.assert_allclose(
        read_predictions(tmp_path / "w.parquet").probabilities, 0.75 * stack[0] + 0.25 * stack[2], atol=1e-12
    )
    assert summary.weights == {"svm": 0.75, "vgg": 0.0, "forest": 0.25}
    (tmp_path / "w.toml").write_text('rule = "geometric"\n[weights]\nforest = 1\nsvm = 0\nvgg = 0\n')
    fuse(paths, tmp_path / "w.parquet", rule=str(tmp_path / "w.toml"))
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
def test_weights_that_do_not_fit_the_files_are_refused(prediction_files, tmp_path, content, error, message):
    (tmp_path / "w.toml").write_text(content)
    with pytest.raises(error, match=message):
        fuse(prediction_files[0], tmp_path / "x.parquet", rule=str(tmp_path / "w.toml"))


def test_unknown_rules_are_refused(prediction_files, tmp_path):
    with pytest.raises(ConfigError, match=r"mean, geometric, or a file of weights"):
        fuse(prediction_files[0], tmp_path / "x.parquet", rule="weighted")
    with pytest.raises(ArtefactError, match="must exist"):
        fuse(prediction_files[0], tmp_path / "x.parquet", rule="no.toml")
    with pytest.raises(AlignmentError, match="given once"):
        fuse([prediction_files[0][0]] * 2, tmp_path / "x.parquet")
    with pytest.raises(AlignmentError, match="At least one"):
        fuse([], tmp_path / "x.parquet")


def test_the_output_must_not_be_one_of_the_files(prediction_files, tmp_path):
    first = Path(prediction_files[0][0])
    before = first.read_bytes()
    with pytest.raises(ConfigError, match="must not replace what they are made of"):
        fuse(prediction_files[0], first.parent / ".." / first.parent.name / first.name)
    assert first.read_bytes() == before


def test_only_keys_are_written_with_dictionaries_and_compression(prediction_files, tmp_path):
    """Dictionaries and compression on numbers that do not repeat cost five times the rest of the work."""
    fuse(prediction_files[0], tmp_path / "x.parquet")
    group = pq.ParquetFile(tmp_path / "x.parquet").metadata.row_group(0)
    columns = {group.column(k).path_in_schema: group.column(k) for k in range(group.num_columns)}
    assert columns["label"].has_dictionary_page
    assert not columns["probability.a"].has_dictionary_page
    assert columns["probability.a"].compression == "UNCOMPRESSED"
