"""Recipes of llama.cpp: which type each weight of a Llama-like model has in Q4_K_M and the like.

Source: `src/llama-quant.cpp` of llama.cpp (007dbbf, 2026), `llama_tensor_get_type_impl` and
`tensor_type_fallback`, for models without experts, with fewer than four heads of queries for each
head of keys.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rlquant.errors import NetworkError, unknown_name
from rlquant.gguf.ggml_types import TYPES

WIDE = 256
"""Weights of a block of the K types."""
FALLBACK = {"Q2_K": "Q4_0", "Q3_K": "Q4_0", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
"""For rows that are no whole blocks."""
Rule = Callable[[str, int, int], str]
"""The kind of a tensor, its block, and the number of blocks in, a type out."""


def _more_bits(block: int, count: int) -> bool:
    outer = block < count // 8 or block >= 7 * count // 8
    return outer or (block - count // 8) % 3 == 2


def _q4_k_m(kind: str, block: int, count: int) -> str:
    wanted = kind in ("attn_v", "ffn_down") and _more_bits(block, count)
    return "Q6_K" if wanted else "Q4_K"


def _q3_k_m(kind: str, block: int, count: int) -> str:
    first = {"attn_v": 2, "ffn_down": count // 16}
    if kind in first:
        return "Q5_K" if block < first[kind] else "Q4_K"
    return "Q4_K" if kind == "attn_output" else "Q3_K"


def _q2_k(kind: str, block: int, count: int) -> str:
    return "Q3_K" if kind in ("attn_v", "ffn_down", "attn_output") else "Q2_K"


RECIPES: Mapping[str, Rule] = {"Q4_K_M": _q4_k_m, "Q3_K_M": _q3_k_m, "Q2_K": _q2_k}
UNIFORM = ("Q5_0", "Q4_0")
"""Types for all weights, as `llama-quantize --pure` gives them."""


def types_of(recipe: str, columns: Mapping[str, int]) -> dict[str, str]:
    """Return the type of each weight by a recipe.

    Args:
        recipe: one of `RECIPES`, or of `UNIFORM`.
        columns: weights of a row, by name in the file, e.g. "blk.0.attn_v.weight".

    Raises:
        UnknownNameError: no such recipe.
        NetworkError: rows that no type fits.
    """
    if recipe in UNIFORM:
        return dict.fromkeys(columns, recipe)
    if recipe not in RECIPES:
        raise unknown_name("recipe", recipe, (*RECIPES, *UNIFORM))
    count = len({_parts(name)[1] for name in columns if name.startswith("blk.")})
    tied = "output.weight" not in columns
    return {
        name: _fitting(_wanted(RECIPES[recipe], name, count, tied), name, width)
        for name, width in columns.items()
    }


def _wanted(rule: Rule, name: str, count: int, tied: bool) -> str:
    if name == "output.weight" or (tied and name == "token_embd.weight"):
        return "Q6_K"
    return rule(*_parts(name), count)


def _parts(name: str) -> tuple[str, int]:
    """Return the kind of a tensor and its block."""
    if not name.startswith("blk."):
        return name.removesuffix(".weight"), 0
    _, block, kind, *_ = name.split(".")
    return kind, int(block)


def _fitting(wanted: str, name: str, width: int) -> str:
    chosen = wanted if width % WIDE == 0 else FALLBACK[wanted]
    if width % TYPES[chosen].block:
        raise NetworkError(f"{name!r} has rows of {width} weights, which no type of ggml fits")
    return chosen
