"""Networks to train on: drawn from seeds, and none of those that tasks have."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rlquant.errors import SettingsError
from rlquant.tasks.networks import NETWORKS, build
from rlquant_experiments.pretraining.training_networks import (
    EPOCHS,
    KINDS,
    MOST_CONFIGURATIONS,
    ON_FASHION,
    TrainingNetwork,
    draw_networks,
)

SHAPE = (1, 8, 8)


def weight_shapes(network: nn.Module) -> list[tuple[int, ...]]:
    return [tuple(p.shape) for p in network.parameters() if p.ndim > 1]


def groups_of(member: TrainingNetwork) -> int:
    modules = member.network(SHAPE, 10).modules()
    return len(member.groups) or sum(isinstance(m, nn.Conv2d | nn.Linear) for m in modules)


def test_the_seed_decides_the_network() -> None:
    for member in draw_networks(6, 40):
        one, other = (member.network(SHAPE, 10).state_dict() for _ in range(2))
        assert all(torch.equal(one[name], other[name]) for name in one)
    first, second = (
        TrainingNetwork(f"mlp-{seed}", "digits", "mlp", seed).network(SHAPE, 10) for seed in (1, 2)
    )
    assert weight_shapes(first) != weight_shapes(second)


def test_building_one_leaves_the_global_random_state_alone() -> None:
    before = torch.random.get_rng_state()
    draw_networks(1, 0)[0].network(SHAPE, 10)
    assert torch.equal(before, torch.random.get_rng_state())


def test_none_has_the_shape_of_a_tasks_network() -> None:
    """Not one of the networks that tables come of, whatever the seed of its weights."""
    small = [name for name in NETWORKS if name in ("mlp", "cnn") or name.startswith("resnet")]
    taken = [weight_shapes(build(name, SHAPE, 10)) for name in small]
    for member in draw_networks(120, 1000):
        assert weight_shapes(member.network(SHAPE, 10)) not in taken


def test_more_of_them_begin_with_the_same_ones() -> None:
    assert draw_networks(40, 7)[:10] == draw_networks(10, 7)
    assert len({member.title for member in draw_networks(40, 7)}) == 40


def test_the_first_are_on_both_data_sets_in_every_kind() -> None:
    pairs = {(member.data, member.kind) for member in draw_networks(ON_FASHION, 0)}
    assert pairs == {(data, kind) for data in EPOCHS for kind in KINDS}
    later = draw_networks(ON_FASHION + 30, 0)[ON_FASHION:]
    assert {member.data for member in later} == {"digits"}


def test_every_table_stays_small() -> None:
    for member in draw_networks(60, 1000):
        groups = groups_of(member)
        options = member.space(groups).options("calibrated")
        assert 1 < len(options) ** groups <= MOST_CONFIGURATIONS


def test_training_is_as_long_as_the_data_set_says() -> None:
    for member in draw_networks(30, 1000):
        settings = member.training(member.network(SHAPE, 10))
        least, most = EPOCHS[member.data]
        assert least <= settings.epochs <= most
        assert settings.seed == member.seed


def test_convolutions_without_batch_norm_are_trained_gently() -> None:
    rates = {}
    for member in draw_networks(60, 1000):
        network = member.network(SHAPE, 10)
        convolutional = any(isinstance(m, nn.Conv2d) for m in network.modules())
        normalized = any(isinstance(m, nn.BatchNorm2d) for m in network.modules())
        rates[convolutional, normalized] = member.training(network).learning_rate
    assert rates == {(False, False): 0.1, (True, False): 0.03, (True, True): 0.1}


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(SettingsError, match="count=0"):
        draw_networks(0, 0)
    with pytest.raises(SettingsError, match="seed=-1"):
        draw_networks(1, -1)


def test_spaces_differ_from_network_to_network() -> None:
    spaces = {member.space(3) for member in draw_networks(30, 0)}
    assert len(spaces) > 8
    assert any(space.method != ("post_training",) for space in spaces)
    assert any(space.points != ("clipped",) for space in spaces)
    assert any(space.activation_bits != (None,) for space in spaces)
    assert all(space.group_size == ("channel",) for space in spaces)
