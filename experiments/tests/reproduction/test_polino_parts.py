"""What Polino's experiments are made of: code lengths, moved points, sizes, noise, one training."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import rlquant
from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.errors import DataError, SettingsError
from rlquant.export.quantized_layers import quantized_layers
from rlquant.samples import Samples
from rlquant.training.settings import TrainSettings
from rlquant_experiments.reproduction.polino.depth import Depth, measure_depth
from rlquant_experiments.reproduction.polino.file_size import FileSize, reduction
from rlquant_experiments.reproduction.polino.huffman import code_frequencies, entropy, mean_length
from rlquant_experiments.reproduction.polino.lab import everywhere
from rlquant_experiments.reproduction.polino.networks import quantized_layers as layer_names
from rlquant_experiments.reproduction.polino.networks import strided_cnn
from rlquant_experiments.reproduction.polino.noise import Noise, measure_noise, noise_moments
from rlquant_experiments.reproduction.polino.redistribution import gradient_norms, redistribute
from rlquant_experiments.reproduction.polino.training import train_network

NETWORK = strided_cnn((4, 8), (2, 1), 12)


def samples(count: int = 64) -> Samples:
    draws = torch.Generator().manual_seed(0)
    images = torch.randn(count, 1, 8, 8, generator=draws)
    return Samples((images,), torch.randint(3, (count,), generator=draws))


def network(seed: int = 0) -> nn.Module:
    return NETWORK.build((1, 8, 8), 3, seed).eval()


# --- Huffman


@pytest.mark.parametrize(
    ("frequencies", "length", "bits"),
    [
        ((0.1, 0.4, 0.4, 0.1), 1.8, 1.7219),
        ((0.05, 0.7, 0.2, 0.05), 1.4, 1.2568),
        ((7, 0, 7), 1.0, 1.0),
        ((3,), 0.0, 0.0),
    ],
)
def test_huffman_lengths_known_by_hand(
    frequencies: tuple[float, ...], length: float, bits: float
) -> None:
    assert mean_length(frequencies) == pytest.approx(length)
    assert entropy(frequencies) == pytest.approx(bits, abs=5e-5)


@given(st.lists(st.integers(1, 1000), min_size=2, max_size=40))
def test_a_huffman_code_is_less_than_a_bit_above_the_entropy(counts: list[int]) -> None:
    length, least = mean_length(counts), entropy(counts)
    assert least - 1e-9 <= length < least + 1
    assert length <= math.ceil(math.log2(len(counts))) + 1e-9


@pytest.mark.parametrize("frequencies", [(), (0.0, 0.0), (0.5, -0.5, 1.0)])
def test_frequencies_of_nothing_or_below_0_are_refused(frequencies: tuple[float, ...]) -> None:
    with pytest.raises(DataError, match="frequencies"):
        mean_length(frequencies)


def test_codes_of_all_layers_are_pooled() -> None:
    start = network()
    quantized = rlquant.quantize(start, everywhere(start, LayerChoice("", 2, points="linear")))
    counts = code_frequencies(quantized)
    assert len(counts) == 4
    assert sum(counts) == sum(
        start.get_parameter(f"{n}.weight").numel() for n in layer_names(start)
    )


# --- redistribution


@pytest.mark.parametrize(
    ("points", "norms", "expected"),
    [
        ((4, 4, 4, 4), (4, 3, 2, 1), (5, 4, 4, 3)),
        ((4, 4, 4, 4), (10, 1, 1, 1), (7, 3, 3, 3)),
        ((2, 2, 2, 2), (100, 1, 1, 1), (2, 2, 2, 2)),
        ((4, 4, 4), (1, 0, 0), (8, 2, 2)),
    ],
)
def test_points_go_where_gradients_are_large(
    points: tuple[int, ...], norms: tuple[float, ...], expected: tuple[int, ...]
) -> None:
    assert redistribute(points, norms) == expected


@given(st.lists(st.tuples(st.integers(2, 64), st.floats(0.001, 1000)), min_size=1, max_size=12))
def test_redistribution_keeps_the_sum_and_two_points_each(
    tensors: list[tuple[int, float]],
) -> None:
    points, norms = zip(*tensors, strict=True)
    moved = redistribute(points, norms)
    assert sum(moved) == sum(points)
    assert min(moved) >= 2


@pytest.mark.parametrize(
    ("points", "norms"), [((4,), (1.0, 2.0)), ((1, 4), (1.0, 1.0)), ((4,), (0.0,)), ((4,), (-1.0,))]
)
def test_redistribution_refuses_what_it_cannot_share(
    points: tuple[int, ...], norms: tuple[float, ...]
) -> None:
    with pytest.raises(SettingsError, match="points="):
        redistribute(points, norms)


def test_gradient_norms_leave_the_network_alone() -> None:
    start = network()
    before = {name: value.clone() for name, value in start.state_dict().items()}
    names = layer_names(start)
    norms = gradient_norms(start, names, samples(), 8)
    assert list(norms) == list(names) == ["conv1", "conv2", "hidden", "classifier"]
    assert all(norm > 0 for norm in norms.values())
    assert all(torch.equal(before[name], value) for name, value in start.state_dict().items())
    assert all(parameter.grad is None for parameter in start.parameters())


# --- size


def test_the_papers_formula() -> None:
    found = [reduction(bits) for bits in (2, 4, 8, 1.7171958)]
    assert found == pytest.approx([14.2222, 7.5294, 3.8788, 16.2668], abs=5e-5)


@pytest.mark.parametrize("points", ["linear", "quantile"])
@pytest.mark.parametrize("bits", [2, 3, 4])
def test_every_byte_of_a_file_has_a_name(points: str, bits: int) -> None:
    start = network()
    choice = LayerChoice("", bits, points=points, group_size=256)  # type: ignore[arg-type]
    quantized = rlquant.quantize(start, everywhere(start, choice))
    size = FileSize.of(quantized, 256)
    assert size.file == pytest.approx(size.named)
    layers = 4
    assert size.tables == (2 * layers * 2**bits if points == "quantile" else 0)


def test_the_parts_of_a_file_known_by_hand() -> None:
    start = nn.Sequential(nn.Linear(300, 2))  # 600 weights: 2.34 buckets, of which 4 are stored
    config = QuantizationConfig((LayerChoice("0", 3, points="linear", group_size=256),))
    size = FileSize.of(rlquant.quantize(start, config), 256)
    assert size.formula == 600 * 3 / 8 + 4 * 600 / 256 + 4 * 2
    assert size.buckets == (4 - 600 / 256) * 4
    assert size.blocks == 0
    assert size.file == size.head + 225 + 16 + 8


# --- noise


def test_the_moments_of_the_noise_known_by_hand() -> None:
    v = torch.tensor([-1.0, -0.2, 0.1, 0.5, 2.0])  # variances 0, .16, .09, .25, 0
    x = torch.tensor([5.0, 1.0, 2.0, 3.0, 5.0])
    expected = math.sqrt(0.16 + 4 * 0.09 + 9 * 0.25)
    deviation, kurtosis = noise_moments(v, x, 2, 256)
    assert deviation == pytest.approx(expected)
    fourth = 0.16 * 0.04 + 16 * 0.09 * 0.46 + 81 * 0.25 * -0.5
    assert kurtosis == pytest.approx(fourth / expected**4)


def test_noise_of_long_vectors_is_unbiased_and_of_the_spread_that_follows() -> None:
    noise = Noise(draws=4000)
    told: list[int] = []
    figures = measure_noise(noise, 512, 3, told.append)
    assert sum(told) == 4000
    assert abs(float(figures["bias"])) < 4 / math.sqrt(4000)  # type: ignore[arg-type]
    assert figures["spread"] == pytest.approx(1.0, abs=0.05)
    assert figures["ks"] < 0.04  # type: ignore[operator]


# --- depth


def test_depth_is_timed_against_operations() -> None:
    depth = Depth(layers=(4, 2), channels=4, pixels=8, batch_size=2, rounds=3)
    figures = measure_depth(depth, 0, "cpu", lambda rounds: None)
    assert figures["times fewer operations with 2 layers"] == pytest.approx(2, rel=0.01)
    assert figures["times as fast with 2 layers"] > 0  # type: ignore[operator]
    assert figures["milliseconds of 4 layers"] > 0  # type: ignore[operator]


# --- training


def test_every_layer_of_a_network_gets_the_choice() -> None:
    config = everywhere(network(), LayerChoice("", 3, points="linear"))
    assert [choice.layer for choice in config] == ["conv1", "conv2", "hidden", "classifier"]
    assert {choice.bits for choice in config} == {3}


def test_strides_must_fit_channels() -> None:
    with pytest.raises(SettingsError, match="differ in length"):
        strided_cnn((4, 8), (1,), 12)


def test_a_float_student_follows_a_teacher() -> None:
    settings = TrainSettings(steps=6, batch_size=16, train_kept=True, distillation_weight=1.0)
    empty = QuantizationConfig(())
    alone, following = (
        train_network(network(), empty, samples(), settings, teacher=teacher, seed=0)
        for teacher in (None, network(5))
    )
    assert not torch.equal(alone.conv1.weight, following.conv1.weight)  # type: ignore[arg-type]
    assert not quantized_layers(following)


def test_learned_points_start_where_they_are_told_and_move_alone() -> None:
    start = network()
    config = everywhere(start, LayerChoice("", 2, points="learned"))
    points = {name: torch.linspace(0, 1, 3) for name in layer_names(start)}
    settings = TrainSettings(steps=4, batch_size=16, point_rate=0.05, bias_rate=0.0)
    trained = train_network(
        start, config, samples(), settings, teacher=start, seed=0, points=points
    )
    layers = quantized_layers(trained)
    assert list(layers) == list(layer_names(start))
    for layer in layers.values():
        values = layer.weight.tensor.values
        assert values is not None
        assert values.shape == (3,)
        assert not torch.equal(values.float(), torch.linspace(0, 1, 3))
    for name, parameter in start.named_parameters():
        if "weight" not in name or "norm" in name:
            assert torch.equal(trained.get_parameter(name), parameter)
