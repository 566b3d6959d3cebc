"""Training in fixed-point arithmetic: what is on the grid, what is counted, what is refused."""

from __future__ import annotations

import copy
import gc
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from rlquant import measure
from rlquant.copying.network_copy import copy_network
from rlquant.quantizers import quantize_fixed_point
from rlquant.samples import Samples
from rlquant.training.augmentation import CropAndFlip
from rlquant.training.fixed_point.fixed_point import train_fixed_point
from rlquant.training.settings import FixedPoint, TrainSettings
from small_networks import FEATURES, Mlp, SharedLayerNet, TwoInputsNet, WordNet, fresh
from small_networks import samples as draw

SGD = TrainSettings(
    epochs=6, batch_size=16, optimizer="sgd", learning_rate=0.1, schedule="constant"
)
PLAIN = replace(SGD, momentum=0.0)
WORD16 = FixedPoint(8, 8)
COARSE = FixedPoint(10, 6)


def taken(pair: tuple[Tensor, Tensor]) -> Samples:
    return Samples((pair[0],), pair[1])


TRAIN = taken(draw(160))
TEST = draw(200, seed=1)


def on_grid(tensor: Tensor, bits: tuple[int, int]) -> bool:
    return torch.equal(quantize_fixed_point(tensor.double(), *bits), tensor.double())


def state(network: nn.Module) -> list[Tensor]:
    return [tensor.clone() for tensor in network.state_dict().values()]


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(state(a), state(b), strict=True))


class Spy(nn.Linear):
    """A Linear layer that writes down the error that came back to its wide sums."""

    errors: list[Tensor]

    def forward(self, inputs: Tensor) -> Tensor:
        output = super().forward(inputs)
        if output.requires_grad:
            output.register_hook(self.errors.append)
        return output


def spied() -> nn.Sequential:
    network = fresh(lambda: nn.Sequential(Spy(FEATURES, 7), nn.Tanh(), Spy(7, 3)))
    for layer in (network[0], network[2]):
        layer.errors = []
    return network


# --- learning


@pytest.mark.parametrize(
    "arithmetic", [None, WORD16, FixedPoint(4, 12), FixedPoint(4, 12, "nearest")]
)
def test_it_learns(arithmetic: FixedPoint | None) -> None:
    network = fresh(Mlp)
    trained, outcome = train_fixed_point(
        network, TRAIN, replace(SGD, arithmetic=arithmetic), seed=0
    )
    assert measure(trained, TEST).accuracy > 0.85
    assert outcome.losses[-1] < 0.4 < outcome.losses[0]
    assert (outcome.steps, len(outcome.losses), outcome.validation) == (60, 10, None)
    assert (outcome.diverged, outcome.stopped, trained.training) == (False, False, False)


def test_updates_below_half_a_step_are_lost_to_nearest_and_not_to_chance() -> None:
    slow = replace(PLAIN, learning_rate=0.02, epochs=30)
    start = measure(fresh(Mlp), TEST).loss
    losses = {}
    for arithmetic in (None, COARSE, replace(COARSE, rounding="nearest")):
        trained, _ = train_fixed_point(
            fresh(Mlp), TRAIN, replace(slow, arithmetic=arithmetic), seed=0
        )
        losses[arithmetic.rounding if arithmetic else None] = measure(trained, TEST).loss
    assert losses[None] < start - 0.3
    assert losses["stochastic"] < start - 0.3
    assert abs(losses["nearest"] - start) < 0.05


@pytest.mark.parametrize(
    ("build", "shape", "words"), [(WordNet, (5,), True), (SharedLayerNet, (FEATURES,), False)]
)
def test_embeddings_and_shared_layers(
    build: type[nn.Module], shape: tuple[int, ...], words: bool
) -> None:
    network = fresh(build)
    if build is SharedLayerNet:
        network.norm = nn.Identity()
    train = taken(draw(160, shape, words=words))
    trained, outcome = train_fixed_point(network, train, replace(SGD, arithmetic=WORD16), seed=0)
    assert outcome.losses[-1] < 0.8 * outcome.losses[0]
    assert all(on_grid(tensor, (8, 8)) for tensor in trained.state_dict().values())


def test_several_inputs() -> None:
    inputs, labels = draw(160)
    train = Samples((inputs, -inputs), labels)
    settings = replace(SGD, arithmetic=WORD16)
    _, outcome = train_fixed_point(fresh(TwoInputsNet), train, settings, seed=0)
    assert outcome.losses[-1] < 0.5 * outcome.losses[0]


def convolutional() -> nn.Module:
    layers = (nn.Conv2d(2, 4, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Dropout(0.2))
    return nn.Sequential(*layers, nn.Linear(16, 3))


def test_convolutions_pooling_dropout_and_augmentation() -> None:
    network, train = fresh(convolutional), taken(draw(96, (2, 6, 6)))
    gentle = CropAndFlip(padding=0)
    settings = replace(SGD, arithmetic=WORD16, augmentation=gentle, epochs=12)
    before = torch.get_rng_state()
    first, outcome = train_fixed_point(network, train, settings, seed=0)
    second, _ = train_fixed_point(network, train, settings, seed=0)
    assert same(first, second)
    assert torch.equal(torch.get_rng_state(), before)
    assert outcome.losses[-1] < outcome.losses[0]


# --- what is on the grid


@pytest.mark.parametrize("rounding", ["nearest", "stochastic"])
def test_everything_that_is_kept_or_passed_on_is_a_number_of_its_format(rounding: str) -> None:
    arithmetic = FixedPoint(2, 10, rounding, output_integer_bits=4)
    network = spied()
    layers = (network[0], network[2])
    trained, _ = train_fixed_point(
        network, TRAIN, replace(SGD, arithmetic=arithmetic, weight_decay=1e-3), seed=0
    )
    assert all(on_grid(tensor, (2, 10)) for tensor in trained.state_dict().values())
    errors = [error for layer in layers for error in layer.errors]
    assert errors == []  # the network itself was not run
    errors = [error for layer in (trained[0], trained[2]) for error in layer.errors]
    assert len(errors) == 2 * 60
    assert all(on_grid(error, (4, 8)) for error in errors)
    # Errors are those of single samples: 1/batch would make the largest of the first ones 0.04.
    assert float(trained[2].errors[0].abs().max()) > 0.5


def test_outputs_of_the_trained_network_and_its_copies_are_on_the_grid() -> None:
    arithmetic = FixedPoint(2, 10, output_integer_bits=4)
    trained, _ = train_fixed_point(spied(), TRAIN, replace(SGD, arithmetic=arithmetic), seed=0)
    for network in (trained, copy.deepcopy(trained), copy_network(trained)):
        seen: list[Tensor] = []
        network[0].register_forward_pre_hook(lambda _, inputs, seen=seen: seen.append(inputs[0]))
        for layer in network:
            layer.register_forward_hook(lambda _, __, output, seen=seen: seen.append(output))
        logits = network(TEST[0])
        assert logits.dtype == torch.float64
        assert len(seen) == 4
        assert all(on_grid(tensor, (4, 8)) for tensor in seen)
        assert torch.equal(logits, trained(TEST[0].double()))


@pytest.fixture
def _new_objects_alone() -> Iterator[None]:
    """Have the garbage collector list what the test makes, without the million objects before."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("_new_objects_alone")
def test_there_is_no_float_copy_of_the_weights() -> None:
    network = nn.Sequential(nn.Linear(FEATURES, 11), nn.ReLU(), nn.Linear(11, 3))
    settings = replace(SGD, arithmetic=FixedPoint(8, 8))
    network, _ = train_fixed_point(network, TRAIN, settings, seed=0)  # starts on the grid
    found = []

    def look(step: int, figures: Mapping[str, float]) -> None:
        tensors = [t for t in gc.get_objects() if type(t) in (Tensor, nn.Parameter)]
        alike = [t for t in tensors if t.shape == network[0].weight.shape]
        found.append((len(alike), all(on_grid(t.detach(), (8, 8)) for t in alike)))

    train_fixed_point(network, TRAIN, replace(settings, epochs=2), seed=1, watch=look)
    assert all(count >= 3 and on for count, on in found)  # given, trained, its last update


@pytest.mark.usefixtures("_new_objects_alone")
def test_the_word_is_widened_for_the_last_steps() -> None:
    arithmetic = FixedPoint(8, 6, wide_fraction_bits=12, wide_share=0.25)
    network = spied()
    states = []

    def look(step: int, figures: Mapping[str, float]) -> None:
        weights = [o for o in gc.get_objects() if type(o) is nn.Parameter and o.shape == (7, 6)]
        assert weights
        states.append((step, all(on_grid(w.detach(), (8, 6)) for w in weights)))

    start, _ = train_fixed_point(network, TRAIN, replace(SGD, arithmetic=FixedPoint(8, 6)), seed=0)
    del network
    gc.collect()
    trained, _ = train_fixed_point(
        start, TRAIN, replace(SGD, arithmetic=arithmetic, epochs=8), seed=0, watch=look
    )
    assert [(step, coarse) for step, coarse in states if step <= 60] == [
        (step, True) for step in range(10, 61, 10)
    ]
    assert [coarse for step, coarse in states if step > 60] == [False, False]
    assert on_grid(trained[0].weight.detach(), (8, 12))
    wide = trained(TEST[0])
    assert on_grid(wide, (8, 12))
    assert not on_grid(wide, (8, 6))
    errors = trained[0].errors
    assert all(on_grid(error, (8, 6)) for error in errors[:60])
    assert not any(on_grid(error, (8, 6)) for error in errors[-5:])


# --- the same again


def test_one_seed_is_one_network() -> None:
    settings = replace(SGD, arithmetic=WORD16)
    network = fresh(Mlp)
    before = state(network)
    runs = [train_fixed_point(network, TRAIN, settings, seed=seed)[0] for seed in (3, 3, 4)]
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])
    assert all(torch.equal(x, y) for x, y in zip(before, state(network), strict=True))
    assert network.training
    assert not network._forward_pre_hooks


def test_counting_changes_nothing() -> None:
    settings = replace(SGD, arithmetic=WORD16)
    watched, _ = train_fixed_point(
        fresh(Mlp), TRAIN, settings, seed=0, watch=lambda step, figures: None
    )
    alone, _ = train_fixed_point(fresh(Mlp), TRAIN, settings, seed=0)
    assert same(watched, alone)


def test_a_trained_network_can_be_trained_on() -> None:
    settings = replace(SGD, arithmetic=FixedPoint(8, 8))
    first, _ = train_fixed_point(fresh(Mlp), TRAIN, settings, seed=0)
    wide, outcome = train_fixed_point(
        first, TRAIN, replace(SGD, arithmetic=FixedPoint(4, 16)), seed=1
    )
    assert outcome.losses[-1] < 0.4
    assert not on_grid(wide(TEST[0]), (8, 8))
    free, _ = train_fixed_point(first, TRAIN, replace(SGD, arithmetic=None), seed=1)
    assert not on_grid(free(TEST[0]), (4, 16))
