"""Second moments of inputs: the quadratic form is the error that a layer's outputs really have."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from rlquant.evaluation_settings import Calibrate
from rlquant.layers import find_layers
from rlquant.network.hessians import (
    CHUNK,
    InputMoments,
    measure_hessians,
    output_hessian,
)
from rlquant.network.input_sums import input_rows
from rlquant.network_kind import WIDEST, is_measured
from rlquant.rounding.output_error import reconstruction_error
from rlquant.samples import Samples
from small_networks import NETWORKS, SharedLayerNet, fresh, samples_of
from strategies import seeded

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")

LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(5, 4), (5,)),
    "linear-of-tokens": (lambda: nn.Linear(5, 4, bias=False), (3, 5)),
    "conv1d": (lambda: nn.Conv1d(3, 4, 3, stride=2, padding=1, dilation=2), (3, 11)),
    "conv1d-groups-same": (lambda: nn.Conv1d(4, 6, 4, padding="same", groups=2), (4, 9)),
    "conv2d": (lambda: nn.Conv2d(3, 4, 3), (3, 6, 6)),
    "conv2d-stride-padding": (
        lambda: nn.Conv2d(3, 4, (3, 2), stride=(2, 1), padding=(1, 2), bias=False),
        (3, 7, 5),
    ),
    "conv2d-dilation": (lambda: nn.Conv2d(2, 4, 3, dilation=(2, 1), padding=2), (2, 8, 7)),
    "conv2d-groups": (lambda: nn.Conv2d(6, 9, 3, groups=3, padding=1), (6, 5, 5)),
    "conv2d-depthwise": (lambda: nn.Conv2d(4, 8, 3, groups=4, stride=2), (4, 7, 7)),
    "conv2d-same": (lambda: nn.Conv2d(2, 3, (4, 3), padding="same"), (2, 6, 5)),
    "conv2d-valid": (lambda: nn.Conv2d(2, 3, 3, padding="valid"), (2, 6, 5)),
    "conv2d-circular": (
        lambda: nn.Conv2d(2, 3, 3, padding=(1, 2), padding_mode="circular"),
        (2, 6, 5),
    ),
    "conv2d-reflect": (lambda: nn.Conv2d(2, 3, 3, padding=2, padding_mode="reflect"), (2, 6, 5)),
    "conv2d-replicate": (
        lambda: nn.Conv2d(2, 3, 3, padding="same", padding_mode="replicate"),
        (2, 6, 5),
    ),
}


def made(name: str) -> tuple[nn.Module, Samples]:
    """A layer, and inputs whose mean is not 0."""
    build, shape = LAYERS[name]
    inputs = 0.5 + torch.randn(9, *shape, generator=seeded(1))
    return fresh(build).requires_grad_(False), Samples((inputs,), torch.zeros(9))


def measured(network: nn.Module, samples: Samples) -> dict[str, InputMoments]:
    layers = find_layers(network, samples.first(2).inputs)
    return measure_hessians(network, layers, samples)


def errors_of(name: str, seed: int = 2) -> tuple[Tensor, InputMoments, Tensor]:
    """Moments, an error of the weight, and what it does to each output, `(count, channels)`."""
    layer, samples = made(name)
    moments = measured(nn.Sequential(layer), samples)["0"]
    assert isinstance(layer.weight, Tensor)
    error = 0.1 * torch.randn(layer.weight.shape, generator=seeded(seed))
    changed = copy.deepcopy(layer)
    changed.weight.add_(error)  # type: ignore[union-attr, operator]
    difference = changed(*samples.inputs) - layer(*samples.inputs)
    if not isinstance(layer, nn.Linear):
        difference = difference.movedim(1, -1)
    return error, moments, difference.reshape(-1, difference.shape[-1])


@pytest.mark.parametrize("name", LAYERS)
def test_the_quadratic_form_is_the_squared_error_of_the_outputs(name: str) -> None:
    error, moments, difference = errors_of(name)
    real = float(difference.square().sum(dim=1).mean())
    assert float(reconstruction_error(error, moments.second)) == pytest.approx(real, rel=1e-4)


@pytest.mark.parametrize("name", LAYERS)
def test_the_covariance_counts_what_a_bias_cannot_take_up(name: str) -> None:
    error, moments, difference = errors_of(name)
    rest = difference - difference.mean(dim=0)
    real = float(rest.square().sum(dim=1).mean())
    assert float(reconstruction_error(error, moments.covariance)) == pytest.approx(real, rel=1e-3)


@pytest.mark.parametrize("name", LAYERS)
def test_rows_times_weights_are_the_outputs(name: str) -> None:
    layer, samples = made(name)
    rows = input_rows(layer, *samples.inputs)
    assert isinstance(layer.weight, Tensor)
    weights = layer.weight.reshape(rows.shape[0], -1, rows.shape[2])
    outputs = (rows @ weights.transpose(1, 2)).permute(1, 0, 2).flatten(1)
    layer.bias = None
    wanted = layer(*samples.inputs)
    if not isinstance(layer, nn.Linear):
        wanted = wanted.movedim(1, -1)
    torch.testing.assert_close(outputs, wanted.reshape(outputs.shape), rtol=1e-4, atol=1e-5)


def assert_close(found: Tensor, wanted: Tensor) -> None:
    """They are equal up to sums of products in float32."""
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6, check_dtype=False)


def linear_moments(inputs: Tensor, **fields: bool) -> Tensor:
    """What `output_hessian` gives for one linear layer."""
    samples = Samples((inputs,), torch.zeros(len(inputs)))
    network = nn.Sequential(fresh(lambda: nn.Linear(inputs.shape[1], 4, **fields)))
    return output_hessian(network, find_layers(network, samples.first(2).inputs), samples)["0"]


def test_a_spread_that_is_small_against_the_mean_is_kept() -> None:
    spread = torch.randn(3 * CHUNK, 5, generator=seeded(0))
    far = (spread + 10_000).double()
    wanted = torch.cov(far.T, correction=0)[None].float()
    torch.testing.assert_close(linear_moments(spread + 10_000), wanted, rtol=1e-4, atol=1e-4)


def test_constant_inputs_have_no_covariance() -> None:
    constant = torch.randn(5, generator=seeded(0)).expand(3 * CHUNK + 7, 5)
    assert torch.count_nonzero(linear_moments(constant)) == 0
    assert torch.count_nonzero(linear_moments(constant, bias=False)) == 25


@pytest.mark.parametrize("scale", [1e-30, 1e-18, 1.0, 1e18, 3e37])
def test_moments_fit_in_float32_whatever_the_scale_of_the_inputs(scale: float) -> None:
    inputs = torch.randn(CHUNK, 5, generator=seeded(0)) / 8
    found, wanted = linear_moments(inputs * scale).double(), linear_moments(inputs).double()
    assert torch.isfinite(found).all()
    if scale > 1e-20:  # smaller products are 0 in float32
        torch.testing.assert_close(found / found.max(), wanted / wanted.max(), rtol=1e-4, atol=1e-6)


def test_a_bias_that_calibration_does_not_correct_takes_up_nothing() -> None:
    layer = fresh(lambda: nn.Linear(5, 5))
    network = nn.Sequential(layer, nn.Tanh(), layer)
    samples = Samples((1 + torch.rand(20, 5, generator=seeded(0)),), torch.zeros(20))
    found = output_hessian(network, find_layers(network, *samples.inputs), samples)["0"]
    assert_close(found, measured(network, samples)["0"].second)


@pytest.mark.parametrize(
    ("calibrate", "absorbs"),
    [("auto", True), ("biases", True), ("statistics", False), ("none", False)],
)
def test_what_calibration_leaves_alone_takes_up_nothing(
    calibrate: Calibrate, absorbs: bool
) -> None:
    network = nn.Sequential(fresh(lambda: nn.Linear(5, 4)))
    samples = Samples((1 + torch.rand(20, 5, generator=seeded(0)),), torch.zeros(20))
    layers = find_layers(network, *samples.inputs)
    found = output_hessian(network, layers, samples, calibrate)["0"]
    moments = measured(network, samples)["0"]
    assert_close(found, moments.covariance if absorbs else moments.second)


def test_moments_are_those_of_a_matrix_of_inputs() -> None:
    inputs = torch.randn(3 * CHUNK + 7, 5, generator=seeded(0)) + 1.0
    samples = Samples((inputs,), torch.zeros(len(inputs)))
    moments = measured(nn.Sequential(fresh(lambda: nn.Linear(5, 4))), samples)["0"]
    inputs = inputs.double()
    second = inputs.T @ inputs / len(inputs)
    assert_close(moments.second, second[None])
    assert_close(moments.mean, inputs.mean(dim=0)[None])
    assert_close(moments.covariance, torch.cov(inputs.T, correction=0)[None])


def test_every_run_of_a_shared_layer_counts() -> None:
    network = fresh(SharedLayerNet).eval()
    inputs, targets = samples_of("shared", 20)
    moments = measured(network, Samples((inputs,), targets))
    with torch.no_grad():
        hidden = torch.relu(network.norm(network.twice(inputs)))
    both = torch.cat([inputs, hidden]).double()
    assert_close(moments["twice"].second, (both.T @ both / len(both))[None])


def test_what_is_measured_is_named_and_the_rest_left_out() -> None:
    assert is_measured(nn.Linear(WIDEST, 2))
    for module in (
        nn.Linear(WIDEST + 1, 2),
        nn.Embedding(3, 4),
        nn.ConvTranspose2d(2, 3, 3),
        nn.Conv3d(2, 3, 3),
        nn.ReLU(),
    ):
        assert not is_measured(module)
    for name, found in (
        ("words", {"classifier"}),
        ("transposed", {"classifier"}),
        ("conv", {"stem", "conv", "shortcut", "grouped", "classifier"}),
    ):
        inputs, targets = samples_of(name, 8)
        network = fresh(NETWORKS[name].build)
        assert set(measured(network, Samples((inputs,), targets))) == found


def test_the_float_network_is_run_in_eval_mode_and_left_alone() -> None:
    network = fresh(NETWORKS["conv"].build).train()
    state = {k: v.clone() for k, v in network.state_dict().items()}
    inputs, targets = samples_of("conv", 8)
    moments = measured(network, Samples((inputs,), targets))
    assert network.training
    assert all(torch.equal(v, state[k]) for k, v in network.state_dict().items())
    assert not any(module._forward_pre_hooks for module in network.modules())
    again = measured(network.eval(), Samples((inputs,), targets))
    assert all(torch.equal(moments[name].second, again[name].second) for name in moments)
