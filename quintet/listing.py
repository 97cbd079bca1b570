"""What there is to choose from, as tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.table import Table

from quintet.classifiers.registry import MODELS, Model
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
    published = _published()
    rows = [(m.name, m.input, _parameters(m), "; ".join(published.get(m.name, ())) or "–", m.source) for m in MODELS]
    return _table(("member", "works on", "parameters", "published", "source"), rows)


def _parameters(model: Model) -> str:
    """`787,159 (published: 787,000)`."""
    if model.parameters is None:
        return "–"
    return f"{model.parameters:,}" + (f" (published: {model.published:,})" if model.published else "")


def _published() -> dict[str, list[str]]:
    """Member or ensemble → what papers report of it, by the recipes that come along."""
    from quintet.recipe import load_recipe, shipped_recipes

    found: dict[str, list[str]] = {}
    for name, file in shipped_recipes().items():
        published = load_recipe(file).published
        for member, figures in (published.scores if published else {}).items():
            found.setdefault(member, []).append(f"{_figures(figures)} ({name})")
    return found


def _figures(scores: Mapping[str, float]) -> str:
    """`accuracy 0.65, macro AUC 0.894`."""
    return ", ".join(f"{name.replace('_', ' ').replace('auc', 'AUC').replace('f1', 'F1').replace('pr ', 'PR ')} {v:g}" for name, v in scores.items())


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
        figures = "\n".join(f"{member}: {_figures(scores)}" for member, scores in published.items())
        protocol = f"\n({recipe.published.protocol})" if recipe.published else ""
        data = recipe.data.source or f"--data: {recipe.data.expects}"
        rows.append((name, f"{recipe.title}\n{data}", (figures or "–") + protocol, recipe.source or "–"))
    return _table(("recipe", "what", "published", "source"), rows)


def _rules() -> Table:
    from quintet.ensemble.fusion import RULES

    return _table(
        ("rule", "how"),
        ((name, str(getattr(rule, "description", "") or (rule.__doc__ or "")).strip().split("\n")[0]) for name, rule in RULES.items()),
    )
