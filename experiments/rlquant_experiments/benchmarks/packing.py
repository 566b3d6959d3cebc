"""Benchmark of packing and unpacking codes, and of loading a packed file."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import rlquant
from rlquant import LayerChoice, QuantizationConfig
from rlquant.copying.network_copy import copy_network
from rlquant.export.rlq.bit_packing import pack_codes, pack_ternary, unpack_codes, unpack_ternary
from rlquant_experiments.benchmarks.figure import Figure, seconds

WIDTHS = range(2, 9)
CODES_TARGET, TERNARY_TARGET, LOAD_TARGET = 10.0, 16.0, 8.0
LAYER_BITS = (2, 3, 4, 3)
ROUNDS = 9


def packing(codes: int = 2**24, width: int = 2500) -> list[Figure]:
    """Set packing and unpacking against copying the codes, and loading against loading floats.

    Args:
        codes: how many are packed, into memory that is there.
        width: of the network's four square layers; the target is for 2500, 25 million weights.
    """
    torch.set_num_threads(1)
    found = []
    for bits in WIDTHS:
        pack, unpack = partial(pack_codes, bits=bits), partial(unpack_codes, bits=bits, count=codes)
        found += _packing(
            f"codes of {bits} bits", _draw(codes, 2**bits), pack, unpack, CODES_TARGET
        )
    ternary = _draw(codes, 3), pack_ternary, partial(unpack_ternary, count=codes)
    return [*found, *_packing("ternary codes", *ternary, TERNARY_TARGET), *_loading(width)]


def _draw(count: int, options: int) -> Any:
    return np.random.default_rng(0).integers(0, options, count, np.uint8)


def _packing(
    name: str, codes: Any, pack: Callable[..., Any], unpack: Callable[..., Any], target: float
) -> list[Figure]:
    packed, copied = pack(codes), np.empty_like(codes)
    ways = {
        "packing": lambda: pack(codes, out=packed),
        "unpacking": lambda: unpack(packed, out=copied),
    }
    times = _times({"copy": lambda: np.copyto(copied, codes), **ways})
    copy = 1e3 * median(times["copy"])
    return [
        Figure(
            f"{way} {codes.size:,} {name}",
            _ratio(times[way], times["copy"]),
            "x copy",
            target,
            detail=f"{1e3 * median(times[way]):.2f} ms, copying the codes {copy:.2f} ms",
        )
        for way in ways
    ]


def _loading(width: int) -> list[Figure]:
    """Load a packed file, and its float network into a copy and into one that is there.

    `rlquant.load` returns a network of its own, so that the fair comparison is with a copy; the
    other one leaves out what new memory costs, which is most of it on some machines.
    """
    network = nn.Sequential(*(nn.Linear(width, width, bias=False) for _ in LAYER_BITS))
    choices = (LayerChoice(str(i), bits) for i, bits in enumerate(LAYER_BITS))
    quantized = rlquant.quantize(network, QuantizationConfig(tuple(choices)))
    there = copy_network(network)

    with TemporaryDirectory() as folder:
        packed, floats = Path(folder) / "network.rlq", Path(folder) / "network.safetensors"
        rlquant.save(quantized, packed)
        save_file(network.state_dict(), floats)

        def load_floats(copied: nn.Module) -> nn.Module:
            copied.load_state_dict(load_file(floats))
            return copied

        ways = {
            "a copy of the network": lambda: load_floats(copy_network(network)),
            "the network": lambda: load_floats(there),
        }
        times = _times({".rlq": lambda: rlquant.load(packed, network), **ways})
    loaded = 1e3 * median(times[".rlq"])
    return [
        Figure(
            f"loading {len(LAYER_BITS) * width**2:,} weights, over floats into {way}",
            _ratio(times[".rlq"], times[way]),
            "x safetensors",
            LOAD_TARGET,
            detail=f"{loaded:.1f} ms, the floats {1e3 * median(times[way]):.1f} ms",
        )
        for way in ways
    ]


def _times(ways: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Return the seconds of several ways, one after another in every round."""
    found: dict[str, list[float]] = {way: [] for way in ways}
    for counted in (False, *[True] * ROUNDS):
        for way, work in ways.items():
            made: list[object] = []  # given back after the clock stands
            taken = seconds(lambda work=work, made=made: made.append(work()))  # type: ignore[misc]
            if counted:
                found[way].append(taken)
    return found


def _ratio(times: list[float], others: list[float]) -> float:
    return median(one / other for one, other in zip(times, others, strict=True))
