"""A model folder of a stranger: each forged file is refused in one sentence, and none of it is built or run.

Whoever sends a folder can compute its digests anew, so every forged folder has right ones (`relist`), except
where the list itself is the attack.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quintet.classifiers.registry import TABLE_MEMBERS, make_member
from quintet.classifiers.storage import load_member, save_member
from quintet.classifiers.tabular import storage
from quintet.errors import ArtefactError
from quintet.features.storage.external_table import Roles, foreign_table
from quintet.files.untrusted import limits, listed_files, ubjson
from quintet.files.untrusted.listed_files import ListedFiles, Record
from quintet.inference.predict import predict_table_file
from quintet.model_folder.folder import relist
from quintet.model_folder.load import load_model
from quintet.model_folder.run import read_run
from quintet.reports.run_page import write_report
from quintet.training.settings import TrainSettings
from quintet.training.train import train

TREES = "model_00.ubj"
SKOPS = "model_00.skops"
PREPARATION = "preparation.npz"
MEMBER = "members/logistic_regression"
HEAD = f"{MEMBER}/member.json"
QUICK = {"random_forest": {"n_estimators": 3}, "xgboost": {"n_estimators": 2, "max_depth": 2}}


def table() -> pd.DataFrame:
    labels = np.array(["a", "b", "c"] * 12)
    values = np.random.default_rng(0).normal(size=(36, 3)) + np.arange(36)[:, None] % 3
    frame = pd.DataFrame(values, columns=["x", "y", "z"])
    return frame.assign(id=[f"c{i}" for i in range(36)], label=labels)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "model"
    members = ("logistic_regression",)
    settings = TrainSettings(members=members, rules=("mean",), rule="mean", resamples=5, folds=2)
    train(foreign_table(table(), Roles(), name="s"), folder, settings=settings)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "model"))


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for each table member, on three classes."""
    root = tmp_path_factory.mktemp("members")
    frame = table()
    for name in TABLE_MEMBERS:
        member = make_member(name, **QUICK.get(name, {}))
        save_member(member.fit(frame[["x", "y", "z"]], frame["label"]), root / name)
    return root


@pytest.fixture
def copy(members: Path, tmp_path: Path) -> Callable[[str], Path]:
    return lambda name: Path(shutil.copytree(members / name, tmp_path / name))


def refused(folder: Path, match: str = "must|may") -> None:
    """Refuse a model folder, or the folder of a member, with a message of one line."""
    load = load_model if (folder / "bundle.json").exists() else load_member
    with pytest.raises(ArtefactError, match=match) as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def archive_of(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return content.getvalue()


def change_json(folder: Path, name: str, change: Callable[[Any], Any]) -> Path:
    content = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(change(content)))
    return relist(folder)


def change_trees(folder: Path, change: Callable[[Any], None]) -> Path:
    content: Any = ubjson.decode((folder / TREES).read_bytes())
    change(content["learner"])
    (folder / TREES).write_bytes(ubjson.encode(content))
    return folder


def change_skops(folder: Path, change: Callable[[dict[str, bytes], Any], None]) -> Path:
    """Change the entries and the schema of a file of skops."""
    with zipfile.ZipFile(folder / SKOPS) as archive:
        entries = {entry: archive.read(entry) for entry in archive.namelist()}
    schema = json.loads(entries.pop("schema.json"))
    change(entries, schema)
    forged = archive_of({**entries, "schema.json": json.dumps(schema).encode()})
    (folder / SKOPS).write_bytes(forged)
    return folder


def npy(values: Any, **kwargs: Any) -> bytes:
    content = io.BytesIO()
    np.save(content, values, **kwargs)
    return content.getvalue()


def npy_header(shape: tuple[int, ...], descr: str = "'<f8'") -> bytes:
    """An array whose header names a shape, without its values."""
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


# --- the list, links, and what changes while it is read ----------------------------------------------------


def test_the_folder_of_the_tests_loads(whole: Path) -> None:
    probabilities = load_model(whole).member_probabilities(table()[["x", "y", "z"]], None)
    assert probabilities["logistic_regression"].shape == (36, 3)
    sizes = json.loads((whole / "bundle.json").read_text())["sizes"]
    assert sizes[HEAD] == (whole / HEAD).stat().st_size


def test_an_older_folder_without_sizes_loads(folder: Path) -> None:
    bundle = json.loads((folder / "bundle.json").read_text())
    del bundle["sizes"]
    (folder / "bundle.json").write_text(json.dumps(bundle))
    assert load_model(folder).classes_.tolist() == ["a", "b", "c"]
    assert read_run(folder).part == "test"


def test_every_file_of_a_trained_folder_is_listed(whole: Path) -> None:
    bundle = json.loads((whole / "bundle.json").read_text())
    found = {path.relative_to(whole).as_posix() for path in whole.rglob("*") if path.is_file()}
    assert found == {*bundle["files"], "bundle.json"}
    assert bundle["files"].keys() == bundle["sizes"].keys()


@pytest.mark.parametrize("name", ["scores.json", "failures.parquet", "predictions/oof/mean.parquet", HEAD])
def test_a_flipped_bit_is_noticed_by_every_command(name: str, folder: Path, tmp_path: Path) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    for reader in (load_model, read_run, lambda path: write_report(path, tmp_path / "report")):
        with pytest.raises(ArtefactError, match="has changed since"):
            reader(folder)
    assert not (tmp_path / "report" / "index.html").exists()


@pytest.mark.parametrize("name", ["environment.json", "history/svm.parquet", f"{MEMBER}/more.npz"])
def test_a_file_that_is_not_listed_is_refused(name: str, folder: Path) -> None:
    bundle = json.loads((folder / "bundle.json").read_text())
    for part in ("files", "sizes"):
        bundle[part].pop(name, None)
    (folder / "bundle.json").write_text(json.dumps(bundle))
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).touch()
    refused(folder, "not listed")
    with pytest.raises(ArtefactError, match="not listed"):
        read_run(folder)


def test_a_member_of_which_only_one_file_is_listed_is_refused(folder: Path) -> None:
    bundle = json.loads((folder / "bundle.json").read_text())
    for part in ("files", "sizes"):
        for name in list(bundle[part]):
            if name.startswith(MEMBER) and not name.endswith(".complete"):
                del bundle[part][name]
    (folder / "bundle.json").write_text(json.dumps(bundle))
    refused(folder)


def test_files_of_others_in_the_folder_do_not_disturb(folder: Path) -> None:
    (folder / "README.txt").write_text("mine")
    (folder / "members" / ".DS_Store").write_bytes(b"\0")
    assert load_model(folder).rule_ == "mean"


@pytest.mark.parametrize("name", ["environment.json", "failures.parquet", "scores.json", HEAD])
@pytest.mark.parametrize("listed", [True, False])
def test_a_link_to_a_file_outside_is_refused(name: str, listed: bool, folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    shutil.copy(folder / name, secret)
    (folder / name).unlink()
    (folder / name).symlink_to(secret)
    if listed:
        relist(folder)
    for reader in (load_model, read_run):
        with pytest.raises(ArtefactError, match="is a link"):
            reader(folder)


def test_a_link_to_a_folder_outside_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.move(folder / "members", tmp_path / "elsewhere")
    (folder / "members").symlink_to(tmp_path / "elsewhere")
    refused(folder, "is a link")


@pytest.mark.parametrize("name", ["link", "inner/file", "pipe", "missing"])
def test_reading_a_file_follows_no_link_by_itself(name: str, tmp_path: Path) -> None:
    """The second wall, behind the look at the whole folder: each step of a path is opened without links."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("secret")
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path / "outside" / "file")
    (root / "inner").symlink_to(tmp_path / "outside")
    os.mkfifo(root / "pipe")
    with pytest.raises(ArtefactError):
        listed_files.read_inside(root, name, limit=100)


@pytest.mark.parametrize("name", ["gone", "folder", "link", "pipe"])
def test_the_reason_does_not_speak_of_a_model_where_there_is_none(tmp_path: Path, name: str) -> None:
    """Stores of spectrograms are read so too."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ArtefactError) as caught:
        listed_files.read_inside(tmp_path, name, limit=100)
    words = str(caught.value).replace(str(tmp_path), "")
    assert not {"model", "train"} & set(words.split())


def test_a_file_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(101))
    with pytest.raises(ArtefactError, match="at most 100"):
        listed_files.read_inside(tmp_path, "file", limit=100)
    assert listed_files.read_inside(tmp_path, "file", limit=101) == bytes(101)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="there is no /proc")
def test_a_link_to_proc_is_refused(folder: Path) -> None:
    (folder / "environment.json").unlink()
    (folder / "environment.json").symlink_to("/proc/self/environ")
    refused(folder, "is a link")


def test_a_hard_link_to_a_file_with_unknown_content_is_refused(folder: Path, tmp_path: Path) -> None:
    """A hard link is an ordinary file, but its sender cannot list the digest of what he does not know."""
    secret = tmp_path / "secret.json"
    secret.write_text('{"device": "TOPSECRET"}')
    (folder / "environment.json").unlink()
    os.link(secret, folder / "environment.json")
    with pytest.raises(ArtefactError, match="has changed since"):
        read_run(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_is_refused_without_waiting(folder: Path) -> None:
    (folder / "fusion.json").unlink()
    os.mkfifo(folder / "fusion.json")
    refused(folder, "device, a pipe")


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "a/../../b", "a//b", "./fusion.json", "a\\b", ""]
)
def test_a_path_that_leaves_the_folder_is_refused(name: str, folder: Path) -> None:
    change = json.loads((folder / "bundle.json").read_text())
    change["files"][name], change["sizes"][name] = "0" * 64, 1
    (folder / "bundle.json").write_text(json.dumps(change))
    refused(folder)
    with pytest.raises(ArtefactError, match="leaves it"):
        ListedFiles(folder, {name: Record("0" * 64)})


def test_a_file_that_is_swapped_after_its_digest_was_taken_is_not_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = ListedFiles.verify

    def verify_then_swap(files: ListedFiles) -> None:
        verify(files)
        content = (folder / HEAD).read_text()
        (folder / HEAD).write_text(content.replace('"C": 0.1', '"C": 0.2'))

    monkeypatch.setattr(ListedFiles, "verify", verify_then_swap)
    refused(folder, "has changed since")


def test_a_folder_that_is_swapped_for_a_link_while_it_is_opened_is_not_followed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path / "outside"
    shutil.copytree(folder / "members", outside)
    real = os.stat

    def swap(name: Any, **kwargs: Any) -> os.stat_result:
        facts = real(name, **kwargs)
        if name == "members" and not (folder / "members").is_symlink():
            shutil.move(folder / "members", tmp_path / "away")
            (folder / "members").symlink_to(outside)
        return facts

    monkeypatch.setattr(listed_files.os, "stat", swap)
    refused(folder, "link|readable")


def test_a_size_that_is_not_the_listed_one_is_refused_before_the_file_is_read(folder: Path) -> None:
    bundle = json.loads((folder / "bundle.json").read_text())
    bundle["sizes"][HEAD] += 1
    (folder / "bundle.json").write_text(json.dumps(bundle))
    refused(folder, "has changed since")


# --- JSON --------------------------------------------------------------------------------------------------

DEEP = "[" * 20_000 + "]" * 20_000


@pytest.mark.parametrize("name", ["bundle.json", "config.json", "fusion.json", "trust.json", HEAD])
@pytest.mark.parametrize(
    "text",
    [
        DEEP,
        '{"a": ' + "[" * 100 + "]" * 100 + "}",
        '{"a": 1e400}',
        '{"a": 1' + 400 * "0" + "}",
        '{"a": NaN}',
        '{"a": -Infinity}',
        '{"a": 1, "a": 2}',
        "\xff",
    ],
    ids=["deep", "hundred", "1e400", "10**400", "nan", "infinity", "twice", "latin"],
)
def test_json_that_quintet_does_not_write_is_refused(name: str, text: str, folder: Path) -> None:
    content = (folder / name).read_text()
    forged = text if text[0] in "[\xff" else text.replace('{"a"', content.rstrip()[:-1] + ', "a"', 1)
    (folder / name).write_bytes(forged.encode("latin-1"))
    if name != "bundle.json":
        relist(folder)
    refused(folder)


@pytest.mark.parametrize("content", [{}, [], {"oof": {}}, {"oof": {"mean": 3}}, {"verdict": {"oof": 1}}])
def test_scores_without_scores_are_refused_in_one_sentence(
    content: Any, folder: Path, tmp_path: Path
) -> None:
    (folder / "scores.json").write_text(json.dumps(content))
    relist(folder)
    with pytest.raises(ArtefactError) as caught:
        write_report(folder, tmp_path / "report")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"table_roles": 3},
        {"split": [1]},
        {"split": {"protocol": 1, "grouped": "x"}},
        {"notes": 5},
        {"multilabel": "no"},
        {"rule": []},
        {"feature_parameters": 7},
        {"feature_hash": {}},
        {"spectrograms": 1},
        {"fold_seconds": {"a": "x"}},
        {"clip_seconds": True},
        {"feature_names": ["x", "y", "other"]},
        {"feature_names": ["x", "y"]},
        {"classes": ["a", "b", "other"]},
        {"classes": ["a", "b", "b"]},
        {"members": ["logistic_regression", "logistic_regression"]},
    ],
)
def test_a_bundle_that_does_not_fit_the_model_is_refused(change: dict[str, Any], folder: Path) -> None:
    bundle = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps(bundle | change))
    refused(folder)


@pytest.mark.parametrize("key", ["members", "classes", "feature_names"])
def test_a_name_that_no_table_holds_is_refused(key: str, folder: Path) -> None:
    bundle = json.loads((folder / "bundle.json").read_text())
    bundle[key][0] = "\ud800"
    (folder / "bundle.json").write_text(json.dumps(bundle))
    refused(folder, f"These entries are not: {key}")


def test_a_feature_that_is_there_twice_is_refused_before_a_table_is_read(
    folder: Path, tmp_path: Path
) -> None:
    bundle = json.loads((folder / "bundle.json").read_text())
    bundle["feature_names"] += bundle["feature_names"][-1:]
    (folder / "bundle.json").write_text(json.dumps(bundle))
    table().to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(ArtefactError, match="feature_names"):
        predict_table_file(folder, tmp_path / "rows.csv")


def test_json_of_too_many_bytes_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "JSON_BYTES", 100)
    refused(folder, "at most 100 bytes")


@pytest.mark.parametrize(
    "change",
    [
        lambda trust: {**trust, "calibration": {**trust["calibration"], "temperature": 0.0}},
        lambda trust: {**trust, "calibration": {**trust["calibration"], "temperature": -1}},
        lambda trust: {**trust, "conformal": {**trust["conformal"], "codes": [999999]}},
        lambda trust: {**trust, "conformal": {**trust["conformal"], "weights": []}},
    ],
)
def test_a_trust_file_with_impossible_numbers_is_refused(change: Callable[[Any], Any], folder: Path) -> None:
    refused(change_json(folder, "trust.json", change))


def test_a_split_that_names_a_clip_twice_is_refused_in_one_sentence(folder: Path, tmp_path: Path) -> None:
    split = pd.read_parquet(folder / "split.parquet")
    pd.concat([split, split]).to_parquet(folder / "split.parquet")
    table().drop(columns="label").to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(ArtefactError, match="must fit each other"):
        predict_table_file(relist(folder), tmp_path / "rows.csv")


# --- XGBoost -----------------------------------------------------------------------------------------------


def _first(learner: Any) -> Any:
    return learner["gradient_booster"]["model"]["trees"][0]


def _set(name: str, position: int, value: Any) -> Callable[[Any], None]:
    def change(learner: Any) -> None:
        _first(learner)[name][position] = value

    return change


def _set_model(name: str, value: Any) -> Callable[[Any], None]:
    def change(learner: Any) -> None:
        model = learner["gradient_booster"]["model"]
        model[name] = value if not isinstance(value, int) else [value, *model[name][1:]]

    return change


def _update(path: tuple[str, ...], **entries: Any) -> Callable[[Any], None]:
    def change(learner: Any) -> None:
        place = learner
        for key in path:
            place = place[key]
        place.update(entries)

    return change


@pytest.mark.parametrize(
    "change",
    [
        _set("left_children", 0, 500_000_000),
        _set("right_children", 0, 500_000_000),
        _set("left_children", 0, -2),
        _set("left_children", 0, 0),
        _set("left_children", 0, 2),
        _set("right_children", 0, -1),
        _set("split_indices", 0, 2_000_000_000),
        _set("split_indices", 0, -1),
        _set("parents", 1, 7),
        _set("parents", 0, 1),
        _set("default_left", 0, 9),
        _set("split_type", 0, 1),
        _set("split_conditions", 0, np.nan),
        _set("base_weights", 0, np.inf),
        _set_model("tree_info", 1_000_000_000),
        _set_model("tree_info", -1_000_000_000),
        _set_model("tree_info", 4000),
        _set_model("tree_info", 3),
        _set_model("tree_info", [0]),
        _set_model("iteration_indptr", [0, 3, 600]),
        _set_model("iteration_indptr", [0, 6, 3, 6]),
        _set_model("iteration_indptr", [0, -3, 6]),
        _set_model("iteration_indptr", []),
        _set_model("cats", {"enc": [1]}),
        _update(("gradient_booster", "model", "gbtree_model_param"), num_trees="7"),
        _update(("gradient_booster", "model", "gbtree_model_param"), num_parallel_tree="1000000"),
        _update(("gradient_booster",), name="dart"),
        _update(("learner_model_param",), num_class="4000"),
        _update(("learner_model_param",), num_feature="2000000000"),
        _update(("learner_model_param",), num_target="2"),
        _update(("learner_model_param",), base_score="nan"),
        _update(("learner_model_param",), base_score="[0,0,0,0,0,0]"),
        _update(("objective",), name="rank:ndcg"),
        _update(("attributes",), best_iteration="1000000"),
        _update((), feature_names=["x"]),
        _update((), unknown=1),
        lambda learner: _first(learner).update(left_children=_first(learner)["left_children"][:1]),
        lambda learner: _first(learner).update(left_children=[0.5]),
        lambda learner: _first(learner).update(categories=np.array([1], np.int32)),
        lambda learner: _first(learner)["tree_param"].update(num_nodes="2000000000"),
        lambda learner: _first(learner)["tree_param"].update(num_deleted="1"),
        lambda learner: _first(learner)["tree_param"].update(num_feature="2"),
    ],
)
def test_a_number_that_xgboost_would_follow_outside_its_trees_is_refused(
    change: Callable[[Any], None], copy: Callable[[str], Path]
) -> None:
    refused(change_trees(copy("xgboost"), change), "not a model of XGBoost")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[$d#L\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"[" * 100_000,
        b"[#L\x00\x00\x00\x01\x00\x00\x00\x00",
        b"SL\xff\xff\xff\xff\xff\xff\xff\xff",
        b'{"learner": {}}',
    ],
)
def test_damaged_ubjson_is_refused(data: bytes, copy: Callable[[str], Path]) -> None:
    folder = copy("xgboost")
    (folder / TREES).write_bytes(data)
    refused(folder, "not a model of XGBoost")


def test_xgboost_gets_the_same_model_as_without_the_check(members: Path) -> None:
    from xgboost import XGBClassifier

    unchecked = XGBClassifier()
    unchecked.load_model(members / "xgboost" / TREES)
    checked: Any = load_member(members / "xgboost")
    rows = np.random.default_rng(1).normal(size=(50, 3))
    np.testing.assert_array_equal(checked.models_[0].predict_proba(rows), unchecked.predict_proba(rows))


# --- archives of arrays ------------------------------------------------------------------------------------


def preparation_with(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    fitted = {name: npy(np.ones(3)) for name in ("median", "mean", "std")}
    known = {"kept": npy(np.arange(3))} | fitted
    return archive_of({f"{name}.npy": data for name, data in {**known, **entries}.items()}, compression)


def test_arrays_that_a_test_writes_are_read(copy: Callable[[str], Path]) -> None:
    folder = copy("logistic_regression")
    (folder / PREPARATION).write_bytes(preparation_with({}))
    member: Any = load_member(folder)
    assert member.preparation_.std.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    "entries",
    [
        {"more": npy(np.zeros(3))},
        {"mean": npy_header((1 << 40,))},
        {"mean": npy_header((1 << 62, 1 << 62, 1 << 62))},
        {"mean": npy_header((-1,))},
        {"mean": npy_header((3,), "'|O'") + bytes(24)},
        {"mean": npy_header((3,), "'" + "(" * 3000 + "'")},
        {"mean": npy_header((1,), "'<U2000000000'")},
        {"mean": npy(np.array([{"a": 1}] * 3), allow_pickle=True)},
        {"mean": npy(np.array([1, np.nan, 2]))},
        {"mean": npy(np.array(["a", "b", "c"]))},
        {"mean": npy(np.zeros((3, 1)))},
        {"mean": npy(np.zeros(2))},
        {"mean": npy(np.array([1, 2, 3]))},
        {"kept": npy(np.array([0.0, 1.0, 2.0]))},
        {"std": npy(np.zeros(3))},
        {"kept": npy(np.array([0, 1, 1 << 40]))},
        {"kept": npy(np.array([0, 1, -1]))},
        {"kept": npy(np.array([0, 0, 1]))},
        {"mean": b"\x93NUMPY\x03\x00\xff\xff\xff\x7f"},
    ],
)
def test_arrays_that_quintet_does_not_write_are_refused(
    entries: dict[str, bytes], copy: Callable[[str], Path]
) -> None:
    folder = copy("logistic_regression")
    (folder / PREPARATION).write_bytes(preparation_with(entries))
    refused(folder)


def test_a_compressed_array_is_refused_before_it_is_unpacked(copy: Callable[[str], Path]) -> None:
    folder = copy("logistic_regression")
    bomb = npy(np.zeros(1_000_000))
    (folder / PREPARATION).write_bytes(preparation_with({"mean": bomb}, zipfile.ZIP_DEFLATED))
    assert (folder / PREPARATION).stat().st_size < len(bomb) / 100
    refused(folder, "is compressed")


def test_entries_that_share_their_bytes_are_refused(copy: Callable[[str], Path]) -> None:
    """A zip in which many names stand for one piece of the file unpacks to many times its size."""
    folder = copy("logistic_regression")
    data = npy(np.zeros(5000))
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("mean.npy", data)
        first = archive.infolist()[0]
        for name in ("kept.npy", "median.npy", "std.npy"):
            entry = zipfile.ZipInfo(name)
            entry.header_offset, entry.CRC = first.header_offset, first.CRC
            entry.file_size = entry.compress_size = len(data)
            archive.filelist.append(entry)
            archive.NameToInfo[name] = entry
    (folder / PREPARATION).write_bytes(content.getvalue())
    refused(folder, "archive overlap")


# --- skops -------------------------------------------------------------------------------------------------


def _attributes(schema: Any) -> Any:
    return schema["content"]["content"]


def _scalar(value: Any) -> dict[str, Any]:
    kind = {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "__id__": 1}
    return kind | {"content": json.dumps(value), "is_json": True}


def _node(loader: str, module: str, name: str, **entries: Any) -> dict[str, Any]:
    return {"__class__": name, "__module__": module, "__loader__": loader, "__id__": 2, **entries}


NO_ARGUMENTS = _node("TupleNode", "builtins", "tuple", content=[])
FOREIGN = {
    "system": _node("FunctionNode", "os", "system"),
    "popen": _node("ConstructorFromReduceNode", "subprocess", "Popen", content=NO_ARGUMENTS),
    "type": _node("TypeNode", "subprocess", "Popen"),
    "attrgetter": _node("OperatorFuncNode", "operator", "attrgetter", attrs=NO_ARGUMENTS),
    "method": _node(
        "MethodNode", "sklearn.pipeline", "Pipeline", content={"func": "fit", "obj": NO_ARGUMENTS}
    ),
    "loss": _node("LossNode", "os", "system", __reduce__={"args": NO_ARGUMENTS}, content=NO_ARGUMENTS),
    "tree": _node("ConstructorFromReduceNode", "sklearn.tree._tree", "Tree", content=NO_ARGUMENTS),
    "pipeline": _node("ObjectNode", "sklearn.pipeline", "Pipeline"),
    "sparse": _node("SparseMatrixNode", "scipy.sparse", "csr_matrix", file="x.npz", type="scipy"),
    "scalar": _scalar(1),
    "long": _scalar("x" * 1000),
    "list": _scalar([[]]),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_an_attribute_that_scikit_learn_does_not_have_is_refused(
    kind: str, copy: Callable[[str], Path]
) -> None:
    refused(
        change_skops(
            copy("logistic_regression"), lambda _, schema: _attributes(schema).update(more=FOREIGN[kind])
        ),
        "only what Quintet writes",
    )


@pytest.mark.parametrize("kind", [kind for kind in FOREIGN if kind != "scalar"])
def test_a_known_attribute_of_another_type_is_refused(kind: str, copy: Callable[[str], Path]) -> None:
    refused(
        change_skops(
            copy("logistic_regression"), lambda _, schema: _attributes(schema).update(tol=FOREIGN[kind])
        )
    )


def test_an_array_that_no_attribute_needs_is_never_read(copy: Callable[[str], Path]) -> None:
    def add(entries: dict[str, bytes], schema: Any) -> None:
        entries["bomb.npy"] = npy(np.zeros(10))
        _attributes(schema)["bomb"] = _node("NdArrayNode", "numpy", "ndarray", type="numpy", file="bomb.npy")

    refused(change_skops(copy("logistic_regression"), add), "only what Quintet writes")


def test_a_compressed_file_of_skops_is_refused_before_it_is_unpacked(copy: Callable[[str], Path]) -> None:
    folder = copy("logistic_regression")
    with zipfile.ZipFile(folder / SKOPS) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    (folder / SKOPS).write_bytes(archive_of(entries, zipfile.ZIP_DEFLATED))
    refused(folder, "is compressed")


def _replace_array(attribute: str, values: bytes) -> Callable[[dict[str, bytes], Any], None]:
    def change(entries: dict[str, bytes], schema: Any) -> None:
        place = schema["content"][0] if isinstance(schema["content"], list) else schema
        entries[_attributes(place)[attribute]["file"]] = values

    return change


@pytest.mark.parametrize(
    ("name", "attribute", "values"),
    [
        ("logistic_regression", "coef_", npy(np.zeros((3, 4)))),
        ("logistic_regression", "coef_", npy(np.full((3, 3), np.inf))),
        ("logistic_regression", "intercept_", npy(np.zeros(2))),
        ("logistic_regression", "coef_", npy(np.zeros((3, 3), np.float16))),
        ("logistic_regression", "coef_", npy(np.zeros((3, 3), ">f8"))),
        ("svm", "support_vectors_", npy(np.zeros((3, 3), np.float32))),
        ("logistic_regression", "coef_", npy_header((1 << 20, 1 << 20))),
        ("logistic_regression", "classes_", npy(np.arange(4))),
        ("svm", "support_vectors_", npy(np.zeros((1, 3)))),
        ("svm", "_dual_coef_", npy(np.zeros((1, 1)))),
        ("svm", "_n_support", npy(np.array([-5, 5], np.int32))),
        ("svm", "_n_support", npy(np.array([1 << 30, 1 << 30], np.int32))),
        ("svm", "_probA", npy(np.zeros(1))),
        ("svm", "_gamma", npy(np.float64(-1))),
        ("svm", "support_", npy(np.arange(3, dtype=np.int64))),
    ],
)
def test_arrays_of_scikit_learn_that_do_not_fit_are_refused(
    name: str, attribute: str, values: bytes, copy: Callable[[str], Path]
) -> None:
    refused(change_skops(copy(name), _replace_array(attribute, values)))


@pytest.mark.parametrize(
    ("name", "attribute", "value"),
    [
        ("random_forest", "n_jobs", 1_000_000),
        ("random_forest", "n_classes_", 1_000_000_000),
        ("random_forest", "n_outputs_", 1000),
        ("random_forest", "n_estimators", 1),
        ("random_forest", "n_features_in_", 4),
        ("svm", "kernel", "precomputed"),
        ("svm", "_sparse", True),
        ("svm", "_impl", "nu_svr"),
        ("svm", "fit_status_", 1),
        ("svm", "degree", "x"),
        ("svm", "coef0", "x"),
        ("svm", "cache_size", 10**12),
        ("logistic_regression", "solver", "liblinear"),
    ],
)
def test_numbers_of_scikit_learn_that_do_not_fit_are_refused(
    name: str, attribute: str, value: Any, copy: Callable[[str], Path]
) -> None:
    def change(_: dict[str, bytes], schema: Any) -> None:
        place = schema["content"][0] if isinstance(schema["content"], list) else schema
        _attributes(place)[attribute] = _scalar(value)

    refused(change_skops(copy(name), change))


def _change_tree(change: Callable[[Any, dict[str, bytes]], None]) -> Callable[[dict[str, bytes], Any], None]:
    def apply(entries: dict[str, bytes], schema: Any) -> None:
        change(_attributes(_attributes(schema)["estimators_"]["content"][0])["tree_"], entries)

    return apply


def _nodes(field: str, value: float) -> Callable[[Any, dict[str, bytes]], None]:
    def change(tree: Any, entries: dict[str, bytes]) -> None:
        file = tree["content"]["content"]["nodes"]["file"]
        nodes = np.load(io.BytesIO(entries[file]))
        nodes[field][0] = value
        entries[file] = npy(nodes)

    return change


@pytest.mark.parametrize(
    "change",
    [
        _nodes("left_child", 10_000_000),
        _nodes("right_child", -7),
        _nodes("left_child", 0),
        _nodes("feature", 4_000_000),
        _nodes("threshold", np.nan),
        lambda tree, _: tree["content"]["content"].update(node_count=_scalar(1_000_000)),
        lambda tree, _: tree["content"]["content"].update(max_depth=_scalar(-1)),
        lambda tree, _: tree["content"]["content"].update(more=_scalar(1)),
        lambda tree, _: tree["__reduce__"]["args"]["content"].__setitem__(0, _scalar(2**31 - 1)),
        lambda tree, _: tree["__reduce__"]["args"]["content"].__setitem__(2, _scalar(1000)),
        lambda tree, entries: entries.update(
            {tree["__reduce__"]["args"]["content"][1]["file"]: npy(np.array([1 << 40]))}
        ),
        lambda tree, entries: entries.update(
            {tree["content"]["content"]["values"]["file"]: npy(np.zeros((1, 1, 3)))}
        ),
    ],
)
def test_a_tree_of_a_forest_is_checked_before_it_is_built(
    change: Callable[[Any, dict[str, bytes]], None],
    copy: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(storage, "check_tree", lambda tree, **sizes: None)  # the check after building
    refused(change_skops(copy("random_forest"), _change_tree(change)))


def test_deep_json_inside_skops_is_refused(copy: Callable[[str], Path]) -> None:
    def change(_: dict[str, bytes], schema: Any) -> None:
        node = _scalar(1)
        for _ in range(300):
            node = _node("ListNode", "builtins", "list", content=[node])
        _attributes(schema)["tol"] = node

    refused(change_skops(copy("logistic_regression"), change))


# --- parquet -----------------------------------------------------------------------------------------------


def _runs() -> pa.Table:
    return pa.table({"x": pa.array(np.zeros(40_000_000, np.int8))})


def _texts() -> pa.Table:
    text = pa.array(["x" * 1_000_000])
    return pa.table({"x": pa.DictionaryArray.from_arrays(pa.array(np.zeros(100_000, np.int32)), text)})


def _page() -> pa.Table:
    return pa.table({"x": pa.array(["x" * (limits.PAGE_BYTES + 1)])})


@pytest.mark.slow
@pytest.mark.parametrize("make", [_runs, _texts, _page])
def test_a_small_table_that_unpacks_to_gigabytes_is_refused(
    make: Callable[[], pa.Table], folder: Path
) -> None:
    dictionary = make is not _page
    pq.write_table(
        make(), folder / "failures.parquet", use_dictionary=dictionary, compression="zstd", store_schema=False
    )
    assert (folder / "failures.parquet").stat().st_size < 300_000
    with pytest.raises(ArtefactError, match="much larger than its file"):
        read_run(relist(folder))


def test_tables_beyond_the_limit_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TABLE_ROWS", 3)
    with pytest.raises(ArtefactError, match="much larger"):
        read_run(folder)


@pytest.mark.parametrize("name", ["failures.parquet", "split.parquet", "predictions/oof/mean.parquet"])
@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1", b"no table"])
def test_a_damaged_table_is_refused(name: str, content: bytes, folder: Path) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(ArtefactError):
        read_run(relist(folder))


def test_deep_json_in_the_metadata_of_a_table_is_refused(folder: Path) -> None:
    table = pq.read_table(folder / "failures.parquet").replace_schema_metadata({"pandas": DEEP})
    pq.write_table(table, folder / "failures.parquet")
    with pytest.raises(ArtefactError):
        read_run(relist(folder))


# --- memory ------------------------------------------------------------------------------------------------

GUARDED = """
import resource, sys
from quintet.errors import ArtefactError
from quintet.classifiers.storage import load_member
import quintet.classifiers.tabular.members, xgboost
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 300 * 2**20, resource.RLIM_INFINITY))
for folder in sys.argv[1:]:
    try:
        load_member(folder)
        print("loaded")
    except ArtefactError:
        print("refused")
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="there is no /proc")
def test_bombs_are_refused_within_300_mb(copy: Callable[[str], Path]) -> None:
    """Gigabytes of zeros in an .npz, in a .skops, and among the numbers of XGBoost's trees."""
    zeros = npy(np.zeros(64_000_000, np.int8))
    arrays, parts, trees = copy("svm"), copy("logistic_regression"), copy("xgboost")
    (arrays / PREPARATION).write_bytes(preparation_with({"mean": zeros}, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(parts / SKOPS) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    entries |= {f"{k}.npy": zeros for k in range(20)}
    (parts / SKOPS).write_bytes(archive_of(entries, zipfile.ZIP_DEFLATED))
    (trees / TREES).write_bytes(b"[$d#L" + (1 << 30).to_bytes(8, "big"))
    arguments = [str(folder) for folder in (arrays, parts, trees)]
    result = subprocess.run([sys.executable, "-c", GUARDED, *arguments], capture_output=True, text=True)
    assert result.stdout.split() == ["refused"] * 3, result.stderr
