"""The user's one call: a network, data and a budget in, a quantized network out."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TextIO

from torch import nn

import rlquant
from rlquant import (
    Budget,
    EvaluationSettings,
    EvaluationStore,
    Objective,
    Problem,
    QuantizationProblem,
    Reward,
    SearchSpace,
)
from rlquant.ambient import isolated
from rlquant.arguments import explained
from rlquant.config import Fidelity
from rlquant.data import Data
from rlquant.errors import SettingsError
from rlquant.evaluation.weight_folder import remove_weights
from rlquant.evaluation_settings import require_evaluation
from rlquant.executors.opening import opened, require_executor, transport_of
from rlquant.export.deployment import DeploymentTarget
from rlquant.folder_lock import HeldFolder, held
from rlquant.objective import ObjectiveFunction
from rlquant.paths import PathLike
from rlquant.problem.protocol import Live, Refines, Stores, require_problem
from rlquant.problem.refine import require_refinable
from rlquant.store.store import as_store
from rlquant_agents.runs.run_folder import RunFolder
from rlquant_agents.search.callbacks import Callbacks, ProgressBar, TensorBoardLog
from rlquant_agents.search.checks import whole_evaluations, whole_seed
from rlquant_agents.search.interrupts import Uninterrupted, interrupts_held, signals_interrupt
from rlquant_agents.search.result import SearchResult, require_finite_loss
from rlquant_agents.search.run_settings import describe_run, require_named
from rlquant_agents.search.searcher import Searcher, Searches, name_of, resolve_searcher
from rlquant_agents.search.session import Callback, require_callback
from rlquant_agents.search.training_progress import TrainingProgressBar

STORE = "evaluations.sqlite"


_SEARCHER = "give searcher=make_searcher(name, {}=...)"
_SEARCHED = "make a QuantizationProblem and give search_problem(problem, {}=...)"
_PROBLEM = "give QuantizationProblem(..., {}=...) and search that with search_problem"
ELSEWHERE = {
    **dict.fromkeys(("batch", "reward", "settings"), _SEARCHER),
    **dict.fromkeys(("callback", "progress", "refine"), _SEARCHED),
    **dict.fromkeys(("racing", "store", "teacher", "training", "warm_start"), _PROBLEM),
    "quantizer_seed": "give QuantizationProblem(..., seed=...) and search that with search_problem",
}
"""What `search` does not take, and who does: argument -> what to do."""


@explained(elsewhere=ELSEWHERE)
@isolated(seed=0)
def search(
    network: nn.Module,
    train_data: Data,
    validation_data: Data,
    *,
    budget: Budget,
    space: SearchSpace | None = None,
    fidelity: Fidelity = "calibrated",
    objective: Objective | ObjectiveFunction | None = None,
    evaluation: EvaluationSettings = EvaluationSettings(),  # noqa: B008 - a frozen value
    searcher: str | Searches = "auto",
    evaluations: int = 200,
    seed: int = 0,
    out: PathLike | None = None,
    target: DeploymentTarget | None = None,
    executor: Executor | str | None = None,
) -> SearchResult:
    """Find how each layer of a trained network should be quantized, within a budget.

    It makes a `QuantizationProblem` and hands it to `search_problem`, with a progress bar where
    standard error is a terminal. Those two take what is set more seldom, such as how
    configurations are trained, and callbacks.

    Args:
        network: trained float network; copied, never changed.
        train_data: for calibration: a pair (inputs, targets), or what iterates such batches.
        validation_data: what the search is evaluated on.
        budget: the limit, which the result keeps.
        space: the options; by default `SearchSpace.for_network(network)`, or
            `rlquant.TRAINING_SPACE` where configurations are trained.
        fidelity: how far networks are trained before they are measured: "calibrated" (not at
            all), "tuned" (some tens of steps) or "trained" (epochs).
        objective: cross-entropy and accuracy by default.
        evaluation: how much data is used, in which batches, and where; see `EvaluationSettings`.
        searcher: a name out of `searchers()`, a `Searcher`, or any object with its method `search`.
        evaluations: distinct configurations that may be measured.
        seed: of the search; the same seed gives the same result.
        out: folder for everything that is found, told in its report.html. A search that was stopped
            there goes on.
        target: where the network will run, e.g. `rlquant.GgufTarget(source)`, whose file's bytes
            are counted; None for the packed file.
        executor: whose workers evaluate: a `concurrent.futures.Executor`, or a text such as
            "local:4" (processes of this machine), "dask:HOST:8786" (a cluster) or
            "slurm:partition=NAME,jobs=32"; None for this process. Each worker gets the problem once
            and computes with one thread. As many configurations are asked for together as the
            searcher's `batch` says, by default twice as many as there are workers.

    Returns:
        The best configuration, its score, and `network`, the very network that was scored.

    Raises:
        RlquantError: a child that names what is wrong with network, data, budget, space, searcher,
            settings or folder.

    Examples:
        >>> import rlquant
        >>> from rlquant.testing import toy_network
        >>> network, data, validation_data = toy_network()
        >>> from rlquant_agents import search
        >>> budget = rlquant.Budget.average_bits(8.0)
        >>> result = search(
        ...     network, data, validation_data, budget=budget, searcher="random", evaluations=5
        ... )
        >>> result.score.average_bits <= 8.0
        True
        >>> rlquant.save(result.network, "network.rlq") == result.score.size_bytes
        True
    """
    plan = _Plan.of(searcher, None, None, evaluations, seed, None, out, executor, None)
    with signals_interrupt(), _held(out) as folder, opened(executor) as workers:
        problem = QuantizationProblem(
            network,
            train_data,
            validation_data,
            budget=budget,
            space=space,
            fidelity=fidelity,
            objective=objective,
            evaluation=require_evaluation(evaluation).with_weights_in(folder),
            target=target,
        )
        result = search_problem(
            problem,
            searcher=plan.searcher,
            evaluations=plan.evaluations,
            seed=plan.seed,
            out=folder,
            progress=_is_terminal(sys.stderr),
            executor=workers,
        )
        if folder is not None and result.stopped != "interrupted":
            remove_weights(folder.path)
        return result


def _is_terminal(stream: TextIO | None) -> bool:
    """Return whether somebody watches a stream; a process without a console has None."""
    return stream is not None and stream.isatty()


@explained
@isolated(seed=0)
def search_problem(
    problem: Problem,
    *,
    searcher: str | Searches = "auto",
    evaluations: int = 200,
    seed: int = 0,
    out: PathLike | None = None,
    store: PathLike | EvaluationStore | None = None,
    progress: bool = False,
    reward: str | Reward | None = None,
    settings: Mapping[str, Any] | None = None,
    callback: Callback | None = None,
    remember: Mapping[str, Any] | None = None,
    refine: Data | None = None,
    executor: Executor | str | None = None,
    batch: int | None = None,
) -> SearchResult:
    """Search a ready problem, as `search` does.

    Args:
        problem: what is searched, a live network or a table.
        searcher: a name out of `searchers()`, a `Searcher`, or any object with its method `search`.
        evaluations: distinct configurations that may be measured.
        seed: of the search.
        out: folder for everything that is found, told in its report.html.
        store: keeps every evaluation, a file or the URL of a PostgreSQL database (see
            `EvaluationStore`); the problem's own by default, else `<out>/evaluations.sqlite`.
        progress: show a progress bar on standard error.
        reward: what makes a configuration better; by default the searcher's.
        settings: of the searcher, where that is a name.
        callback: told of each evaluation.
        remember: what else is written into settings.json, e.g. the command line.
        refine: training data by which the weights of the best configuration are assigned again in
            the end, see `rlquant.refine`; None for not.
        executor: whose workers evaluate, as of `search`.
        batch: configurations that are asked for together; by default the searcher's. The same batch
            gives the same result, by however many workers.

    Raises:
        SettingsError: a setting out of range, or `out` holds another run.
        UnknownNameError: no searcher or reward has that name.
        StorageError: `out` or `store` cannot be written.

    Examples:
        >>> from rlquant.testing import ToyProblem
        >>> from rlquant_agents import search_problem
        >>> result = search_problem(ToyProblem(3, 4.0), searcher="local-swap", evaluations=20)
        >>> [choice.bits for choice in result.best]
        [4, 3, 4]
    """
    plan = _Plan.of(searcher, reward, settings, evaluations, seed, callback, out, executor, batch)
    if refine is not None:
        require_refinable(problem)  # before hours of search
    require_problem(problem)
    if isinstance(plan.searcher, Searcher):
        plan.searcher.check(problem)  # what it cannot search must leave no folder behind
    with signals_interrupt(), _held(out) as folder, opened(executor) as workers:
        plan = plan.on(workers)
        problem = _with_store(problem, folder, store)
        run = None
        if folder is not None:
            document = describe_run(problem, plan.searcher, plan.evaluations, plan.seed, remember)
            run = RunFolder(folder, problem, document)
        result = _searched(problem, plan, run, progress, callback, workers)
        if refine is None or result.stopped == "interrupted":
            return result
        assert isinstance(problem, Refines)
        result = _refined(result, problem, refine, progress)
        _finish(result, run)
        return result


def _held(out: Any) -> AbstractContextManager[HeldFolder | None]:
    """Hold the folder of a search that has one."""
    return nullcontext() if out is None else held(out)


def _searched(
    problem: Problem,
    plan: _Plan,
    run: RunFolder | None,
    progress: bool,
    callback: Callback | None,
    workers: Executor | None,
) -> SearchResult:
    """Search with everything that watches, and build the network of the best configuration."""
    watchers: list[Callback] = []
    if run is not None:
        watchers += [run, TensorBoardLog(run.path)]
    if progress:
        watchers.append(ProgressBar(name_of(plan.searcher)))
    if callback is not None:
        watchers.append(callback)
    told = Uninterrupted(Callbacks(watchers)) if watchers else None
    if workers is None:
        result = plan.searcher.search(problem, plan.evaluations, plan.seed, told)
    else:
        assert isinstance(plan.searcher, Searcher)
        result = plan.searcher.search(problem, plan.evaluations, plan.seed, told, workers)
    if not isinstance(result, SearchResult):
        raise SettingsError(
            f"searcher {name_of(plan.searcher)!r} returned {result!r}, not a SearchResult"
        )
    require_finite_loss(result, problem)
    if run is not None and result.stopped != "interrupted":
        try:
            notes = run.measure_uniform(getattr(plan.searcher, "reward", "loss"))
            result = dataclasses.replace(result, notes=(*result.notes, *notes))
        except KeyboardInterrupt:
            result = dataclasses.replace(result, stopped="interrupted")
    with interrupts_held(unless=result.stopped == "interrupted"):
        if isinstance(problem, Live):
            notes = (*problem.notes, *result.notes)
            result = dataclasses.replace(result, network=problem.build(result.best), notes=notes)
        _finish(result, run)
    return result


def _finish(result: SearchResult, run: RunFolder | None) -> None:
    """Write all that is known at the end; whoever interrupts for the second time does not wait."""
    if run is not None:
        with interrupts_held(unless=result.stopped == "interrupted"):
            run.finish(result)


def _refined(
    result: SearchResult, problem: Refines, train_data: Data, progress: bool
) -> SearchResult:
    """Return the result with its weights assigned again, as it was where that is interrupted."""
    try:
        with TrainingProgressBar("refine", shown=progress) as bar:
            network, score = rlquant.refine(problem, result.best, train_data, watch=bar)
    except KeyboardInterrupt:
        return dataclasses.replace(result, stopped="interrupted")
    return dataclasses.replace(result, network=network, score=score)


@dataclass(frozen=True)
class _Plan:
    """What both calls are given, checked before anything is loaded, measured or written."""

    searcher: Searches
    evaluations: int
    seed: int

    @classmethod
    def of(
        cls,
        searcher: str | Searches,
        reward: str | Reward | None,
        settings: Mapping[str, Any] | None,
        evaluations: int,
        seed: int,
        callback: Callback | None,
        out: PathLike | None,
        executor: Executor | str | None,
        batch: int | None,
    ) -> _Plan:
        chosen = resolve_searcher(searcher, reward, settings)
        require_executor(executor)
        if not isinstance(chosen, Searcher):
            _require_no_workers(chosen, executor, batch)
        elif batch is not None:
            chosen = dataclasses.replace(chosen, batch=batch)
        require_callback(callback)
        if out is not None:
            require_named(getattr(chosen, "reward", None))
        return cls(chosen, whole_evaluations(evaluations), whole_seed(seed))

    def on(self, workers: Executor | None) -> _Plan:
        """Return the same with the batch that suits the workers, which the run folder then has."""
        if workers is None or not isinstance(self.searcher, Searcher):
            return self
        batch = self.searcher.batch_for(transport_of(workers).workers)
        return dataclasses.replace(self, searcher=dataclasses.replace(self.searcher, batch=batch))


def _require_no_workers(searcher: Searches, executor: object, batch: object) -> None:
    """Raise `SettingsError` where workers are given to a searcher that cannot know of them."""
    given = {"executor": executor, "batch": batch}
    for name, value in given.items():
        if value is not None:
            raise SettingsError(
                f"{name}={value!r} goes with a Searcher; {name_of(searcher)!r} is none: derive it "
                f"from rlquant_agents.Searcher, or leave out {name}"
            )


def _with_store(
    problem: Problem, out: HeldFolder | None, store: PathLike | EvaluationStore | None
) -> Problem:
    """Return the problem with the store that the arguments name, opened."""
    if not isinstance(problem, Stores):
        if store is not None:
            raise SettingsError(f"a {type(problem).__name__} measures nothing: leave out store")
        return problem
    chosen = problem.store if store is None else as_store(store)
    if chosen is None:
        if out is None:
            return problem
        chosen = EvaluationStore(out.path / STORE)
    chosen.count()  # a file that cannot be used says so before the search
    return problem.with_store(chosen)
