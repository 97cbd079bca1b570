"""Who is in the data: sources become manifests, manifests become splits."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from quintet.datasets.folder import read_folder
from quintet.datasets.grouping import assign_groups
from quintet.datasets.manifest import Manifest
from quintet.datasets.manifest_file import SUFFIXES, read_table
from quintet.errors import ConfigError, DatasetError, unknown_name


@dataclass(frozen=True, slots=True)
class Dataset:
    """One row of the table of built-in datasets.

    Args:
        loader: `"module:function"`, imported when it is needed; the function takes the dataset's folder (or None) and
            returns its `Manifest`. Where there are `variants`, it takes the chosen one (or None) as `variant`.
        description: one line.
        source: where it comes from.
        licence: what one may do with it.
        variants: named splits and other ways to read it (`"gtzan@filtered:FOLDER"`): name → one line.
    """

    loader: str
    description: str
    source: str
    licence: str
    variants: Mapping[str, str] = field(default_factory=dict)


FREE = "…"  # among the variants: any other word may stand there, and the loader judges it

DATASETS: dict[str, Dataset] = {
    "demo": Dataset(
        loader="quintet.datasets.demo.corpus:load",
        description="144 short pieces of music in 6 styles by 24 artists, composed and rendered by numpy",
        source="rendered on this machine by quintet.datasets.demo.corpus",
        licence="MIT",
    ),
    "gtzan": Dataset(
        loader="quintet.datasets.builtin.gtzan:load",
        description="1,000 excerpts of 30 s in 10 genres; repetitions grouped; named splits: gtzan@filtered, @artist1, @artist2, @artist3",
        source="Tzanetakis & Cook 2002; read from your folder: gtzan:FOLDER",
        licence="none stated",
        variants={
            "filtered": "the fault-filtered split of Kereliuk, Sturm & Larsen 2015",
            "artist1": "first of three folds by artist, without repetitions and distorted tracks (Foleis & Tavares 2020)",
            "artist2": "the second of them",
            "artist3": "the third of them",
        },
    ),
    "fma": Dataset(
        loader="quintet.datasets.builtin.fma:load",
        description="Free Music Archive (the largest subset that is there, or fma@small, @medium, @large, @full), official split, artists",
        source="Defferrard et al. 2017; read from your folder: fma:FOLDER",
        licence="metadata CC BY 4.0; audio under each artist's own licence",
        variants={
            "small": "8,000 clips of 30 s, 8 balanced genres",
            "medium": "25,000 clips of 30 s, 16 genres",
            "large": "106,574 clips of 30 s; not quite half of them have a top genre",
            "full": "106,574 whole tracks",
        },
    ),
    "magnatagatune": Dataset(
        loader="quintet.datasets.builtin.magnatagatune:load",
        description="MagnaTagATune: 25,863 clips of 29 s, the top 50 tags as sets, the standard split; groups: album (@track, @artist)",
        source="Law et al. 2009; read from your folder: magnatagatune:FOLDER",
        licence="CC BY-NC-SA 1.0 (the audio, by Magnatune)",
        variants={
            "album": "clips of one album never part",
            "track": "clips of one original track never part",
            "artist": "clips of one artist never part; without the standard split, which parts artists",
        },
    ),
    "audioset": Dataset(
        loader="quintet.datasets.builtin.audioset:load",
        description="AudioSet, the seven genres of bahuleyan2018 as sets (@single: one genre each; @branches: with all below them)",
        source="Gemmeke et al. 2017; read from your folder: audioset:FOLDER; clips by `quintet fetch audioset FOLDER`",
        licence="segments CC BY 4.0, ontology CC BY-SA 4.0; clips under YouTube's terms and their makers' licences",
        variants={
            "single": "segments with exactly one of the genres",
            "branches": "a genre counts for everything below it in the ontology, too",
        },
    ),
    "million_song": Dataset(
        loader="quintet.datasets.builtin.million_song:load",
        description="Million Song Dataset ids with tagtraum's genres (@cd1, @cd2: sets; @cd2c: one each) on previews of your own",
        source="Bertin-Mahieux et al. 2011, Schreiber 2015; read from your folder: million_song:FOLDER",
        licence="annotations for research, as their page says; previews as you got them",
        variants={
            "cd1": "majority and minority genre of three sources, a set",
            "cd2": "majority and minority genre of two sources, a set",
            "cd2c": "the tracks of CD2 without ambiguity, one genre",
        },
    ),
    "mirdata": Dataset(
        loader="quintet.datasets.builtin.mirdata:load",
        description="whatever the library mirdata reads: mirdata:NAME:FOLDER (@ATTRIBUTE: the track's attribute that is the label)",
        source="Bittner et al. 2019; needs mirdata: pip install 'quintet[datasets]'",
        licence="each dataset's own: mirdata.initialize(NAME).license()",
        variants={FREE: "the attribute of the tracks that is the label"},
    ),
}


def load_source(
    source: str | Path | Manifest, *, group_by: str | None = None, columns: Mapping[str, str] | None = None
) -> Manifest:
    """The manifest of a source.

    Args:
        source: a folder with a sub-folder per class; a manifest file (.csv, .tsv, .parquet); the name of a built-in dataset
            (see `DATASETS`), with its folder where it has one to read: `"demo"`, `"gtzan:/data/GTZAN"`, and after an @ which of its
            variants: `"gtzan@filtered:/data/GTZAN"`. A `Manifest` is passed on.
        group_by: where groups come from, if not from the source: a regular expression on the relative path, or `"tag:artist"`.
        columns: for manifest files, which column stands for which of ours: `{"group": "fold"}`.

    Raises:
        DatasetError: if the source cannot be listed, or is not a source.
        ConfigError: for settings that do not fit the source.
    """
    if columns and not _is_table(source):
        raise ConfigError(
            f"Columns can be named for a manifest file only (.csv, .tsv, .parquet). Received them for '{source}'."
        )
    if group_by and columns and "group" in columns:
        raise ConfigError(
            f"Groups must come from one place. Received the column '{columns['group']}' and the pattern '{group_by}'."
        )
    manifest = source if isinstance(source, Manifest) else _read(source, columns)
    return assign_groups(manifest, group_by) if group_by else manifest


def _is_table(source: str | Path | Manifest) -> bool:
    return (
        isinstance(source, str | Path)
        and Path(source).suffix.lower() in SUFFIXES
        and not Path(source).is_dir()
    )


def _read(source: str | Path, columns: Mapping[str, str] | None) -> Manifest:
    """Whatever the source is: a name in the table first (write `./demo` for a folder called demo), then a path."""
    called, _, folder = str(source).partition(":")
    name, _, variant = called.partition("@")
    if isinstance(source, str) and name in DATASETS:
        return _built_in(name, Path(folder) if folder else None, variant=variant if "@" in called else None)
    if _is_table(source):
        return read_table(source, columns=columns)
    if Path(source).is_dir():
        return read_folder(source)
    if Path(source).is_file():
        raise DatasetError(
            f"A source must be a folder with a sub-folder per class, a manifest ({', '.join(SUFFIXES)}) or a built-in dataset. "
            f"'{source}' is another kind of file."
        )
    hint = str(unknown_name("built-in dataset", str(source), DATASETS))
    raise DatasetError(
        f"A source must be a folder, a manifest file or the name of a built-in dataset. '{source}' does not exist. {hint}"
    )


def _built_in(name: str, folder: Path | None, *, variant: str | None) -> Manifest:
    """The manifest of a dataset of the table, by its own loader."""
    variants = DATASETS[name].variants
    module, _, function = DATASETS[name].loader.partition(":")
    load: Callable[..., Manifest] = getattr(importlib.import_module(module), function)
    if variant is None:
        return load(folder)
    if not variants:
        raise ConfigError(
            f"Only some datasets come in variants (NAME@VARIANT). '{name}' has none: write '{name}'."
        )
    if variant not in variants and FREE not in variants:
        raise unknown_name(f"variant of {name}", variant, variants)
    return load(folder, variant=variant)


__all__ = ["DATASETS", "Dataset", "Manifest", "load_source"]
