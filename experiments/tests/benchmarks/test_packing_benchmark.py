"""The benchmark of packed files, tiny: its figures have the right shape, not a size."""

from __future__ import annotations

import pytest

from rlquant_experiments.benchmarks import packing as benchmark


def test_it_measures_every_width_and_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "ROUNDS", 2)
    figures = benchmark.packing(codes=100, width=16)
    kinds = [*(f"codes of {bits} bits" for bits in range(2, 9)), "ternary codes"]
    ways = [f"{way} 100 {kind}" for kind in kinds for way in ("packing", "unpacking")]
    loads = [
        f"loading 1,024 weights, over floats into {way}"
        for way in ("a copy of the network", "the network")
    ]
    assert [figure.name for figure in figures] == ways + loads
    assert all(figure.value > 0 and not figure.at_least for figure in figures)
    assert [figure.target for figure in figures] == [10.0] * 14 + [16.0] * 2 + [8.0] * 2
