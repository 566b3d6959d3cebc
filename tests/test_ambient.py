"""No computation depends on what is set around it, and none leaves anything set otherwise."""

from __future__ import annotations

import copy
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import rlquant
import rlquant_agents
from ambient_modes import AMBIENT_MODES, together, what_is_set
from evaluation_values import in_values
from public_calls.all_calls import PUBLIC_CALLS
from public_calls.given import (
    BUDGET,
    CONFIG,
    HESSIAN_BASED,
    QUICK,
    TRAINED,
    fresh_problem,
    prepare,
)
from public_calls.plain_values import plain
from rlquant.ambient import isolated, isolated_steps, seeded
from rlquant.config import QuantizationConfig
from rlquant.errors import DataError, NetworkError, SettingsError
from rlquant.training.settings import TrainSettings
from small_networks import Mlp, fresh

AS_A_SCRIPT_THAT_EVALUATES = (
    *("float64", "with device", "inference_mode", "matmul precision", "no mkldnn"),
    *("numpy prints", "random state"),
)
AS_ONE_THAT_TRAINS = (
    *("bfloat16", "default device", "autocast", "no_grad", "deterministic", "anomaly"),
    *("numpy raises", "parametrize.cached"),
)


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """Give what a call returns where nothing is set, made once."""
    prepare()
    known: dict[str, Any] = {}

    def of(name: str) -> Any:
        if name not in known:
            known[name] = plain(PUBLIC_CALLS[name](tmp_path_factory.mktemp("right")))
        return known[name]

    return of


def require_same(expected: Any, name: str, folder: Path, *modes: str) -> None:
    with together(*modes):
        before = what_is_set()
        found = PUBLIC_CALLS[name](folder)
        assert what_is_set() == before
    assert plain(found) == expected


# --- every public call


@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
@pytest.mark.parametrize("name", PUBLIC_CALLS)
def test_a_public_call_gives_the_same_whatever_is_set_around_it(
    name: str, right: Callable[[str], Any], tmp_path: Path
) -> None:
    for number, modes in enumerate((AS_A_SCRIPT_THAT_EVALUATES, AS_ONE_THAT_TRAINS)):
        folder = tmp_path / str(number)
        folder.mkdir()
        require_same(right(name), name, folder, *modes)


@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
@pytest.mark.parametrize("mode", AMBIENT_MODES)
def test_each_mode_alone_changes_nothing(
    mode: str, right: Callable[[str], Any], tmp_path: Path
) -> None:
    for name in ("save and load", "evaluate", "train"):
        require_same(right(name), name, tmp_path, mode)


def test_threads_of_torch_change_nothing_where_each_sum_is_taken_by_one(
    right: Callable[[str], Any], tmp_path: Path
) -> None:
    torch.set_num_threads(2)
    try:
        for name in ("quantize", "evaluate"):
            require_same(right(name), name, tmp_path)
    finally:
        torch.set_num_threads(1)


# --- the context


def test_inside_nothing_is_set_and_behind_it_everything_is_as_before() -> None:
    fresh_state, seen = what_is_set()[:-3], []

    @isolated(seed=1)
    def fail() -> None:
        seen.append(what_is_set()[:-3])
        torch.rand(3), np.random.rand(), random.random()
        torch.set_grad_enabled(False)
        raise ZeroDivisionError

    with together(*AS_ONE_THAT_TRAINS[:-2]), torch.inference_mode():
        before = what_is_set()
        with pytest.raises(ZeroDivisionError):
            fail()
        assert what_is_set() == before
    (inside,) = seen
    assert inside == fresh_state


def test_the_state_of_a_caller_inside_is_kept_too() -> None:
    with isolated():
        torch.set_default_dtype(torch.float64)
        try:
            with isolated():
                assert torch.get_default_dtype() == torch.float32
            assert torch.get_default_dtype() == torch.float64
        finally:
            torch.set_default_dtype(torch.float32)


def test_the_last_thread_to_leave_puts_the_process_back() -> None:
    inside, leave = threading.Event(), threading.Event()
    seen: list[torch.dtype] = []

    def compute() -> None:
        with isolated():
            inside.set()
            leave.wait(10)
            seen.append(torch.get_default_dtype())

    with together("bfloat16"):
        other = threading.Thread(target=compute)
        with isolated():
            other.start()
            inside.wait(10)
        assert torch.get_default_dtype() == torch.float32  # the other thread still computes
        leave.set()
        other.join()
        assert torch.get_default_dtype() == torch.bfloat16
    assert seen == [torch.float32]


def test_between_the_steps_of_an_iterator_the_callers_state_is_there() -> None:
    def steps() -> Any:
        for _ in range(2):
            yield torch.get_default_dtype()

    with together("float64"):
        for inside in isolated_steps(steps()):
            assert inside == torch.float32
            assert torch.get_default_dtype() == torch.float64


def test_a_scan_leaves_nothing_set_between_its_measurements() -> None:
    problem = prepare().problem
    with together(*AS_ONE_THAT_TRAINS[:4]):
        before = what_is_set()
        for _ in problem.scan(problem.feasible.config((i, 1, 0)) for i in range(2)):
            assert what_is_set() == before


def test_generators_go_on_from_the_seed_and_then_as_if_nothing_was() -> None:
    @seeded(2)
    def fail() -> None:
        inside.append(drawn())
        raise ZeroDivisionError

    inside: list[tuple[float, ...]] = []
    with together("random state"):
        expected = drawn()
    with together("random state"):
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                fail()
        assert drawn() == expected
    assert inside[0] == inside[1] != expected


def drawn() -> tuple[float, ...]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


class Draws(rlquant_agents.Callback):
    """A callback that draws from the global generators."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, ...]] = []

    def on_evaluation(self, session: Any, evaluation: Any) -> None:
        self.seen.append(drawn())


def test_what_a_callback_draws_is_the_callers_and_moves_no_search() -> None:
    def searched(callback: Draws | None) -> Any:
        made = rlquant_agents.search_problem(
            prepare().problem, searcher="masked-ppo", evaluations=6, callback=callback
        )
        return made.score, [evaluation.config for evaluation in made.history]

    expected, draws = searched(None), Draws()
    with together("random state"):
        assert plain(searched(draws)) == plain(expected)
        behind = drawn()
    with together("random state"):
        assert [drawn() for _ in draws.seen] == draws.seen
        assert drawn() == behind


def test_what_a_watcher_draws_is_the_callers_and_moves_no_training() -> None:
    toys, seen = prepare(), []

    def trained(watch: Any) -> Any:
        loader = DataLoader(TensorDataset(*toys.train), batch_size=8, shuffle=True)
        settings = TrainSettings(steps=12)
        return rlquant.train(toys.network, TRAINED, loader, settings=settings, watch=watch)

    expected = trained(None)
    with together("random state"):
        found = trained(lambda taken, figures: seen.append(drawn()))
        behind = drawn()
    assert plain(found) == plain(expected)
    with together("random state"):
        assert [drawn() for _ in seen] == seen
        assert drawn() == behind


class SeedsItself(Mlp):
    def forward(self, inputs: Tensor) -> Tensor:
        torch.manual_seed(3)
        return super().forward(inputs + 0.1 * torch.rand(()))


def test_a_network_that_seeds_the_generator_moves_neither_a_search_nor_the_caller() -> None:
    problem = problem_of(fresh(SeedsItself), space=SPACE)
    before = what_is_set()
    result = rlquant_agents.search_problem(problem, searcher="masked-ppo", evaluations=8)
    assert what_is_set() == before
    assert len(result.history) == 8  # an agent set back by each evaluation draws the same again
    problem.evaluate(problem.feasible.config((0, 1, 2)))
    assert what_is_set() == before


class MakesTensors(Mlp):
    """Relies on the default type being its own."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs @ torch.eye(inputs.shape[1]))


def test_a_network_that_relies_on_the_callers_default_type_is_told_to_name_it() -> None:
    toys, network = prepare(), fresh(MakesTensors).double()
    train = (toys.train[0].double(), toys.train[1])
    calls = {
        "find_layers": lambda: rlquant.find_layers(network, train[0][:2]),
        "quantize": lambda: rlquant.quantize(network, CONFIG, train, calibration_samples=64),
        "measure": lambda: rlquant.measure(network, train),
        "train": lambda: rlquant.train(network, TRAINED, train, settings=QUICK),
    }
    with together("float64"):
        assert network(train[0]).isfinite().all()
        for call in calls.values():
            with pytest.raises(DataError, match="name type and device where forward makes tensors"):
                call()


# --- errors and interrupts pass through


def test_an_error_of_the_users_own_leaves_everything_as_it_was() -> None:
    def fails(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        raise ZeroDivisionError

    toys = prepare()
    with together(*AS_ONE_THAT_TRAINS[:4]):
        before = what_is_set()
        with pytest.raises(ZeroDivisionError):
            rlquant.train(
                toys.network, TRAINED, toys.train, settings=QUICK, watch=lambda *_: 1 // 0
            )
        with pytest.raises((ZeroDivisionError, rlquant.RlquantError)):
            fresh_problem(objective=fails)
        assert what_is_set() == before


# --- networks and data that were made, or that compute, in another state


def test_networks_and_data_that_were_made_in_inference_mode_are_taken() -> None:
    toys = prepare()
    with torch.inference_mode():
        network = copy.deepcopy(toys.network)
        data = tuple(tensor.clone() for tensor in toys.train)
    assert data[0].is_inference()
    made, expected = (
        rlquant.train(n, TRAINED, d, settings=QUICK, warm_start=True)[0]
        for n, d in ((network, data), (toys.network, toys.train))
    )
    assert plain(made) == plain(expected)
    made = rlquant.quantize(network, CONFIG, data, calibration_samples=64)
    assert plain(made) == plain(toys.quantized)


def test_what_is_returned_can_be_trained_on_also_out_of_inference_mode() -> None:
    toys = prepare()
    with torch.inference_mode():
        returned = (
            rlquant.quantize(toys.network, CONFIG, toys.train, calibration_samples=64),
            rlquant.unpack(toys.packed, toys.network),
            rlquant.dequantize(toys.quantized),
            rlquant.train(toys.network, TRAINED, toys.train, settings=QUICK)[0],
            toys.problem.build(toys.problem.feasible.config((1, 0, 1))),
            rlquant_agents.search_problem(toys.problem, searcher="uniform", evaluations=3).network,
        )
    for network in returned:
        assert isinstance(network, nn.Module)
        tensors = [*network.parameters(), *network.buffers()]
        assert not any(tensor.is_inference() for tensor in tensors)
        biases = [p.requires_grad_() for n, p in network.named_parameters() if n.endswith("bias")]
        network.train()(toys.train[0]).sum().backward()
        assert all(bias.grad is not None for bias in biases)


@pytest.mark.parametrize("mode", ["bfloat16", "float64", "default device"])
def test_a_quantized_network_answers_the_same_where_the_caller_has_set_something(mode: str) -> None:
    toys = prepare()
    networks = (toys.quantized, rlquant.unpack(toys.packed, toys.network))
    with torch.no_grad():
        expected = [network(toys.validation[0]) for network in networks]
    with together(mode), torch.no_grad():
        for network, outputs in zip(networks, expected, strict=True):
            assert torch.equal(network(toys.validation[0]), outputs)


def test_a_shuffled_loader_gives_the_same_samples_each_time_and_draws_from_nobody() -> None:
    toys = prepare()
    loader = DataLoader(TensorDataset(*toys.train), batch_size=16, shuffle=True)
    made = []
    for name in ("random state", "no_grad"):
        with together(name):
            before = what_is_set()
            made.append(rlquant.quantize(toys.network, CONFIG, loader, calibration_samples=32))
            assert what_is_set() == before
    assert plain(made[0]) == plain(made[1])


class WithoutGradients(Mlp):
    @torch.no_grad()
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs)


class InInferenceMode(Mlp):
    @torch.inference_mode()
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs)


class FirstLayerWithoutGradients(Mlp):
    def forward(self, inputs: Tensor) -> Tensor:
        with torch.no_grad():
            hidden = torch.relu(self.first(inputs))
        output: Tensor = self.last(torch.relu(self.second(hidden)))
        return output


class UnderAutocast(Mlp):
    @torch.autocast("cpu", torch.bfloat16)
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs)


def problem_of(network: nn.Module, **other: Any) -> rlquant.QuantizationProblem:
    toys = prepare()
    settings = {"budget": BUDGET, "calibration_samples": 64, "batch_size": 20, **other}
    return rlquant.QuantizationProblem(network, toys.train, toys.validation, **in_values(settings))


SPACE = rlquant.SearchSpace(bits=(2, 4, 8), rounding=("nearest", "learned"), points=("clipped",))


@pytest.mark.parametrize("kind", [WithoutGradients, InInferenceMode])
def test_a_network_that_records_no_gradients_is_measured_as_any_other(kind: type[Mlp]) -> None:
    plain_network = problem_of(fresh(Mlp), space=SPACE)
    config = plain_network.feasible.config((1, 0, 1))
    found = problem_of(fresh(kind), space=SPACE)
    assert plain(found.evaluate(config)) == plain(plain_network.evaluate(config))
    outputs = found.build(config)(prepare().validation[0])
    assert torch.equal(outputs, plain_network.build(config)(prepare().validation[0]))


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        (WithoutGradients, "needs gradients"),
        (InInferenceMode, "needs gradients"),
        (FirstLayerWithoutGradients, "'first'"),
    ],
)
def test_what_needs_gradients_refuses_a_network_that_records_none(
    kind: type[Mlp], named: str
) -> None:
    problem = problem_of(fresh(kind), space=SPACE)
    toys = prepare()
    asked = {
        "refine": lambda: rlquant.refine(problem, HESSIAN_BASED, toys.train),
        "search": lambda: rlquant_agents.search_problem(problem, refine=toys.train),
    }
    for call in asked.values():
        with pytest.raises(NetworkError, match=f"{named}.*forward runs under torch.no_grad"):
            call()


@pytest.mark.parametrize("kind", [WithoutGradients, InInferenceMode])
def test_a_network_that_records_no_gradients_is_not_trained(kind: type[Mlp]) -> None:
    toys = prepare()
    with pytest.raises(NetworkError, match=r"forward runs under torch\.no_grad"):
        rlquant.train(fresh(kind), TRAINED, toys.train, settings=QUICK)
    with pytest.raises(NetworkError, match=r"forward runs under torch\.no_grad"):
        problem_of(fresh(kind), fidelity="tuned", training=QUICK)


def test_refine_refuses_an_objective_without_gradients() -> None:
    def detached(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return outputs.detach().square().sum(), (outputs.argmax(dim=1) == targets).sum()

    problem = problem_of(fresh(Mlp), space=SPACE, objective=detached)
    with pytest.raises(SettingsError, match=r"detached' gives a loss .* which has no gradient"):
        rlquant.refine(problem, HESSIAN_BASED, prepare().train)


def test_a_network_with_autocast_inside_another_one_is_trained_as_outside_of_it() -> None:
    toys, network = prepare(), fresh(UnderAutocast)
    expected = rlquant.train(network, TRAINED, toys.train, settings=QUICK)
    with torch.autocast("cpu", torch.bfloat16):
        found = rlquant.train(network, TRAINED, toys.train, settings=QUICK)
    assert plain(found) == plain(expected)


def test_an_empty_configuration_is_quantized_in_any_state() -> None:
    with together(*AS_ONE_THAT_TRAINS[:4]):
        made = rlquant.quantize(prepare().network, QuantizationConfig(()))
    assert plain(made) == plain(prepare().network)
