"""Predictions of a model folder come from its frozen ensemble, with the numbers of the members."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import soundfile

import quintet
from quintet.classifiers.member import Member
from quintet.classifiers.tabular.preparation import Preparation
from quintet.errors import ArtefactError, ConfigError
from quintet.features.parameters import FeatureParameters, LogMelParameters
from quintet.files.untrusted import limits
from quintet.frozen.members import FrozenMember, FrozenTable
from quintet.inference.predict import predict_files, predict_table
from quintet.inference.predictor import find_predictor
from quintet.inference.warm import WarmModel
from quintet.model_folder import frozen_files
from quintet.model_folder.folder import ModelFolder, relist
from quintet.model_folder.frozen_files import ARRAYS, HEAD, KNOWN
from quintet.training.settings import TrainSettings

MEMBERS = ("logistic_regression", "random_forest", "svm", "vgg_small")
HEAVY = ("tensorflow", "keras", "sklearn", "xgboost", "skops", "pandas", "pyarrow", "scipy.stats", "h5py")
HEAVY += ("numba", "yaml", "scipy.special")
NEEDED_TO_EXPLAIN = ("pandas", "pyarrow", "numba", "yaml", "scipy.special")  # tables, compiled Shapley values


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of twenty clips of two classes, with three table members and a network; and other files."""
    folder = tmp_path_factory.mktemp("frozen")
    rng = np.random.default_rng(0)
    for k in range(20):
        (folder / "music" / f"class{k % 2}").mkdir(parents=True, exist_ok=True)
        sound = 0.1 * (1 + k % 2) * rng.normal(size=12000)
        soundfile.write(folder / "music" / f"class{k % 2}" / f"{k}.wav", sound, 8000)
    (folder / "others").mkdir()
    for name, seconds in (("new", 1.4), ("long", 4.0), *((f"others/{k}", 1.4) for k in range(10))):
        soundfile.write(folder / f"{name}.wav", 0.15 * rng.normal(size=int(8000 * seconds)), 8000)
    log_mel = LogMelParameters(n_mels=32)
    parameters = FeatureParameters(feature_set="bahuleyan2018", families=("temporal",), log_mel=log_mel)
    quintet.extract(
        folder / "music", folder / "f.parquet", parameters=parameters, spectrograms=folder / "store", n_jobs=0
    )
    settings = TrainSettings(
        members=MEMBERS,
        rules=("mean",),
        protocol="group",  # each clip is its own group, so that there are enough for a test of drift
        folds=2,
        resamples=0,
        settings={
            "random_forest": {"n_estimators": 4},
            "vgg_small": {
                "epochs": 1,
                "filters": 2,
                "patch_frames": 32,
                "blocks": 3,
                "validation_share": 0.0,
            },
        },
    )
    quintet.train(folder / "f.parquet", folder / "model", settings=settings, spectrograms=folder / "store")
    return folder


@pytest.fixture
def model(run: Path, tmp_path: Path) -> Path:
    """A copy of the model that a test may change."""
    return Path(shutil.copytree(run / "model", tmp_path / "model"))


def require_equal(received: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(received, expected, rtol=0, atol=1e-6, check_exact=False)


def test_the_frozen_ensemble_predicts_what_the_members_predict(run: Path) -> None:
    files = [run / "new.wav", run / "long.wav", run / "music" / "class0" / "0.wav"]
    assert find_predictor(run / "model").notes == ()
    received = predict_files(run / "model", files, confidence=0.7)
    expected = predict_files(quintet.load_model(run / "model"), files, confidence=0.7)
    for name in ("frame", "segments", "failures", "truncated"):
        require_equal(getattr(received, name), getattr(expected, name))
    assert received.notes == expected.notes
    assert received.frame["segments"].tolist() == [1, 3, 1]
    assert received.frame["known_part"].notna().tolist() == [False, False, True]


def test_rows_of_a_table_are_predicted_from_it_too(run: Path) -> None:
    table = quintet.read_feature_table(run / "f.parquet")
    store = quintet.SpectrogramStore(run / "store")
    received = predict_table(run / "model", table, spectrograms=store)
    expected = predict_table(quintet.load_model(run / "model"), table, spectrograms=store)
    require_equal(received.frame, expected.frame)
    assert received.frame["known_id"].notna().all()


def test_a_folder_without_it_falls_back_with_a_word(run: Path, model: Path) -> None:
    shutil.rmtree(model / "frozen")
    bundle = json.loads((model / "bundle.json").read_text())
    (model / "bundle.json").write_text(json.dumps({**bundle, "not_frozen": "'crnn' differs"}))
    relist(model)
    fallen = predict_files(model, [run / "new.wav"])
    require_equal(fallen.frame, predict_files(run / "model", [run / "new.wav"]).frame)
    assert any("'crnn' differs" in note for note in fallen.notes)


def test_a_member_that_differs_from_its_copy_is_not_frozen(
    run: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    freeze = frozen_files.freeze_member

    def freeze_wrongly(member: Member, *details: object) -> FrozenMember:
        frozen = freeze(member, *details)  # type: ignore[arg-type]
        if not isinstance(frozen, FrozenTable):
            return frozen
        shares = {**frozen.preparation.arrays(), "mean": frozen.preparation.mean + 0.01}
        return replace(frozen, preparation=Preparation(scale=True).restore(shares))

    monkeypatch.setattr(frozen_files, "freeze_member", freeze_wrongly)
    ensemble, table = quintet.load_model(model), quintet.read_feature_table(run / "f.parquet")
    store = quintet.SpectrogramStore(run / "store")
    said = frozen_files.write_frozen(ModelFolder(model), ensemble, table, store)
    assert str(said["not_frozen"]).startswith("'logistic_regression' differs")


def change_arrays(model: Path, change: Callable[[dict[str, np.ndarray]], object]) -> None:
    with np.load(model / ARRAYS) as content:
        arrays = dict(content)
    change(arrays)
    np.savez(model / ARRAYS, **arrays)  # type: ignore[arg-type]


def change_head(model: Path, change: Callable[[dict[str, dict[str, object]]], object]) -> None:
    head = json.loads((model / HEAD).read_text())
    change(head["members"])
    (model / HEAD).write_text(json.dumps(head))


ARRAY_ATTACKS: dict[str, Callable[[dict[str, np.ndarray]], object]] = {
    "a_column_outside": lambda arrays: arrays["0.preparation.kept"].__setitem__(0, 10_000),
    "a_negative_column": lambda arrays: arrays["0.preparation.kept"].__setitem__(0, -1),
    "no_number": lambda arrays: arrays["0.0.coefficients"].__setitem__((0, 0), np.nan),
    "another_shape": lambda arrays: arrays.update({"0.0.coefficients": np.ones((3, 2))}),
    "a_child_outside": lambda arrays: arrays["1.0.left"].__setitem__(0, 10**8),
    "a_circle": lambda arrays: arrays["1.0.right"].__setitem__(slice(None), 0),
    "a_missing_array": lambda arrays: arrays.pop("2.0.vectors"),
    "a_foreign_array": lambda arrays: arrays.update({"9.x": np.ones(1)}),
    "texts": lambda arrays: arrays.update({"2.0.offsets": np.array(["a"])}),
    "a_deviation_of_zero": lambda arrays: arrays["3.std"].__setitem__(0, 0),
}
HEAD_ATTACKS: dict[str, Callable[[dict[str, dict[str, object]]], object]] = {
    "another_kind": lambda members: members["svm"].update(kind="os.system"),
    "another_order": lambda members: members.update(svm=members.pop("svm")),
    "a_constant": lambda members: members["svm"].update(constants=[0.5]),
    "no_member": lambda members: members.pop("svm"),
    "too_many_patches": lambda members: members["vgg_small"]["settings"].update(  # type: ignore[attr-defined]
        max_patches=limits.CLIP_PATCHES + 1
    ),
    "foreign_weights": lambda members: members["vgg_small"]["steps"][2].update(  # type: ignore[index]
        weights=["../../secret"]
    ),
    "no_steps": lambda members: members["vgg_small"].update(steps=[]),
}


@pytest.mark.parametrize("name", [*ARRAY_ATTACKS, *HEAD_ATTACKS])
def test_a_frozen_ensemble_that_quintet_does_not_write_is_refused(run: Path, model: Path, name: str) -> None:
    if name in ARRAY_ATTACKS:
        change_arrays(model, ARRAY_ATTACKS[name])
    else:
        change_head(model, HEAD_ATTACKS[name])
    relist(model)
    with pytest.raises(ArtefactError):
        find_predictor(model)


def change_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def change_weights(model: Path, number: float) -> None:
    def fill(name: str, entry: Any) -> None:
        if isinstance(entry, h5py.Dataset) and entry.dtype.kind == "f":
            entry[...] = np.full(entry.shape, number, entry.dtype)

    with h5py.File(model / "members" / "vgg_small" / "network.weights.h5", "r+") as file:
        file.visititems(fill)


def fill_vectors(arrays: dict[str, np.ndarray]) -> None:
    """One of two vectors has a product that is infinite, as its square is: their difference is no number."""
    vectors = arrays["2.0.vectors"]
    vectors[::2], vectors[1::2] = 1.7e308, -1.7e308


def change_distance(model: Path, number: float) -> None:
    with np.load(model / "distance.npz") as content:
        arrays = dict(content)
    arrays["components"][:] = number
    np.savez(model / "distance.npz", **arrays)  # type: ignore[arg-type]


HUGE: dict[str, Callable[[Path], object]] = {
    "support_vectors": lambda model: change_arrays(model, fill_vectors),
    "a_tiny_deviation": lambda model: change_arrays(model, lambda a: a["3.std"].fill(1e-44)),
    "means_beyond_float32": lambda model: change_arrays(
        model, lambda a: a.update({"3.mean": np.full(a["3.mean"].shape, 1e300)})
    ),
    "long_floats": lambda model: change_arrays(
        model, lambda a: a.update({"2.0.offsets": np.full(1, np.longdouble("1e4000"))})
    ),
    "weights": lambda model: change_weights(model, 1e38),
    "distances": lambda model: change_distance(model, 1e300),
    "a_temperature": lambda model: change_json(
        model / "trust.json",
        lambda trust: trust["calibration"].update(method="temperature", temperature=1e-320),
    ),
    "temperatures_of_members": lambda model: change_json(
        model / "fusion.json",
        lambda fusion: fusion["rules"]["mean"].update(temperatures=dict.fromkeys(MEMBERS, 1e-320)),
    ),
}


@pytest.mark.parametrize("name", HUGE)
def test_a_model_whose_answers_are_no_numbers_is_damaged(run: Path, model: Path, name: str) -> None:
    HUGE[name](model)
    relist(model)
    with pytest.raises(ArtefactError, match=r"damaged|what `quintet train` wrote"):
        predict_files(model, [run / "new.wav"])


def test_a_model_without_a_calibration_of_sets_serves_no_confidence(run: Path, model: Path) -> None:
    change_json(model / "trust.json", lambda trust: trust.update(conformal=None))
    relist(model)
    assert len(predict_files(model, [run / "new.wav"]).frame) == 1
    with pytest.raises(ConfigError, match="need a calibration"):
        predict_files(model, [run / "new.wav"], confidence=0.9)
    with pytest.raises(ConfigError, match="need a calibration"):
        WarmModel.load(model).require_sets(0.9)


def test_so_is_a_model_that_is_not_frozen(run: Path, model: Path) -> None:
    ensemble = quintet.load_model(model)
    ensemble.members_["logistic_regression"].models_[0].coef_[:] = np.nan  # type: ignore[union-attr]
    with pytest.raises(ArtefactError, match="damaged"):
        predict_files(ensemble, [run / "new.wav"])


DAMAGED_CLIPS: dict[str, Callable[[dict[str, Any]], object]] = {
    "a_missing_id": lambda known: known["ids"].pop(),
    "a_missing_column": lambda known: known.pop("parts"),
    "a_surrogate": lambda known: known["ids"].__setitem__(0, "a\ud800"),
    "a_byte_that_is_no_text": lambda known: known["ids"].__setitem__(0, "caf\udce9.wav"),
    "nul": lambda known: known["ids"].__setitem__(0, "a\0b"),
    "a_long_id": lambda known: known["ids"].__setitem__(0, "\x1b" * 100_000),
    "another_part": lambda known: known["parts"].__setitem__(0, "\x1b[2J"),
    "a_huge_duration": lambda known: known["durations_s"].__setitem__(0, 10**400),
    "a_negative_duration": lambda known: known["durations_s"].__setitem__(0, -1.0),
    "a_boolean": lambda known: known["durations_s"].__setitem__(0, True),
}


@pytest.mark.parametrize("name", DAMAGED_CLIPS)
def test_a_damaged_list_of_known_clips_is_refused(model: Path, name: str) -> None:
    change_json(model / KNOWN, DAMAGED_CLIPS[name])
    relist(model)
    with pytest.raises(ArtefactError, match=r"known clips|must be JSON") as caught:
        find_predictor(model).known_clips  # noqa: B018
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "name", ["a\x1b[2J\n\x07b.wav", r"caf\xe9.wav", r"a\x5cxe9.wav", "\u202e3pm.wav", r"\xff" * 255]
)
def test_ids_of_clips_with_odd_names_are_read(model: Path, name: str) -> None:
    change_json(model / KNOWN, lambda known: known["ids"].__setitem__(0, name))
    relist(model)
    known = find_predictor(model).known_clips
    assert known is not None
    assert name in [id for clips in known.clips.values() for id, _ in clips]


def test_a_changed_byte_is_noticed(model: Path) -> None:
    data = bytearray((model / ARRAYS).read_bytes())
    data[len(data) // 2] ^= 1
    (model / ARRAYS).write_bytes(bytes(data))
    with pytest.raises(ArtefactError):
        find_predictor(model)


IMPORTS = """
import sys
from quintet.cli import app
try:
    app(sys.argv[1:])
except SystemExit as leave:
    assert not leave.code, leave
print([name for name in {heavy} if name in sys.modules])
"""


def test_predict_imports_no_library_that_fits(run: Path) -> None:
    words = ["predict", str(run / "model"), str(run / "new.wav"), "--format", "csv", "--confidence", "0.9"]
    program = [sys.executable, "-c", IMPORTS.format(heavy=HEAVY), *words]
    printed = subprocess.run(program, capture_output=True, text=True, check=True).stdout.splitlines()
    assert printed[0].startswith("file,status")
    assert printed[-1] == "[]"


def test_the_test_of_drift_in_predict_needs_arrow_alone(run: Path) -> None:
    words = ["predict", str(run / "model"), str(run / "others"), "--json", "-q"]
    heavy = tuple(name for name in HEAVY if name != "pyarrow")
    program = [sys.executable, "-c", IMPORTS.format(heavy=heavy), *words]
    *answer, imported = subprocess.run(
        program, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert json.loads("\n".join(answer))["drift"]["n"] == 10
    assert imported == "[]"


def test_explain_imports_no_library_that_fits(run: Path, tmp_path: Path) -> None:
    words = ["explain", str(run / "model"), str(run / "new.wav"), "-o", str(tmp_path / "page"), "-q"]
    heavy = (*(name for name in HEAVY if name not in NEEDED_TO_EXPLAIN), "shap")
    program = [sys.executable, "-c", IMPORTS.format(heavy=heavy), *words]
    printed = subprocess.run(program, capture_output=True, text=True, check=True).stdout.splitlines()
    assert printed[-1] == "[]"
    assert (tmp_path / "page" / "numbers" / "vgg-small-cells.parquet").is_file()


@pytest.mark.slow
def test_report_imports_no_keras(run: Path, tmp_path: Path) -> None:
    words = ["report", str(run / "model"), "-o", str(tmp_path / "page"), "-q"]
    program = [sys.executable, "-c", IMPORTS.format(heavy=("tensorflow", "keras", "h5py", "shap")), *words]
    printed = subprocess.run(program, capture_output=True, text=True, check=True).stdout.splitlines()
    assert printed[-1] == "[]"
