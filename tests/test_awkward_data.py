"""Data that are short, infinite, read only once, or leave one sample over, in every call."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, Sampler, TensorDataset

import rlquant
from problems import bits, problem
from rlquant import EvaluationSettings
from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.cost.budget import Budget
from rlquant.data import repeats
from rlquant.errors import DataError, NetworkError, SettingsError
from rlquant.objective import Classification
from rlquant.profiling.profile import profile_latency
from rlquant.training.settings import TrainSettings
from rlquant_agents import search, search_problem
from small_networks import FEATURES, Mlp, Pair, fresh, samples, samples_of

FEW, VALIDATION = samples_of("mlp", 45, seed=1), samples_of("mlp", 31, seed=2)
FOUR = QuantizationConfig((LayerChoice("first", 4),))
BUDGET = Budget.average_bits(7.0)
SHORT = TrainSettings(steps=3, batch_size=16)


def split(pair: Pair, size: int = 8) -> list[Pair]:
    return list(zip(*(torch.split(t, size) for t in pair), strict=True))


# --- fewer samples than are asked for

CALLS: dict[str, Callable[[Any], object]] = {
    "search": lambda data: search(
        fresh(Mlp), data, VALIDATION, budget=BUDGET, searcher="random", evaluations=2
    ),
    "quantize": lambda data: rlquant.quantize(fresh(Mlp), FOUR, data),
    "layer_problem": lambda data: rlquant.layer_problem(fresh(Mlp), data),
}


@pytest.mark.parametrize("call", CALLS)
def test_defaults_fit_small_data_which_is_said_once(
    call: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="rlquant")  # commands tell of information too
    CALLS[call](FEW)
    (message,) = [m for m in caplog.messages if "samples" in m]
    assert "has 45 samples: all are used, calibration_samples=512 is the most" in message


def test_few_validation_samples_are_said_as_information(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    problem(validation_samples=64)
    words = "validation_data has 50 samples: all are used, validation_samples=64 is the most"
    said = {record.getMessage(): record.levelname for record in caplog.records}
    assert said[words] == "INFO"
    assert not [message for message in said if "calibration_samples" in message]


def test_one_calibration_sample_is_enough() -> None:
    one = FEW[0][:1], FEW[1][:1]
    CALLS["search"](one)
    CALLS["quantize"](one)
    rlquant.train(fresh(Mlp), FOUR, one, settings=SHORT)


# --- data that can be read only once


class Wrapped:
    """A generator behind a class: every pass goes on where the last one ended."""

    def __init__(self, batches: Iterable[Pair]) -> None:
        self.batches = iter(batches)

    def __iter__(self) -> Iterator[Pair]:
        return self.batches


class Sized(Wrapped):
    """The same with a length."""

    def __len__(self) -> int:
        return 6


class Generating(Wrapped):
    """The same with a new generator for each pass."""

    def __iter__(self) -> Iterator[Pair]:
        yield from self.batches


class Raising(Wrapped):
    """The same, and it says so itself."""

    def __iter__(self) -> Iterator[Pair]:
        if self.batches is None:
            raise RuntimeError("already read")
        batches, self.batches = self.batches, None  # type: ignore[assignment]
        return batches


class Stream(IterableDataset[Any]):
    """A data set that is exhausted."""

    def __init__(self, pair: Pair) -> None:
        self.samples = zip(*pair, strict=True)

    def __iter__(self) -> Iterator[Any]:
        yield from self.samples


class Spent(Sampler[int]):
    """A sampler whose order is used up."""

    def __init__(self, count: int) -> None:
        self.order = iter(range(count))

    def __iter__(self) -> Iterator[int]:
        return self.order


ONCE: dict[str, Callable[[Pair], Any]] = {
    "wrapped": lambda pair: Wrapped(split(pair)),
    "sized": lambda pair: Sized(split(pair)),
    "generating": lambda pair: Generating(split(pair)),
    "stream": lambda pair: DataLoader(Stream(pair), batch_size=8),
    "sampler": lambda pair: DataLoader(TensorDataset(*pair), batch_size=8, sampler=Spent(45)),
    "batch sampler": lambda pair: DataLoader(
        TensorDataset(*pair),
        batch_sampler=torch.utils.data.BatchSampler(Spent(45), 8, drop_last=False),
    ),
}
READERS: dict[str, Callable[[Any], object]] = {
    **CALLS,
    "validation": lambda data: problem(validation_data=data),
    "tuned": lambda data: problem(train_data=data, fidelity="tuned", training=SHORT),
    "measure": lambda data: rlquant.measure(fresh(Mlp), data),
    "train": lambda data: rlquant.train(
        fresh(Mlp), FOUR, data, settings=replace(SHORT, steps=None, epochs=2)
    ),
    "train some steps": lambda data: rlquant.train(fresh(Mlp), FOUR, data, settings=SHORT),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", ONCE)
def test_data_that_give_fewer_samples_the_second_time_are_refused(reader: str, kind: str) -> None:
    with pytest.raises(DataError, match="can be read only once"):
        READERS[reader](ONCE[kind](FEW))


def test_a_long_stream_is_refused_when_its_second_epoch_is_short() -> None:
    long = samples_of("mlp", 200, seed=1)
    with pytest.raises(DataError, match="can be read only once"):
        rlquant.train(
            fresh(Mlp),
            FOUR,
            Sized(split(long)),  # type: ignore[arg-type]
            settings=replace(SHORT, steps=None, epochs=1),
            evaluation=EvaluationSettings(calibration_samples=8),
        )


class Endless:
    """Never ends, and is new each time."""

    def __iter__(self) -> Iterator[Pair]:
        seed = 0
        while True:
            yield samples_of("mlp", 8, seed=seed)
            seed += 1


def test_an_endless_stream_that_is_new_each_time_may_train_some_steps() -> None:
    few = EvaluationSettings(calibration_samples=16)
    _, outcome = rlquant.train(fresh(Mlp), FOUR, Endless(), settings=SHORT, evaluation=few)
    assert outcome.steps == SHORT.steps


def test_what_repeats_is_not_read_to_see_it() -> None:
    data = TensorDataset(*samples(20))
    assert repeats([samples(3)])
    assert repeats(samples(3))
    for plain in (DataLoader(data, 4), DataLoader(data, 4, shuffle=True), DataLoader(data, None)):
        assert repeats(plain)
    for other in (DataLoader(data, 4, sampler=Spent(3)), Endless(), {"a": 1}.values()):
        assert not repeats(other)


# --- numbers that are not finite


def infinite(pair: Pair, sample: int = 3) -> Pair:
    inputs = pair[0].clone()
    inputs[sample, 2] = float("inf")
    return inputs, pair[1]


@pytest.mark.parametrize("call", CALLS)
def test_an_infinite_training_input_is_named(call: str) -> None:
    with pytest.raises(DataError, match=r"not finite .* 1 of the 45 .*\(number 3, from 0\); mend"):
        CALLS[call](infinite(FEW))


@pytest.mark.parametrize("count", [10, 45])
def test_an_infinite_input_is_named_wherever_networks_are_trained(count: int) -> None:
    data, words = infinite(FEW, 30), r"1 of the 45 samples have infinite inputs \(number 30"
    with pytest.raises(DataError, match=words):
        problem(train_data=data, calibration_samples=count, fidelity="tuned", training=SHORT)
    some = EvaluationSettings(calibration_samples=count)
    with pytest.raises(DataError, match=words):
        rlquant.train(fresh(Mlp), FOUR, data, settings=SHORT, evaluation=some)


def test_of_many_infinite_samples_ten_are_named() -> None:
    inputs = FEW[0].clone()
    inputs[5:, 0] = -float("inf")
    words = "40 of the 45 samples have infinite inputs (number 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, "
    with pytest.raises(DataError) as caught:
        problem(train_data=(inputs, FEW[1]), calibration_samples=45)
    assert words + "..., from 0); mend them or leave them out" in str(caught.value)


def test_inputs_that_overflow_are_told_from_infinite_ones() -> None:
    inputs = FEW[0].clone()
    inputs[3] = 3e38
    network = fresh(Mlp)
    nn.init.ones_(network.first.weight)
    with pytest.raises(DataError, match="do the data have the scale that the network was trained"):
        rlquant.quantize(network, FOUR, (inputs, FEW[1]))


class Masked(Mlp):
    """Leaves out what a second input, added to the outputs, makes minus infinity."""

    def forward(self, inputs: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(inputs) + mask


def masked(pair: Pair) -> Any:
    mask = torch.zeros(len(pair[1]), 3)
    mask[torch.arange(len(mask)), (pair[1] + 1) % 3] = -float("inf")
    return (pair[0], mask), pair[1]


def test_infinite_numbers_in_a_mask_are_meant() -> None:
    train, validation = masked(FEW), masked(VALIDATION)
    for other in ({}, {"fidelity": "tuned", "training": SHORT}):
        made = problem(network=fresh(Masked), train_data=train, validation_data=validation, **other)
        assert math.isfinite(made.evaluate(made.feasible.config((0, 1, 0))).loss)
    quantized, outcome = rlquant.train(fresh(Masked), FOUR, train, settings=SHORT)
    assert not outcome.diverged
    assert math.isfinite(rlquant.measure(quantized, validation).loss)


def test_a_search_that_finds_no_finite_loss_at_all_ends_with_an_error() -> None:
    class OnlyFloat:
        """Finite for the float network alone."""

        name = "only float"

        def __init__(self) -> None:
            with torch.no_grad():
                self.known = fresh(Mlp)(VALIDATION[0])

        def __call__(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
            loss, right = Classification()(outputs, targets)
            exact = (outputs[:, None] - self.known).abs().sum(dim=2).min(dim=1).values.max() < 1e-5
            return (loss if exact else loss * torch.nan), right

    made = problem(train_data=FEW, validation_data=VALIDATION, objective=OnlyFloat(), budget=BUDGET)
    words = (
        r"searcher 'random': the loss of each of the 3 configurations is not finite, the float "
        r"network's is [\d.]+; look at the objective"
    )
    with pytest.raises(NetworkError, match=words):
        search_problem(made, searcher="random", evaluations=3)


def test_a_search_of_trainings_that_all_diverge_names_the_rate() -> None:
    def objective(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        loss, right = Classification()(outputs, targets)
        return (loss * torch.nan if torch.is_grad_enabled() else loss), right

    made = problem(fidelity="tuned", training=SHORT, objective=objective)
    with pytest.raises(NetworkError, match="training diverges: give training=TrainSettings"):
        search_problem(made, searcher="random", evaluations=2)


# --- one sample left over


class Squeezing(Mlp):
    """Its forward, and what judges it, lose the batch where it is one sample."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs).squeeze()


@pytest.mark.parametrize("size", [2, 3, 10, 30])
def test_no_validation_batch_is_one_sample_left_over(size: int) -> None:
    made = problem(
        network=fresh(Squeezing), train_data=FEW, validation_data=VALIDATION, batch_size=size
    )
    whole = problem(network=fresh(Squeezing), train_data=FEW, validation_data=VALIDATION)
    config = bits(4, 4, 4)
    assert math.isclose(made.evaluate(config).loss, whole.evaluate(config).loss, rel_tol=1e-5)
    assert made.evaluate(config).samples == 31
    measured = rlquant.measure(made.build(config), VALIDATION, batch_size=size)
    assert math.isclose(measured.loss, made.evaluate(config).loss, rel_tol=1e-5)


def test_one_sample_left_over_is_no_batch_of_a_training() -> None:
    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.norm = nn.Linear(FEATURES, 8), nn.BatchNorm1d(8)
            self.last = nn.Linear(8, 3)

        def forward(self, inputs: Tensor) -> Tensor:
            output: Tensor = self.last(self.norm(self.first(inputs)).squeeze())
            return output

    pair = FEW[0][:33], FEW[1][:33]
    epochs = replace(SHORT, steps=None, epochs=2)
    for data in (pair, split(pair, 16), DataLoader(TensorDataset(*pair), batch_size=16)):
        _, outcome = rlquant.train(fresh(Normed), FOUR, data, pair, settings=epochs)
        assert outcome.steps == 4


def test_batches_of_one_that_are_asked_for_stay() -> None:
    made = problem(train_data=FEW, validation_data=VALIDATION, batch_size=1)
    assert made.evaluate(bits(4, 4, 4)).samples == 31


# --- where else a number of samples is asked for


def test_a_latency_table_is_made_with_few_samples() -> None:
    made = profile_latency(fresh(Mlp), FEW, FEW[0][:4], rounds=1)
    assert len(made.layers) == 3


@pytest.mark.parametrize("count", [0, -1, 1.5])
def test_a_number_of_samples_must_be_one(count: Any) -> None:
    for call in (
        lambda: problem(calibration_samples=count),
        lambda: problem(validation_samples=count),
        lambda: rlquant.quantize(fresh(Mlp), FOUR, FEW, calibration_samples=count),
        lambda: rlquant.layer_problem(fresh(Mlp), FEW, calibration_samples=count),
    ):
        with pytest.raises(SettingsError, match=r"n_samples=.*, use a whole number of at least 1"):
            call()


# --- data that a network does not run on


@pytest.mark.parametrize("call", [*CALLS, "measure", "find_layers"])
@pytest.mark.parametrize("inputs", [torch.ones(45, 5), torch.ones(45, FEATURES, dtype=torch.bool)])
def test_inputs_that_the_network_does_not_take_are_named(call: str, inputs: Tensor) -> None:
    calls = {
        **CALLS,
        "measure": READERS["measure"],
        "find_layers": lambda data: rlquant.find_layers(fresh(Mlp), data[0]),
    }
    words = (
        r"the network does not run on its first samples, inputs of shape \(\d+, \d\): RuntimeErr"
    )
    with pytest.raises(DataError, match=words):
        calls[call]((inputs, FEW[1]))


def test_the_reason_why_a_network_does_not_run_is_cut_short() -> None:
    class Wordy(Mlp):
        def forward(self, inputs: Tensor) -> Tensor:
            raise ValueError("no " * 10_000)

    with pytest.raises(DataError, match="ValueError: no no") as caught:
        rlquant.find_layers(fresh(Wordy), FEW[0])
    assert len(str(caught.value)) <= 500


@pytest.mark.parametrize("call", CALLS)
def test_tensors_without_plain_data_are_refused(call: str) -> None:
    nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged)
    for kind, inputs in {
        "sparse": FEW[0].to_sparse(),
        "meta": FEW[0].to("meta"),
        "nested": nested,
    }.items():
        with pytest.raises(DataError, match=f"it holds a {kind} tensor; give dense tensors"):
            CALLS[call]((inputs, FEW[1]))


def test_measure_checks_what_it_is_given() -> None:
    wrong = FEW[0], torch.full((45,), 3)
    with pytest.raises(DataError, match="labels reach from 3 to 3, the network has 3 outputs"):
        rlquant.measure(fresh(Mlp), wrong)
    with pytest.raises(SettingsError, match="batch_size=0, use a whole number of at least 1"):
        rlquant.measure(fresh(Mlp), FEW, batch_size=0)
    with pytest.raises(SettingsError, match="objective=7, give a function"):
        rlquant.measure(fresh(Mlp), FEW, objective=7)  # type: ignore[arg-type]
    by_function = rlquant.measure(fresh(Mlp), FEW, objective=Classification().__call__)
    assert by_function == rlquant.measure(fresh(Mlp), FEW)


def test_inputs_may_have_no_numbers() -> None:
    class Two(Mlp):
        def forward(self, inputs: Tensor, nothing: Tensor) -> Tensor:  # type: ignore[override]
            return super().forward(inputs) + nothing.sum()

    inputs = FEW[0].clone()
    inputs[3, 0] = float("inf")
    with pytest.raises(DataError, match=r"\(number 3, from 0\)"):
        rlquant.quantize(fresh(Two), FOUR, ((inputs, torch.zeros(45, 0)), FEW[1]))
    assert rlquant.measure(fresh(Two), ((FEW[0], torch.zeros(45, 0)), FEW[1])).samples == 45


@pytest.mark.parametrize("reader", [*CALLS, "validation", "measure", "tuned"])
def test_data_that_say_themselves_that_they_were_read_are_refused(reader: str) -> None:
    with pytest.raises(
        DataError, match=r"this Raising gave .* the next one 0; it can be read only"
    ):
        READERS[reader](Raising(split(FEW)))
