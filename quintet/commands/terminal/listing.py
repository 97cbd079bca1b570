"""Listings of members, features, columns, datasets, recipes and rules: records, a table, or lines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from rich.table import Table

from quintet.classifiers.registry import MEMBERS
from quintet.commands.terminal.console import lines_of
from quintet.errors import unknown_name
from quintet.files.json_types import JsonObject

if TYPE_CHECKING:
    from quintet.pipeline.recipe import Recipe

WIDTH_OF_PUBLISHED = 30
DASH = "–"


def together(what: str) -> tuple[str, ...]:
    """The listings that a name stands for: `features` are the sets and their columns.

    Args:
        what: as in `records`.
    """
    return ("features", "columns") if what == "features" else (what,)


def records(what: str) -> list[JsonObject]:
    """One record per member, feature set, column, dataset, recipe or rule. Its first entry is the name.

    `published` is None if nothing was published. Otherwise it is

    - for a recipe `{"protocol", "scores": {member: {score: value}}}`,
    - for a member `{recipe: {score: value}}`,
    - for a dataset `{recipe: {member: {score: value}}}`.

    Args:
        what: `members` (or `models`), `features`, `columns`, `datasets`, `recipes` or `rules`.

    Raises:
        ConfigError: another name.
    """
    kinds = {
        "members": _members,
        "models": _members,
        "features": _features,
        "columns": _columns,
        "datasets": _datasets,
        "recipes": _recipes,
        "rules": _rules,
    }
    if what not in kinds:
        raise unknown_name("listing", what, kinds)
    return kinds[what]()


def listing(what: str) -> Table:
    """The records as a table for the terminal. Names are never broken.

    Args:
        what: as in `records`.
    """
    rows = [_join_data(row) for row in records(what)]
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for k, name in enumerate(rows[0]):
        width = WIDTH_OF_PUBLISHED if name == "published" else None
        table.add_column(name.replace("_", " "), no_wrap=k == 0, min_width=width, overflow="fold")
    for row in rows:
        table.add_row(*(lines_of(_cell_lines(value)) for value in row.values()))
    return table


def _join_data(row: JsonObject) -> JsonObject:
    """A recipe with its data below its title, because five columns are too many for a terminal."""
    if "data" not in row:
        return row
    joined = {name: value for name, value in row.items() if name != "data"}
    if "what" in joined:
        joined["what"] = [row["what"], row["data"]]
    return joined


def lines(what: str) -> Iterator[str]:
    """The records as lines with tabs between the columns, for other programs. The first line has the names.

    Args:
        what: as in `records`.
    """
    rows = records(what)
    yield "\t".join(rows[0])
    for row in rows:
        cells = ["; ".join(_cell_lines(value)) for value in row.values()]
        yield "\t".join(cells)


def _cell_lines(value: object) -> list[str]:
    """Lines of a cell with a value."""
    if value is None or value in ({}, []):
        return [DASH]
    if isinstance(value, list):
        return [str(entry) for entry in value]
    if isinstance(value, int):
        return [f"{value:,}"]
    if not isinstance(value, Mapping):
        return [str(value)]
    if "protocol" in value:
        return [*_cell_lines(value["scores"]), f"({value['protocol']})"]
    return [f"{name}: {_scores_text(inner)}" for name, inner in value.items()]


def _scores_text(scores: JsonObject) -> str:
    """`accuracy 0.65, macro AUC 0.894`. For several members, each with its name in front."""
    texts = []
    for name, value in scores.items():
        if isinstance(value, Mapping):
            text = f"{name} {_scores_text(dict(value))}"
        else:
            text = f"{_score_name(name)} {value:g}"
        texts.append(text)
    return ", ".join(texts)


def _score_name(score: str) -> str:
    words = score.replace("_", " ")
    return words.replace("auc", "AUC").replace("f1", "F1").replace("pr ", "PR ")


def _members() -> list[JsonObject]:
    published: dict[str, JsonObject] = {}
    for name, recipe in _all_recipes().items():
        if recipe.published is None:
            continue
        for member, scores in recipe.published.scores.items():
            published.setdefault(member, {})[name] = scores
    return [
        {
            "member": member.name,
            "works_on": member.input,
            "parameters": member.parameters,
            "published_parameters": member.published,
            "published": published.get(member.name),
            "source": member.source,
        }
        for member in MEMBERS
    ]


def _features() -> list[JsonObject]:
    from quintet.features.catalogue import FEATURE_SETS, feature_family
    from quintet.features.columns import feature_names
    from quintet.features.parameters import FeatureParameters

    rows: list[JsonObject] = []
    for name in FEATURE_SETS:
        columns = feature_names(FeatureParameters(feature_set=name))
        families = [feature_family(column) for column in columns]
        counts = [f"{family} ({families.count(family)})" for family in dict.fromkeys(families)]
        rows.append({"set": name, "columns": len(families), "families": counts})
    return rows


def _columns() -> list[JsonObject]:
    from quintet.features.catalogue import FEATURE_GROUPS, FEATURE_SETS, feature_family
    from quintet.features.columns import group_columns, select_groups
    from quintet.features.parameters import FeatureParameters
    from quintet.features.words import column_words

    rows: dict[str, JsonObject] = {}
    for name in sorted(FEATURE_SETS, key=len):
        parameters = FeatureParameters(feature_set=name)
        for group, statistics in select_groups(parameters):
            for column in group_columns(group, statistics, parameters):
                words, family = column_words(column, parameters), feature_family(column)
                row = {"column": column, "words": words, "unit": FEATURE_GROUPS[group].unit, "family": family}
                rows.setdefault(column, {**row, "sets": []})["sets"].append(name)
    return list(rows.values()) + _network_columns()


def _network_columns() -> list[JsonObject]:
    """Columns that the pretrained networks in the library give. Their unit is 1."""
    from quintet.embeddings.columns.networks import embedding_parameters
    from quintet.embeddings.library import installed_networks
    from quintet.features.catalogue import feature_family
    from quintet.features.words import column_words

    rows: list[JsonObject] = []
    for name, network in installed_networks().items():
        for column in embedding_parameters(network.contract).columns:
            words, family = column_words(column), feature_family(column)
            rows.append({"column": column, "words": words, "unit": "1", "family": family, "sets": [name]})
    return rows


def _datasets() -> list[JsonObject]:
    from quintet.datasets.registry import DATASETS

    published: dict[str, JsonObject] = {}
    for name, recipe in _all_recipes().items():
        dataset = re.search(r"--data (\w+):", recipe.data.expects)
        if dataset and recipe.published:
            published.setdefault(dataset[1], {})[name] = _best_member(recipe.published.scores)
    return [
        {
            "dataset": name,
            "what": dataset.description,
            "published": published.get(name),
            "source": dataset.source,
            "licence": dataset.licence,
        }
        for name, dataset in DATASETS.items()
    ]


def _best_member(scores: Mapping[str, Mapping[str, float]]) -> JsonObject:
    """The member that is best at the first score, with its scores."""
    first_member = next(iter(scores.values()))
    first_score = next(iter(first_member))
    best = max(scores, key=lambda member: scores[member].get(first_score, 0.0))
    return {best: dict(scores[best])}


def _recipes() -> list[JsonObject]:
    return [
        {
            "recipe": name,
            "what": recipe.title,
            "data": recipe.data.source or recipe.data.expects,
            "published": recipe.published.model_dump() if recipe.published else None,
            "source": recipe.source or None,
        }
        for name, recipe in _all_recipes().items()
    ]


def _rules() -> list[JsonObject]:
    from quintet.ensemble.fusion import RULES

    return [{"rule": name, "how": rule.description} for name, rule in RULES.items()]


def _all_recipes() -> dict[str, Recipe]:
    from quintet.pipeline.recipe import load_recipe, shipped_recipes

    return {name: load_recipe(file) for name, file in shipped_recipes().items()}
