"""The small networks: what they are made of, and that texts and images fit them."""

from __future__ import annotations

import pytest
import torch

from rlquant.network_kind import is_transformer_like
from rlquant_experiments.float_layers import float_layers
from rlquant_experiments.landscapes.networks import FAMILIES, NETWORKS, SmallNetwork
from rlquant_experiments.landscapes.training import parts_of

FIRST = {kind.family: kind for kind in reversed(NETWORKS)}


def test_names_and_seeds_are_their_own() -> None:
    assert len({kind.name for kind in NETWORKS}) == len(NETWORKS) >= 20
    assert len({kind.seed for kind in NETWORKS}) == len(NETWORKS)
    assert {kind.family for kind in NETWORKS[:6]} == set(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_networks_depend_on_their_seed_alone(family: str) -> None:
    kind = SmallNetwork(family, 1, 16, 3)
    one, other = kind.build().state_dict(), kind.build().state_dict()
    assert all((one[name] == value).all() for name, value in other.items())


@pytest.mark.parametrize("family", ["vit", "resnet", "mobilenet"])
def test_images_fit(family: str) -> None:
    kind = FIRST[family]
    network, parts = kind.measured(kind.build()), parts_of(kind)
    with torch.no_grad():
        found = network(parts.validation[0][:2])
    assert getattr(found, "logits", found).shape == (2, 10)
    assert is_transformer_like(network) == (family == "vit")


def test_embeddings_of_language_models_stay_float() -> None:
    network = FIRST["llama"].build()
    assert float_layers(network) == ("model.embed_tokens", "lm_head")
