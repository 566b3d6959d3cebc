"""Default limits of memory: whole numbers that follow the network's size and the free memory."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rlquant.evaluation import default_limits
from rlquant.evaluation.default_limits import LARGE, bank_limit, increase_limit, prefix_limit

MEGABYTE = 2**20


def of_bytes(count: int) -> list[Tensor]:
    return [torch.empty(count // 4, device="meta")]


@pytest.mark.parametrize(
    ("network", "weights", "prefixes"),
    [
        (1, 256, 1024),
        (LARGE // MEGABYTE, 256, 1024),
        (512, 256, 64),
        (2048, 1024, 256),
        (16384, 8192, 1024),
    ],
)
def test_beside_large_networks_less_than_the_network_is_kept(
    network: int, weights: int, prefixes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(default_limits, "available_bytes", lambda: None)
    assert bank_limit(of_bytes(network * MEGABYTE)) == weights * MEGABYTE
    assert prefix_limit(of_bytes(network * MEGABYTE)) == prefixes * MEGABYTE


def test_no_more_than_a_share_of_the_free_memory_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(default_limits, "available_bytes", lambda: 40 * MEGABYTE)
    assert bank_limit(of_bytes(4)) == prefix_limit(of_bytes(4)) == 10 * MEGABYTE


def test_what_increases_cost_does_not_follow_from_free_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(default_limits, "available_bytes", lambda: 40 * MEGABYTE)
    assert increase_limit(of_bytes(4)) == LARGE
    assert increase_limit(of_bytes(512 * MEGABYTE)) == 768 * MEGABYTE
