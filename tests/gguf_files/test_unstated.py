"""What llama.cpp takes for granted of an architecture, against configurations of transformers."""

from __future__ import annotations

from typing import Any

import pytest

from rlquant.errors import NetworkError
from rlquant.gguf.unstated import FULL, GEMMA3, SLIDING


def config_of(**changed: Any) -> Any:
    """Return a configuration with what is taken for granted, but for `changed`."""
    transformers = pytest.importorskip("transformers")
    rope = GEMMA3.rotations({"rope_type": "default", "rope_theta": 1e6})
    fields = {**GEMMA3.fields(7, 8), "rope_parameters": rope, **changed}
    return transformers.Gemma3TextConfig(num_hidden_layers=7, head_dim=8, **fields)


def test_every_sixth_block_attends_to_all_tokens() -> None:
    assert GEMMA3.fields(7, 8)["layer_types"] == [SLIDING] * 5 + [FULL, SLIDING]


def test_gemma_as_transformers_makes_it_is_what_is_taken_for_granted() -> None:
    transformers = pytest.importorskip("transformers")
    GEMMA3.require(transformers.Gemma3TextConfig(head_dim=256))
    GEMMA3.require(config_of())


@pytest.mark.parametrize(
    "changed",
    [
        {"layer_types": [FULL] * 7},
        {"query_pre_attn_scalar": 16},
        {"attn_logit_softcapping": 30.0},
        {"final_logit_softcapping": 30.0},
        {"hidden_activation": "relu"},
    ],
)
def test_a_network_that_computes_in_another_way_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(NetworkError, match=rf"such a network with {next(iter(changed))}="):
        GEMMA3.require(config_of(**changed))


def test_another_base_of_rotations_is_refused() -> None:
    rope = {"rope_type": "default", "rope_theta": 1e6}
    with pytest.raises(NetworkError, match=r"by the base 10000\.0, the network by 1000000\.0"):
        GEMMA3.require(config_of(rope_parameters={FULL: rope, SLIDING: rope}))
