"""Settings of `rlquant search`, and the searcher that they choose."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import tyro
from torch import nn

from rlquant import Budget, GgufTarget, tasks
from rlquant.errors import SettingsError, whole_number
from rlquant.export.targets import COMPRESSED_TENSORS, GGUF
from rlquant.plugins import FORMATS, SEARCHERS, TASKS, plugins
from rlquant_agents.cli.task_settings import TaskSettings
from rlquant_agents.reporting.run_files import SETTINGS
from rlquant_agents.search.run_settings import read_settings
from rlquant_agents.search.searcher import Searcher, make_searcher

PRETRAINED = "pretrained"
"""Names the agent that comes with the package; a folder of that name is meant by ./pretrained."""
ASKED = "asked"
"""Where a run's settings.json keeps what the command line asked for."""
MAY_DIFFER = frozenset(
    {
        *("evaluations", "baselines", "final_epochs", "refine", "report", "out", "output"),
        *("store", "progress", "threads", "device", "executor", "log"),
    }
)
"""Settings with which a search may go on that has begun with others."""


@dataclass(frozen=True, kw_only=True)
class SearchSettings(TaskSettings):
    """A search and its baselines.

    Attributes:
        budget: the limit, in units of --quantity; by default what 3 bits with their scales take.
        size: the limit in bytes of the file, e.g. 75MB or 1.5GiB, in place of --budget and
            --quantity.
        fits: for --target gguf in place of --size, the memory that llama.cpp runs the file in, e.g.
            4GB: the file gets what is left beside keys and values of --context tokens in 16 bits,
            buffers of 512 tokens (two of logits and the activations of a block, in 32 bits) and
            32 MiB for the program.
        context: tokens of --fits, all of whose keys and values are kept.
        budgets: a whole range of limits instead, as in 2.3..6: one agent (dyna-ppo) searches for
            the front between them, and --budget is the largest.
        searcher: auto for what suits, or a name out of `rlquant_agents.searchers()`, such as
            dyna-ppo, masked-ppo, tpe, knapsack, local-swap or random.
        agent: folder of an agent that `rlquant train-agent` wrote, or "pretrained" for the one
            that comes with rlquant, pretrained on other networks; instead of --searcher.
        baselines: searchers to run beside it, each with as many evaluations; give none to skip.
        evaluations: distinct configurations that each searcher may measure.
        seed: of the searches; the same seed gives the same result.
        reward: what makes a configuration better: log_loss, loss or accuracy.
        final_epochs: train the best configurations for this many epochs at the end, beside uniform
            and ternary networks of the same budget, and write model-trained.rlq; 0 for no training.
        refine: assign the weights of the best configuration again at the end, for roundings gptq
            and learned: in execution order, each layer by what it misses of the float network's
            inputs, and, for learned, across layers by the network's loss.
        report: Markdown file for the results and every layer's choice, where wanted.
        out: folder to write; by default runs/<task>-<searcher>-<budget>-seed<seed>, with -2, -3
            and so on behind it where that holds a search with other settings.
        output: file that gets the network, e.g. -o small.gguf: what --target makes of it, or the
            same as model.rlq; for compressed-tensors a folder. By default it is in the folder.
        store: keeps every evaluation: an SQLite file, or for several machines
            postgresql+psycopg://USER@HOST/DATABASE; by default evaluations.sqlite beside the
            folder, shared by all searches there.
        progress: show progress bars.
        executor: what evaluates: local:4 for four processes of this machine, local for one a core,
            dask:HOST:8786 for a cluster of Dask, slurm:partition=NAME,jobs=32 for jobs of SLURM;
            by default this process.
        log: experiment trackers that are told of every search beside TensorBoard: mlflow, wandb;
            each takes settings from its own environment, e.g. MLFLOW_TRACKING_URI or WANDB_MODE.
        batch: configurations that are asked for together; by default what suits the searcher, and
            twice as many as there are workers.
    """

    budget: float = 3.2
    size: str | None = None
    fits: str | None = None
    context: int = 4096
    budgets: str | None = None
    searcher: str = "auto"
    agent: str | None = None
    baselines: tuple[str, ...] = (
        *("uniform", "random", "tpe", "knapsack", "local-swap", "pairwise"),
    )
    evaluations: int = 200
    seed: int = 0
    reward: str = "log_loss"
    final_epochs: int = 0
    refine: bool = False
    report: Path | None = None
    out: Path | None = None
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    store: str | None = None
    progress: bool = True
    executor: str | None = None
    batch: int | None = None
    log: tuple[str, ...] = ()

    def sized(self) -> SearchSettings:
        """Return the settings with `size` as quantity and budget, and `fits` checked.

        Raises:
            SettingsError: another limit is given beside it, or `fits` with another target.
            BudgetError: no such size.
        """
        given = [name for name in ("size", "fits") if getattr(self, name) is not None]
        if not given:
            return self
        other = self.budgets is not None or self.quantity not in ("average_bits", "size_bytes")
        if other or len(given) > 1:
            raise SettingsError(
                f"--{given[0]} cannot be combined with --budgets, --quantity or "
                f"--{'fits' if given[0] == 'size' else 'size'}; give one"
            )
        if self.size is None:
            return self._fitting()
        limit = Budget.file_size(self.size).limit
        return replace(self, quantity="size_bytes", budget=limit, size=None)

    def _fitting(self) -> SearchSettings:
        """Return the same settings, once what `fits` says can be meant."""
        assert self.fits is not None
        whole_number("--context", self.context, 1)
        if self.target != GGUF:
            raise SettingsError(
                f"--fits says what llama.cpp runs in: give --target {GGUF}, or --size"
            )
        Budget.file_size(self.fits)
        return self

    def budget_for(self, network: nn.Module) -> Budget:
        """Return the budget of a search for a loaded network; the largest of a range.

        Raises:
            BudgetError: see `budget_of`; or what is to fit leaves no byte for the file.
            NetworkError: `fits`, and no GGUF file can hold the network.
        """
        if self.fits is None:
            return self.budget_of(self.limits()[1])
        target = self.deployment()
        assert isinstance(target, GgufTarget)  # see `sized`
        return target.budget_within(self.fits, network, context=self.context)

    def limits(self) -> tuple[float | None, float]:
        """Return the smallest limit of a whole range, None for one limit alone, and the largest.

        Raises:
            SettingsError: `budgets` is not a range.
        """
        if self.budgets is None:
            return None, self.budget
        low, dots, high = self.budgets.partition("..")
        try:
            lowest, highest = float(low), float(high)
        except ValueError:
            lowest = highest = 0.0
        if not dots or not 0 < lowest < highest:
            raise SettingsError(
                f"--budgets {self.budgets!r}: give the smallest and the largest limit, as in 2.3..6"
            )
        return lowest, highest

    def folder(self, searcher: str) -> Path:
        """Return the folder to write: the one of the same settings, or the first that is free."""
        if self.out is not None:
            return self.out
        fits = None if self.fits is None else f"fits-{self.fits.replace(' ', '')}"
        budget = self.budgets or fits or self.budget_name(self.budget)
        name = f"{self.file_name}-{searcher}-{budget}-seed{self.seed}"
        for number in count(1):
            folder = Path("runs") / (name if number == 1 else f"{name}-{number}")
            there = read_settings(folder / SETTINGS)
            if there is None or there.get(ASKED) == self.asked():
                break
        return folder

    def asked(self) -> dict[str, Any]:
        """Return what must be the same for a search to go on, as it stands in a run's settings."""
        found = {name: value for name, value in asdict(self).items() if name not in MAY_DIFFER}
        plain: dict[str, Any] = json.loads(json.dumps(found, default=str))
        return plain

    def written(self, folder: Path, name: str) -> Path:
        """Return where the network goes: `output`, else the file of that name in the run folder."""
        return folder / name if self.output is None else self.output

    def require_output(self) -> None:
        """Raise `SettingsError` where `output` is no place for a file (or folder)."""
        if self.output is None:
            return
        if not self.output.parent.is_dir():
            raise SettingsError(f"--output {self.output}: there is no folder {self.output.parent}")
        if self.output.is_dir() and self.target != COMPRESSED_TENSORS:
            raise SettingsError(f"--output {self.output} is a folder; name a file in it")

    @property
    def repeatable(self) -> bool:
        """Whether settings and run folder say all: not of other folders, nor of others' code."""
        own = (self.model, self.images, self.export_source, self.output)
        if any(own) or self.agent not in (None, PRETRAINED) or self.task not in tasks.names():
            return False
        added = {*plugins(TASKS), *plugins(SEARCHERS), *plugins(FORMATS)}
        return not added & {self.task, self.searcher, *self.baselines, *(self.points or ())}

    def files(self) -> list[Path]:
        """Return the files that a search reads, those of its task apart, and its own report."""
        named = (self.config, self.latency_table, self.imatrix, self.report)
        return [file for file in named if file is not None]


def chosen_searcher(settings: SearchSettings) -> Searcher:
    """Return the agent for a range of limits or the one that is given, else by its name."""
    lowest, _ = settings.limits()
    if lowest is not None and (
        settings.agent not in (None, PRETRAINED) or settings.searcher not in ("auto", "dyna-ppo")
    ):
        raise SettingsError(
            "--budgets cannot be combined with an --agent or --searcher other than dyna-ppo, which "
            "searches the whole range; leave out --agent and --searcher, or give one --budget"
        )
    if lowest is not None or settings.agent == PRETRAINED:
        return make_searcher("dyna-ppo", reward=settings.reward, lowest=lowest)
    if settings.agent is None:
        return make_searcher(settings.searcher, reward=settings.reward)
    from rlquant_agents.policies.saved_agent import from_agent  # needs Stable-Baselines3

    return replace(from_agent(settings.agent), reward=settings.reward)
