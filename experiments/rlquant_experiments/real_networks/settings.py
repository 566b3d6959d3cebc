"""Settings of the measurements on pretrained networks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rlquant.config import GroupSize
from rlquant.errors import unknown_name, whole_number
from rlquant.precision import Precision
from rlquant.tasks.registry import PRETRAINED
from rlquant_agents.search.searcher import searchers
from rlquant_experiments.baselines.registration import register_baselines
from rlquant_experiments.real_networks.made_networks import MADE

SEARCHERS = ("auto", "knapsack", "knapsack-fisher", "local-swap", "random")

REFINED = "+refine"
"""Behind the name of a searcher: the weights of its answer are assigned again, see `refine`."""


class Amounts(NamedTuple):
    """What the rows of a task are measured on.

    Attributes:
        calibration: samples of calibration, at most.
        validation: samples that searches see, at most.
        test: samples that every row is measured on once, at most.
        evaluations: of a search.
        precision: in which searches run validation samples, see `EvaluationSettings`; test data
            runs in the network's own.
    """

    calibration: int
    validation: int
    test: int
    evaluations: int
    precision: Precision = "own"


AMOUNTS = {
    "smollm2-135m": Amounts(64, 16, 48, 30, "bfloat16"),  # of 256 tokens each
    "minilm-l6": Amounts(96, 48, 256, 40),
    "efficientnet-lite0": Amounts(64, 128, 444, 30),
    **dict.fromkeys(MADE, Amounts(64, 64, 512, 40)),
}
"""As much as one core can run: an evaluation takes some seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RealNetworkSettings:
    """Measurements on pretrained networks.

    Attributes:
        tasks: pretrained tasks, or names of `made_networks.MADE`, which are trained first.
        bits: uniform bit-widths.
        budgets: average bits of searches, scales included.
        searchers: names of searchers, with `REFINED` behind them or not; none for uniform
            configurations alone.
        seeds: searches of each kind.
        evaluations, calibration, validation, test, precision: see `Amounts`; by default those of
            the task in `AMOUNTS`.
        threads: of PyTorch.
        out: folder that keeps every finished row.
        page_only: whether nothing is measured, and the page is made of the rows that are kept.
        findings: Markdown file of what people should know before they read the tables.
        report: Markdown file to write; figures and rows (JSON) go beside it, and rows that are
            there are not measured again.
    """

    tasks: tuple[str, ...] = tuple(PRETRAINED)
    bits: tuple[int, ...] = (2, 3, 4, 8)
    budgets: tuple[float, ...] = (2.5, 3.0, 4.0)
    searchers: tuple[str, ...] = SEARCHERS
    seeds: int = 3
    evaluations: int | None = None
    calibration: int | None = None
    validation: int | None = None
    test: int | None = None
    precision: Precision | None = None
    threads: int = 1
    out: Path = Path("runs/real-networks")
    page_only: bool = False
    findings: Path | None = None
    report: Path | None = None

    def check(self) -> None:
        """Raise `UnknownNameError` or `SettingsError` for what cannot be measured."""
        register_baselines()
        for names, known, kind in (
            (self.tasks, AMOUNTS, "task"),
            ([n.removesuffix(REFINED) for n in self.searchers], searchers(), "searcher"),
        ):
            for name in names:
                if name not in known:
                    raise unknown_name(kind, name, known)
        for field in ("seeds", "evaluations", "calibration", "validation", "test", "threads"):
            if getattr(self, field) is not None:
                whole_number(f"--{field}", getattr(self, field), 1)

    def amounts(self, task: str) -> Amounts:
        """Return what the rows of a task are measured on."""
        own = {
            name: given for name in Amounts._fields if (given := getattr(self, name)) is not None
        }
        return AMOUNTS[task]._replace(**own)


@dataclass(frozen=True, slots=True)
class Quantizer:
    """A way to quantize all layers alike.

    Attributes:
        label: of the reports.
        points, rounding: as in `LayerChoice`.
    """

    label: str
    points: str
    rounding: str


QUANTIZERS = (
    Quantizer("absmax", "symmetric", "nearest"),
    Quantizer("clipped", "clipped", "nearest"),
    Quantizer("GPTQ", "clipped", "gptq"),
)
GROUP_SIZES: tuple[GroupSize, ...] = ("channel", 64, 32)
