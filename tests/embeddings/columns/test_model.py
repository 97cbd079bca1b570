"""Models of columns of pretrained networks and of a joined table: predictions, pages, refusals."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

import quintet
from quintet.auditing.run import audit
from quintet.embeddings.library import remove_network
from quintet.embeddings.musicnn_graph import Checkpoint, musicnn_graph
from quintet.errors import AlignmentError, ArtefactError, ConfigError
from quintet.features.parameters import FeatureParameters
from quintet.features.storage.read import read_feature_table
from quintet.inference.predict import predict_files, predict_table_file
from quintet.model_folder.folder import ModelFolder
from quintet.training.settings import TrainSettings
from tests.embeddings.conftest import install_network, musicnn_arrays

RATE, SECONDS = 16000, 3.5
SMALL = FeatureParameters(feature_set="bahuleyan2018", families=("temporal",))
SETTINGS = TrainSettings(
    members=("logistic_regression", "logistic_regression@tags_msd"), folds=2, rules=("mean",), rule="mean",
    resamples=0,
)  # fmt: skip


def extract(root: Path, name: str, **options: object) -> Path:
    chosen = {"embeddings": "musicnn_msd", "windows": 2, **options}
    quintet.extract(root / "data", root / name, parameters=SMALL, n_jobs=0, **chosen)
    return root / name


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Twelve clips of two classes, their table, a table of another program, and a model of each."""
    root = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUINTET_WEIGHTS_DIR", str(root / "weights"))
        install_network("musicnn_msd", musicnn_graph(Checkpoint(musicnn_arrays())))
        t = np.arange(int(RATE * SECONDS)) / RATE
        for label, base in (("flute", 900.0), ("tuba", 90.0)):
            for k in range(6):
                noise = np.random.default_rng(k).normal(size=t.size) / 50
                file = root / "data" / label / f"artist{k}_{label}.wav"
                file.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(file, 0.2 * np.sin(2 * np.pi * base * (1 + 0.03 * k) * t) + noise, RATE)
        table = extract(root, "f.parquet")
        ids = read_feature_table(table).features.index
        numbers = np.random.default_rng(0).normal(size=(len(ids), 3))
        other = pd.DataFrame(numbers, columns=["m_0", "m_1", "m_2"]).assign(id=list(ids))
        other.iloc[1:].to_parquet(root / "mert.parquet")
        quintet.train(table, root / "model", settings=SETTINGS)
        members = ("logistic_regression", "logistic_regression@embedding_mert")
        joined = SETTINGS.model_copy(update={"members": members})
        quintet.train(table, root / "joined", settings=joined, join=root / "mert.parquet")
        yield root


def probabilities(frame: pd.DataFrame) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return frame.filter(like="probability.").to_numpy(np.float64)


def test_predictions_of_audio_are_those_of_the_table(made: Path) -> None:
    of_table = predict_table_file(made / "model", made / "f.parquet").frame
    of_audio = predict_files(made / "model", [made / "data"]).frame
    by_name = of_audio.set_index(
        of_audio["file"].map(lambda file: str(Path(file).relative_to(made / "data")))
    )
    received = by_name.loc[of_table["file"]]
    np.testing.assert_allclose(probabilities(received), probabilities(of_table), atol=1e-6)
    assert np.ptp(probabilities(of_table)[:, 0]) > 0.2


def test_tables_with_other_windows_are_refused_and_those_with_more_networks_are_not(made: Path) -> None:
    with pytest.raises(AlignmentError, match=r"windows 3.*instead of.*windows 2"):
        predict_table_file(made / "model", extract(made, "three.parquet", windows=3))
    with pytest.raises(AlignmentError, match="embeddings none instead of musicnn_msd"):
        predict_table_file(made / "model", extract(made, "none.parquet", embeddings=(), windows=None))
    install_network("more", musicnn_graph(Checkpoint(musicnn_arrays(seed=3))))
    both = extract(made, "more.parquet", embeddings=("more", "musicnn_msd"))
    expected = predict_table_file(made / "model", made / "f.parquet").frame
    received = predict_table_file(made / "model", both).frame
    np.testing.assert_array_equal(probabilities(received), probabilities(expected))


def test_a_model_wants_the_networks_of_its_training(made: Path) -> None:
    files = [made / "data" / "tuba"]
    content = musicnn_graph(Checkpoint(musicnn_arrays()))
    install_network("musicnn_msd", musicnn_graph(Checkpoint(musicnn_arrays(seed=1))))
    try:
        with pytest.raises(ArtefactError, match=r"musicnn_msd.*contract"):
            predict_files(made / "model", files)
        remove_network("musicnn_msd")
        with pytest.raises(ConfigError, match="quintet weights fetch musicnn"):
            predict_files(made / "model", files)
    finally:
        install_network("musicnn_msd", content)


def test_a_joined_table_is_kept_and_asked_for(made: Path) -> None:
    (record,) = ModelFolder(made / "joined").read_json("bundle.json")["joined"]
    assert (record["families"], record["n_joined"], record["n_without_row"]) == (["embedding_mert"], 11, 1)
    with pytest.raises(ArtefactError, match=r"3 of this model are from a joined table \(mert\.parquet\)"):
        predict_files(made / "joined", [made / "data"])
    with pytest.raises(AlignmentError, match="--join mert=FILE"):
        predict_table_file(made / "joined", made / "f.parquet")
    result = predict_table_file(made / "joined", made / "f.parquet", join=made / "mert.parquet")
    assert (len(result.frame), len(result.failures)) == (11, 1)


@pytest.mark.slow
def test_pages_and_audit_of_such_a_model(made: Path, tmp_path: Path) -> None:
    page = quintet.report(made / "model", tmp_path / "report").read_text(encoding="utf-8")
    assert "tags_msd" in page
    assert "tag " in page, "columns in words"
    assert "network musicnn_msd" in page, "provenance"
    joined = quintet.report(made / "joined", tmp_path / "joined").read_text(encoding="utf-8")
    assert "joined table mert" in joined
    file = made / "data" / "flute" / "artist0_flute.wav"
    track = quintet.explain(made / "model", file, tmp_path / "page").read_text(encoding="utf-8")
    assert "tags_msd" in track
    with pytest.raises(ArtefactError, match="joined table"):
        quintet.explain(made / "joined", file, tmp_path / "other")
    assert len(audit(made / "f.parquet").clips) == 12
