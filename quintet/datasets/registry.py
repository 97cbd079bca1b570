"""Table of the built-in datasets: name → loader, description, source, licence and variants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from quintet.errors import install_command


@dataclass(frozen=True, slots=True)
class Dataset:
    """One row of the table of built-in datasets.

    Args:
        loader: `"module:function"`, imported when it is needed. The function takes the folder of the dataset
            (or None) and returns its `Manifest`. If there are `variants`, it also takes the chosen one (or
            None) as `variant`.
        description: one line about the content.
        source: publication, and the source string to write.
        licence: terms of use.
        variants: named splits and other ways to read the dataset (`"gtzan@filtered:FOLDER"`): name → one
            line.
        with_name: whether a name stands before the folder (`"mirdata:NAME:FOLDER"`).
    """

    loader: str
    description: str
    source: str
    licence: str
    variants: Mapping[str, str] = field(default_factory=dict)
    with_name: bool = False


FREE = "…"  # a variant of this name allows any other word; the loader checks it

DATASETS: dict[str, Dataset] = {
    "demo": Dataset(
        loader="quintet.datasets.demo.corpus:load",
        description="144 short pieces of music in 6 styles by 24 artists, composed and rendered by numpy",
        source="rendered on this machine by quintet.datasets.demo.corpus",
        licence="MIT",
    ),
    "gtzan": Dataset(
        loader="quintet.datasets.builtin.gtzan:load",
        description=(
            "1,000 excerpts of 30 s in 10 genres; repetitions grouped; "
            "named splits: gtzan@filtered, @artist1, @artist2, @artist3"
        ),
        source="Tzanetakis & Cook 2002; read from your folder: gtzan:FOLDER",
        licence="none stated",
        variants={
            "filtered": "the fault-filtered split of Kereliuk, Sturm & Larsen 2015",
            "artist1": (
                "first of three folds by artist, without repetitions and distorted tracks "
                "(Foleis & Tavares 2020)"
            ),
            "artist2": "second of the three folds by artist",
            "artist3": "third of the three folds by artist",
        },
    ),
    "fma": Dataset(
        loader="quintet.datasets.builtin.fma:load",
        description=(
            "Free Music Archive (the largest subset that is present, or fma@small, @medium, @large, @full), "
            "official split, artists"
        ),
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
        description=(
            "MagnaTagATune: 25,863 clips of 29 s, the top 50 tags as sets, the standard split; "
            "groups: album (@track, @artist)"
        ),
        source="Law et al. 2009; read from your folder: magnatagatune:FOLDER",
        licence="CC BY-NC-SA 1.0 (the audio, by Magnatune)",
        variants={
            "album": "groups are albums",
            "track": "groups are original tracks",
            "artist": "groups are artists; without the standard split, because it divides artists",
        },
    ),
    "audioset": Dataset(
        loader="quintet.datasets.builtin.audioset:load",
        description=(
            "AudioSet, the seven genres of bahuleyan2018 as sets "
            "(@single: one genre each; @branches: with all labels below them)"
        ),
        source=(
            "Gemmeke et al. 2017; read from your folder: audioset:FOLDER; "
            "clips by `quintet fetch audioset FOLDER`"
        ),
        licence=(
            "segments CC BY 4.0, ontology CC BY-SA 4.0; "
            "clips under YouTube's terms and their makers' licences"
        ),
        variants={
            "single": "segments with exactly one of the genres",
            "branches": "a genre includes all labels below it in the ontology",
        },
    ),
    "million_song": Dataset(
        loader="quintet.datasets.builtin.million_song:load",
        description=(
            "Million Song Dataset ids with tagtraum's genres (@cd1, @cd2: sets; @cd2c: one each), "
            "with previews that you provide"
        ),
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
        description=(
            "any dataset of the library mirdata: mirdata:NAME:FOLDER "
            "(@ATTRIBUTE: the track attribute that is the label)"
        ),
        source=f"Bittner et al. 2019; needs mirdata: {install_command('datasets')}",
        licence="each dataset's own: mirdata.initialize(NAME).license()",
        variants={FREE: "the attribute of the tracks that is the label"},
        with_name=True,
    ),
}
