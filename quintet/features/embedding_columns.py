"""Columns that pretrained networks give: their settings, as part of the feature parameters, and their names.

A column is named `tags_NETWORK.TAG.statistic` or `embedding_NETWORK.NUMBER.statistic`, such as
`tags_msd.happy.mean` and `embedding_musicnn_msd.017.mean`. The statistics are those over the windows of a
clip. The networks themselves are in `quintet.embeddings`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import Field, field_validator, model_validator

from quintet.errors import ConfigError
from quintet.features.catalogue import MEAN_STD
from quintet.settings import Stage

TAG_FAMILY, EMBEDDING_FAMILY = "tags_", "embedding_"
"""First letters of the feature families of pretrained networks."""
DESCRIPTIVE = ("licence", "source", "trained_on", "published")
"""Settings that describe a network and decide no number. They are not in the hash."""


class EmbeddingOutput(Stage):
    """One output of a pretrained network.

    Args:
        family: feature family of its columns, such as `tags_msd` or `embedding_musicnn_msd`.
        dimension: numbers per window.
        tags: what the numbers mean, one name per number; empty for an embedding.

    Example:
        >>> EmbeddingOutput(family="tags_mine", dimension=2, tags=("happy", "sad")).columns
        ('tags_mine.happy.mean', 'tags_mine.sad.mean', 'tags_mine.happy.std', 'tags_mine.sad.std')
    """

    family: str = Field(pattern=r"^(?:tags|embedding)_[^.\s]+$")
    dimension: int = Field(ge=1)
    tags: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _require_a_name_for_each_number(self) -> EmbeddingOutput:
        if self.tags and len(set(self.tags)) != self.dimension:
            raise ConfigError(
                f"Tags of an output must be {self.dimension} different names. Received {len(self.tags)}."
            )
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the output: the means over the windows, then the standard deviations."""
        digits = len(str(self.dimension))
        numbers = [f"{number:0{digits}d}" for number in range(1, self.dimension + 1)]
        names = self.tags or numbers
        return tuple(f"{self.family}.{name}.{statistic}" for statistic in MEAN_STD for name in names)


class EmbeddingParameters(Stage):
    """Settings of the columns of one pretrained network.

    Args:
        network: its name in the library of weights.
        contract: hash of its contract, 16 hex digits: weights, sample rate, front end, outputs.
        sample_rate: Hz.
        windows: windows of a clip, spread evenly over it, or `"all"`: one per hop of the contract.
        outputs: the outputs of the network.
        licence: of the weights.
        source: where the weights come from.
        trained_on: music of its training.
        published: its published scores.
        definition: version of the front end and of the pooling. It rises when they give other numbers.
    """

    network: str
    contract: str = Field(pattern=r"^[0-9a-f]{16}$")
    sample_rate: int = Field(ge=1000)
    windows: int | Literal["all"] = 10
    outputs: tuple[EmbeddingOutput, ...] = Field(min_length=1)
    licence: str = ""
    source: str = ""
    trained_on: str = ""
    published: str = ""
    definition: Literal[1] = 1

    @field_validator("windows")
    @classmethod
    def _require_windows(cls, windows: int | str) -> int | str:
        if isinstance(windows, int) and windows < 1:
            raise ConfigError(f"Windows must be 1 or more, or 'all'. Received {windows}.")
        return windows

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the network, in order."""
        names: list[str] = []
        for output in self.outputs:
            names += output.columns
        return tuple(names)


class EmbeddingColumn(NamedTuple):
    """Parts of the name of a column of a pretrained network.

    Args:
        is_tag: whether the column is the activation of a tag.
        network: the part of the family that names the network.
        quantity: the tag, or the number.
        statistic: `mean`, `std`, or empty for a column of a joined table.
    """

    is_tag: bool
    network: str
    quantity: str
    statistic: str


def split_column(column: str) -> EmbeddingColumn | None:
    """The parts of the name of a column of a pretrained network; None for other columns.

    Example:
        >>> split_column("tags_msd.female vocalists.mean")
        EmbeddingColumn(is_tag=True, network='msd', quantity='female vocalists', statistic='mean')
        >>> split_column("embedding_mert.0412").quantity, split_column("cepstral.mfcc_05.mean")
        ('0412', None)
    """
    family, dot, rest = column.partition(".")
    is_tag = family.startswith(TAG_FAMILY)
    if not dot or not (is_tag or family.startswith(EMBEDDING_FAMILY)):
        return None
    network = family.removeprefix(TAG_FAMILY if is_tag else EMBEDDING_FAMILY)
    quantity, dot, statistic = rest.rpartition(".")
    if not dot or statistic not in MEAN_STD:
        quantity, statistic = rest, ""
    return EmbeddingColumn(is_tag, network, quantity, statistic)


def require_own_families(embeddings: tuple[EmbeddingParameters, ...]) -> None:
    """Require that the columns of several networks have families of their own.

    Raises:
        ConfigError: a network is named twice, or two have a family in common.
    """
    seen: dict[str, str] = {}
    for network in embeddings:
        for output in network.outputs:
            other = seen.setdefault(output.family, network.network)
            if other != network.network or [o.family for o in network.outputs].count(output.family) > 1:
                raise ConfigError(
                    f"A family of columns must belong to one output. '{output.family}' belongs to several "
                    f"({other}, {network.network}): give one of them another name in the library."
                )
    names = [network.network for network in embeddings]
    if len(set(names)) < len(names):
        raise ConfigError(f"A network must be named once. Received: {', '.join(names)}.")
