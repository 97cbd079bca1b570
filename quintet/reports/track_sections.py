"""Sections of the page of one track: contributions, members, similar training clips, reproduction."""

from __future__ import annotations

import shlex

import numpy as np
import pandas as pd

from quintet.explanation.importance import family
from quintet.explanation.neighbours import Neighbours, nearest_tracks
from quintet.explanation.projections import neighbour_map
from quintet.explanation.shapley.family_shapley import SPECTROGRAM
from quintet.explanation.track import (
    ColumnContributions,
    TrackEmbedding,
    TrackExplanation,
    TrackPrediction,
    contribution_steps,
    percentiles,
)
from quintet.model_folder.run import Run
from quintet.reports.drawing import Drawing
from quintet.reports.figures.bars import column_bars, waterfall
from quintet.reports.figures.maps import map_figure
from quintet.reports.formats import column_notes, count, format_signed, format_tiny, number, slug
from quintet.reports.front.sounds import Sounds, play_button
from quintet.reports.html import code_name
from quintet.reports.section import (
    Blocks,
    Cell,
    ClassKey,
    Code,
    Column,
    Download,
    KeyValues,
    Part,
    Row,
    Section,
    Table,
    Text,
    bar_cell,
    grid,
    name_rows,
    number_cell,
    sort_text,
)
from quintet.reports.sections.maps import MIN_CLIPS, point_classes
from quintet.reports.style import to_svg
from quintet.reports.text import display_name
from quintet.reports.track_layers import MIN_PROBABILITY, signed_cell
from quintet.reports.track_text import own_clips, seconds, why_not_explained

MAX_CLASSES = 4
"""Classes in the tables of probabilities."""

BARS_PER_MEMBER = 8
COLUMNS_PER_MEMBER = 6
NEIGHBOURS = 8


def probable_classes(track: TrackPrediction) -> list[str]:
    """The most probable classes of the track."""
    return [track.classes[k] for k in track.order[:MAX_CLASSES]]


def contributions_section(
    track: TrackPrediction, explanation: TrackExplanation, run: Run, train: pd.DataFrame
) -> Section | None:
    """Contributions of feature families and columns to the prediction; None if there is nothing to say.

    Args:
        track: the track and its predictions.
        explanation: why the members predict them.
        run: the model folder.
        train: (n, d) features of the training clips.
    """
    families = family_drawings(track, explanation)
    columns = column_drawings(track, explanation, run)
    reasons = why_not_explained(explanation, run)
    if not families and not columns and not reasons:
        return None
    blocks = grid(*families)
    if columns:
        table = _column_block(track, explanation, run, train)
        blocks += (Part("why-columns", "Contribution of each column", (*grid(*columns), table)),)
    if families or columns:
        caution = (
            "These values show what the members rely on in this track, not what makes it music of its class."
        )
        reasons.insert(0, caution)
    return Section(
        id="why",
        title="Contributions to the prediction",
        contents="Contributions",
        blocks=(*blocks, Text(" ".join(reasons))),
    )


def family_drawings(track: TrackPrediction, explanation: TrackExplanation) -> list[Drawing]:
    """Contributions of the feature families for the first class, and for the second one if it is probable."""
    if explanation.game is None:
        return []
    drawings = []
    for place, k in enumerate(track.order[:2]):
        if place == 0 or track.probabilities[k] >= MIN_PROBABILITY:
            drawings.append(_family_drawing(track, explanation, place + 1, k))
    return drawings


def _family_drawing(track: TrackPrediction, explanation: TrackExplanation, place: int, k: int) -> Drawing:
    """Figure for class number `k`, which is the `place`-th most probable one."""
    game = explanation.game
    assert game is not None
    name = track.classes[k]
    steps = contribution_steps(game, k)
    base, total = float(game.base[:, k].mean()), float(game.prediction[:, k].mean())
    figure = waterfall(
        steps,
        base=base,
        total=total,
        base_name="no input",
        total_name="all inputs",
        unit=f"probability of {name}",
    )
    listed = _listed(steps.set_index("player")["value"])
    alt = f"From {base:.2f} to {total:.2f} probability of {name}: {listed}."
    and_spectrogram = " and the spectrogram" if SPECTROGRAM in game.players else ""
    caption = (
        f"Exact Shapley values of the feature families{and_spectrogram} for the ensemble's probability of "
        f"{name}. Missing values are replaced by those of "
        f"{count(explanation.n_background, 'training clip')}. Thin lines: 95 % intervals, because these "
        f"clips are few. Pale: against. They add up to the prediction within {format_tiny(game.residual)}."
    )
    id_ = f"families-{place}"
    return Drawing(id_, to_svg(figure, id_, alt), caption, steps, f"Contributions for and against {name}")


def _listed(values: pd.Series) -> str:
    return ", ".join(f"{name} {format_signed(value, 2)}" for name, value in values.head(4).items())


def column_drawings(track: TrackPrediction, explanation: TrackExplanation, run: Run) -> list[Drawing]:
    """The columns with the largest contributions in each table member, for or against the first class."""
    drawings = []
    by_weight = sorted(explanation.contributions, key=lambda name: -run.member_shares.get(name, 0.0))
    for member in by_weight:
        contributions = explanation.contributions[member]
        values = contributions.values[track.classes[track.order[0]]]
        by_size = values.abs().sort_values(ascending=False, kind="stable")
        top = values.loc[by_size.index].head(BARS_PER_MEMBER)
        names = [family(str(column)) for column in top.index]
        colours = dict(zip(top.index.astype(str), names, strict=True))
        title = f"{display_name(member, run)} (weight {run.member_shares.get(member, 0.0):.2f})"
        drawings.append(_column_drawing(track, contributions, f"columns-{slug(member)}", title, top, colours))
    return drawings


def _column_drawing(
    track: TrackPrediction,
    contributions: ColumnContributions,
    id_: str,
    title: str,
    top: pd.Series,
    families: dict[str, str],
) -> Drawing:
    """Figure of one member."""
    name = track.classes[track.order[0]]
    values = contributions.values[name]
    figure = column_bars(top, unit=f"towards {name} →  ({contributions.space})", families=families)
    rest = float(values.sum() - top.sum())
    base = float(contributions.base[name])
    caption = (
        f"SHAP values for {name}; right: for it, left: against it. The other {len(values) - len(top)} "
        f"columns together: {format_signed(rest, 2)}; without any column: {format_signed(base, 2)}. All of "
        f"them add up to the output within {format_tiny(contributions.residual)}."
    )
    numbers = name_rows(contributions.values, "column")
    svg = to_svg(figure, id_, f"{title}: {_listed(top)}.")
    return Drawing(id_, svg, caption, numbers, title)


def column_table(
    track: TrackPrediction, explanation: TrackExplanation, train: pd.DataFrame, run: Run
) -> pd.DataFrame:
    """Columns with the largest contributions in any member, indexed by column.

    Args:
        track: the track and its predictions.
        explanation: why the members predict them.
        train: (n, d) features of the training clips.
        run: the model folder, whose weights order the columns.

    Returns:
        `value` (mean over segments), `percentile` among the training clips, and per member the share in [-1,
        1] of its contributions.
    """
    name = track.classes[track.order[0]]
    shares = {}
    for member, contributions in explanation.contributions.items():
        values = contributions.values[name]
        shares[member] = values / max(float(values.abs().sum()), 1e-300)
    table = pd.DataFrame(shares).fillna(0.0)
    top: dict[str, None] = {}
    for member in explanation.contributions:
        top |= dict.fromkeys(table[member].abs().nlargest(COLUMNS_PER_MEMBER).index)
    weights = np.array([max(run.member_shares.get(member, 0.0), 1e-9) for member in table.columns])
    means = pd.Series(table.loc[list(top)].to_numpy() @ weights, index=list(top))
    table = table.loc[list(means.sort_values(ascending=False, kind="stable").index)]
    columns = {"value": track.features.mean(axis=0), "percentile": percentiles(track.features, train)}
    facts: pd.DataFrame = pd.DataFrame(columns).loc[table.index]
    return facts.join(table)


def _column_block(
    track: TrackPrediction, explanation: TrackExplanation, run: Run, train: pd.DataFrame
) -> Table:
    table = column_table(track, explanation, train, run)
    members = list(explanation.contributions)
    largest = float(table[members].abs().to_numpy().max()) or 1.0
    rows = []
    for record in table.reset_index(names="column").to_dict("records"):
        percentile = record["percentile"]
        cells = [
            Cell(f"{record['value']:.4g}", sort=sort_text(record["value"])),
            bar_cell(percentile, text=number(100 * percentile, 0)),
        ]
        cells += [signed_cell(record[member], largest, 1, factor=100) for member in members]
        rows.append(Row(Cell(code_name(record["column"]), column_notes(record["column"], run)), tuple(cells)))
    heads = tuple(Column(display_name(member, run), numeric=True) for member in members)
    return Table(
        label="Columns with the largest contributions",
        columns=(Column("Column"), Column("Value", numeric=True), Column("Percentile", numeric=True), *heads),
        rows=tuple(rows),
        caption=(
            "The columns with the largest contributions in any member. Percentile: rank of this track among "
            "the training clips (100: higher than all of them). Then the share of the column (%) in the "
            f"contributions of each member, + towards {track.classes[track.order[0]]}."
        ),
        downloads=(Download("columns", table.reset_index(names="column")),),
    )


def members_section(track: TrackPrediction, run: Run) -> Section:
    """Probabilities of the ensemble and of each member, mean over segments."""
    classes = probable_classes(track)
    rows, records = [], []
    shares = run.member_shares
    ordered = sorted(track.members, key=lambda name: -shares.get(name, 0.0))
    predictions = {run.best: track.ensemble_predictions} | {name: track.members[name] for name in ordered}
    for name, values in predictions.items():
        probabilities = dict(zip(track.classes, values.mean(axis=0).tolist(), strict=True))
        first = max(track.classes, key=probabilities.__getitem__)
        records.append({"name": name} | probabilities)
        cells = (Cell(first), *(bar_cell(probabilities[label]) for label in classes))
        notes = (f"weight {shares[name]:.2f}",) if name in shares and name not in run.rules else ()
        head = Cell(display_name(name, run), notes)
        rows.append(Row(head, cells, "ensemble chosen" if name in run.rules else ""))
    noun = "tags" if track.multilabel else "classes"
    mean = ", mean over segments" if len(track.starts) > 1 else ""
    table = Table(
        label="Probabilities by member",
        columns=(
            Column("Member"),
            Column("First tag" if track.multilabel else "Prediction"),
            *(Column(label, numeric=True) for label in classes),
        ),
        rows=tuple(rows),
        caption=(
            f"Probabilities of the most probable {noun}{mean}. {_fusion_words(run)} The members are listed "
            "by their weight in the ensemble."
        ),
        downloads=(Download("members", pd.DataFrame(records)),),
    )
    return Section(id="members", title="Prediction of each member", contents="Members", blocks=(table,))


def _fusion_words(run: Run) -> str:
    """How the ensemble prediction follows from the members; calibration is named only where there is one."""
    if run.calibration is not None and run.calibration.method != "none":
        return "The ensemble prediction is fused and calibrated; those of the members are not."
    return "The ensemble prediction is fused; nothing is calibrated after that."


def neighbours_section(
    track: TrackPrediction,
    explanation: TrackExplanation,
    neighbours: Neighbours | None,
    run: Run,
    sounds: Sounds,
) -> Section | None:
    """Nearest training clips in feature space and in the last layer of each network.

    Args:
        track: the track and its predictions.
        explanation: why the members predict them.
        neighbours: the nearest training clips in feature space; None gives no section.
        run: the model folder.
        sounds: sounds of these clips.
    """
    if neighbours is None:
        return None
    labels = neighbours.nearest["label"].value_counts()
    listed = ", ".join(f"{n} {label}" for label, n in labels.items())
    text = (
        f"The nearest training clips in the space of the hand-made features: {listed}. A distance of 0 means "
        "the same sound. The distance of two unrelated clips is about 1.4. The typical distance of a "
        f"training clip from its nearest clip is {neighbours.typical_distance:.2f}."
    )
    percentile = neighbours.distance_percentile
    if percentile == percentile:  # not NaN
        text += f" For {percentile:.0%} of the training clips this distance is smaller than for this track."
    networks = [block for found in explanation.embeddings for block in _network_blocks(track, found, run)]
    if own_clips(track, run):
        text += " The track itself is a clip of the run, and is left out."
    caption = f"Nearest first. {sounds.note}"
    table = _neighbour_table(neighbours.nearest, "Nearest training clips", "neighbours", caption, sounds)
    return Section(
        id="neighbours",
        title="Similar training clips",
        contents="Similar clips",
        blocks=(Text(text), table, *networks),
    )


def _neighbour_table(
    nearest: pd.DataFrame, label: str, download: str, caption: str, sounds: Sounds | None = None
) -> Table:
    """Table of training clips; with `sounds` they have groups, and can be played."""
    with_groups = sounds is not None
    rows = []
    for record in nearest.to_dict("records"):
        cells = [Cell(str(record["label"])), number_cell(record["distance"], 2)]
        if with_groups:
            is_own = record["group"] == record["id"]
            cells.insert(1, Cell("–" if is_own else str(record["group"])))
        name = code_name(record["id"])
        if sounds is not None:
            name = play_button(str(record["id"]), sounds) + name
        rows.append(Row(Cell(name, kind="id"), tuple(cells)))
    groups = (Column("Group"),) if with_groups else ()
    return Table(
        label=label,
        columns=(Column("Clip"), Column("Label"), *groups, Column("Distance", numeric=True)),
        rows=tuple(rows),
        caption=caption,
        downloads=(Download(download, nearest),),
        sticky=False,
    )


def _network_blocks(track: TrackPrediction, embedding: TrackEmbedding, run: Run) -> Blocks:
    """Nearest training clips in the last layer of one network, and a map of it with the track in a ring."""
    about = run.features[["label", "group"]]
    train = embedding.train.drop(index=own_clips(track, run), errors="ignore")
    if not len(train):
        return ()
    nearest = nearest_tracks(train, embedding.track, about, k=NEIGHBOURS).nearest
    title = display_name(embedding.name, run)
    name = slug(embedding.name)
    table = _neighbour_table(
        nearest,
        f"Nearest training clips of {title}",
        f"{name}-neighbours",
        f"Nearest of {len(train)} training clips in the last hidden layer.",
    )
    drawing = embedding_drawing(track, embedding, run)
    key: Blocks = (ClassKey(track.classes, "this track"),) if drawing else ()
    return (Part(f"neighbours-{name}", f"In the last layer of {title}", (*key, *grid(drawing, table))),)


def embedding_drawing(track: TrackPrediction, embedding: TrackEmbedding, run: Run) -> Drawing | None:
    """t-SNE map of training clips and the track in the last layer of one network; None for too few clips."""
    labels = [str(label) for label in run.features.loc[embedding.train.index, "label"]]
    shown = point_classes(labels, track.classes, multilabel=track.multilabel)
    if len(labels) < MIN_CLIPS or not all(shown):
        return None
    prediction = track.classes[track.order[0]]
    row = embedding.track.mean(axis=0).to_frame().T.set_axis(["this track"])
    points = neighbour_map(pd.concat([embedding.train, row]))
    hovers = {}
    for i, (clip, label) in enumerate(zip(embedding.train.index, labels, strict=True)):
        hovers[f"point-{i}"] = f"{clip}: {label}"
    hovers[f"point-{len(labels)}"] = f"this track, predicted as {prediction}"
    rings = [False] * len(labels) + [True]
    figure = map_figure(points, [*shown, prediction], track.classes, rings=rings)
    title = f"The last layer of {display_name(embedding.name, run)}"
    alt = f"t-SNE map of {len(labels)} training clips: {title[0].lower()}{title[1:]}; this track has a ring."
    noun = "most frequent tag" if track.multilabel else "label"
    caption = (
        f"Each dot is a training clip; colour and shape show its {noun}. Hover over a dot for the name of "
        "the clip. The ring is this track. Large distances mean nothing (t-SNE)."
    )
    id_ = f"{slug(embedding.name)}-map"
    numbers = points.assign(label=[*labels, f"predicted as {prediction}"]).reset_index(names="id")
    return Drawing(id_, to_svg(figure, id_, alt, titles=hovers), caption, numbers, title)


def track_reproduction_section(track: TrackPrediction, run: Run, *, beside: bool = True) -> Section:
    """Command, versions and hashes.

    Args:
        track: the track.
        run: the model folder.
        beside: whether the numbers are in files beside the page, too.
    """
    from markupsafe import Markup

    command = f"quintet explain {shlex.quote(run.path.name)} {shlex.quote(track.name)} -o explanation"
    numbers = Markup("The links marked ↓ carry the numbers inside the page.")
    if beside:
        numbers = Markup(
            "The numbers of this page are beside it as parquet in <code>numbers/</code>. The links marked ↓ "
            "carry them inside the page."
        )
    versions = KeyValues(
        "Versions and hashes", "What must be equal for equal numbers.", tuple(_provenance(track, run))
    )
    return Section(
        id="again",
        title="How to reproduce the page",
        contents="Reproduce",
        blocks=(Code((command,)), versions, Text(numbers)),
    )


def _provenance(track: TrackPrediction, run: Run) -> list[tuple[str, str]]:
    """File, model and hashes: `(name, value)`."""
    channels = count(track.native_channels, "channel")
    file = f"{track.name}, {seconds(track.duration_s)}, {track.native_sample_rate:,} Hz, {channels}"
    digests = ", ".join(track.digests[:3])
    rows = [
        ("file", file),
        ("audio digest", f"{digests} …" if len(track.digests) > 3 else digests),
        ("model", str(run.path.resolve().name)),
        ("configuration", run.config.get("hash")),
        ("feature parameters", run.bundle.get("feature_hash")),
        ("log-mel parameters", track.log_mel.hash),
        ("quintet", run.bundle.get("quintet")),
    ]
    return [(key, str(value)) for key, value in rows if value]
