"""The maps of a report: clips in the space of the hand-made features, and in the last layer of every network, drawn flat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from quintet.datasets.labels import label_set
from quintet.model_folder.run import Run
from quintet.reports.drawing import Drawing, slug
from quintet.reports.figures.maps import map_figure, neighbour_map, principal_map, umap_map
from quintet.reports.style import to_svg
from quintet.reports.text import count, display_name

MAX_POINTS, MAX_ALL = 1500, 6000
"""Of a map, and of all maps together: more would cost the page megabytes (some 400 bytes a point) and show no more."""
FEWEST = 8
"""Clips that a map needs."""


@dataclass(frozen=True)
class Space:
    """One space and its maps. `text`: which clips are on them, and why their places can be believed."""

    title: str
    text: str
    drawings: tuple[Drawing, ...]


@dataclass(frozen=True)
class Atlas:
    """All maps. `keys`: what colours and shapes stand for, in their order; `ring`: what a ring says."""

    spaces: tuple[Space, ...]
    keys: tuple[str, ...]
    ring: str

    @property
    def drawings(self) -> list[Drawing]:
        """Every map."""
        return [drawing for space in self.spaces for drawing in space.drawings]


def atlas(run: Run, *, umap: bool = False, seed: int = 0) -> Atlas:
    """PCA and t-SNE, on demand UMAP, of the features and of what every network made of clips that it never saw.

    Networks of different folds do not share a space: mapped is the final network on the held-out clips, or where there are none the network of
    the first fold on that fold's clips.

    Args:
        run: a model folder; spaces without eight clips are left out.
        umap: whether to draw UMAP maps, too. seed: of the clips that are drawn where there are too many, of t-SNE and of UMAP.

    Raises:
        MissingExtraError: UMAP is wanted and not installed.
    """
    verdicts, keys = point_predictions(run)
    n_maps = (1 + len(run.embeddings)) * (3 if umap else 2)
    wanted = (umap, seed, min(MAX_POINTS, MAX_ALL // n_maps))
    spaces = [_space("map", "The hand-made features", "", run.values, verdicts, keys, wanted)]
    for name, table in run.embeddings.items():
        part = "test" if (table["part"] == "test").any() else "oof"
        values = table.loc[table["part"] == part].set_index("id").drop(columns="part")
        clips = count(len(values), "clip")
        unseen = (
            f"The {clips} of the held-out part, as the final network hears them; it never saw them."
            if part == "test"
            else f"The {clips} of the first fold, as the network that was fitted on the other folds hears them."
        )
        spaces.append(
            _space(
                f"map-{slug(name)}",
                f"The last layer of {display_name(name, run)}",
                unseen,
                values,
                verdicts,
                keys,
                wanted,
            )
        )
    ring = "a wrong verdict" if not run.multilabel else "the tag that was named first is none of its own"
    return Atlas(tuple(space for space in spaces if space is not None), keys, ring)


def point_predictions(run: Run) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """How each clip is shown, indexed by id: `label, verdict, part, shown` (the class that gives its colour) and `wrong`; and the classes shown.

    Held-out clips are judged by the final members, training clips out of fold. A set is shown by its most frequent tag.
    """
    tables = []
    for part in ("test", "oof"):
        if run.prediction_name in run.parts[part]:
            p = run.parts[part][run.prediction_name]
            first = np.array(p.classes, dtype=object)[p.probabilities.argmax(axis=1)]
            tables.append(
                pd.DataFrame(
                    {"label": np.asarray(p.labels, dtype=object), "verdict": first, "part": part},
                    index=p.clip_ids,
                )
            )
    table = pd.concat(tables)
    table = table[~table.index.duplicated() & table["label"].notna()]
    sets = [_known(label, run.classes, multilabel=run.multilabel) for label in table["label"]]
    table["shown"] = point_classes(table["label"], run.classes, multilabel=run.multilabel)
    table["wrong"] = [
        verdict not in tags for verdict, tags in zip(table["verdict"].tolist(), sets, strict=True)
    ]
    table = table[table["shown"] != ""]
    shown = set(table["shown"])
    return table, tuple(name for name in run.classes if name in shown or not run.multilabel)


def point_classes(labels: Iterable[object], classes: Sequence[str], *, multilabel: bool) -> list[str]:
    """The class that gives each clip its colour: its own, or the most frequent tag of its set; empty where it has none of the classes.

    Example:
        >>> point_classes(["jazz;live", "rock;live", "jazz", "polka"], ("jazz", "live", "rock"), multilabel=True)
        ['live', 'live', 'jazz', '']
    """
    sets = [_known(label, classes, multilabel=multilabel) for label in labels]
    often = Counter(tag for tags in sets for tag in tags)
    return [max(tags, key=lambda tag: (often[tag], tag), default="") for tags in sets]


def _known(label: object, classes: Sequence[str], *, multilabel: bool) -> list[str]:
    return [tag for tag in (label_set(str(label)) if multilabel else [str(label)]) if tag in classes]


def _space(
    name: str,
    title: str,
    text: str,
    values: pd.DataFrame,
    verdicts: pd.DataFrame,
    keys: tuple[str, ...],
    wanted: tuple[bool, int, int],
) -> Space | None:
    umap, seed, most = wanted
    ids = values.index.intersection(verdicts.index, sort=False)
    if len(ids) > most:
        ids = ids[np.sort(np.random.default_rng(seed).choice(len(ids), most, replace=False))]
    if len(ids) < FEWEST or values.shape[1] < 2:
        return None
    values, verdicts = values.loc[ids], verdicts.loc[ids]
    components, (first, second) = principal_map(values)
    axes = (f"first component ({first:.0%} of variance)", f"second component ({second:.0%})")
    far = "Neighbours stay neighbours; far distances mean nothing."
    drawings = [
        _map(
            f"{name}-pca",
            "PCA",
            "The two directions in which clips differ most.",
            components,
            verdicts,
            keys,
            axes,
        ),
        _map(f"{name}-tsne", "t-SNE", far, neighbour_map(values, seed=seed), verdicts, keys, ("", "")),
    ]
    if umap:
        drawings.append(
            _map(f"{name}-umap", "UMAP", far, umap_map(values, seed=seed), verdicts, keys, ("", ""))
        )
    return Space(title, text, tuple(drawings))


def _map(
    name: str,
    title: str,
    caption: str,
    points: pd.DataFrame,
    verdicts: pd.DataFrame,
    keys: tuple[str, ...],
    axes: tuple[str, str],
) -> Drawing:
    hovers = {
        f"point-{i}": f"{clip}: {row['label']}" + (f", taken for {row['verdict']}" if row["wrong"] else "")
        for i, (clip, row) in enumerate(zip(verdicts.index, verdicts.to_dict("records"), strict=True))
    }
    figure = map_figure(points, list(verdicts["shown"]), keys, wrong=list(verdicts["wrong"]), axis_names=axes)
    alt = f"{title} map of {len(points)} clips by class; {int(verdicts['wrong'].sum())} misclassified ones ringed."
    numbers = points.join(verdicts[["label", "verdict", "part"]]).reset_index(names="id")
    return Drawing(name, to_svg(figure, name, alt, titles=hovers), caption, numbers, title)
