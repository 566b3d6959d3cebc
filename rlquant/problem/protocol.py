"""The contract: what searchers and environments may ask of a problem, and what only some can do.

`Problem` is what every problem has. Each of the protocols after it is one optional ability, asked
for by `isinstance(problem, Ability)`, so that a problem of one's own takes part in what it offers.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from torch import nn

from rlquant.config import Fidelity, QuantizationConfig
from rlquant.cost.budget import Budget, NetworkCosts
from rlquant.cost.feasible import FeasibleSet
from rlquant.errors import SettingsError, WorkerError
from rlquant.evaluation.evaluator import Evaluator
from rlquant.evaluation.racing import Racing
from rlquant.evaluation.trained import TrainingEvaluator
from rlquant.evaluation_settings import EvaluationSettings
from rlquant.executors.workload import Listener
from rlquant.executors.workload import unheard as unheard_workload
from rlquant.layers import LayerFacts
from rlquant.objective import Objective
from rlquant.samples import Samples
from rlquant.score import Measurement, Score
from rlquant.sensitivity.progress import Progress, unheard
from rlquant.space import SearchSpace
from rlquant.store.store import EvaluationStore
from rlquant.training.watching import Watcher


class Problem(Protocol):
    """What a searcher or an environment may know: a live network and a table look alike."""

    @property
    def layers(self) -> tuple[LayerFacts, ...]:
        """The searched layers in execution order."""

    @property
    def space(self) -> SearchSpace:
        """The options of every layer."""

    @property
    def budget(self) -> Budget:
        """The limit that results keep."""

    @property
    def seed(self) -> int:
        """The seed of the quantizers' draws."""

    @property
    def fidelity(self) -> Fidelity:
        """How far networks are trained before they are measured."""

    @property
    def feasible(self) -> FeasibleSet:
        """The configurations that keep the budget."""

    @property
    def fingerprint(self) -> str:
        """Hash of everything that a score depends on, budget not included."""

    @property
    def float_score(self) -> Score:
        """The score of the float network; calibration does not change it."""

    def evaluate(self, config: QuantizationConfig) -> Score:
        """Score any valid configuration, also one over the budget."""

    def evaluate_many(self, configs: Iterable[QuantizationConfig]) -> list[Score]:
        """Score several configurations, in the order given."""

    def with_budget(self, budget: Budget) -> Problem:
        """Return the same problem under another budget; scores are shared."""


# --- abilities of the search


@runtime_checkable
class Indexed(Problem, Protocol):
    """It scores vectors of option indices without making configurations of them."""

    def evaluate_indices(self, indices: Sequence[int]) -> Score:
        """Score the configuration of a vector of option indices (plain whole numbers)."""


@runtime_checkable
class Orders(Problem, Protocol):
    """What configurations share is computed once, so that their order matters."""

    def expect(self, configs: Iterable[QuantizationConfig]) -> list[int]:
        """Hear what is going to be asked for; return the order (positions) that shares most."""


@runtime_checkable
class Races(Problem, Protocol):
    """Its evaluations may be ended early, by a race or by who watches their training."""

    @property
    def racing(self) -> Racing | None:
        """How evaluations that cannot win are ended; None where none is."""

    def evaluate(
        self,
        config: QuantizationConfig,
        watch: Watcher | None = None,
        incumbent: QuantizationConfig | None = None,
    ) -> Score:
        """Score a configuration; `EvaluationStopped` where `watch` ends it."""

    def unmeasured(self, config: QuantizationConfig) -> Score:
        """Return the costs of a configuration with an infinite loss."""


@runtime_checkable
class Trains(Problem, Protocol):
    """It can be measured at lower fidelities as well."""

    def at_fidelity(self, fidelity: Fidelity) -> Problem:
        """Return the same problem at a lower fidelity; `SettingsError` for a higher one."""


@runtime_checkable
class Tokenized(Problem, Protocol):
    """It can be evaluated on fewer tokens, for first looks at many configurations."""

    @property
    def tokens(self) -> int:
        """Tokens of an evaluation: those of its samples that count; 1 for each without tokens."""

    def at_tokens(self, tokens: int) -> Problem:
        """Return the same problem, evaluated on the first samples of at most so many tokens."""


@runtime_checkable
class Stores(Problem, Protocol):
    """Its evaluations take time and can be kept in a file."""

    @property
    def store(self) -> EvaluationStore | None:
        """What keeps measurements beyond this process."""

    def with_store(self, store: EvaluationStore | None) -> Problem:
        """Return the same problem with its evaluations kept in `store`."""


@runtime_checkable
class Predicts(Problem, Protocol):
    """It may tell from gradients what options cost in loss, without an evaluation."""

    @property
    def predicts(self) -> bool:
        """Whether it can here: the loss has a curvature, and options are errors of weights."""

    @property
    def label_variance(self) -> float:
        """The variance of a measured increase over its expectation, because labels are as they are.

        To first order errors change the loss of a sample whose label is not what the network says;
        in the mean over all labels that is nothing, over a few samples it is noise. 0 where targets
        are the float network's own answers.
        """

    def expected_increases(
        self, draws: int, progress: Progress = unheard
    ) -> npt.NDArray[np.float64]:
        """Return by how much each option at each layer alone is expected to raise the loss.

        Args:
            draws: gradients; the more, the less noise.
            progress: told how far it is, as it may take minutes.

        Returns:
            Shape `(layers, options)`, layers in execution order, options as in `feasible`.
        """

    def prediction_cost(self, draws: int) -> float:
        """Return what that costs in evaluations: by passes, a backward one counts as two."""


class Evaluations(Protocol):
    """A problem's evaluations by workers, each of which has the problem once."""

    @property
    def workers(self) -> int:
        """How many there are now."""

    def scores(
        self, configs: Iterable[QuantizationConfig], incumbent: QuantizationConfig | None = None
    ) -> Generator[Score | WorkerError, None, None]:
        """Evaluate configurations; when closed, or at an error, what runs is ended.

        Args:
            configs: any valid ones.
            incumbent: where the problem races, the configuration that each has to beat.

        Yields:
            In the order given their scores, whenever they are known; a `WorkerError` for one with
            which the worker died at every attempt.

        Raises:
            Exception: while iterating: what an evaluation raised.
        """

    def close(self) -> None:
        """Let go of what workers were sent."""


@runtime_checkable
class Distributes(Problem, Protocol):
    """It says itself what workers need of it, and keeps what they answer."""

    def distributed(self, executor: Executor, listener: Listener = unheard_workload) -> Evaluations:
        """Return its evaluations by the workers of an executor.

        Args:
            executor: has the workers.
            listener: told how busy they are.
        """


# --- what is behind a problem


@runtime_checkable
class Live(Problem, Protocol):
    """A network and data are behind it."""

    @property
    def network(self) -> nn.Module:
        """The float network."""

    @property
    def objective(self) -> Objective:
        """What outputs are scored by."""

    @property
    def evaluation(self) -> EvaluationSettings:
        """How much data is used, in which batches, and where."""

    @property
    def calibration(self) -> Samples:
        """The samples that networks are calibrated on."""

    @property
    def costs(self) -> NetworkCosts:
        """Costs of the network's layers."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What one should know before scores are compared."""

    def build(self, config: QuantizationConfig) -> nn.Module:
        """Return the network with exactly the outputs that were scored."""


@runtime_checkable
class Refines(Live, Protocol):
    """The weights of its networks can be reassigned, see `rlquant.refine`."""

    @property
    def validation(self) -> Samples:
        """The samples that scores are of."""

    @property
    def unfitted(self) -> Samples:
        """Samples that no quantizer was fitted to, which sensitivities are measured on."""

    @property
    def evaluator(self) -> Evaluator | TrainingEvaluator:
        """What measures, made on first use."""

    def canonical(self, config: QuantizationConfig) -> QuantizationConfig:
        """Return the canonical form of a configuration, in execution order."""


@runtime_checkable
class Enumerates(Problem, Protocol):
    """It measures very many configurations: by several workers, or remembering none."""

    def evaluate_many(
        self, configs: Iterable[QuantizationConfig], executor: Executor | str | None = None
    ) -> list[Score]:
        """Score several configurations by the workers of an executor."""

    def scan(self, configs: Iterable[QuantizationConfig]) -> Iterator[Measurement]:
        """Measure one after the other, and remember none."""


@runtime_checkable
class Complete(Problem, Protocol):
    """Every score is known, as in a table."""

    @property
    def name(self) -> str:
        """What it is called."""

    def losses_of(self, indices: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the losses of many vectors of option indices, shape `(n, layers)`."""

    def pareto(self) -> list[tuple[QuantizationConfig, Score]]:
        """Return what nothing cheaper is as good as, whatever the budget, cheapest first."""


@runtime_checkable
class Groups(Problem, Protocol):
    """Its layers are groups of a network's layers that share one choice."""

    @property
    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """The layers of each group."""


# --- questions


ASKED = tuple(name for name in vars(Problem) if not name.startswith("_"))
"""What every problem has."""


def require_problem(problem: Any, asked_by: str = "") -> Problem:
    """Return a problem; `SettingsError` for what does not have all that one has."""
    missing = [name for name in ASKED if not hasattr(problem, name)]
    if missing:
        raise SettingsError(
            f"{asked_by}problem is {type(problem).__name__} without {', '.join(missing)}; give a "
            f"QuantizationProblem or what keeps the protocol rlquant.Problem"
        )
    found: Problem = problem
    return found


def racing_of(problem: Problem) -> Racing | None:
    """Return how a problem's evaluations race, None where they do not."""
    return problem.racing if isinstance(problem, Races) else None
