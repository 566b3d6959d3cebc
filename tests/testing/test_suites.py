"""The conformance suites find what breaks a promise, and say what is missing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from torch import Generator, Tensor

from rlquant import QuantizationConfig, Score
from rlquant.errors import SettingsError
from rlquant.quantizers import QuantizedTensor, quantize_integer
from rlquant.testing import ToyProblem
from rlquant.testing.conformance import ProblemConformance, QuantizerConformance
from rlquant.testing.rewriting import explain_asserts
from rlquant_agents import Searcher, Session
from rlquant_agents.testing import SearcherConformance


class Quantizers(QuantizerConformance):
    """Not collected: its name does not begin with Test."""

    idempotent = covers = keeps_extremes = True


def in_place(weights: Tensor, generator: Generator) -> QuantizedTensor:
    quantized = quantize_integer(weights, 3)
    weights.detach().add_(1)
    return quantized


def off_by_one(weights: Tensor, generator: Generator) -> QuantizedTensor:
    quantized = quantize_integer(weights, 3)
    quantized.codes.add_(1).clamp_(max=6)
    return quantized


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (in_place, Quantizers.test_is_a_pure_function_of_weights_and_generator),
        (off_by_one, Quantizers.test_a_weight_takes_the_nearest_point_or_a_neighbour),
        (off_by_one, Quantizers.test_the_error_is_at_most_one_step_or_half_of_it),
        (off_by_one, Quantizers.test_quantizing_twice_changes_nothing),
        (off_by_one, Quantizers.test_the_extremes_of_the_tensor_stay),
    ],
)
def test_a_broken_quantizer_is_found(broken: Callable, test: Callable) -> None:
    with pytest.raises(AssertionError):
        test(Quantizers(), broken)


class Drifting(ToyProblem):
    """Each score depends on how many came before."""

    def evaluate(self, config: QuantizationConfig) -> Score:
        self.sensitivities["layer0"] += 0.1
        return super().evaluate(config)


def test_a_problem_whose_scores_depend_on_the_past_is_found() -> None:
    with pytest.raises(AssertionError):
        ProblemConformance().test_a_score_is_of_the_configuration_alone(Drifting(3, 40.0))


@dataclass(frozen=True, kw_only=True)
class Restless(Searcher):
    """Draws from the global generator, and asks for nothing but the cheapest configuration."""

    name: ClassVar[str] = "restless"

    def explore(self, session: Session, seed: int) -> None:
        np.random.rand()
        session.ask_cheapest()


@pytest.mark.parametrize(
    "test",
    [
        SearcherConformance.test_finds_the_optimum_with_enough_evaluations,
        SearcherConformance.test_the_seed_decides_the_history,
    ],
)
def test_a_broken_searcher_is_found(test: Callable) -> None:
    with pytest.raises(AssertionError):
        test(SearcherConformance(), Restless())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: QuantizerConformance().quantize(None, None), r"write quantize\(self, weights"),
        (lambda: ProblemConformance().make_problem(), r"write make_problem\(self\)"),
        (lambda: SearcherConformance().make_searcher(), r"write make_searcher\(self\)"),
    ],
)
def test_what_is_not_written_is_named(make: Callable, words: str) -> None:
    with pytest.raises(NotImplementedError, match=words):
        make()


def test_without_pytest_the_suites_say_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytest", None)
    with pytest.raises(SettingsError, match=r"pip install 'rlquant\[testing\]'"):
        explain_asserts("a_module")
