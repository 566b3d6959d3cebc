"""Generators of tensors and seeds that the tests of several parts share."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

SHAPES = ((1,), (7,), (3, 5), (5, 3), (2, 3, 4), (4, 1, 3, 3), (1, 1, 1, 1), (3, 2, 2, 3))

seeds = st.integers(0, 2**31 - 1)


def seeded(seed: int) -> torch.Generator:
    """A fresh CPU generator."""
    return torch.Generator().manual_seed(seed)


def laid_out(values: Tensor, layout: str) -> Tensor:
    """The same values in another memory layout."""
    if layout == "channels_last" and values.dim() == 4:
        return values.contiguous(memory_format=torch.channels_last)
    if layout == "transposed" and values.dim() > 1:
        return values.transpose(0, -1).contiguous().transpose(0, -1)
    if layout == "gaps":
        return values.repeat_interleave(2, dim=-1)[..., ::2]
    return values.contiguous()


@st.composite
def weights(draw: st.DrawFn, limit: float = 8.0) -> Tensor:
    """Float32 tensors of one to four dimensions, any layout, often with equal or zero values."""
    shape = draw(st.sampled_from(SHAPES))
    elements = st.floats(-limit, limit, width=32, allow_subnormal=False)
    values = torch.from_numpy(draw(hnp.arrays(np.float32, shape, elements=elements)))
    return laid_out(values, draw(st.sampled_from(("plain", "channels_last", "transposed", "gaps"))))


@st.composite
def points(draw: st.DrawFn) -> Tensor:
    """Ascending points in [0, 1], two to nine, equal ones allowed."""
    share = st.floats(0, 1, width=32, allow_subnormal=False)
    return torch.tensor(sorted(draw(st.lists(share, min_size=2, max_size=9))))


@st.composite
def damage(draw: st.DrawFn, data: bytes) -> bytes:
    """The same bytes with one to three of them altered, cut out, or put in."""
    altered = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, max(len(altered) - 1, 0)))
        match draw(st.sampled_from(("alter", "cut", "put in", "truncate"))):
            case "alter":
                altered[place : place + 1] = bytes([draw(st.integers(0, 255))])
            case "cut":
                del altered[place : place + draw(st.integers(1, 9))]
            case "put in":
                altered[place:place] = draw(st.binary(min_size=1, max_size=9))
            case _:
                del altered[place:]
    return bytes(altered)


HOSTILE: tuple[Any, ...] = (
    *(None, True, 0, -1, 0.5, 2**31, 10**18, 10**290, -(10**290), 1e308, -1e308, 1e-320),
    *("", "text", "nan", "1", "a" * 10_000, "\0", "<b>&\"'", "\u202e", "../../x"),
    *([], {}, [[]], [{}], {"a": 1}, [1] * 1000, [None]),
)
"""Values in JSON that a program may not have thought of."""


@st.composite
def altered(draw: st.DrawFn, document: Any) -> Any:
    """The same document with one value of it replaced, left out, or repeated."""
    found = copy.deepcopy(document)
    value, owner, place = found, None, None
    while isinstance(value, (dict, list)) and value and (owner is None or draw(st.integers(0, 3))):
        owner, place = value, draw(st.sampled_from(list(_places(value))))
        value = owner[place]
    if owner is None:
        return draw(st.sampled_from(HOSTILE))
    match draw(st.sampled_from(("replace", "leave out", "repeat"))):
        case "replace":
            owner[place] = draw(st.sampled_from(HOSTILE))
        case "leave out":
            del owner[place]
        case _:
            owner[place] = [value, value]
    return found


def _places(value: Any) -> Any:
    return value if isinstance(value, dict) else range(len(value))
