"""Benchmark of prefix sharing against the bound that the prefixes set."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, median

import torch
from tqdm import tqdm

from rlquant import (
    Budget,
    EvaluationSettings,
    GroupedProblem,
    QuantizationConfig,
    QuantizationProblem,
    tasks,
)
from rlquant.evaluation.evaluator import Evaluator
from rlquant_agents.searchers.sensitivity import one_layer_each
from rlquant_experiments.benchmarks.clocked import COMPARED, ClockedSearch, evaluator_of
from rlquant_experiments.benchmarks.evaluation import NO_LIMIT, warm_weights
from rlquant_experiments.benchmarks.figure import Figure, seconds
from rlquant_experiments.benchmarks.sharing_bound import bound_of_sharing, clock_layers

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
    contenders = Contenders.of(small)
    name = f"enumerating {small}, 6 choices a layer"
    ratio, _, detail = contenders.run(list(contenders.everything(None)), name)
    found = [Figure(name, ratio, "x plain", 10.0, True, detail)]
    contenders = Contenders.of(grouped)
    groups = GROUPS if any(f.name.startswith("stage3") for f in contenders.problem.layers) else None
    name = f"enumerating {grouped}" + (f" in {len(GROUPS)} groups" if groups else "")
    found.append(contenders.figure(name, list(contenders.everything(groups))))
    contenders = Contenders.of(deep)
    found.append(contenders.figure(f"sensitivity pass, {deep}", contenders.sensitivity()))
    found.append(Contenders.of(grouped).search(f"local swap, {grouped}", swaps))
    return found


@dataclass(frozen=True, eq=False)
class Contenders:
    """One problem with three evaluators: what is measured, a plain one, and one that is clocked.

    Attributes:
        problem: shares what it can.
        plain: runs the whole network each time.
        clocked: runs all segments each time, and adds up the seconds of each.
        clock: its seconds by layer.
    """

    problem: QuantizationProblem
    plain: Evaluator
    clocked: Evaluator
    clock: list[float]

    @classmethod
    def of(cls, task_name: str) -> Contenders:
        """Load a task; every layer's weight is quantized before anything is timed."""
        task = tasks.load(task_name)
        data = (task.network, task.train, task.validation)
        made = QuantizationProblem(*data, budget=NO_LIMIT)
        alone = [EvaluationSettings(prefix_bytes=size) for size in (None, 0)]
        others = [QuantizationProblem(*data, budget=NO_LIMIT, evaluation=each) for each in alone]
        for each in (made, *others):
            warm_weights(each)
        plain, clocked = map(evaluator_of, others)
        contenders = cls(made, plain, clocked, clock_layers(clocked))
        for config in itertools.islice(contenders.everything(None), 3):
            plain.measure(config)
            clocked.measure(config)
        contenders.clock[:] = [0.0] * len(contenders.clock)
        return contenders

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
        evaluator = evaluator_of(self.problem)
        stride = max(1, len(configs) // COMPARED)
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
        problem = self.problem.with_budget(Budget.average_bits(3.0))
        search = ClockedSearch(problem, evaluations, self.plain.measure)
        configs = [evaluation.config for evaluation in search.run("local-swap").history]
        for config in configs[:COMPARED]:
            self.clocked.measure(config)
        ratio, bound, detail = self._compared(configs, search.seconds, search.compared)
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
        trie = evaluator_of(self.problem).incremental.trie
        detail = (
            f"{len(configs)} configurations, {1e3 * shared / len(configs):.2f} ms each; plain "
            f"{1e3 * median(plain):.1f} ms; {ratio:.2f} x faster, the bound is {bound:.2f} x; "
            f"{trie.bytes / 2**20:.0f} MB kept"
        )
        return ratio, bound, detail
