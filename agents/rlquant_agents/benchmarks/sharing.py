"""What configurations share: times of evaluations against the bound that their prefixes set."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median

import torch
from tqdm import tqdm

from rlquant import Budget, GroupedProblem, QuantizationConfig, QuantizationProblem, tasks
from rlquant.evaluation.evaluator import Evaluator
from rlquant_agents.benchmarks.evaluation import NO_LIMIT, warm_weights
from rlquant_agents.benchmarks.figure import Figure, seconds
from rlquant_agents.searcher import make_searcher
from rlquant_agents.sensitivity import one_layer_each
from rlquant_agents.session import Callback, Session

PLAIN = 40
"""So many of the configurations are also evaluated plainly, spread over the whole run."""
GROUPS = ("conv", "stage1.*", "stage2.*", "stage3.*", "classifier")
SHARE_OF_BOUND = 0.85


def sharing(task_names: tuple[str, str, str], swaps: int) -> list[Figure]:
    """Time an enumeration, one in groups, a sensitivity pass and a local search.

    Args:
        task_names: of the enumeration, of that in groups and the local search, and of the pass.
        swaps: evaluations of the local search.
    """
    torch.set_num_threads(1)
    small, grouped, deep = task_names
    race = Race.of(small)
    name = f"enumerating {small}, 6 choices a layer"
    ratio, _, detail = race.run(list(race.everything(None)), name)
    found = [Figure(name, ratio, "x plain", 10.0, True, detail)]
    race = Race.of(grouped)
    groups = GROUPS if any(f.name.startswith("stage3") for f in race.problem.layers) else None
    name = f"enumerating {grouped}" + (f" in {len(GROUPS)} groups" if groups else "")
    found.append(race.figure(name, list(race.everything(groups))))
    race = Race.of(deep)
    found.append(race.figure(f"sensitivity pass, {deep}", race.sensitivity()))
    found.append(Race.of(grouped).search(f"local swap, {grouped}", swaps))
    return found


@dataclass(frozen=True, eq=False)
class Race:
    """One problem with three evaluators: what is measured, a plain one, and one that is clocked.

    Attributes:
        problem: shares what it can.
        plain: runs the whole network each time.
        clocked: runs all segments each time, and adds up the seconds of each.
        clock: seconds by segment.
    """

    problem: QuantizationProblem
    plain: Evaluator
    clocked: Evaluator
    clock: list[float]

    @classmethod
    def of(cls, task_name: str) -> Race:
        """Load a task; every layer's weight is quantized before anything is timed."""
        task = tasks.load(task_name)

        data = (task.network, task.train, task.validation)
        made = QuantizationProblem(*data, budget=NO_LIMIT)
        others = [QuantizationProblem(*data, budget=NO_LIMIT, prefix_bytes=b) for b in (None, 0)]
        for each in (made, *others):
            warm_weights(each)
        plain, clocked = (each.evaluator for each in others)
        assert isinstance(plain, Evaluator)
        assert isinstance(clocked, Evaluator)
        race = cls(made, plain, clocked, _clocked(clocked))
        for config in itertools.islice(race.everything(None), 3):
            plain.measure(config)
            clocked.measure(config)
        race.clock[:] = [0.0] * len(race.clock)
        return race

    def everything(self, groups: Sequence[str] | None) -> Iterator[QuantizationConfig]:
        """Yield all configurations, neighbours beside one another; layers of a group agree."""
        names = [facts.name for facts in self.problem.layers]
        grouped = GroupedProblem(self.problem, groups or names)
        options = range(len(grouped.feasible.options))
        for indices in itertools.product(options, repeat=len(grouped.feasible)):
            yield grouped.expand(grouped.feasible.config(indices))

    def sensitivity(self) -> list[QuantizationConfig]:
        """Return every layer at every option, the others at the widest, in the best order."""
        feasible = self.problem.feasible
        asked = [feasible.config(v) for v in one_layer_each(feasible, len(feasible.options) - 1)]
        return [asked[i] for i in self.problem.expect(asked)]

    def figure(self, name: str, configs: Sequence[QuantizationConfig]) -> Figure:
        """Run, and set the ratio against the bound."""
        ratio, bound, detail = self.run(configs, name)
        return Figure(name, ratio / bound, "of the bound", SHARE_OF_BOUND, True, detail)

    def run(self, configs: Sequence[QuantizationConfig], name: str) -> tuple[float, float, str]:
        """Evaluate all, and some plainly in between; return ratio, bound and both in words."""
        evaluator = self.problem.evaluator
        stride = max(1, len(configs) // PLAIN)
        shared, plain = 0.0, []
        following = [*configs[1:], configs[-1]]
        pairs = zip(configs, following, strict=True)
        for number, (config, after) in enumerate(tqdm(pairs, total=len(configs), desc=name)):
            start = time.perf_counter()
            evaluator.measure(config, following=after)
            shared += time.perf_counter() - start
            if number % stride == 0:
                plain.append(self._plainly(config))
        return self._compared(configs, shared, plain)

    def search(self, name: str, evaluations: int) -> Figure:
        """Let local search run, and set what its evaluations took against the bound."""
        timed = _Timed(self, max(1, evaluations // PLAIN), evaluations)
        problem = self.problem.with_budget(Budget.average_bits(3.0))
        result = make_searcher("local-swap").search(problem, evaluations, 0, timed)
        configs = [evaluation.config for evaluation in result.history]
        ratio, bound, detail = self._compared(configs, timed.seconds, timed.plain)
        return Figure(
            f"{evaluations} evaluations of {name}",
            ratio / bound,
            "of the bound",
            SHARE_OF_BOUND,
            True,
            detail,
        )

    def _plainly(self, config: QuantizationConfig) -> float:
        taken = seconds(lambda: self.plain.measure(config))
        self.clocked.measure(config)
        return taken

    def _compared(
        self, configs: Sequence[QuantizationConfig], shared: float, plain: Sequence[float]
    ) -> tuple[float, float, str]:
        ratio = fmean(plain) * len(configs) / shared
        bound = bound_of_sharing([config.choices for config in configs], self.clock)
        trie = self.problem.evaluator.incremental.trie  # type: ignore[union-attr]
        detail = (
            f"{len(configs)} configurations, {1e3 * shared / len(configs):.2f} ms each; plain "
            f"{1e3 * median(plain):.1f} ms; {ratio:.2f} x faster, the bound is {bound:.2f} x; "
            f"{trie.bytes / 2**20:.0f} MB kept"
        )
        return ratio, bound, detail


class _Timed(Callback):
    """Adds up what a search's evaluations take, and evaluates some of them plainly as well."""

    def __init__(self, race: Race, stride: int, total: int) -> None:
        self._race, self._stride = race, stride
        self.seconds, self.plain = 0.0, list[float]()
        self._bar = tqdm(total=total, desc="local search")
        evaluator = race.problem.evaluator
        assert isinstance(evaluator, Evaluator)
        measure = evaluator.measure

        def timed(*args: object, **keywords: object) -> object:
            start = time.perf_counter()
            found = measure(*args, **keywords)  # type: ignore[arg-type]
            self.seconds += time.perf_counter() - start
            return found

        evaluator.measure = timed  # type: ignore[assignment,method-assign]

    def on_evaluation(self, session: Session, evaluation: object) -> None:
        """Evaluate every so many configurations plainly."""
        self._bar.update(1)
        latest = session.history[-1]
        if latest.number % self._stride == 0:
            self.plain.append(self._race._plainly(latest.config))


def bound_of_sharing(rows: Sequence[Sequence[object]], times: Sequence[float]) -> float:
    """Return how much faster configurations can be if every distinct prefix is run once.

    Args:
        rows: each configuration's decisions in execution order.
        times: of each layer, in the same order.
    """
    distinct: list[set[tuple[object, ...]]] = [set() for _ in times]
    for row in rows:
        for depth in range(len(times)):
            distinct[depth].add(tuple(row[: depth + 1]))
    needed = sum(len(prefixes) * t for prefixes, t in zip(distinct, times, strict=True))
    return len(rows) * sum(times) / needed


def _clocked(evaluator: Evaluator) -> list[float]:
    """Have the segments of an evaluator add up their seconds, by searched layer."""
    stages = evaluator.incremental.stages
    places = [max(0, stage.decisions - 1) for stage in stages]
    clock = [0.0] * (places[-1] + 1)
    for number, (stage, place) in enumerate(zip(stages, places, strict=True)):
        run = stage.segment.run

        def timed(*values: object, run: object = run, place: int = place) -> object:
            start = time.perf_counter()
            found = run(*values)  # type: ignore[operator]
            clock[place] += time.perf_counter() - start
            return found

        stages[number] = replace(stage, segment=replace(stage.segment, run=timed))
    return clock
