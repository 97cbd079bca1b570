"""The page of one track: everything that was heard in it and why, in one file that needs no network."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from quintet.errors import ArtefactError
from quintet.explanation.importance import family
from quintet.explanation.neighbours import Neighbours, nearest_tracks
from quintet.explanation.occlusion import cell_means
from quintet.explanation.shapley.family_shapley import SPECTROGRAM
from quintet.explanation.track import (
    NetworkExplanation,
    TrackEmbedding,
    TrackExplanation,
    TrackPrediction,
    contribution_steps,
    percentiles,
    training_ids,
)
from quintet.model_folder.run import Run
from quintet.reports.drawing import Drawing, slug
from quintet.reports.figures.bars import column_bars, waterfall
from quintet.reports.figures.maps import map_figure, neighbour_map
from quintet.reports.figures.timeline import (
    band_hz,
    hz_ticks,
    loudness_picture,
    map_picture,
    on_time_axis,
    spans,
    stack_rectangles,
    time_ticks,
)
from quintet.reports.run_page import Numbers, add_line_breaks
from quintet.reports.sections.maps import point_classes
from quintet.reports.style import css_variables, marker, to_svg
from quintet.reports.text import count, display_name, format_signed, format_tiny, number
from quintet.reports.track_text import known_recording, novelty_note, opening, seconds

MARK = "Quintet, the explanation of one track"
SERIES, LEAST = 5, 0.04
"""Classes that have a colour of their own over time: at most so many, and with at least such a mean probability."""
COLUMNS_SHOWN, NEIGHBOURS = 6, 8


@dataclass(frozen=True)
class Sound:
    """What plays the track: `source` a data URI or a link, `note` why; `outside`: a link."""

    source: str
    note: str
    outside: bool = False


def write_track(heard: TrackPrediction, why: TrackExplanation, run: Run, output: Path, sound: Sound) -> Path:
    """The page as `index.html` in a folder of its own, with the numbers of its figures beside it.

    Raises:
        ArtefactError: the folder holds other things, or another page.
    """
    check_folder(output)
    shutil.rmtree(output / "numbers", ignore_errors=True)
    numbers = Numbers(output / "numbers")
    numbers.folder.mkdir(parents=True)
    page = render(context(heard, why, run, numbers=numbers, sound=sound))
    target = output / "index.html"
    target.write_text(page, encoding="utf-8")
    return target


def check_folder(output: Path) -> None:
    """Refuses a folder that holds anything but an explanation.

    Raises:
        ArtefactError: it holds other things, or another page.
    """
    here = [p.name for p in output.iterdir() if not p.name.startswith(".")] if output.is_dir() else []
    strangers = [name for name in here if name not in ("index.html", "numbers")] or (
        ["a file"] if output.exists() and not output.is_dir() else []
    )
    page = output / "index.html"
    if page.is_file() and MARK not in page.read_text(encoding="utf-8", errors="replace")[:2000]:
        strangers.append("index.html, another page")
    if strangers:
        raise ArtefactError(
            f"An explanation needs a folder of its own. '{output}' holds {', '.join(strangers[:3])}. Name another folder."
        )


def render(content: Mapping[str, Any]) -> str:
    """The page of a context, with style and script inside."""
    import jinja2

    folder = files("quintet.reports") / "templates"
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "breakable": add_line_breaks,
        "number": number,
        "slug": slug,
        "signed": lambda value, digits=2: format_signed(value, digits),
        "seconds": seconds,
    }
    environment.globals |= {"count": count, "marker": marker}
    css, js = (
        "\n".join((folder / f"{name}.{kind}").read_text(encoding="utf-8") for name in ("report", "track"))
        for kind in ("css", "js")
    )
    css = css.replace("/* light */", css_variables("light")).replace("/* dark */", css_variables("dark"))
    return environment.from_string((folder / "track.html").read_text(encoding="utf-8")).render(
        **content, css=css, js=js
    )


def context(
    heard: TrackPrediction, why: TrackExplanation, run: Run, *, numbers: Numbers, sound: Sound
) -> dict[str, Any]:
    """What the template shows."""
    train = run.values.loc[training_ids(run), list(heard.features.columns)]
    near = (
        nearest_tracks(train, heard.features, run.features[["label", "group"]], k=NEIGHBOURS)
        if len(train)
        else None
    )
    figures = {"families": _family_drawings(heard, why), "columns": _column_drawings(heard, why, run)}
    for drawing in (d for group in figures.values() for d in group):
        numbers.add(drawing.name, drawing.numbers)
    said = _said(heard, run)
    numbers.add("over-time", heard.curve)
    numbers.add("members", pd.DataFrame([{"name": row["name"]} | row["of"] for row in said]))
    if near is not None:
        numbers.add("neighbours", near.nearest)
    columns = _column_table(heard, why, train, numbers)
    return {
        "mark": MARK,
        "heard": heard,
        "run": run,
        "opening": opening(heard, why, near, run),
        "notes": [note for note in (known_recording(heard, run), novelty_note(heard, near)) if note],
        "sound": sound,
        "classes": [{"name": heard.classes[k], "p": float(heard.probabilities[k])} for k in heard.order[:4]],
        "axis": {"time": time_ticks(heard.duration_s), "hz": hz_ticks(heard.log_mel)},
        "over_time": _over_time(heard),
        "curve": json.dumps(_curve(heard)).replace("<", "\\u003c"),
        "loudness": loudness_picture(_laid(heard, list(heard.pictures), range(len(heard.pictures)))),
        "looked": [_looked(heard, found, run, numbers) for found in why.networks],
        "figures": figures,
        "why": why,
        "columns": columns,
        "share_top": max((abs(share) for row in columns for share in row["shares"].values()), default=0.0)
        or 1.0,
        "said": said,
        "near": near,
        "near_labels": _labels_of(near),
        "command": f"quintet explain {shlex.quote(run.path.name)} {shlex.quote(heard.name)} -o explanation",
        "resembled": [_resembled(heard, found, run, numbers) for found in why.embeddings],
        "provenance": _provenance(heard, run),
        "show": partial(display_name, run=run),
        "links": numbers.links,
    }


def _laid(heard: TrackPrediction, parts: Sequence[Any], segments: Sequence[int]) -> Any:
    starts, ends = ([times[i] for i in segments] for times in (heard.starts, heard.ends))
    return on_time_axis(parts, starts, ends, heard.duration_s)


def _shown_classes(heard: TrackPrediction) -> list[int]:
    order = heard.order
    return [
        k
        for place, k in enumerate(order[:SERIES])
        if place < 2 or heard.probabilities[k] >= LEAST or heard.curve[heard.classes[k]].max() >= 0.3
    ]


def _windows(heard: TrackPrediction) -> list[tuple[float, float]]:
    return spans(
        heard.curve["start"].astype(float).tolist(),
        heard.curve["end"].astype(float).tolist(),
        heard.duration_s,
    )


def _over_time(heard: TrackPrediction) -> dict[str, Any]:
    """The verdict over time as rectangles: one stacked plane, or for label sets one plane per tag."""
    shown = _shown_classes(heard)
    names = [heard.classes[k] for k in shown]
    shares = heard.curve[names].to_numpy(dtype=float)
    windows = _windows(heard)
    keys = [
        {"name": name, "p": float(heard.probabilities[k]), "paint": f"series-{i + 1}"}
        for i, (k, name) in enumerate(zip(shown, names, strict=True))
    ]
    if heard.multilabel:
        planes = [
            {
                "name": key["name"],
                "series": [(key["paint"], stack_rectangles(windows, shares[:, [i]], heard.duration_s)[0])],
            }
            for i, key in enumerate(keys)
        ]
        return {"planes": planes, "keys": keys}
    rest = 1 - shares.sum(axis=1, keepdims=True)
    boxes = stack_rectangles(windows, np.hstack([shares, np.maximum(rest, 0)]), heard.duration_s)
    if len(shown) < len(heard.classes):
        keys.append(
            {"name": "others", "p": max(0.0, 1.0 - float(heard.probabilities[shown].sum())), "paint": "rule"}
        )
    paints = [*(f"series-{i + 1}" for i in range(len(shown))), "rule"]
    return {"planes": [{"name": "", "series": list(zip(paints, boxes, strict=True))}], "keys": keys}


def _curve(heard: TrackPrediction) -> list[dict[str, Any]]:
    """The leader of each window, for the line below the player."""
    values = heard.curve[list(heard.classes)].to_numpy()
    windows = _windows(heard)
    return [
        {
            "from": round(a, 2),
            "to": round(b, 2),
            "name": heard.classes[int(row.argmax())],
            "p": round(float(row.max()), 2),
        }
        for (a, b), row in zip(windows, values, strict=True)
    ]


def _looked(heard: TrackPrediction, found: NetworkExplanation, run: Run, numbers: Numbers) -> dict[str, Any]:
    """The layers of one network over the spectrogram, its stripes of bands and of time."""
    cells = [np.repeat(o.cells, np.diff(o.band_edges), axis=0) for o in found.occlusions]
    cells = [
        np.repeat(c, np.diff(o.frame_edges), axis=1) for c, o in zip(cells, found.occlusions, strict=True)
    ]
    cams = (
        None
        if found.cams is None
        else [cam * o.probability for cam, o in zip(found.cams, found.occlusions, strict=True)]
    )
    edges = band_hz(heard.log_mel, found.occlusions[0].band_edges)
    bands = [
        {"low": low, "high": high, "value": float(v)}
        for (low, high), v in zip(edges, found.bands, strict=True)
    ]
    moments = _moments(heard, found)
    name = slug(found.name)
    numbers.add(f"{name}-bands", pd.DataFrame(bands))
    numbers.add(f"{name}-times", pd.DataFrame(moments))
    numbers.add(f"{name}-cells", _cells(heard, found, edges))
    top = max((abs(m["value"]) for m in moments), default=0.0) or 1.0
    return {
        "name": name,
        "who": display_name(found.name, run),
        "class": heard.classes[found.column],
        "p": found.probability,
        "covered": map_picture(_laid(heard, cells, found.segments)),
        "largest": float(max(np.abs(o.cells).max() for o in found.occlusions)),
        "cam": None if cams is None else map_picture(_laid(heard, cams, found.segments)),
        "bands": bands[::-1],
        "band_top": max(abs(band["value"]) for band in bands) or 1.0,
        "moments": [
            m
            | {
                "x": 100 * m["start"] / heard.duration_s,
                "width": 100 * (m["end"] - m["start"]) / heard.duration_s,
            }
            for m in moments
        ],
        "moment_top": top,
        "partly": len(found.segments) < len(heard.starts),
        "n": len(found.segments),
    }


def _moments(heard: TrackPrediction, found: NetworkExplanation) -> list[dict[str, float]]:
    """What each stripe of time adds, in seconds of the track."""
    rows, places = [], spans(heard.starts, heard.ends, heard.duration_s)
    for i, o in zip(found.segments, found.occlusions, strict=True):
        edges = heard.starts[i] + o.frame_edges / o.frame_edges[-1] * (heard.ends[i] - heard.starts[i])
        edges = np.clip(edges, *places[i])  # where segments overlap, each is shown up to the middle
        rows += [
            {"start": float(a), "end": float(b), "value": float(v)}
            for (a, b), v in zip(pairwise(edges), o.times, strict=True)
            if b > a
        ]
    return rows


def _cells(
    heard: TrackPrediction, found: NetworkExplanation, edges: Sequence[tuple[float, float]]
) -> pd.DataFrame:
    """One row per rectangle: what covering it takes away, and where there is one the mean of Grad-CAM on it."""
    rows = []
    for place, (i, o) in enumerate(zip(found.segments, found.occlusions, strict=True)):
        times = heard.starts[i] + o.frame_edges / o.frame_edges[-1] * (heard.ends[i] - heard.starts[i])
        cam = None if found.cams is None else cell_means(found.cams[place], o)
        rows += [
            {"low_hz": low, "high_hz": high, "start": times[t], "end": times[t + 1], "value": o.cells[b, t]}
            | ({} if cam is None else {"grad_cam": cam[b, t]})
            for b, (low, high) in enumerate(edges)
            for t in range(len(times) - 1)
        ]
    return pd.DataFrame(rows)


def _family_drawings(heard: TrackPrediction, why: TrackExplanation) -> list[Drawing]:
    """The game of families for the verdict, and for the class that came next where it came near."""
    if why.game is None:
        return []
    found = []
    for place, k in enumerate(heard.order[:2]):
        if place == 1 and heard.probabilities[k] < LEAST:
            continue
        name, steps = heard.classes[k], contribution_steps(why.game, k)
        base, total = float(why.game.base[:, k].mean()), float(why.game.prediction[:, k].mean())
        figure = waterfall(
            steps,
            base=base,
            total=total,
            base_name="nothing heard",
            total_name="everything heard",
            unit=f"probability of {name}",
        )
        told = ", ".join(
            f"{player} {format_signed(value, 2)}"
            for player, value in steps.set_index("player")["value"].head(4).items()
        )
        alt = f"From {base:.2f} to {total:.2f} probability of {name}: {told}."
        caption = (
            f"Exact Shapley values of the families{' and the spectrogram' if SPECTROGRAM in why.game.players else ''} for the fused probability of "
            f"{name}. What is not heard is replaced by {count(why.n_background, 'training clip')}; thin lines: what so few leave open (95 %). The "
            f"steps add up within {format_tiny(why.game.residual)}."
        )
        key = f"families-{place + 1}"
        found.append(
            Drawing(key, to_svg(figure, key, alt), caption, steps, f"What spoke for {name}, and what against")
        )
    return found


def _column_drawings(heard: TrackPrediction, why: TrackExplanation, run: Run) -> list[Drawing]:
    """The columns that moved each table member most, towards the verdict or away from it."""
    name, found = heard.classes[heard.order[0]], []
    order: dict[str, str] = {}  # one family, one colour, in every member's figure
    for member, push in why.contributions.items():
        values = push.values[name]
        top = values.loc[values.abs().sort_values(ascending=False, kind="stable").index].head(8)
        order |= {(told := family(str(column))): told for column in top.index}
        families = order | {str(column): family(str(column)) for column in top.index}
        figure = column_bars(top, unit=f"towards {name} →  ({push.space})", families=families)
        alt = (
            f"{display_name(member, run)}: "
            + ", ".join(f"{column} {format_signed(value, 2)}" for column, value in top.head(4).items())
            + "."
        )
        rest = float(values.sum() - top.sum())
        caption = (
            f"SHAP values for {name}; right: for it, left: against. The other {len(values) - len(top)} columns together: {format_signed(rest, 2)}; "
            f"without any column: {format_signed(float(push.base[name]), 2)}. All of them add up to the output within {format_tiny(push.residual)}."
        )
        key = f"columns-{slug(member)}"
        table = push.values.reset_index(names="column")
        found.append(Drawing(key, to_svg(figure, key, alt), caption, table, display_name(member, run)))
    return found


def _column_table(
    heard: TrackPrediction, why: TrackExplanation, train: pd.DataFrame, numbers: Numbers
) -> list[dict[str, Any]]:
    """The columns that moved any member most: their values, how unusual they are, and their share in each member."""
    if not why.contributions:
        return []
    name = heard.classes[heard.order[0]]
    shares = pd.DataFrame(
        {
            m: p.values[name] / max(float(p.values[name].abs().sum()), 1e-300)
            for m, p in why.contributions.items()
        }
    ).fillna(0.0)
    top = dict.fromkeys(c for member in shares for c in shares[member].abs().nlargest(COLUMNS_SHOWN).index)
    shares = shares.loc[shares.loc[list(top)].mean(axis=1).sort_values(ascending=False, kind="stable").index]
    rank, mean = percentiles(heard.features, train), heard.features.mean(axis=0)
    table = pd.DataFrame({"value": mean, "percentile": rank}).loc[shares.index].join(shares)
    numbers.add("columns", table.reset_index(names="column"))
    return [
        {
            "column": str(c),
            "value": float(row["value"]),
            "percentile": float(row["percentile"]),
            "shares": {m: float(row[m]) for m in shares},
        }
        for c, row in table.to_dict("index").items()
    ]


def _said(heard: TrackPrediction, run: Run) -> list[dict[str, Any]]:
    """What the ensemble (calibrated) and each member said, mean over segments."""
    rows = {run.best: heard.ensemble_predictions} | dict(heard.members)
    found = []
    for name, values in rows.items():
        mean = values.mean(axis=0)
        found.append(
            {
                "name": name,
                "of": {c: float(p) for c, p in zip(heard.classes, mean, strict=True)},
                "verdict": heard.classes[int(mean.argmax())],
            }
        )
    return found


def _resembled(heard: TrackPrediction, found: TrackEmbedding, run: Run, numbers: Numbers) -> dict[str, Any]:
    """The nearest training clips in a network's last layer, and a map of it on which the track has a ring."""
    about = run.features[["label", "group"]]
    near, key = nearest_tracks(found.train, found.track, about, k=NEIGHBOURS), slug(found.name)
    numbers.add(f"{key}-neighbours", near.nearest)
    labels = [str(label) for label in about.loc[found.train.index, "label"]]
    drawing = None
    shown = point_classes(labels, heard.classes, multilabel=heard.multilabel)
    if len(found.train) >= 8 and all(shown):
        here = found.track.mean(axis=0).to_frame().T.set_axis(["this track"])
        points = neighbour_map(pd.concat([found.train, here]))
        verdict = heard.classes[heard.order[0]]
        hovers = {
            f"point-{i}": f"{clip}: {label}"
            for i, (clip, label) in enumerate(zip(found.train.index, labels, strict=True))
        }
        hovers[f"point-{len(labels)}"] = f"this track, heard as {verdict}"
        ring = [False] * len(labels) + [True]
        figure = map_figure(points, [*shown, verdict], heard.classes, wrong=ring)
        alt = f"t-SNE map of {len(labels)} training clips in the last layer of {display_name(found.name, run)}; this track is ringed."
        caption = (
            f"Each dot a training clip, colour and shape its {'most frequent tag' if heard.multilabel else 'label'}; hover for its name. "
            "The ring is this track. Far distances mean nothing (t-SNE)."
        )
        table = points.assign(label=[*labels, f"heard as {verdict}"]).reset_index(names="id")
        drawing = Drawing(
            f"{key}-map",
            to_svg(figure, f"{key}-map", alt, titles=hovers),
            caption,
            table,
            f"The last layer of {display_name(found.name, run)}",
        )
        numbers.add(drawing.name, table)
    return {
        "who": display_name(found.name, run),
        "name": key,
        "near": near,
        "n": len(labels),
        "figure": drawing,
    }


def _labels_of(near: Neighbours | None) -> dict[str, int]:
    return {} if near is None else {str(k): int(v) for k, v in near.nearest["label"].value_counts().items()}


def _provenance(heard: TrackPrediction, run: Run) -> list[tuple[str, str]]:
    file = f"{heard.name}, {seconds(heard.duration_s)}, {heard.native_sample_rate:,} Hz, {count(heard.native_channels, 'channel')}"
    rows = [
        ("file", file),
        ("audio digest", ", ".join(heard.digests[:3]) + (" …" if len(heard.digests) > 3 else "")),
        ("model", str(run.path.resolve().name)),
        ("configuration", run.config.get("hash")),
        ("feature parameters", run.bundle.get("feature_hash")),
        ("log-mel parameters", heard.log_mel.hash),
        ("quintet", run.bundle.get("quintet")),
    ]
    return [(key, str(value)) for key, value in rows if value]
