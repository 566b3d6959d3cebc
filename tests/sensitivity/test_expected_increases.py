"""Expected increases of the loss: exact where the loss is a quadratic form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import Tensor, nn

from rlquant import LayerChoice, Regression
from rlquant.evaluation.packed_weight import PackedWeight
from rlquant.network.weights import quantize_weight
from rlquant.quantizers import QuantizedTensor
from rlquant.samples import Samples
from rlquant.sensitivity.expected_increases import GRADIENTS, QUANTIZING, expected_increases
from rlquant.sensitivity.plan import IncreasePlan
from rlquant.sensitivity.progress import Progress, unheard
from rlquant.sensitivity.sampled_gradients import GradientSampler

DRAWS = 2_000


def samples(count: int = 4) -> Samples:
    inputs = torch.randn(count, 3, generator=torch.Generator().manual_seed(2))
    return Samples((inputs,), torch.zeros(count, 2))


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))


WIDTHS = (2, 3, 8)


def plan_of(weights: Mapping[str, Tensor], widths: Sequence[int]) -> IncreasePlan:
    """Return the plan in which each layer has all widths."""
    return IncreasePlan(
        counts={name: weight.numel() for name, weight in weights.items()},
        choices={n: {i: LayerChoice(n, bits) for i, bits in enumerate(widths)} for n in weights},
        profiles=tuple(range(len(weights))),
        options=len(widths),
        limit=2**20,
    )


def quantized(weights: Mapping[str, Tensor], choice: LayerChoice) -> QuantizedTensor:
    return quantize_weight(weights[choice.layer], choice, channel_axis=0, seed=0)


def increases(
    built: nn.Sequential,
    names: Sequence[str],
    error: Tensor | None = None,
    *,
    means: dict[str, Tensor] | None = None,
    draws: int = DRAWS,
    most: int = 2**20,
    progress: Progress = unheard,
) -> list[list[float]]:
    """Return the increases by one error at each named layer, or by quantization to `WIDTHS`."""
    found = {name: built.get_submodule(name).weight for name in names}
    weights = {name: w.detach() for name, w in found.items() if isinstance(w, Tensor)}

    def packed(choice: LayerChoice) -> PackedWeight:
        if error is None:
            return PackedWeight.of(quantized(weights, choice))
        weight = weights[choice.layer]
        wrong = weight + error[: weight.numel()].reshape(weight.shape)
        codes = torch.arange(weight.numel(), dtype=torch.uint8).reshape(weight.shape)
        return PackedWeight.of(QuantizedTensor(codes, 8, "stored", values=wrong.flatten()))

    sampler = GradientSampler(built, samples(), Regression(), means or {}, draws, 0)
    plan = plan_of(weights, WIDTHS if error is None else (8,))
    halves = expected_increases(plan, weights, packed, sampler, most, progress)
    rows: list[list[float]] = halves.mean(axis=0).tolist()
    return rows


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
    found = [row[0] for row in increases(built, ["0", "1"], ERROR)]
    expected = [true_increase(built, name, ERROR) for name in ("0", "1")]
    assert found == pytest.approx(expected, rel=0.1)


def test_the_increase_of_a_width_is_that_of_its_quantization_error() -> None:
    built = network()
    weights = {"0": built[0].weight.detach()}
    found = increases(built, ["0"], draws=6)[0]
    for bits, increase in zip(WIDTHS, found, strict=True):
        error = quantized(weights, LayerChoice("0", bits)).dequantize() - weights["0"]
        assert increase == pytest.approx(increases(built, ["0"], error.flatten(), draws=6)[0][0])
    assert min(found) > 0


@pytest.mark.parametrize("most", [1, 20, 2**20])
def test_parts_of_any_size_give_the_same_bit_for_bit(most: int) -> None:
    heard: list[tuple[str, int, int]] = []
    given = increases(
        network(), ["0", "1"], draws=9, most=most, progress=lambda *x: heard.append(x)
    )
    assert given == increases(network(), ["0", "1"], draws=9, most=2**30)
    parts = 2 if most < 2**20 else 1
    assert heard[-1] == (GRADIENTS, 9 * parts, 9 * parts)
    assert [done for stage, done, total in heard if stage == QUANTIZING] == list(range(7))


def test_the_same_seed_gives_the_same() -> None:
    assert increases(network(), ["0"], draws=5) == increases(network(), ["0"], draws=5)


def test_what_a_bias_makes_up_for_costs_nothing() -> None:
    """An error that every sample meets alike is a shift of the outputs."""
    built = network()
    with torch.no_grad():
        built[0].weight.zero_()  # the inputs of the second layer are its bias, whatever comes in
    error = torch.ones(12)
    mean = built[0].bias.detach()[None]
    assert increases(built, ["1"], error, draws=200)[0][0] > 0.01
    found = increases(built, ["1"], error, means={"1": mean}, draws=200)[0][0]
    assert found == pytest.approx(0.0, abs=1e-9)


def test_a_convolution_is_centred_by_its_groups() -> None:
    torch.manual_seed(0)
    built = nn.Sequential(nn.Conv2d(4, 6, 1, groups=2), nn.Flatten(), nn.Linear(6, 2))
    images = torch.ones(3, 4, 1, 1) * torch.tensor([1.0, 2.0, 3.0, 4.0])[None, :, None, None]
    given = Samples((images,), torch.zeros(3, 2))
    mean = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    sampler = GradientSampler(built, given, Regression(), {"0": mean}, 6, 0)
    gradients: list[Tensor] = []
    assert list(sampler.sample(["0"], lambda name, gradient: gradients.append(gradient))) == [1] * 6
    assert len(gradients) == 6
    assert all(gradient.abs().max() < 1e-6 for gradient in gradients)


def test_the_network_is_left_as_it_is() -> None:
    built = network()
    before = {name: tensor.clone() for name, tensor in built.state_dict().items()}
    increases(built, ["0", "1"], draws=3)
    assert all(p.grad is None for p in built.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in built.state_dict().items())
    assert all(parameter.requires_grad for parameter in built.parameters())


def test_chunks_hold_at_most_so_much_and_every_layer_once() -> None:
    weights = {
        name: torch.zeros(count) for name, count in {"a": 6, "b": 8, "c": 18, "d": 2}.items()
    }
    plan = plan_of(weights, (4,))  # of two codes a byte
    assert list(plan.chunks(7)) == [["a", "b"], ["c"], ["d"]]
    assert plan.parts == 1
    assert plan.pairs == 4


def test_a_plan_has_its_own_key() -> None:
    weights = {"a": torch.zeros(4), "b": torch.zeros(4)}
    plans = [plan_of(weights, (4,)), plan_of(weights, (4, 8)), plan_of({"c": torch.zeros(4)}, (4,))]
    few, more = (Samples((torch.zeros(count, 1),), torch.zeros(count)) for count in (2, 3))
    keys = [plan.key(draws, on) for plan in plans for draws in (8, 16) for on in (few, more)]
    assert len(set(keys)) == len(keys)
    assert keys[0] == plan_of(weights, (4,)).key(8, few)
