"""GPTQ: a vector by hand, when it is nearest rounding, and what it is worth."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings

from assigned_layers import error, layer, nearest
from rlquant.quantizers import quantize_integer
from rlquant.rounding.factor import Factor
from rlquant.rounding.gptq import feed_back
from rlquant.rounding.output_error import channel_errors
from strategies import seeded, seeds


def test_the_second_weight_makes_up_for_the_first() -> None:
    weight = torch.tensor([[0.4, 0.4, -2.0]])  # -2 makes the scale 1
    moments = torch.tensor([[[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 1.0]]])
    plain = quantize_integer(weight, 2)
    assert plain.dequantize().tolist() == [[0.0, 0.0, -2.0]]
    # 0.4 is rounded to 0; the next one is then wanted at 0.4 + 0.9 * 0.4 = 0.76.
    found = feed_back(weight, plain, moments, Factor.of(moments, damping=1e-9))
    assert found.dequantize().tolist() == [[0.0, 1.0, -2.0]]
    assert error(weight, plain, moments) == pytest.approx(0.608)
    assert error(weight, found, moments) == pytest.approx(0.088)


def test_the_strongest_input_comes_first() -> None:
    weight = torch.tensor([[0.4, 0.4, -2.0]])
    moments = torch.tensor([[[1.0, 0.9, 0.0], [0.9, 1.1, 0.0], [0.0, 0.0, 1.0]]])
    found = feed_back(
        weight, quantize_integer(weight, 2), moments, Factor.of(moments, damping=1e-9)
    )
    assert found.dequantize().tolist() == [[1.0, 0.0, -2.0]]


@given(seeds)
@settings(max_examples=20)
def test_with_independent_inputs_it_is_nearest_rounding(seed: int) -> None:
    weight, _ = layer(seed)
    moments = torch.diag(torch.rand(12, generator=seeded(seed)) + 0.1)[None]
    assert torch.equal(feed_back(weight, nearest(weight), moments).codes, nearest(weight).codes)


def test_most_of_the_error_of_dependent_inputs_goes() -> None:
    shares = []
    for seed in range(20):
        weight, moments = layer(seed)
        plain = nearest(weight)
        found = feed_back(weight, plain, moments)
        shares.append(error(weight, found, moments) / error(weight, plain, moments))
    assert sum(shares) / len(shares) < 0.5


def test_channels_and_groups_do_not_meet() -> None:
    weight, moments = layer(3, groups=2)
    whole = feed_back(weight, nearest(weight), moments)
    for group in range(2):
        for channel in range(6 * group, 6 * group + 6):
            row = weight[channel : channel + 1]
            alone = feed_back(row, nearest(row), moments[group : group + 1])
            assert torch.equal(alone.codes[0], whole.codes[channel])


def test_what_it_is_given_stays_and_the_layout_too() -> None:
    weight, moments = layer(4)
    convolution = weight.reshape(6, 3, 2, 2).to(memory_format=torch.channels_last)
    plain = quantize_integer(convolution, 2, clip=True)
    before = plain.codes.clone()
    found = feed_back(convolution, plain, moments)
    assert torch.equal(plain.codes, before)
    flat = feed_back(weight, nearest(weight), moments)
    assert torch.equal(found.codes.reshape(6, 12), flat.codes)
    assert found.dequantize().stride() == convolution.stride()


def test_dead_inputs_and_constant_channels_are_taken() -> None:
    weight, moments = layer(5)
    weight[0] = 0.0
    dead = moments.clone()
    dead[:, 0], dead[:, :, 0] = 0.0, 0.0
    found = feed_back(weight, nearest(weight), dead)
    assert not found.dequantize()[0].any()
    assert torch.equal(found.codes[:, 0], nearest(weight).codes[:, 0])
    still = feed_back(weight, nearest(weight), torch.zeros_like(moments))
    assert torch.equal(still.codes, nearest(weight).codes)


@given(seeds)
@settings(max_examples=20)
def test_no_channel_is_further_from_its_outputs_than_with_nearest_rounding(seed: int) -> None:
    weight, _ = layer(seed)
    inputs = torch.randn(3, 12, generator=seeded(seed))  # fewer than weights a channel
    moments = (inputs.T @ inputs)[None]
    plain = nearest(weight)
    found = feed_back(weight, plain, moments)
    errors = [channel_errors(q.dequantize() - weight, moments) for q in (found, plain)]
    assert (errors[0] <= errors[1]).all()


@pytest.mark.parametrize("noise", [1e-9, 1e-3, 1.0, 1e3])
def test_moments_with_negative_eigenvalues_have_a_factor(noise: float) -> None:
    weight, _ = layer(0)
    noisy = noise * torch.randn(1, 12, 12, generator=seeded(0))
    moments = noisy + noisy.transpose(1, 2)
    assert torch.linalg.eigvalsh(moments[0]).min() < 0
    assert feed_back(weight, nearest(weight), moments).codes.shape == weight.shape


@pytest.mark.parametrize("scale", [1e-38, 1e-20, 1e20, 1e30])
def test_the_scale_of_the_moments_does_not_matter(scale: float) -> None:
    weight, moments = layer(1)
    plain = nearest(weight)
    wanted = feed_back(weight, plain, moments)
    if scale > 1e-30:
        assert torch.equal(feed_back(weight, plain, moments * scale).codes, wanted.codes)
    else:  # float32 has few digits there
        assert feed_back(weight, plain, moments * scale).codes.shape == weight.shape
