"""`quintet explain` from end to end on synthesised sound: the page, its numbers, and the errors."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import sys
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

import quintet
from quintet.cli import main
from quintet.ensemble.crossfit import Inputs, Trainer
from quintet.errors import ArtefactError, AudioError, ConfigError
from quintet.explanation.neighbours import nearest_tracks
from quintet.explanation.spectrogram.embeddings import embed_clips
from quintet.explanation.track import embed_track, explain_track
from quintet.features.storage.spectrograms import SpectrogramStore
from quintet.inference.predict import predict_files
from quintet.inference.track import predict_track
from quintet.model_folder.load import load_model
from quintet.model_folder.run import read_run
from quintet.pipeline.explain_track import explain, make_sound
from quintet.reports.html import NUMBERS_LIST
from quintet.reports.track_text import known_recording
from quintet.training.settings import TrainSettings

RATE = 22050
VOID = {"meta", "link", "br", "wbr", "img", "input", "hr"}


def tone(frequency: float, seed: int, *, length_s: float = 1.5) -> np.ndarray:
    """A tone with overtones in noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(length_s * RATE)) / RATE
    wave = sum(np.sin(2 * np.pi * frequency * k * t + rng.uniform(0, 6)) / k for k in (1, 2, 3))
    return (0.2 * wave + 0.02 * rng.normal(size=t.size)).astype(np.float32)


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of eight clips by four artists; a long file of two classes, a text and a silence."""
    root = tmp_path_factory.mktemp("music")
    for k, (label, base) in enumerate((("flute", 900.0), ("horn", 300.0), ("tuba", 90.0))):
        (root / "data" / label).mkdir(parents=True)
        for i in range(8):
            soundfile.write(
                root / "data" / label / f"artist{k}{i // 2}_{i}.wav",
                tone(base * (1 + 0.03 * i), 100 * k + i),
                RATE,
            )
    soundfile.write(
        root / "long & <odd>.wav",
        np.concatenate([tone(940, 7, length_s=4.5), tone(95, 8, length_s=1.5)]),
        RATE,
    )
    soundfile.write(root / "data" / "tuba" / "artist99_long.wav", tone(99, 5, length_s=4.0), RATE)
    soundfile.write(root / "silence.wav", np.zeros(RATE), RATE)
    (root / "notes.mp3").write_text("this is not audio")
    return root


@pytest.fixture(scope="module")
def model(music: Path) -> Path:
    """A small ensemble with a network, trained once for this module."""
    table, folder = music / "features.parquet", music / "model"
    parameters = quintet.FeatureParameters(feature_set="bahuleyan2018")
    manifest = quintet.load_source(music / "data", group_by=r"/(artist\d+)_")
    quintet.extract(manifest, table, parameters=parameters, spectrograms=music / "spectrograms", n_jobs=0)
    network = {"epochs": 4, "patch_frames": 64, "settings": {"filters": 4, "blocks": 3}}
    settings = TrainSettings(
        members=("logistic_regression", "xgboost", "vgg_small"),
        settings={"xgboost": {"n_estimators": 10}, "vgg_small": network},
        folds=2,
        rules=("mean",),
        rule="mean",
        resamples=20,
    )
    quintet.train(table, folder, settings=settings, spectrograms=music / "spectrograms")
    return folder


@pytest.fixture(scope="module")
def page(model: Path, music: Path) -> Path:
    return explain(model, music / "long & <odd>.wav", music / "page")


class Outline(HTMLParser):
    """Elements, ids and text of a page; every element must be closed."""

    def __init__(self, page: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.ids: Counter[str] = Counter()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page.read_text(encoding="utf-8"))
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.elements.append((tag, values))
        if values.get("id"):
            self.ids[str(values["id"])] += 1
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.text += data + " "


def test_the_prediction_is_that_of_predict_and_contributions_add_up_to_it(model: Path, music: Path) -> None:
    file = music / "long & <odd>.wav"
    ensemble, run = load_model(model), read_run(model)
    track, predicted = predict_track(ensemble, file), predict_files(model, [file])
    expected = predicted.frame[[f"probability.{c}" for c in track.classes]].to_numpy()[0]
    np.testing.assert_allclose(track.probabilities, expected, atol=1e-6)
    assert len(track.ensemble_predictions) == len(predicted.segments) == 4
    assert track.starts == pytest.approx((0, 1.5, 3.0, 4.5))
    assert not track.has_short_windows
    why = explain_track(track, ensemble, run)
    assert why.game is not None
    assert why.game.residual < 1e-6
    np.testing.assert_allclose(why.game.prediction.mean(axis=0), track.probabilities, atol=1e-9)
    assert "spectrogram" in why.game.players
    assert set(why.contributions) == {"logistic_regression", "xgboost"}
    assert all(push.residual < 1e-4 for push in why.contributions.values())
    (network,) = why.networks
    assert network.probability == pytest.approx(
        track.members["vgg_small"][:, network.column].mean(), abs=1e-6
    )
    assert network.cams is not None
    assert [cam.shape for cam in network.cams] == [picture.shape for picture in track.pictures]


def test_a_short_file_is_predicted_whole_and_in_windows(model: Path, music: Path) -> None:
    file = music / "data" / "tuba" / "artist20_0.wav"
    track, predicted = predict_track(load_model(model), file), predict_files(model, [file])
    np.testing.assert_allclose(
        track.probabilities,
        predicted.frame[[f"probability.{c}" for c in track.classes]].to_numpy()[0],
        atol=1e-6,
    )
    assert track.has_short_windows
    assert len(track.ensemble_predictions) == 1
    assert track.curve["start"].iloc[0] == 0
    assert track.curve["end"].iloc[-1] == pytest.approx(track.duration_s, abs=0.01)
    assert (track.curve["end"] - track.curve["start"]).min() >= 0.99


def test_the_page_is_self_contained_and_its_links_resolve(page: Path) -> None:
    text, outline = page.read_text(encoding="utf-8"), Outline(page)
    assert page.stat().st_size < 5_000_000
    assert not re.search(
        r"""(?:src|href)=["']?(?:https?:)?//|url\(["']?(?:https?:)?//|@import|<iframe""", text
    )
    sources = [
        str(values[key]) for _, values in outline.elements for key in ("src", "href") if values.get(key)
    ]
    assert all(source.startswith(("#", "data:", "numbers/")) for source in sources)
    assert [name for name, times in outline.ids.items() if times > 1] == []
    assert {source[1:] for source in sources if source.startswith("#")} <= set(outline.ids)
    assert {"time", "where", "why", "members", "neighbours", "again"} <= set(outline.ids)
    assert not re.search(r"\bnan\b|\bNone\b|\bundefined\b", outline.text)


def test_the_page_is_accessible(page: Path) -> None:
    outline = Outline(page)
    tags = Counter(tag for tag, _ in outline.elements)
    assert tags["h1"] == 1
    assert tags["caption"] == tags["table"]
    images = [values for tag, values in outline.elements if values.get("role") == "img"]
    assert len(images) >= 5
    assert all(len(str(values.get("aria-label"))) > 20 for values in images)
    assert all("alt" in values for tag, values in outline.elements if tag == "img")
    assert all(values.get("scope") for tag, values in outline.elements if tag == "th")
    levels = [int(tag[1]) for tag, _ in outline.elements if re.fullmatch("h[1-6]", tag)]
    assert all(b <= a + 1 for a, b in pairwise(levels))


def test_the_opening_shows_the_numbers(page: Path, model: Path, music: Path) -> None:
    track = predict_track(load_model(model), music / "long & <odd>.wav")
    text = re.sub(r"\s+", " ", Outline(page).text)
    best = track.order[0]
    assert f"Quintet predicts {track.classes[best]}, " in text
    assert f"with a probability of {track.probabilities[best]:.2f}." in text
    leads = int((track.curve[list(track.classes)].to_numpy().argmax(axis=1) == best).sum())
    assert f"leads in {leads} of 4 segments" in text or f"leads in all {leads} segments" in text
    assert "Of the 8 nearest training clips" in text
    assert "long & <odd>.wav" in text


def test_scripts_get_the_prediction_and_its_reasons(page: Path, model: Path, music: Path) -> None:
    answer = json.loads((page.parent / "numbers" / "answer.json").read_text(encoding="utf-8"))
    result = predict_files(model, [music / "long & <odd>.wav"], confidence=0.9, n_jobs=0)
    row = result.frame.iloc[0]
    assert answer["verdict"] == answer["explained_class"] == row["verdict"]
    assert answer["verdict_size"] is None
    assert answer["segments"] == row["segments"] == 4
    assert ";".join(answer["set"]) == row["set"]
    for name in ("confidence", "out_of_class", "duration_s"):
        assert answer[name] == pytest.approx(row[name], abs=1e-6)
    assert answer["probabilities"] == pytest.approx(
        {name: row[f"probability.{name}"] for name in result.classes}, abs=1e-6
    )
    assert set(answer["members"]) == {"logistic_regression", "xgboost", "vgg_small"}
    total = answer["base"] + sum(family["value"] for family in answer["families"])
    assert total == pytest.approx(answer["confidence"], abs=1e-6)
    assert sum(abs(family["share"]) for family in answer["families"]) == pytest.approx(1)
    assert all(set(column["shares"]) == {"logistic_regression", "xgboost"} for column in answer["columns"])
    assert set(answer["unexplained"]) == {"vgg_small"}


def test_the_sound_is_inside_the_page(page: Path, music: Path) -> None:
    audio = next(values for tag, values in Outline(page).elements if tag == "audio")
    kind, content = str(audio["src"]).split(";base64,")
    assert kind == "data:audio/wav"
    assert base64.b64decode(content) == (music / "long & <odd>.wav").read_bytes()


@pytest.mark.slow
def test_a_large_sound_is_copied_smaller_or_linked(
    music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = music / "long & <odd>.wav"
    monkeypatch.setattr("quintet.pipeline.explain_track.EMBEDDED_BYTES", 100_000)
    small = make_sound(file, tmp_path / "page", 6.0)
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(small.source.split(",")[1])))
    assert (len(samples) / rate, samples.ndim) == (6.0, 1)
    assert "small mono copy" in small.note
    monkeypatch.setattr("quintet.pipeline.explain_track.EMBEDDED_BYTES", 100)
    link = make_sound(file, tmp_path / "page", 6.0)
    assert link.outside
    assert link.source.endswith("long%20%26%20%3Codd%3E.wav")
    assert "too long" in link.note


def test_every_download_holds_the_numbers_of_the_file_beside_it(page: Path) -> None:
    files = {file.stem: pd.read_parquet(file) for file in (page.parent / "numbers").glob("*.parquet")}
    assert {
        "over-time",
        "members",
        "neighbours",
        "columns",
        "families-1",
        "vgg-small-cells",
        "vgg-small-bands",
        "vgg-small-map",
        "vgg-small-neighbours",
    } <= set(files)
    assert files["vgg-small-cells"]["grad_cam"].between(0, 1).all()
    links = [
        (str(v["download"]), str(v["href"]))
        for tag, v in Outline(page).elements
        if tag == "a" and v.get("download")
    ]
    assert len(links) >= 8
    for name, href in links:
        assert (
            pd.read_csv(io.BytesIO(base64.b64decode(href.split(",", 1)[1]))).shape
            == files[Path(name).stem].shape
        )


@pytest.mark.slow
def test_a_known_recording_is_recognised_under_another_name(model: Path, music: Path, tmp_path: Path) -> None:
    run = read_run(model)
    split = run.split.set_index("id")["part"]
    pages = []
    for part, words in (("train", "proves nothing"), ("test", "no member was trained")):
        clip = split.index[split == part][0]
        copy = tmp_path / f"{part}.flac"
        samples, rate = soundfile.read(music / "data" / clip, dtype="int16")
        soundfile.write(copy, samples, rate, subtype="PCM_16")
        note = known_recording(predict_track(load_model(model), copy), run)
        assert note is not None
        assert f"It is {clip}, labelled {clip.split('/')[0]}" in note.text
        assert words in note.text
        pages.append((copy, note.text))
    copy, text = pages[0]
    assert text in re.sub(r"\s+", " ", Outline(explain(model, copy, tmp_path / "page")).text)


def test_a_known_recording_is_recognised_in_segments(model: Path, music: Path) -> None:
    track = predict_track(load_model(model), music / "data" / "tuba" / "artist99_long.wav")
    assert len(track.ensemble_predictions) > 1
    note = known_recording(track, read_run(model))
    assert note is not None
    assert "It is tuba/artist99_long.wav, labelled tuba" in note.text


def test_the_nearest_clip_of_a_training_clip_is_itself_in_the_last_layer(model: Path, music: Path) -> None:
    run, ensemble = read_run(model), load_model(model)
    clip = str(run.split.loc[run.split["part"] == "train", "id"].iloc[0])
    track = predict_track(ensemble, music / "data" / clip)
    embedding = embed_track(track, "vgg_small", ensemble.members_["vgg_small"], run)
    assert embedding is not None
    assert set(embedding.train.index) == set(run.split.loc[run.split["part"] == "train", "id"])
    near = nearest_tracks(embedding.train, embedding.track, run.features[["label", "group"]])
    assert near.nearest["id"].iloc[0] == clip
    assert near.nearest["distance"].iloc[0] < 0.05  # spectrograms are kept in half precision
    few = embed_clips(run, ensemble.members_["vgg_small"], list(embedding.train.index), limit=5)
    assert few is not None
    pd.testing.assert_frame_equal(few, embedding.train.loc[few.index], rtol=1e-4, atol=1e-4)
    assert len(few) == 5


@pytest.mark.slow
def test_stored_embeddings_are_of_clips_outside_the_training_of_the_network(model: Path, music: Path) -> None:
    run, store = read_run(model), SpectrogramStore(music / "spectrograms")
    table, split = run.embeddings["vgg_small"].set_index("id"), run.split.set_index("id")
    test, first = (
        table[table["part"] == "test"].drop(columns="part"),
        table[table["part"] == "oof"].drop(columns="part"),
    )
    assert set(test.index) == set(split.index[split["part"] == "test"])
    assert set(first.index) == set(split.index[split["fold"] == 0])
    final = load_model(model).members_["vgg_small"]
    np.testing.assert_allclose(test, final.embed(store.take(list(test.index))), rtol=1e-4, atol=1e-4)
    others = split[(split["part"] == "train") & (split["fold"] != 0)]
    trainer = Trainer("vgg_small", dict(run.member_settings("vgg_small")))
    folds_own = trainer.fit(
        Inputs(None, store.take(list(others.index))),
        others["label"].to_numpy(dtype=str),
        others["group"].to_numpy(),
        fold=0,
    )
    np.testing.assert_allclose(first, folds_own.embed(store.take(list(first.index))), rtol=1e-3, atol=1e-3)


def test_without_training_spectrograms_the_last_layer_is_left_out(
    model: Path, music: Path, tmp_path: Path
) -> None:
    run, member = read_run(model), load_model(model).members_["vgg_small"]
    for changed in (
        {"spectrograms": str(tmp_path / "gone")},
        {"log_mel_hash": "0" * 16},
        {"spectrograms": None},
    ):
        assert (
            embed_clips(replace(run, bundle={**run.bundle, **changed}), member, list(run.split["id"])) is None
        )
    moved = replace(
        run, path=music / "model", bundle={**run.bundle, "spectrograms": str(tmp_path / "spectrograms")}
    )
    assert embed_clips(moved, member, list(run.split["id"])) is not None


@pytest.mark.parametrize(
    ("name", "match"), [("notes.mp3", "audio"), ("nowhere.wav", "exist"), ("silence.wav", "silent")]
)
def test_an_unusable_file_is_an_audio_error(
    model: Path, music: Path, tmp_path: Path, name: str, match: str
) -> None:
    with pytest.raises(AudioError, match=match):
        explain(model, music / name, tmp_path / "page")
    assert not (tmp_path / "page").exists()


def test_the_command_writes_the_page_or_exits_with_1(
    model: Path,
    music: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(
        sys,
        "argv",
        ["quintet", "explain", str(model), str(music / "notes.mp3"), "-o", str(tmp_path / "page")],
    )
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 1
    assert "Error:" in capfd.readouterr().err
    clip = music / "data" / "horn" / "artist10_1.wav"
    monkeypatch.setattr(
        sys, "argv", ["quintet", "explain", str(model), str(clip), "-o", str(tmp_path / "page")]
    )
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 0
    assert (tmp_path / "page" / "index.html").is_file()


def test_folders_and_foreign_pages_are_refused_and_an_older_page_is_replaced(
    page: Path, model: Path, music: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="one file"):
        explain(model, music / "data", tmp_path / "page")
    clip = music / "data" / "horn" / "artist10_1.wav"
    (tmp_path / "thesis.tex").write_text("…")
    with pytest.raises(ArtefactError, match=r"folder of its own.*thesis\.tex"):
        explain(model, clip, tmp_path)
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "index.html").write_text("<title>A report</title>")
    with pytest.raises(ArtefactError, match="another page"):
        explain(model, clip, tmp_path / "report")
    shutil.copytree(page.parent, tmp_path / "again")
    numbers = tmp_path / "again" / "numbers"
    (numbers / "stale.parquet").touch()
    with pytest.raises(ArtefactError, match=r"numbers/stale\.parquet"):
        explain(model, clip, tmp_path / "again")
    listed = json.loads((numbers / NUMBERS_LIST).read_text())
    (numbers / NUMBERS_LIST).write_text(json.dumps([*listed, "stale.parquet"]))
    assert clip.name in explain(model, clip, tmp_path / "again").read_text(encoding="utf-8")
    assert not (tmp_path / "again" / "numbers" / "stale.parquet").exists()


@pytest.mark.slow
def test_a_loaded_model_explains_as_the_command_does(model: Path, music: Path, page: Path) -> None:
    file = music / "long & <odd>.wav"
    track = quintet.load_model(model).explain(file)
    answer = json.loads((page.parent / "numbers/answer.json").read_text())
    assert track.to_json() == answer
    assert track.frame["class"].iloc[0] == answer["explained_class"]
    np.testing.assert_allclose(
        track.families["value"].sum(), answer["confidence"] - answer["base"], atol=1e-9
    )
    saved = track.save(music / "saved")
    assert saved.name == "index.html"
    assert json.loads((saved.parent / "numbers/answer.json").read_text()) == answer
    html = track._repr_html_()
    assert html.startswith('<iframe sandbox="allow-scripts"')
    assert "<odd>" not in html


@pytest.mark.slow
def test_values_of_an_ensemble_with_a_network_add_up(model: Path, music: Path) -> None:
    table = quintet.read_feature_table(music / "features.parquet").features.iloc[:3]
    spectrograms = quintet.SpectrogramStore(music / "spectrograms").take(list(table.index))
    loaded = quintet.load_model(model)
    values = loaded.shap_values(table, spectrograms=spectrograms)
    assert values.feature_names[-1] == "spectrogram"
    expected = loaded.predict_proba(table, spectrograms)
    np.testing.assert_allclose(values.values.sum(axis=1) + values.base_values, expected, atol=1e-6)
    with pytest.raises(ConfigError, match=r"vgg_small.*of='svm'"):
        loaded.shap_values(table)
    with pytest.raises(ConfigError, match="read"):
        loaded.shap_values(table, of="vgg_small")
