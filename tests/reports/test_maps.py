"""Maps of a report: their clips, their rings; no network maps its training clips."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quintet.errors import MissingExtraError
from quintet.explanation.projections import umap_map
from quintet.model_folder.run import Run, read_run
from quintet.model_folder.scores import RunScores
from quintet.predictions.predictions import Predictions
from quintet.reports.sections.maps import Atlas, atlas, maps_section, point_predictions


@pytest.fixture(scope="module")
def run(model_folder: Path) -> Run:
    return read_run(model_folder)


@pytest.fixture(scope="module")
def maps(run: Run) -> Atlas:
    return atlas(run)


def _ids(maps: Atlas, name: str) -> set[str]:
    return next(set(drawing.numbers["id"]) for drawing in maps.drawings if drawing.name == name)


def _of_part(run: Run, part: str, fold: int | None = None) -> set[str]:
    rows = run.split[(run.split["part"] == part) & ((fold is None) | (run.split["fold"] == fold))]
    return set(rows["id"])


@pytest.mark.slow
def test_features_map_every_clip_and_networks_only_clips_they_never_saw(run: Run, maps: Atlas) -> None:
    assert [space.title for space in maps.spaces] == [
        "The hand-made features",
        "The last layer of VGG (small)",
    ]
    assert _ids(maps, "map-pca") == _ids(maps, "map-tsne") == set(run.split["id"])
    assert _ids(maps, "map-vgg-small-pca") == _ids(maps, "map-vgg-small-tsne") == _of_part(run, "test")
    table = run.embeddings["vgg_small"]
    without = replace(run, test={}, embeddings={"vgg_small": table[table["part"] == "oof"]})
    maps_without = atlas(without)
    assert _ids(maps_without, "map-vgg-small-pca") == _of_part(run, "train", fold=0)
    assert "trained on the other folds" in maps_without.spaces[1].text


def test_neighbours_in_the_last_layer_are_of_one_class(maps: Atlas) -> None:
    points = next(drawing.numbers for drawing in maps.drawings if drawing.name == "map-vgg-small-tsne")
    places = points[["x", "y"]].to_numpy()
    distances = np.linalg.norm(places[:, None] - places[None], axis=2) + np.diag(np.full(len(points), np.inf))
    labels = points["label"].to_numpy()
    assert (labels[distances.argmin(axis=1)] == labels).mean() > 0.9


def test_wrong_predictions_have_a_ring_and_every_point_has_a_name(run: Run, maps: Atlas) -> None:
    drawing = maps.drawings[0]
    verdicts, keys = point_predictions(run)
    assert keys == run.classes
    assert drawing.svg.count('<g class="hot"><title>') == len(drawing.numbers)
    wrong = drawing.numbers[drawing.numbers["label"] != drawing.numbers["verdict"]]
    assert drawing.svg.count(", predicted as ") == len(wrong) == int(verdicts["wrong"].sum()) > 0


def test_more_maps_have_fewer_points_each(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quintet.reports.sections.maps.MAX_ALL", 100)
    assert [len(drawing.numbers) for drawing in atlas(run).drawings] == [25] * 4
    monkeypatch.setattr("quintet.reports.sections.maps.MAX_POINTS", 12)
    assert [len(drawing.numbers) for drawing in atlas(run).drawings] == [12] * 4


def test_a_set_has_the_colour_of_its_most_frequent_tag_and_a_ring_if_the_first_tag_is_wrong() -> None:
    probabilities = np.array([[0.9, 0.1, 0.2], [0.2, 0.7, 0.6], [0.1, 0.6, 0.5], [0.8, 0.1, 0.1]])
    labels = np.array(["live;rock", "rock", "jazz;live", ""], dtype=object)
    said = Predictions(
        np.array(list("abcd")), ("rock", "live", "jazz"), probabilities, labels, multilabel=True
    )
    folder = Path()
    run = Run(
        folder,
        {"members": ["m"]},
        {},
        {},
        RunScores(),
        {},
        pd.DataFrame(),
        pd.DataFrame(),
        pd.DataFrame(),
        oof={"m": said},
    )
    verdicts, keys = point_predictions(run)
    assert verdicts["shown"].to_dict() == {"a": "rock", "b": "rock", "c": "live"}
    assert verdicts["wrong"].to_dict() == {"a": False, "b": True, "c": False}
    assert keys == run.classes  # all of them: a class has one colour on every page


@pytest.mark.slow
def test_umap_is_drawn_on_demand_and_a_missing_umap_is_an_error(
    run: Run,
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write_sections: Callable[..., Path],
) -> None:
    monkeypatch.setattr(
        "quintet.reports.sections.maps.umap_map",
        lambda values, seed: pd.DataFrame(0.0, columns=["x", "y"], index=values.index),
    )
    page = write_sections(model_folder, tmp_path / "report", maps_section, umap=True)
    figures = re.findall(r'id="figure-(map-[\w-]+)"', page.read_text(encoding="utf-8"))
    assert figures == [
        f"map{space}-{name}" for space in ("", "-vgg-small") for name in ("pca", "tsne", "umap")
    ]
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(MissingExtraError, match=r"UMAP map needs.*quintet-music\[umap\]"):
        umap_map(run.values)


@pytest.mark.slow
def test_umap_keeps_far_clusters_apart_and_is_reproducible() -> None:
    pytest.importorskip("umap")
    rng = np.random.default_rng(4)
    place = np.repeat([0, 1, 2], 15)
    features = pd.DataFrame(
        rng.normal(size=(45, 12)) + 9 * rng.normal(size=(3, 12))[place],
        index=[f"clip {i}" for i in range(45)],
    )
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    points = umap_map(features, seed=1)
    pd.testing.assert_frame_equal(points, umap_map(features, seed=1))
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002
    distances = np.linalg.norm(points.to_numpy()[:, None] - points.to_numpy()[None], axis=2) + np.diag(
        np.full(45, np.inf)
    )
    assert (place[distances.argmin(axis=1)] == place).all()
