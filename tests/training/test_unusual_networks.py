"""Networks, loaders and callers that are a little unusual, and train all the same."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import rlquant
from rlquant import (
    Budget,
    EvaluationSettings,
    LayerChoice,
    QuantizationConfig,
    QuantizationProblem,
    TrainSettings,
)
from rlquant.errors import DataError, SettingsError
from rlquant.samples import Samples, fingerprint_tensors
from rlquant.training.batches import make_batches
from rlquant.training.memory_layout import training_layout
from rlquant.training.settings import FixedPoint
from small_networks import CLASSES, fresh, samples_of
from strategies import seeded

SHORT = TrainSettings(steps=6, batch_size=8)
CPU = torch.device("cpu")


class Viewing(nn.Module):
    """Flattens a convolution's outputs with `view`, which needs them contiguous."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.last = nn.Linear(4 * 6 * 6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.conv(x))
        return self.last(x.view(x.size(0), -1))


class Volume(nn.Module):
    """Has a convolution in space."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(2, 3, 3, padding=1)
        self.plane = nn.Conv2d(3, 4, 3)
        self.last = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.plane(torch.relu(self.conv(x)).mean(dim=2))
        return self.last(x.mean(dim=(2, 3)))


class TwoOutputs(nn.Module):
    """Gives out more in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, 6), nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Any:
        hidden = torch.relu(self.first(x))
        return (self.last(hidden), hidden) if self.training else self.last(hidden)


def data(*shape: int, count: int = 24) -> tuple[Tensor, Tensor]:
    draw = seeded(1)
    return torch.randn(count, *shape, generator=draw), torch.arange(count) % CLASSES


def everywhere(*layers: str) -> QuantizationConfig:
    return QuantizationConfig(tuple(LayerChoice(name, 2, method="distilled") for name in layers))


@pytest.mark.parametrize(
    ("make", "shape", "layers", "layout"),
    [
        (Viewing, (2, 6, 6), ("conv", "last"), torch.contiguous_format),
        (Volume, (2, 4, 6, 6), ("conv", "plane", "last"), torch.channels_last),
    ],
)
def test_any_layout_trains(
    make: type[nn.Module], shape: tuple[int, ...], layers: tuple[str, ...], layout: Any
) -> None:
    network, pair = fresh(make), data(*shape)
    before = fingerprint_tensors(list(network.state_dict().values()))
    assert training_layout(network, (pair[0][:2],)) == layout
    for warm in (False, True):
        trained, outcome = rlquant.train(
            network, everywhere(*layers), pair, settings=SHORT, warm_start=warm
        )
        assert outcome.steps == SHORT.steps
        assert trained(pair[0]).isfinite().all()
    assert fingerprint_tensors(list(network.state_dict().values())) == before


def test_a_search_trains_it_too_and_a_teacher_may_be_such_a_network() -> None:
    problem = QuantizationProblem(
        fresh(Viewing),
        data(2, 6, 6),
        samples_of("conv", 20, seed=9),
        budget=Budget.average_bits(6.0),
        fidelity="tuned",
        training=SHORT,
        teacher=fresh(Viewing, seed=2),
        evaluation=EvaluationSettings(calibration_samples=12),
    )
    assert problem.evaluate(everywhere("conv", "last")).loss > 0


def test_the_moments_of_float16_do_not_overflow() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Flatten(), nn.Linear(2 * 32 * 32, 3))
    config = QuantizationConfig((LayerChoice("0", 2, method="ternary"),))
    images, labels = data(1, 32, 32, count=64)
    half = copy.deepcopy(network).half()
    trained, _ = rlquant.train(
        half,
        config,
        (4 * images.half(), labels),
        settings=TrainSettings(steps=1, batch_size=8),
        warm_start=True,
    )
    assert trained(images.half()).isfinite().all()


def test_of_several_outputs_in_training_mode_the_first_is_trained() -> None:
    _, outcome = rlquant.train(fresh(TwoOutputs), everywhere("first"), data(8), settings=SHORT)
    assert not outcome.diverged


def test_validation_data_are_checked_before_the_first_step() -> None:
    def never(step: int, figures: object) -> bool:
        raise AssertionError("a step was taken")

    pair = data(8)
    network = nn.Sequential(nn.Linear(8, CLASSES))
    for validation, words in (
        ((pair[0], pair[1] + 5), "labels reach from 5"),
        ((pair[0][:, :3], pair[1]), "validation_data: the network does not run"),
    ):
        with pytest.raises(DataError, match=words):
            rlquant.train(network, everywhere("0"), pair, validation, settings=SHORT, watch=never)


def test_validation_samples_may_not_be_trained_on() -> None:
    inputs, labels = data(8, count=200)
    with pytest.raises(DataError, match="are in train_data and in validation_data"):
        QuantizationProblem(
            nn.Sequential(nn.Linear(8, CLASSES)),
            (inputs, labels),
            (inputs[150:], labels[150:]),
            budget=Budget.average_bits(6.0),
            fidelity="trained",
            training=TrainSettings(epochs=1, batch_size=8),
            evaluation=EvaluationSettings(calibration_samples=20),  # which have none of them
        )


def test_a_shuffling_loader_gives_the_same_network_for_the_same_seed() -> None:
    pair = data(2, 6, 6, count=64)
    loader = DataLoader(TensorDataset(*pair), batch_size=8, shuffle=True)
    network, found = fresh(Viewing), []
    for start in (1, 2):
        torch.manual_seed(start)
        state = torch.get_rng_state()
        trained, _ = rlquant.train(
            network,
            everywhere("conv", "last"),
            loader,
            settings=SHORT,
            evaluation=EvaluationSettings(calibration_samples=16),
            warm_start=True,
        )
        found.append(trained(pair[0]))
        assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(*found)


def test_gradients_switched_off_by_the_caller_do_not_matter() -> None:
    pair, network = data(2, 6, 6), fresh(Viewing)
    outputs = []
    for switched in (nullcontext, torch.no_grad, torch.inference_mode):
        with switched():
            trained, _ = rlquant.train(
                network, everywhere("conv", "last"), pair, settings=SHORT, warm_start=True
            )
        outputs.append(trained(pair[0]))
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])


def test_fixed_point_takes_no_objective_and_no_teacher_and_unused_layers() -> None:
    settings = TrainSettings(steps=2, batch_size=8, optimizer="sgd", arithmetic=FixedPoint(4, 12))
    network, empty = fresh(Viewing), QuantizationConfig(())
    for other in ({"teacher": network}, {"objective": lambda outputs, targets: (outputs, 0)}):
        with pytest.raises(SettingsError, match="leave objective and teacher out"):
            rlquant.train(network, empty, data(2, 6, 6), settings=settings, **other)  # type: ignore[arg-type]
    network.add_module("unused", nn.Linear(2, 2))
    _, outcome = rlquant.train(network, empty, data(2, 6, 6), settings=settings)
    assert outcome.steps == 2


def test_a_last_batch_of_one_is_not_counted() -> None:
    loader = DataLoader(TensorDataset(*data(8, count=17)), batch_size=8)
    batches = make_batches(loader, SHORT, 0, CPU)
    assert len(batches) == len(list(batches.epoch())) == 2
    whole = make_batches(Samples((data(8)[0],), data(8)[1]), SHORT, 0, CPU)
    assert len(whole) == 3
