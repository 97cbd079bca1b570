"""Contracts: what they refuse, their hash, and Essentia's descriptions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from quintet.embeddings.contract import Contract, LogMelInput, parse_contract, read_contract
from quintet.errors import ArtefactError, ConfigError

DIGEST = "0" * 64
LOG_MEL: dict[str, Any] = {
    "kind": "log_mel",
    "n_fft": 512,
    "hop_length": 256,
    "n_mels": 96,
    "scale": 1e4,
    "offset": 1.0,
    "frames": 187,
    "hop_frames": 93,
}


def content(**changes: Any) -> dict[str, Any]:
    """A valid contract with changes."""
    return {
        "id": "mine",
        "licence": "ISC",
        "source": "here",
        "sha256": DIGEST,
        "sample_rate": 16000,
        "input_name": "x",
        "input": LOG_MEL,
        "outputs": [{"name": "tags", "dimension": 2, "tags": ["rock", "jazz"]}],
    } | changes


def contract(**changes: Any) -> Contract:
    return parse_contract(content(**changes), where="here")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"sample_rate": "often"}, "sample_rate"),
        ({"id": "../up"}, "id"),
        ({"sha256": "1234"}, "sha256"),
        ({"input": LOG_MEL | {"n_mels": 0}}, "n_mels"),
        ({"input": LOG_MEL | {"mel_scale": "bark"}}, "mel_scale"),
        ({"input": LOG_MEL | {"hop": 3}}, "hop"),
        ({"input": LOG_MEL | {"fmax": 9000.0}}, "9000"),
        ({"input": LOG_MEL | {"win_length": 600}}, "win_length"),
        ({"input": {"kind": "mfcc"}}, "kind"),
        ({"outputs": []}, "outputs"),
        ({"outputs": [{"name": "tags", "dimension": 3, "tags": ["a", "b"]}]}, "3"),
        ({"outputs": [{"name": "tags", "dimension": 2, "tags": ["a", "a"]}]}, "differ"),
        ({"outputs": [{"name": "t", "dimension": 2}, {"name": "t", "dimension": 3}]}, "different"),
        ({"golden": {"output": "tags", "values": [0.5]}}, "2"),
        ({"golden": {"output": "moods", "values": [0.5]}}, "moods"),
        ({"window": 3}, "window"),
        ({"clip_end": "reflect"}, "clip_end"),
        ({"runtime": "torch"}, "runtime"),
    ],
)
def test_a_fault_is_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        contract(**changes)


def test_the_hash_is_of_what_decides_the_numbers() -> None:
    same = [
        contract(licence="MIT"),
        contract(source="there", published="AUC .9", trained_on="songs"),
        contract(golden={"output": "tags", "values": [0.1, 0.2]}),
    ]
    assert {c.hash for c in same} == {contract().hash}
    others = [
        contract(sample_rate=22050),
        contract(sha256="1" * 64),
        contract(short_clips="zero"),
        contract(clip_end="zero"),
        contract(clip_end="repeat"),
        contract(input=LOG_MEL | {"power": 1}),
        contract(input=LOG_MEL | {"layout": "mel_time"}),
        contract(input=LOG_MEL | {"hop_frames": 187}),
        contract(outputs=[{"name": "tags", "dimension": 2, "tags": ["jazz", "rock"]}]),
    ]
    assert len({c.hash for c in (contract(), *others)}) == 1 + len(others)


def test_a_contract_is_read_from_toml_and_json(tmp_path: Path) -> None:
    tomlish = tmp_path / "c.toml"
    tomlish.write_text(
        'id = "mine"\nlicence = "ISC"\nsource = "here"\nsample_rate = 16000\ninput_name = "x"\n'
        '[input]\nkind = "waveform"\nsamples = 16000\nhop_samples = 8000\n'
        '[[outputs]]\nname = "embedding"\ndimension = 4\n'
    )
    read = read_contract(tomlish, sha256=DIGEST)
    assert read.sha256 == DIGEST
    assert read.window_s == 1.0
    jsonish = tmp_path / "c.json"
    jsonish.write_text("\ufeff" + read.model_dump_json(), encoding="utf-8")
    assert read_contract(jsonish, sha256=DIGEST) == read
    with pytest.raises(ConfigError, match="1" * 64):
        read_contract(jsonish, sha256="1" * 64)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[" * 100_000, ArtefactError),
        ("no json", ArtefactError),
        ("[1, 2]", ConfigError),
        ("{}", ConfigError),
    ],
)
def test_a_file_that_is_no_contract_is_refused(text: str, error: type[Exception], tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(error, match=r"c\.json"):
        read_contract(tmp_path / "c.json", sha256=DIGEST)


ESSENTIA = {
    "name": "Discogs EffNet",
    "version": "1",
    "link": "https://essentia.upf.edu/models/",
    "dataset": {"name": "Discogs-4M"},
    "classes": ["Blues---Boogie Woogie", "Jazz---Bop", "Rock---Punk"],
    "schema": {
        "inputs": [{"name": "serving_default_melspectrogram", "type": "float", "shape": ["batch", 128, 96]}],
        "outputs": [
            {"name": "PartitionedCall:0", "shape": ["batch", 3], "output_purpose": "predictions"},
            {"name": "PartitionedCall:1", "shape": ["batch", 1280], "output_purpose": "embeddings"},
        ],
    },
    "inference": {"sample_rate": 16000, "algorithm": "TensorflowPredictEffnetDiscogs"},
}


def test_essentia_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "e.json").write_text(json.dumps(ESSENTIA))
    read = read_contract(tmp_path / "e.json", sha256=DIGEST)
    assert (read.id, read.sample_rate) == ("discogs-effnet", 16000)
    assert isinstance(read.input, LogMelInput)
    assert (read.input.frames, read.input.hop_frames, read.input.n_mels) == (128, 62, 96)
    assert [output.dimension for output in read.outputs] == [3, 1280]
    assert read.tag_output is not None
    assert read.tag_output.tags[2] == "Rock---Punk"


def test_an_algorithm_whose_front_end_is_unknown_is_refused(tmp_path: Path) -> None:
    inference = {"sample_rate": 16000, "algorithm": "TensorflowPredictTempoCNN"}
    (tmp_path / "e.json").write_text(json.dumps(ESSENTIA | {"inference": inference}))
    with pytest.raises(ConfigError, match="TensorflowPredictTempoCNN"):
        read_contract(tmp_path / "e.json", sha256=DIGEST)
