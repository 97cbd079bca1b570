"""Section "Maps": clips in the space of the hand-made features, and in the last layer of every network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from quintet.datasets.labels import label_set
from quintet.explanation.projections import (
    neighbour_map,
    principal_map,
    standardise_columns,
    umap_map,
)
from quintet.model_folder.run import Run
from quintet.reports.drawing import Drawing
from quintet.reports.figures.maps import map_figure
from quintet.reports.formats import count, slug
from quintet.reports.report_data import ReportData
from quintet.reports.section import ClassKey, Part, Section, Text, grid
from quintet.reports.style import to_svg
from quintet.reports.text import display_name

MAX_POINTS, MAX_ALL = 1500, 6000
"""Largest number of points of one map, and of all maps. More points (400 bytes each) would not show more."""

MIN_CLIPS = 8
"""Smallest number of clips of a map."""

NO_DISTANCES = "Near clips stay near. Large distances mean nothing."


@dataclass(frozen=True)
class Space:
    """A feature space and its maps.

    Args:
        title: heading.
        text: which clips are on the maps, and by which network.
        drawings: the maps.
    """

    title: str
    text: str
    drawings: tuple[Drawing, ...]


@dataclass(frozen=True)
class Atlas:
    """All maps of a run.

    Args:
        spaces: the feature spaces.
        classes: the classes on the maps, in the order of their colours and markers.
    """

    spaces: tuple[Space, ...]
    classes: tuple[str, ...]

    @property
    def drawings(self) -> list[Drawing]:
        """All maps of all spaces."""
        return [drawing for space in self.spaces for drawing in space.drawings]


def maps_section(data: ReportData) -> Section | None:
    """The maps; None if there are too few clips."""
    run = data.run
    maps = atlas(run, umap=data.umap)
    if not maps.spaces:
        return None
    if run.multilabel:
        labels = "tag (the most frequent one of its set)"
        ring, key = "the clip does not have the tag with the highest probability", "first tag wrong"
    else:
        labels, ring, key = "class", "the prediction is wrong", "wrong prediction"
    introduction = (
        f"Every dot is a clip. Colour and shape show its true {labels}. A ring means that {ring}. Hover over "
        "a dot for the name of the clip."
    )
    parts = []
    for place, space in enumerate(maps.spaces, 1):
        text = (Text(space.text),) if space.text else ()
        parts.append(Part(f"maps-{place}", space.title, (*text, *grid(*space.drawings))))
    return Section(
        id="maps",
        title="Maps of the clips",
        contents="Maps",
        blocks=(Text(introduction), ClassKey(maps.classes, key), *parts),
    )


def atlas(run: Run, *, umap: bool = False, seed: int = 0) -> Atlas:
    """PCA and t-SNE maps, and UMAP maps if wanted, of the features and of the last layer of every network.

    Networks of different folds do not share a space. Therefore the final network is shown on the held-out
    clips. If no part was held out, the network of the first fold is shown on the clips of that fold.

    Args:
        run: the model folder. Spaces with fewer than `MIN_CLIPS` clips are left out.
        umap: whether to draw UMAP maps too.
        seed: seed of the clips that are drawn if there are too many, of t-SNE and of UMAP.

    Raises:
        MissingExtraError: if UMAP is wanted and not installed.
    """
    points, classes = point_predictions(run)
    n_maps = (1 + len(run.embeddings)) * (3 if umap else 2)
    maker = _MapMaker(points, classes, umap=umap, seed=seed, max_points=min(MAX_POINTS, MAX_ALL // n_maps))
    spaces = [maker.space("map", "The hand-made features", "", run.values)]
    for name, table in run.embeddings.items():
        part = "test" if (table["part"] == "test").any() else "oof"
        rows = table.loc[table["part"] == part]
        values = rows.set_index("id").drop(columns="part")
        clips = count(len(values), "clip")
        text = f"The {clips} of the first fold, in the network that was trained on the other folds."
        if part == "test":
            text = f"The {clips} of the held-out part, in the final network, which was not trained on them."
        title = f"The last layer of {display_name(name, run)}"
        spaces.append(maker.space(f"map-{slug(name)}", title, text, values))
    return Atlas(tuple(space for space in spaces if space is not None), classes)


def point_predictions(run: Run) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Label, prediction and colour of each clip, and the classes on the maps.

    Held-out clips are predicted by the final members, training clips out of fold. A label set has the colour
    of its most frequent tag.

    Returns:
        A table indexed by clip id: `label, verdict, part, shown` (the class that gives the colour), `wrong`;
        and the classes of the model, in the order of their colours.
    """
    tables = []
    for part in ("test", "oof"):
        predictions = run.parts[part].get(run.prediction_name)
        if predictions is not None:
            classes = np.array(predictions.classes, dtype=object)
            predicted = predictions.probabilities.argmax(axis=1)
            first = classes[predicted]
            labels = np.asarray(predictions.labels, dtype=object)
            columns = {"label": labels, "verdict": first, "part": part}
            tables.append(pd.DataFrame(columns, index=predictions.clip_ids))
    table = pd.concat(tables)
    table = table[~table.index.duplicated() & table["label"].notna()]
    tags = [_class_names(label, run.classes, multilabel=run.multilabel) for label in table["label"]]
    table["shown"] = point_classes(table["label"], run.classes, multilabel=run.multilabel)
    pairs = zip(table["verdict"].tolist(), tags, strict=True)
    table["wrong"] = [name not in names for name, names in pairs]
    table = table[table["shown"] != ""]
    return table, run.classes


def point_classes(labels: Iterable[object], classes: Sequence[str], *, multilabel: bool) -> list[str]:
    """Class that gives each clip its colour: its own, or the most frequent tag of its set.

    Args:
        labels: label, or label set `rock;live`, of each clip.
        classes: the known classes.
        multilabel: whether the labels are sets.

    Returns:
        One class per clip, empty if the clip has none of the classes.

    Example:
        >>> labels = ["jazz;live", "rock;live", "jazz", "polka"]
        >>> point_classes(labels, ("jazz", "live", "rock"), multilabel=True)
        ['live', 'live', 'jazz', '']
    """
    sets = [_class_names(label, classes, multilabel=multilabel) for label in labels]
    frequency = Counter(tag for tags in sets for tag in tags)
    return [max(tags, key=lambda tag: (frequency[tag], tag), default="") for tags in sets]


def _class_names(label: object, classes: Sequence[str], *, multilabel: bool) -> list[str]:
    """The known classes among the labels of one clip."""
    names = label_set(str(label)) if multilabel else [str(label)]
    return [name for name in names if name in classes]


@dataclass(frozen=True)
class _MapMaker:
    """Maker of the maps of one space after the other.

    Args:
        points: `point_predictions`.
        classes: the classes on the maps.
        umap: whether to draw UMAP maps too.
        seed: seed of everything random.
        max_points: largest number of points of one map.
    """

    points: pd.DataFrame
    classes: tuple[str, ...]
    umap: bool
    seed: int
    max_points: int

    def space(self, name: str, title: str, text: str, values: pd.DataFrame) -> Space | None:
        """Maps of one space; None if it has too few clips, or fewer than two columns that vary.

        Args:
            name: start of the ids of the maps.
            title: heading.
            text: which clips are on the maps.
            values: (n, d), indexed by clip id.
        """
        ids = values.index.intersection(self.points.index, sort=False)
        if len(ids) > self.max_points:
            drawn = np.random.default_rng(self.seed).choice(len(ids), self.max_points, replace=False)
            ids = ids[np.sort(drawn)]
        values = values.loc[ids]
        if len(ids) < MIN_CLIPS or standardise_columns(values).shape[1] < 2:
            return None
        components, (first, second) = principal_map(values)
        axes = (f"first component ({first:.0%} of variance)", f"second component ({second:.0%})")
        caption = "The two directions in which the clips differ most."
        neighbours = neighbour_map(values, seed=self.seed)
        drawings = [
            self._drawing(f"{name}-pca", "PCA", caption, components, axes),
            self._drawing(f"{name}-tsne", "t-SNE", NO_DISTANCES, neighbours),
        ]
        if self.umap:
            places = umap_map(values, seed=self.seed)
            drawings.append(self._drawing(f"{name}-umap", "UMAP", NO_DISTANCES, places))
        return Space(title, text, tuple(drawings))

    def _drawing(
        self, name: str, title: str, caption: str, places: pd.DataFrame, axes: tuple[str, str] = ("", "")
    ) -> Drawing:
        points = self.points.loc[places.index]
        hovers = {}
        for i, (clip, row) in enumerate(zip(points.index, points.to_dict("records"), strict=True)):
            prediction = f", predicted as {row['verdict']}" if row["wrong"] else ""
            hovers[f"point-{i}"] = f"{clip}: {row['label']}{prediction}"
        shown = points["shown"].tolist()
        rings = points["wrong"].tolist()
        figure = map_figure(places, shown, self.classes, rings=rings, axis_names=axes)
        alt = f"{title} map of {len(places)} clips by class; {sum(rings)} misclassified clips have a ring."
        svg = to_svg(figure, name, alt, titles=hovers)
        described = places.join(points[["label", "verdict", "part"]])
        return Drawing(name, svg, caption, described.reset_index(names="id"), title)
