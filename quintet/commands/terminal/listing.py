"""What there is to choose from: as records for scripts, as tables for the terminal, as lines with tabs for pipes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table

from quintet.classifiers.registry import MEMBERS
from quintet.errors import unknown_name

if TYPE_CHECKING:
    from quintet.pipeline.recipe import Recipe

Record = dict[str, Any]


def records(what: str) -> list[Record]:
    """One record per member, feature set, dataset, recipe or rule; its first entry is the name.

    `published` of a recipe is `{"protocol", "scores": {member: {score: value}}}`, of a member `{recipe: {score: value}}`, of a dataset
    `{recipe: {member: {score: value}}}`; None where nothing was published.

    Raises:
        ConfigError: for another name.
    """
    kinds = {
        "members": _members,
        "models": _members,
        "features": _features,
        "datasets": _datasets,
        "recipes": _recipes,
        "rules": _rules,
    }
    if what not in kinds:
        raise unknown_name("listing", what, kinds)
    return kinds[what]()


def listing(what: str) -> Table:
    """The records as a table for the terminal; names are never broken."""
    rows = [_folded(row) for row in records(what)]
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for k, heading in enumerate(rows[0]):
        table.add_column(
            heading.replace("_", " "),
            no_wrap=k == 0,
            min_width=30 if heading == "published" else None,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*("\n".join(_lines(value)) for value in row.values()))
    return table


def _folded(row: Record) -> Record:
    """A recipe's data below what it is: five columns are too many for a terminal."""
    return {
        name: [value, row["data"]] if name == "what" and "data" in row else value
        for name, value in row.items()
        if name != "data"
    }


def lines(what: str) -> Iterator[str]:
    """The records as lines with tabs between the columns, the headings first: what another program reads."""
    rows = records(what)
    yield "\t".join(rows[0])
    for row in rows:
        yield "\t".join("; ".join(_lines(value)) for value in row.values())


def _lines(value: Any) -> list[str]:
    """What a cell shows of a value, line by line."""
    if value is None or value in ({}, []):
        return ["–"]
    if isinstance(value, list):
        return [str(entry) for entry in value]
    if not isinstance(value, Mapping):
        return [f"{value:,}" if isinstance(value, int) else str(value)]
    if "protocol" in value:
        return [*_lines(value["scores"]), f"({value['protocol']})"]
    return [f"{name}: {_figures(inner)}" for name, inner in value.items()]


def _figures(scores: Mapping[str, Any]) -> str:
    """`accuracy 0.65, macro AUC 0.894`; of several members, each with its name before it."""
    if any(isinstance(inner, Mapping) for inner in scores.values()):
        return ", ".join(f"{name} {_figures(inner)}" for name, inner in scores.items())
    return ", ".join(
        f"{name.replace('_', ' ').replace('auc', 'AUC').replace('f1', 'F1').replace('pr ', 'PR ')} {v:g}"
        for name, v in scores.items()
    )


def _members() -> list[Record]:
    found: dict[str, Record] = {}
    for name, recipe in _all_recipes().items():
        for member, figures in (recipe.published.scores if recipe.published else {}).items():
            found.setdefault(member, {})[name] = figures
    return [
        {
            "member": m.name,
            "works_on": m.input,
            "parameters": m.parameters,
            "published_parameters": m.published,
            "published": found.get(m.name),
            "source": m.source,
        }
        for m in MEMBERS
    ]


def _features() -> list[Record]:
    from quintet.features.catalogue import FEATURE_SETS, feature_family
    from quintet.features.columns import feature_names
    from quintet.features.parameters import FeatureParameters

    rows = []
    for name in FEATURE_SETS:
        families = [feature_family(column) for column in feature_names(FeatureParameters(feature_set=name))]
        counted = [f"{family} ({families.count(family)})" for family in dict.fromkeys(families)]
        rows.append({"set": name, "columns": len(families), "families": counted})
    return rows


def _datasets() -> list[Record]:
    from quintet.datasets.registry import DATASETS

    found: dict[str, Record] = {}
    for name, recipe in _all_recipes().items():
        named = re.search(r"--data (\w+):", recipe.data.expects)
        if named and recipe.published:
            found.setdefault(named[1], {})[name] = _best(recipe.published.scores)
    return [
        {
            "dataset": name,
            "what": d.description,
            "published": found.get(name),
            "source": d.source,
            "licence": d.licence,
        }
        for name, d in DATASETS.items()
    ]


def _best(scores: Mapping[str, Mapping[str, float]]) -> Record:
    """The member that is best at the first score."""
    first = next(iter(next(iter(scores.values()))))
    name = max(scores, key=lambda member: scores[member].get(first, 0.0))
    return {name: dict(scores[name])}


def _recipes() -> list[Record]:
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


def _rules() -> list[Record]:
    from quintet.ensemble.fusion import RULES

    return [
        {
            "rule": name,
            "how": str(getattr(rule, "description", "") or (rule.__doc__ or "")).strip().split("\n")[0],
        }
        for name, rule in RULES.items()
    ]


def _all_recipes() -> dict[str, Recipe]:
    from quintet.pipeline.recipe import load_recipe, shipped_recipes

    return {name: load_recipe(file) for name, file in shipped_recipes().items()}
