"""Loading of a source: a folder, a manifest file or the name of a built-in dataset becomes a manifest."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path

from quintet.datasets.folder import read_folder
from quintet.datasets.grouping import assign_groups
from quintet.datasets.manifest import Manifest
from quintet.datasets.manifest_file import SUFFIXES, read_table
from quintet.datasets.registry import DATASETS, FREE
from quintet.errors import ConfigError, DatasetError, unknown_name


def load_source(
    source: str | Path | Manifest, *, group_by: str | None = None, columns: Mapping[str, str] | None = None
) -> Manifest:
    """Manifest of a source.

    Args:
        source: one of the following. A folder with a sub-folder per class. A manifest file (.csv, .tsv,
            .parquet). The name of a built-in dataset (see `DATASETS`), with its folder if it reads one, and
            after an @ one of its variants: `"demo"`, `"gtzan:/data/GTZAN"`, `"gtzan@filtered:/data/GTZAN"`. A
            `Manifest`, returned as it is.
        group_by: how to find the groups, if the source has none: a regular expression on the relative path,
            or `"tag:artist"`.
        columns: for manifest files: our column → the column of the file, such as `{"group": "fold"}`.

    Raises:
        DatasetError: if the source cannot be listed, or is not a source.
        ConfigError: if the settings do not fit the source.
    """
    if columns and not _is_table(source):
        raise ConfigError(
            "Columns can be named for a manifest file only (.csv, .tsv, .parquet). "
            f"Received them for '{source}'."
        )
    if group_by and columns and "group" in columns:
        raise ConfigError(
            "Groups must come from one place. "
            f"Received the column '{columns['group']}' and the pattern '{group_by}'."
        )
    manifest = source if isinstance(source, Manifest) else _read(source, columns)
    return assign_groups(manifest, group_by) if group_by else manifest


def _is_table(source: str | Path | Manifest) -> bool:
    if isinstance(source, Manifest):
        return False
    path = Path(source)
    return path.suffix.lower() in SUFFIXES and not path.is_dir()


def _read(source: str | Path, columns: Mapping[str, str] | None) -> Manifest:
    """Manifest of a source string. A dataset comes before a path of its name: write `./demo` for a folder."""
    dataset, _, folder = str(source).partition(":")
    name, at, variant = dataset.partition("@")
    if isinstance(source, str) and name in DATASETS:
        return _load_builtin(name, Path(folder) if folder else None, variant=variant if at else None)
    if _is_table(source):
        return read_table(source, columns=columns)
    if Path(source).is_dir():
        return read_folder(source)
    if Path(source).is_file():
        raise DatasetError(
            f"A source must be a folder with a sub-folder per class, a manifest ({', '.join(SUFFIXES)}) "
            f"or a built-in dataset. '{source}' is another kind of file."
        )
    hint = str(unknown_name("built-in dataset", str(source), DATASETS))
    raise DatasetError(
        "A source must be a folder, a manifest file or the name of a built-in dataset. "
        f"'{source}' does not exist. {hint}"
    )


def _load_builtin(name: str, folder: Path | None, *, variant: str | None) -> Manifest:
    """Call the loader of a dataset of the table."""
    dataset = DATASETS[name]
    module, _, function = dataset.loader.partition(":")
    load: Callable[..., Manifest] = getattr(importlib.import_module(module), function)
    if variant is None:
        return load(folder)
    if not dataset.variants:
        raise ConfigError(
            f"Only some datasets have variants (NAME@VARIANT). '{name}' has none: write '{name}'."
        )
    if variant not in dataset.variants and FREE not in dataset.variants:
        raise unknown_name(f"variant of {name}", variant, dataset.variants)
    return load(folder, variant=variant)
