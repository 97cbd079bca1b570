"""Settings of the columns that networks of the library give, and the networks of such settings."""

from __future__ import annotations

from collections.abc import Sequence

from quintet.embeddings.columns.embedder import Embedder
from quintet.embeddings.contract import Contract
from quintet.embeddings.front_end import DEFAULT_WINDOWS, Windows
from quintet.embeddings.library import find_network, installed_networks, weights_directory
from quintet.embeddings.network import require_runtime
from quintet.errors import ArtefactError, ConfigError
from quintet.features.embedding_columns import (
    EMBEDDING_FAMILY,
    TAG_FAMILY,
    EmbeddingOutput,
    EmbeddingParameters,
)
from quintet.features.parameters import FeatureParameters

MUSICNN = "musicnn_"
"""First letters of the names of two networks, which their tag columns leave out: `tags_msd`, `tags_mtt`."""


def with_embeddings(
    parameters: FeatureParameters, names: Sequence[str], windows: Windows | None = None
) -> FeatureParameters:
    """Feature parameters with the columns of networks of the library.

    Args:
        parameters: the other settings.
        names: names of networks, as in `quintet weights list`.
        windows: windows of a clip, spread evenly over it, or `"all"`. Default: 10.

    Raises:
        ConfigError: the library has no such network, a name comes twice, or windows are given without names.
    """
    if windows is not None and not names:
        raise ConfigError(
            f"Windows are those of pretrained networks. Received {windows} without a network: name one, or "
            "leave them out."
        )
    chosen = DEFAULT_WINDOWS if windows is None else windows
    embeddings = tuple(embedding_parameters(find_network(name).contract, chosen) for name in names)
    content = {name: getattr(parameters, name) for name in FeatureParameters.model_fields}
    return FeatureParameters(**{**content, "embeddings": embeddings}) if names else parameters


def embedding_parameters(contract: Contract, windows: Windows = DEFAULT_WINDOWS) -> EmbeddingParameters:
    """Settings of the columns of a network.

    Args:
        contract: the network.
        windows: windows of a clip, or `"all"`.
    """
    tag_name = contract.id.removeprefix(MUSICNN) or contract.id
    counts = {TAG_FAMILY: 0, EMBEDDING_FAMILY: 0}
    outputs = []
    for output in contract.outputs:
        kind, name = (TAG_FAMILY, tag_name) if output.tags else (EMBEDDING_FAMILY, contract.id)
        counts[kind] += 1
        family = f"{kind}{name}" if counts[kind] == 1 else f"{kind}{name}_{counts[kind]}"
        outputs.append(EmbeddingOutput(family=family, dimension=output.dimension, tags=output.tags))
    return EmbeddingParameters(
        network=contract.id,
        contract=contract.hash,
        sample_rate=contract.sample_rate,
        windows=windows,
        outputs=tuple(outputs),
        licence=contract.licence,
        source=contract.source,
        trained_on=contract.trained_on,
        published=contract.published,
    )


def find_embedder(parameters: FeatureParameters) -> Embedder | None:
    """The networks of feature parameters, for `worker.Job`; None if there are none.

    Args:
        parameters: of an extraction, a table or a model.

    Raises:
        ConfigError: the library lacks a network. The message says how to get it.
        ArtefactError: the library has another network of this name: other weights, rate or front end.
        MissingExtraError: ONNX Runtime is not installed.
    """
    if not parameters.embeddings:
        return None
    require_runtime()
    folders = []
    networks = installed_networks()
    for wanted in parameters.embeddings:
        if wanted.network not in networks:
            raise ConfigError(
                f"The network '{wanted.network}' must be in the library {weights_directory()}, because it "
                f"gives {len(wanted.columns)} of the columns. {_how_to_get(wanted)}"
            )
        found = networks[wanted.network]
        if found.contract.hash != wanted.contract:
            raise ArtefactError(
                f"The network '{wanted.network}' must be the one of the table or model (contract "
                f"{wanted.contract}). The library {weights_directory()} holds another (contract "
                f"{found.contract.hash}): its weights, sample rate or front end differ. Add the network of "
                "then, or extract and train again."
            )
        folders.append(str(found.folder))
    return Embedder(parameters.embeddings, tuple(folders))


def _how_to_get(network: EmbeddingParameters) -> str:
    from quintet.embeddings.musicnn import NETWORKS

    if network.network in NETWORKS:
        return "Run: quintet weights fetch musicnn   (offline: quintet weights fetch musicnn --from FILE.whl)"
    return (
        f"Bring its ONNX file and its contract ({network.source or 'as it was added then'}) and run: quintet "
        f"weights add FILE.onnx --contract FILE.toml --name {network.network}"
    )
