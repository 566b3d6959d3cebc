"""How texts are split before byte-pair encoding: names in GGUF files, and what they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LETTERS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def _bytes(*, regex: bool) -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": False, "use_regex": regex}


def _split(numbers: str) -> dict[str, Any]:
    pattern = {"Regex": f"{_LETTERS}|{numbers}|{_REST}"}
    split = {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [split, _bytes(regex=False)]}


_DIGITS = {"type": "Digits", "individual_digits": True}
PRETOKENIZERS: Mapping[str, dict[str, Any]] = {
    "gpt-2": _bytes(regex=True),
    "smollm": {"type": "Sequence", "pretokenizers": [_DIGITS, _bytes(regex=True)]},
    "llama-bpe": _split(r"\p{N}{1,3}"),
    "qwen2": _split(r"\p{N}"),
}
"""Name in files -> the description in a tokenizer.json, without what changes no token."""


def name_of(described: Any) -> str | None:
    """Return the name of what a tokenizer.json describes, None where none of these is it."""
    plain = _plain(described)
    return next((name for name, known in PRETOKENIZERS.items() if known == plain), None)


def _plain(described: Any) -> Any:
    """Return a description without what decides offsets alone."""
    if isinstance(described, dict):
        return {k: _plain(v) for k, v in described.items() if k != "trim_offsets"}
    return [_plain(each) for each in described] if isinstance(described, list) else described
