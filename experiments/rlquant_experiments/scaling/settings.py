"""Settings of the measurements and the simulation of many workers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rlquant.errors import SettingsError, whole_number


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingSettings:
    """How searches scale: overheads measured here, hundreds of workers simulated, regret by batch.

    Attributes:
        stores: names of networks and the stores of their searches, as in --stores minilm-l6
            runs/evaluations.sqlite: what their evaluations took is simulated.
        tasks: whose evaluations are timed here, in this process and by workers.
        timed: evaluations of it in each round.
        sleep: seconds of the evaluations that sleep, by which workers are told from cores.
        sleeping: numbers of workers that evaluate those.
        workers: numbers of workers that are simulated.
        rounds: evaluations of a simulated search, for each worker.
        stragglers: share of evaluations that take longer, in [0, 1].
        slowdown: how many times as long.
        tables: on which searches with each batch are run.
        budget: average bits of these.
        searcher: of these.
        batches: sizes.
        seeds: searches with each batch on each table.
        evaluations: of a search.
        out: folder that keeps what was measured and every finished search.
        report: Markdown file to write; a figure and what was measured go beside it.
    """

    stores: tuple[tuple[str, Path], ...] = ()
    tasks: tuple[str, ...] = ("digits/resnet8",)
    timed: int = 20
    sleep: float = 1.0
    sleeping: tuple[int, ...] = (1, 2, 4, 8)
    workers: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256)
    rounds: int = 64
    stragglers: float = 0.1
    slowdown: float = 3.0
    tables: tuple[str, ...] = ("digits-resnet8", "digits-resnet8-layers", "fashion-mnist-resnet8")
    budget: float = 2.6
    searcher: str = "auto"
    batches: tuple[int, ...] = (1, 4, 8, 16, 32, 64)
    seeds: int = 20
    evaluations: int = 128
    out: Path = Path("runs/scaling")
    report: Path | None = None

    def check(self) -> None:
        """Raise `SettingsError` for what cannot be measured."""
        for field in ("timed", "rounds", "seeds", "evaluations"):
            whole_number(f"--{field}", getattr(self, field), 1)
        for field in ("sleeping", "workers", "batches"):
            for number in getattr(self, field):
                whole_number(f"--{field}", number, 1)
        if not 0.0 <= self.stragglers <= 1.0 or self.slowdown < 1.0 or self.sleep <= 0.0:
            raise SettingsError(
                f"--stragglers {self.stragglers} is a share in [0, 1], --slowdown {self.slowdown} "
                f"at least 1, --sleep {self.sleep} above 0"
            )
        for field in ("tasks", "tables", "batches"):
            if not getattr(self, field):
                raise SettingsError(f"--{field}: give at least one")
        for _, path in self.stores:
            if not path.is_file():
                raise SettingsError(f"--stores: {path} is no file; name the store of a search")

    @property
    def reports(self) -> list[Path]:
        """Where the page goes."""
        return [self.out / "scaling.md", *([self.report] if self.report else [])]
