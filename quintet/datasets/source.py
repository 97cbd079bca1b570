"""Loading of a source: a folder, a manifest file or the name of a built-in dataset becomes a manifest."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from quintet.datasets.folder import read_folder
from quintet.datasets.grouping import assign_groups
from quintet.datasets.manifest import Manifest
from quintet.datasets.manifest_file import SUFFIXES, read_table
from quintet.datasets.registry import DATASETS, FREE
from quintet.errors import ConfigError, DatasetError, unknown_name
from quintet.files.paths import expand_home, name_list, require_path


def load_source(
    source: str | Path | Manifest,
    *,
    group_by: str | None = None,
    columns: Mapping[str, str] | None = None,
    root: str | Path | None = None,
    ignore_columns: Sequence[str] = (),
) -> Manifest:
    """Manifest of a source.

    Args:
        source: one of the following. A folder with a sub-folder per class. A manifest file (.csv, .tsv,
            .parquet). The name of a built-in dataset (see `DATASETS`), with its folder if it reads one, and
            after an @ one of its variants: `"demo"`, `"gtzan:/data/GTZAN"`, `"gtzan@filtered:/data/GTZAN"`. A
            `Manifest`, returned as it is. Folders may be relative, and `~` is the home folder.
        group_by: how to find the groups, if the source has none: a regular expression on the relative path,
            or `"tag:artist"`.
        columns: for manifest files: our column → the column of the file, such as `{"group": "fold"}`, or a
            text with columns in braces, such as `{"path": "fold{fold}/{file}"}`.
        root: for manifest files: the folder that paths in the file start from. Default: the folder of the
            file.
        ignore_columns: for manifest files: columns of the file that are not used, whatever their names mean.

    Raises:
        DatasetError: if the source cannot be listed, or is not a source.
        ConfigError: if the settings do not fit the source, or `source` is no path.
    """
    if not isinstance(source, Manifest):
        source = require_path(source, "`source`")
    ignore_columns = name_list(ignore_columns)
    if (columns or root is not None or ignore_columns) and not is_manifest_file(source):
        raise ConfigError(
            "Columns and the root of paths can be given for a manifest file only (.csv, .tsv, .parquet). "
            f"Received them for '{source}'."
        )
    _require_names(columns, group_by)
    if group_by and columns and "group" in columns:
        raise ConfigError(
            "Groups must come from one place. "
            f"Received the column '{columns['group']}' and the pattern '{group_by}'."
        )
    if isinstance(source, Manifest):
        manifest = source
    elif is_manifest_file(source):
        manifest = read_table(expand_home(source), columns=columns, root=root, ignore_columns=ignore_columns)
    else:
        manifest = _read(source)
    return assign_groups(manifest, group_by) if group_by else manifest


def _require_names(columns: object, group_by: object) -> None:
    """Require that columns are names by name, and that `group_by` is a text."""
    pairs = columns.items() if isinstance(columns, Mapping) else [] if columns is None else [(columns, None)]
    if not all(isinstance(ours, str) and isinstance(theirs, str) for ours, theirs in pairs):
        raise ConfigError(
            "`columns` must be our column → the column of the file, such as {'group': 'fold'}. "
            f"Received {columns!r}."
        )
    if not isinstance(group_by, str | None):
        raise ConfigError(
            f"`group_by` must be a text: a regular expression, or 'tag:artist'. Received {group_by!r}."
        )


def is_manifest_file(source: str | Path | Manifest) -> bool:
    """Whether a source is a manifest file, by its name."""
    if isinstance(source, Manifest):
        return False
    path = expand_home(source)
    return path.suffix.lower() in SUFFIXES and not path.is_dir() and _builtin_name(source) is None


def _builtin_name(source: str | Path) -> str | None:
    """Name of the built-in dataset in a source string; None if there is none."""
    name = str(source).partition(":")[0].partition("@")[0]
    return name if isinstance(source, str) and name in DATASETS else None


def _read(source: str | Path) -> Manifest:
    """Manifest of a dataset or a folder. A dataset comes before a path of its name: `./demo` is a folder."""
    if _builtin_name(source) is not None:
        return _load_builtin(str(source))
    path = expand_home(source)
    if path.is_dir():
        return read_folder(path)
    if path.is_file():
        raise DatasetError(
            f"A source must be a folder with a sub-folder per class, a manifest ({', '.join(SUFFIXES)}) "
            f"or a built-in dataset. '{source}' is another kind of file."
        )
    hint = str(unknown_name("built-in dataset", str(source), DATASETS))
    raise DatasetError(
        "A source must be a folder, a manifest file or the name of a built-in dataset. "
        f"'{source}' does not exist. {hint}"
    )


def _load_builtin(source: str) -> Manifest:
    """Call the loader of a dataset of the table, with the absolute path of its folder."""
    words, _, place = source.partition(":")
    name, at, variant = words.partition("@")
    dataset = DATASETS[name]
    module, _, function = dataset.loader.partition(":")
    load: Callable[..., Manifest] = getattr(importlib.import_module(module), function)
    folder = _absolute_place(place, with_name=dataset.with_name) if place else None
    if not at:
        return load(folder)
    if not dataset.variants:
        raise ConfigError(
            f"Only some datasets have variants (NAME@VARIANT). '{name}' has none: write '{name}'."
        )
    if variant not in dataset.variants and FREE not in dataset.variants:
        raise unknown_name(f"variant of {name}", variant, dataset.variants)
    return load(folder, variant=variant)


def _absolute_place(place: str, *, with_name: bool) -> Path:
    """Absolute path of a dataset's folder, behind the name that stands before it if it has one."""
    name, colon, folder = place.partition(":") if with_name else ("", "", place)
    if with_name and not folder:
        return Path(place)
    return Path(f"{name}{colon}{expand_home(folder).absolute()}")
