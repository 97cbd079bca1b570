"""Columns of pretrained networks: their names, their words, and their part in the hash of the parameters."""

from __future__ import annotations

import pytest

from quintet.errors import ConfigError
from quintet.features.catalogue import feature_family
from quintet.features.columns import feature_names
from quintet.features.embedding_columns import EmbeddingOutput, EmbeddingParameters, split_column
from quintet.features.parameters import FeatureParameters
from quintet.features.words import column_words

TAGS = EmbeddingOutput(family="tags_mine", dimension=3, tags=("happy", "drum & bass", "R.n.B."))
NUMBERS = EmbeddingOutput(family="embedding_mine", dimension=12)
NETWORK = EmbeddingParameters(network="mine", contract="0" * 16, sample_rate=16000, outputs=(TAGS, NUMBERS))


def test_columns_follow_the_set_and_have_families_of_their_own() -> None:
    plain = FeatureParameters(feature_set="bahuleyan2018")
    both = plain.model_copy(update={"embeddings": (NETWORK,)})
    names = feature_names(both)
    assert names[: len(feature_names(plain))] == feature_names(plain)
    added = names[len(feature_names(plain)) :]
    assert len(set(names)) == len(names) == 97 + 2 * 3 + 2 * 12
    assert [feature_family(name) for name in added] == ["tags_mine"] * 6 + ["embedding_mine"] * 24
    assert added[:3] == ("tags_mine.happy.mean", "tags_mine.drum & bass.mean", "tags_mine.R.n.B..mean")
    assert (added[6], added[-1]) == ("embedding_mine.01.mean", "embedding_mine.12.std")


def test_a_column_is_split_into_the_parts_it_was_made_of() -> None:
    for output in (TAGS, NUMBERS):
        parts = [split_column(column) for column in output.columns]
        assert all(part is not None and part.network == "mine" for part in parts)
    assert [part.quantity for part in map(split_column, TAGS.columns) if part][:3] == list(TAGS.tags)


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("tags_mine.R.n.B..std", "tag R.n.B., variation"),
        ("embedding_mine.07.mean", "number 07 of the embedding mine, average"),
        ("embedding_mert.0412", "number 0412 of the embedding mert"),
    ],
)
def test_words(column: str, words: str) -> None:
    assert column_words(column) == words


def test_the_hash_depends_on_the_contract_and_the_windows_but_not_on_descriptions() -> None:
    def hash_of(**changes: object) -> str:
        return FeatureParameters(embeddings=(NETWORK.model_copy(update=changes),)).hash

    hashes = {hash_of(), hash_of(contract="1" * 16), hash_of(windows="all"), hash_of(sample_rate=44100)}
    assert len(hashes) == 4
    assert FeatureParameters().hash not in hashes
    assert hash_of(trained_on="other words", licence="MIT") == hash_of()


def test_parameters_with_networks_survive_their_json() -> None:
    given = FeatureParameters(embeddings=(NETWORK,))
    assert FeatureParameters.parse(given.model_dump(mode="json"), where="a table") == given
    assert given.without_embeddings == FeatureParameters()


def test_a_table_covers_parameters_with_fewer_networks() -> None:
    family = NUMBERS.model_copy(update={"family": "embedding_other"})
    other = NETWORK.model_copy(update={"network": "other", "outputs": (family,)})
    one, two = FeatureParameters(embeddings=(NETWORK,)), FeatureParameters(embeddings=(other, NETWORK))
    reordered = FeatureParameters(embeddings=(NETWORK, other))
    assert two.covers(one)
    assert two.covers(FeatureParameters())
    assert two.covers(reordered)
    assert not one.covers(two)
    assert not two.covers(FeatureParameters(n_mfcc=13))
    changed = FeatureParameters(embeddings=(NETWORK.model_copy(update={"windows": 3}),))
    assert not two.covers(changed)


def test_parameters_without_networks_are_those_of_older_tables() -> None:
    assert "embeddings" not in FeatureParameters().model_dump(mode="json")
    assert FeatureParameters(feature_set="full").hash == "f0fec7c4d7d9161a"


def test_families_belong_to_one_output() -> None:
    other = NETWORK.model_copy(update={"network": "other"})
    with pytest.raises(ConfigError, match="tags_mine"):
        FeatureParameters(embeddings=(NETWORK, other))
    with pytest.raises(ConfigError, match="different names"):
        EmbeddingOutput(family="tags_x", dimension=2, tags=("same", "same"))
