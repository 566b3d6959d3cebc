"""Types by llama.cpp's recipes, for models whose types were published or follow by hand."""

from __future__ import annotations

import pytest

from rlquant.errors import NetworkError, UnknownNameError
from rlquant.export.histogram import histogram
from rlquant_experiments.targets.recipes import types_of

KINDS = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")


def columns(blocks: int, width: int, inner: int, *, tied: bool = False) -> dict[str, int]:
    found = {"token_embd.weight": width}
    for block in range(blocks):
        for kind in KINDS:
            found[f"blk.{block}.{kind}.weight"] = inner if kind == "ffn_down" else width
    return found if tied else {**found, "output.weight": width}


def test_q4_k_m_of_32_blocks_has_6_bits_at_both_ends_and_every_third_between() -> None:
    types = types_of("Q4_K_M", columns(32, 4096, 11008))
    more = [b for b in range(32) if types[f"blk.{b}.attn_v.weight"] == "Q6_K"]
    assert more == [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31]
    assert all(types[f"blk.{b}.ffn_down.weight"] == "Q6_K" for b in more)
    assert types["output.weight"] == "Q6_K"
    assert histogram(types.values()) == {"Q4_K": 193, "Q6_K": 33}


def test_narrow_rows_fall_back() -> None:
    types = types_of("Q3_K_M", columns(30, 576, 1536))
    assert [types[f"blk.{b}.attn_v.weight"] for b in (0, 1, 2)] == ["Q5_1", "Q5_1", "Q5_0"]
    assert [types[f"blk.{b}.ffn_down.weight"] for b in (0, 1, 2)] == ["Q5_K", "Q4_K", "Q4_K"]
    assert types["blk.3.attn_output.weight"] == "Q5_0"
    assert types["blk.3.ffn_up.weight"] == types["token_embd.weight"] == "Q4_0"
    assert types["output.weight"] == "Q8_0"
    tied = types_of("Q2_K", columns(30, 576, 1536, tied=True))
    assert tied["token_embd.weight"] == "Q8_0"
    assert tied["blk.0.ffn_down.weight"] == "Q3_K"


def test_one_type_for_all() -> None:
    assert histogram(types_of("Q4_0", columns(2, 64, 128)).values()) == {"Q4_0": 16}


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="Q4_K_M"):
        types_of("Q4_K_L", {})
    with pytest.raises(NetworkError, match="rows of 48 weights"):
        types_of("Q2_K", columns(1, 48, 64))
