"""What there is to choose from, as tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.table import Table

from quintet.errors import unknown_name


def listing(what: str) -> Table:
    """The table of members, features, datasets, recipes or rules.

    Raises:
        ConfigError: for another name.
    """
    kinds = {"members": _members, "models": _members, "features": _features, "datasets": _datasets, "recipes": _recipes, "rules": _rules}
    if what not in kinds:
        raise unknown_name("listing", what, kinds)
    return kinds[what]()


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _members() -> Table:
    from quintet.classifiers.registry import MODELS

    return _table(("member", "works on", "source"), ((m.name, m.input, m.source) for m in MODELS))


def _features() -> Table:
    from quintet.features.catalogue import FEATURE_SETS, family_of, feature_names
    from quintet.features.parameters import FeatureParameters

    rows = []
    for name in FEATURE_SETS:
        columns = feature_names(FeatureParameters(feature_set=name))
        families = dict.fromkeys(map(family_of, columns))
        rows.append((name, str(len(columns)), ", ".join(f"{f} ({sum(family_of(c) == f for c in columns)})" for f in families)))
    return _table(("set", "columns", "families"), rows)


def _datasets() -> Table:
    from quintet.datasets import DATASETS

    return _table(("dataset", "what", "source", "licence"), ((name, d.description, d.source, d.licence) for name, d in DATASETS.items()))


def _recipes() -> Table:
    from quintet.recipe import load_recipe, shipped_recipes

    rows = []
    for name, file in shipped_recipes().items():
        recipe = load_recipe(file)
        published = recipe.published.scores if recipe.published else {}
        figures = "; ".join(f"{member}: " + ", ".join(f"{k} {v:g}" for k, v in values.items()) for member, values in published.items())
        rows.append((name, recipe.title, recipe.source, figures or "–"))
    return _table(("recipe", "what", "source", "published"), rows)


def _rules() -> Table:
    from quintet.ensemble.fusion import RULES

    return _table(
        ("rule", "how"),
        ((name, str(getattr(rule, "description", "") or (rule.__doc__ or "")).strip().split("\n")[0]) for name, rule in RULES.items()),
    )
