"""Networks, teachers and objectives that write to what they are given change nothing that is kept.

Every public call is made with networks that write to their inputs; afterwards the tensors that
the user handed over are what they were, and so is the answer: that of networks that do not write.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import rlquant
from evaluation_values import in_values
from public_calls import given
from public_calls.all_calls import PUBLIC_CALLS
from public_calls.given import QUICK, TRAINED, prepare
from public_calls.plain_values import plain
from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.cost.budget import Budget
from rlquant.objective import Classification
from rlquant.problem.live import QuantizationProblem
from rlquant.score import Score
from small_networks import ConvNet, Mlp, fresh, samples_of


class WritingMlp(Mlp):
    """It halves its inputs in place, as three libraries would do it."""

    def forward(self, inputs: Tensor) -> Tensor:
        inputs.mul_(2.0)
        inputs.view(-1)[:].div_(2.0)
        return super().forward(inputs.div_(2.0))


class PureMlp(Mlp):
    """The same without writing."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs / 2.0)


class WritingConvNet(ConvNet):
    """It writes where no version counter sees it."""

    def forward(self, images: Tensor) -> Tensor:
        images.data.mul_(0.5)
        return super().forward(images)


class PureConvNet(ConvNet):
    """The same without writing."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images * 0.5)


def toys_of(mlp: type[Mlp], conv: type[ConvNet]) -> given.Toys:
    """Return what the public calls are given, with networks of these classes."""
    toys = prepare()
    network, images = fresh(mlp), fresh(conv)
    network.load_state_dict(toys.network.state_dict())
    images.load_state_dict(toys.images.state_dict())
    chosen = given.CONFIG
    quantized = rlquant.quantize(network, chosen, toys.train, calibration_samples=64)
    rounding = ("gptq", "learned")
    return replace(
        toys,
        network=network,
        images=images,
        quantized=quantized,
        packed=rlquant.pack(quantized),
        problem=given.made_problem(network, toys.train, toys.validation),
        hessian_based=given.made_problem(network, toys.train, toys.validation, rounding=rounding),
    )


@pytest.fixture(scope="module")
def writing() -> given.Toys:
    return toys_of(WritingMlp, WritingConvNet)


@pytest.fixture(scope="module")
def pure() -> given.Toys:
    return toys_of(PureMlp, PureConvNet)


def users_tensors(toys: given.Toys) -> dict[str, Tensor]:
    pairs = ("train", "validation", "train_images", "validation_images")
    found = {f"{p} {i}": t for p in pairs for i, t in enumerate(getattr(toys, p))}
    for name in ("network", "images", "quantized"):
        found |= {f"{name} {k}": t for k, t in getattr(toys, name).state_dict().items()}
    return found


@pytest.fixture
def unchanged(writing: given.Toys) -> Iterator[None]:
    """Within a test nothing that the user gave changes a bit."""
    before = {name: tensor.clone() for name, tensor in users_tensors(writing).items()}
    yield
    for name, tensor in users_tensors(writing).items():
        assert torch.equal(tensor, before[name]), name


CALLS = [
    name
    for name, call in PUBLIC_CALLS.items()
    if not any(word in name for word in ("table", "tabular", "train_agent", "load a task"))
]
DEPEND_ON_THE_CLASS = ("QuantizationProblem", "export", "search to a folder")
"""Their answers hold a fingerprint or names of a graph."""


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.usefixtures("unchanged")
def test_a_public_call_leaves_the_users_tensors_as_they_are(
    name: str,
    writing: given.Toys,
    pure: given.Toys,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(given, "prepare", lambda: writing)
    answer = PUBLIC_CALLS[name](tmp_path)
    if not name.startswith(DEPEND_ON_THE_CLASS):
        monkeypatch.setattr(given, "prepare", lambda: pure)
        (tmp_path / "pure").mkdir()
        assert plain(answer) == plain(PUBLIC_CALLS[name](tmp_path / "pure"))


# --- ways to write


def by_numpy(inputs: Tensor) -> Tensor:
    inputs.numpy()[:] *= 0.5
    return inputs


def by_slice(inputs: Tensor) -> Tensor:
    inputs[:, ::2] = 1.0
    return inputs


def by_foreign_view(inputs: Tensor) -> Tensor:
    torch.from_numpy(inputs.numpy()).clamp_(max=0.0)
    return inputs


def by_exchange(inputs: Tensor) -> Tensor:
    inputs.set_(inputs.clone()[:, [1, 0, 2, 3, 4, 5]])  # type: ignore[no-untyped-call]
    return inputs


def by_data(inputs: Tensor) -> Tensor:
    inputs.data.add_(1.0)
    return inputs


class Preparing(Mlp):
    """Prepares its inputs as it is told; `only_in_training` leaves evaluations pure."""

    def __init__(self, write: Callable[[Tensor], Tensor], only_in_training: bool = False) -> None:
        super().__init__()
        self._write, self._only_in_training = write, only_in_training

    def forward(self, inputs: Tensor) -> Tensor:
        if self._only_in_training and not self.training:
            return super().forward(inputs)
        return super().forward(self._write(inputs))


WAYS = [by_numpy, by_slice, by_foreign_view, by_exchange, by_data]
TRAIN, VALIDATION = samples_of("mlp", 64, seed=1), samples_of("mlp", 50, seed=2)


def small_problem(network: nn.Module, **other: Any) -> QuantizationProblem:
    settings = {"budget": Budget.average_bits(7.0), "calibration_samples": 64, "batch_size": 20}
    return QuantizationProblem(network, TRAIN, VALIDATION, **in_values({**settings, **other}))


def scores_of(problem: QuantizationProblem) -> list[Score]:
    """Return scores of configurations that share prefixes, in an order that uses them."""
    rows = [(0, 0, 0), (0, 0, 2), (0, 1, 2), (0, 0, 0), (2, 0, 0), (0, 0, 1)]
    configs = [problem.feasible.config(row) for row in rows]
    return [problem.float_score, *(problem.evaluator.measure(c) for c in configs)]  # type: ignore[list-item]


def true_loss(network: nn.Module) -> float:
    with torch.no_grad():
        return float(functional.cross_entropy(network(VALIDATION[0].clone()), VALIDATION[1]))


@pytest.mark.parametrize("write", WAYS)
@pytest.mark.parametrize("prefix_bytes", [None, 2**20])
def test_however_a_network_writes_its_score_is_that_of_one_pass_over_fresh_data(
    write: Callable[[Tensor], Tensor], prefix_bytes: int | None
) -> None:
    network = fresh(lambda: Preparing(write)).eval()
    before = [tensor.clone() for tensor in (*TRAIN, *VALIDATION)]
    problem = small_problem(network, prefix_bytes=prefix_bytes)
    found = scores_of(problem)
    assert math.isclose(found[0].loss, true_loss(network), rel_tol=1e-5)
    assert found[1] == found[4]
    config = problem.feasible.config((0, 0, 1))
    assert math.isclose(found[6].loss, true_loss(problem.build(config)), rel_tol=1e-5)
    assert all(map(torch.equal, (*TRAIN, *VALIDATION), before))


@pytest.mark.parametrize("shape", ["pair", "batches"])
def test_training_gives_every_step_the_users_samples(shape: str) -> None:
    batches = list(zip(*(torch.split(t, 16) for t in TRAIN), strict=True))
    before = [tensor.clone() for tensor in TRAIN]
    network = fresh(lambda: Preparing(by_data, only_in_training=True))
    teacher = fresh(lambda: Preparing(by_slice))
    rlquant.train(
        network,
        TRAINED,
        TRAIN if shape == "pair" else batches,
        settings=replace(QUICK, steps=9),
        teacher=teacher,
    )
    assert all(map(torch.equal, TRAIN, before))


def test_a_teacher_that_writes_leaves_the_student_its_inputs() -> None:
    class PureTeacher(Mlp):
        def forward(self, inputs: Tensor) -> Tensor:
            return super().forward(torch.where(torch.arange(6) % 2 == 0, 1.0, inputs))

    network = fresh(Mlp)
    trained = [
        rlquant.train(network, TRAINED, TRAIN, settings=QUICK, teacher=teacher)[0].state_dict()
        for teacher in (fresh(lambda: Preparing(by_slice)), fresh(PureTeacher))
    ]
    assert plain(trained[0]) == plain(trained[1])


def test_two_inputs_may_be_views_of_one_tensor() -> None:
    class Two(Mlp):
        def forward(self, inputs: Tensor, again: Tensor) -> Tensor:  # type: ignore[override]
            inputs.mul_(0.5)
            return super().forward(inputs + again)

    both = torch.randn(50, 6)
    data = ((both, both.view(50, 6)), VALIDATION[1])
    found = rlquant.measure(fresh(Two), data).loss
    fresh_pair = both.clone(), both.clone()
    with torch.no_grad():
        right = functional.cross_entropy(fresh(Two)(*fresh_pair), VALIDATION[1])
    assert math.isclose(found, float(right), rel_tol=1e-6)
    layers = [facts.name for facts in rlquant.find_layers(fresh(Two), (both, both))]
    assert layers == ["first", "second", "last"]
    assert torch.equal(fresh_pair[1], both)


# --- objectives


class WritingObjective:
    """Classification that overwrites what it judges; its targets count from 1."""

    name = "writing"

    def __call__(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        result = Classification()(outputs, targets)
        targets.zero_()
        with torch.no_grad():
            outputs.mul_(0.0)
        return result

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        result = Classification().losses(outputs, targets)
        outputs.zero_()
        targets.zero_()
        return result

    def check(self, outputs: Tensor, targets: Tensor) -> None:
        Classification().check(outputs, targets)
        targets.zero_()


@pytest.mark.parametrize("racing", [None, rlquant.Racing()])
def test_an_objective_may_write_to_outputs_and_targets(racing: rlquant.Racing | None) -> None:
    network = fresh(Mlp)
    before = VALIDATION[1].clone()
    found, right = (
        scores_of(small_problem(network, objective=objective, racing=racing))
        for objective in (WritingObjective(), Classification())
    )
    assert found == right
    assert torch.equal(VALIDATION[1], before)


class Residual(nn.Module):
    """Returns what entered its last layer, too: that is kept for other configurations."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(6, 3), nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        hidden = torch.relu(self.second(self.first(inputs)))
        return self.last(hidden), hidden


@pytest.mark.parametrize("prefix_bytes", [None, 2**20])
def test_what_is_kept_at_a_cut_is_not_handed_to_an_objective(prefix_bytes: int | None) -> None:
    def summed(outputs: Any, targets: Tensor) -> tuple[Tensor, Tensor]:
        loss, right = Classification()(outputs[0] + outputs[1], targets)
        outputs[1].fill_(7.0)
        return loss, right

    problem = small_problem(fresh(Residual), objective=summed, prefix_bytes=prefix_bytes)
    found = scores_of(problem)
    assert found[1] == found[4]
    rebuilt = small_problem(fresh(Residual), objective=summed, prefix_bytes=None)
    assert found == scores_of(rebuilt)


def test_an_objective_that_writes_trains_as_one_that_does_not() -> None:
    def from_one(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return Classification()(outputs, targets.sub_(1))

    network, (inputs, targets) = fresh(Mlp), TRAIN
    config = QuantizationConfig((LayerChoice("first", 3, method="distilled"),))
    counted = inputs, targets + 1
    trained = [
        rlquant.train(network, config, data, data, settings=QUICK, objective=objective)
        for data, objective in ((counted, from_one), (TRAIN, None))
    ]
    assert plain(trained[0]) == plain(trained[1])
    assert torch.equal(counted[1], targets + 1)
