"""Expected increases of the loss: exact where the loss is a quadratic form."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from rlquant import LayerChoice, Regression
from rlquant.samples import Samples
from rlquant.sensitivity.expected_increases import expected_increases
from rlquant.sensitivity.sampled_gradients import GradientSampler, chunks_within

DRAWS = 4_000


def samples(count: int = 4) -> Samples:
    inputs = torch.randn(count, 3, generator=torch.Generator().manual_seed(2))
    return Samples((inputs,), torch.zeros(count, 2))


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))


def increases(
    built: nn.Sequential,
    names: Sequence[str],
    error: Tensor,
    *,
    means: dict[str, Tensor] | None = None,
    draws: int = DRAWS,
    error_bytes: int = 2**20,
) -> list[float]:
    """Return the increase by one error at each named layer of a network."""
    weights = {name: built.get_submodule(name).weight.detach() for name in names}
    assert all(isinstance(weight, Tensor) for weight in weights.values())
    sampler = GradientSampler(built, samples(), Regression(), means or {}, draws, 0)
    found = expected_increases(
        weights,  # type: ignore[arg-type]
        {name: {0: LayerChoice(name, 4)} for name in names},
        lambda choice: (
            weights[choice.layer]
            + error[: weights[choice.layer].numel()].reshape(  # type: ignore[operator, union-attr]
                weights[choice.layer].shape  # type: ignore[union-attr, arg-type]
            )
        ),
        sampler,
        1,
        error_bytes,
    )
    return [float(row[0]) for row in found]


ERROR = 0.1 * torch.randn(12, generator=torch.Generator().manual_seed(3))


def true_increase(built: nn.Sequential, name: str, error: Tensor) -> float:
    """Return the mean square, over samples and outputs, of what an error changes in the outputs."""
    (inputs,) = samples().inputs
    changed = [nn.Linear(3, 4), nn.Linear(4, 2)]
    with torch.no_grad():
        before = built(inputs)
        for layer, given in zip(changed, built, strict=True):
            layer.load_state_dict(given.state_dict())
        weight = changed[int(name)].weight
        weight += error[: weight.numel()].reshape(weight.shape)
        after = nn.Sequential(*changed)(inputs)
    return float((after - before).square().mean())


def test_of_a_linear_network_increases_are_those_of_the_loss() -> None:
    built = network()
    found = increases(built, ["0", "1"], ERROR)
    expected = [true_increase(built, name, ERROR) for name in ("0", "1")]
    assert found == pytest.approx(expected, rel=0.1)


def test_parts_of_the_layers_give_the_same_as_all_together() -> None:
    whole = increases(network(), ["0", "1"], ERROR, draws=9)
    assert increases(network(), ["0", "1"], ERROR, draws=9, error_bytes=1) == whole


def test_the_same_seed_gives_the_same() -> None:
    assert increases(network(), ["0"], ERROR, draws=5) == increases(
        network(), ["0"], ERROR, draws=5
    )


def test_what_a_bias_makes_up_for_costs_nothing() -> None:
    """An error that every sample meets alike is a shift of the outputs."""
    built = network()
    with torch.no_grad():
        built[0].weight.zero_()  # the inputs of the second layer are its bias, whatever comes in
    error = torch.ones(12)
    mean = built[0].bias.detach()[None]
    assert increases(built, ["1"], error)[0] > 0.01
    assert increases(built, ["1"], error, means={"1": mean})[0] == pytest.approx(0.0, abs=1e-9)


def test_a_convolution_is_centred_by_its_groups() -> None:
    torch.manual_seed(0)
    built = nn.Sequential(nn.Conv2d(4, 6, 1, groups=2), nn.Flatten(), nn.Linear(6, 2))
    images = torch.ones(3, 4, 1, 1) * torch.tensor([1.0, 2.0, 3.0, 4.0])[None, :, None, None]
    given = Samples((images,), torch.zeros(3, 2))
    mean = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    sampler = GradientSampler(built, given, Regression(), {"0": mean}, 6, 0)
    for drawn in sampler.sample(["0"]):
        assert drawn.units == 1
        assert drawn.by_layer["0"].abs().max() < 1e-6


def test_the_network_is_left_as_it_is() -> None:
    built = network()
    before = {name: tensor.clone() for name, tensor in built.state_dict().items()}
    increases(built, ["0", "1"], ERROR, draws=3)
    assert all(torch.equal(tensor, before[name]) for name, tensor in built.state_dict().items())
    assert all(parameter.requires_grad for parameter in built.parameters())


def test_chunks_hold_at_most_so_much_and_every_name_once() -> None:
    sizes = {"a": 3, "b": 4, "c": 9, "d": 1, "e": 1}
    assert list(chunks_within(sizes, 7)) == [["a", "b"], ["c"], ["d", "e"]]
