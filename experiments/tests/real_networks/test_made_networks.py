"""Networks that are trained for the measurements."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rlquant_experiments.landscapes.networks import LABELS, NETWORKS, SmallNetwork
from rlquant_experiments.real_networks import made_networks
from rlquant_experiments.real_networks.made_networks import MADE, load_made
from rlquant_experiments.real_networks.measuring import search_row
from rlquant_experiments.real_networks.rows import Row
from rlquant_experiments.real_networks.settings import AMOUNTS, Amounts, RealNetworkSettings

TINY = SmallNetwork("vit", 1, 32, 7, LABELS)


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a network that is trained in a moment among those that are made."""
    monkeypatch.setattr(made_networks, "STEPS", 5)
    monkeypatch.setitem(made_networks.MADE, TINY.name, TINY)  # type: ignore[arg-type]
    monkeypatch.setitem(AMOUNTS, TINY.name, Amounts(8, 16, 32, 6))


def test_none_is_a_network_that_anything_learned_from() -> None:
    made = {name: kind for name, kind in MADE.items() if kind is not TINY}
    assert not set(made) & {kind.name for kind in NETWORKS}
    assert not {kind.seed for kind in made.values()} & {kind.seed for kind in NETWORKS}
    assert {kind.family for kind in made.values()} == {"llama", "vit"}


def test_a_network_is_trained_once(tmp_path: Path) -> None:
    first = load_made(TINY.name, tmp_path).network.state_dict()
    before = (tmp_path / f"{TINY.name}.safetensors").stat().st_mtime_ns
    second = load_made(TINY.name, tmp_path).network.state_dict()
    assert (tmp_path / f"{TINY.name}.safetensors").stat().st_mtime_ns == before
    assert all(torch.equal(first[name], second[name]) for name in first)
    fresh = TINY.build().state_dict()
    assert any(not torch.equal(first[name], fresh[name]) for name in first)


def test_a_search_of_it_is_a_row_like_any_other(tmp_path: Path) -> None:
    settings = RealNetworkSettings(tasks=(TINY.name,), out=tmp_path)
    figures = search_row(Row(TINY.name, 4.0, searcher="random"), settings)
    assert figures.average_bits <= 4.0
    assert figures.evaluations == 6
