"""A tuning of a searcher as a person types it: what is tuned, on which tables, judged on which."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rlquant import Budget, Table, load_table, table_names
from rlquant.errors import SettingsError, whole_number
from rlquant.tabular.random_table import random_table
from rlquant.tabular.shipped import SUFFIX
from rlquant_agents.compare_settings import require_distinct
from rlquant_agents.searcher import make_searcher
from rlquant_agents.tuning_ranges import Ranges, ranges_of

logger = logging.getLogger(__name__)

Shapes = Sequence[tuple[int, int, float]]
"""Groups, options and interaction of made-up tables."""

SEARCHED: Shapes = ((5, 8, 0.5), (7, 6, 0.5), (8, 6, 0.3), (10, 4, 0.5), (12, 3, 0.3))
JUDGED: Shapes = ((4, 12, 0.5), (6, 6, 0.5), (7, 7, 0.3), (8, 5, 0.5), (9, 4, 0.5), (11, 3, 0.3))
SEARCHED_FROM, JUDGED_FROM = 100, 200
"""Seeds of the first made-up table of either kind."""
JUDGE_SEED = 1000
"""The first seed of the runs that judge in the end; the runs of trials have smaller ones."""


@dataclass(frozen=True, kw_only=True)
class TuneSettings:
    """What is tuned, and on what.

    Attributes:
        searcher: name of the searcher, dyna-ppo or masked-ppo; its ranges stand in
            tuning_ranges.py.
        fixed: settings that are not tuned and differ from the defaults, as name=value with a value
            in JSON, e.g. agent=fresh or rollouts=2.
        tables: tables that the settings are tried on: names, paths of .rlt files, or folders of
            such; by default made-up ones.
        held_out: tables that the winner and the shipped settings are compared on in the end, none
            of them seen before; by default other made-up ones.
        budgets: the limits, in average bits.
        evaluations: distinct configurations that each run may look at.
        trials: settings to try, those before an interruption included.
        seeds: runs of each trial on each table under each budget.
        judge_seeds: runs of either side on each held-out table under each budget, with other seeds
            than those of the trials.
        seed: of the draws of settings.
        out: folder for the runs, the study (study.sqlite) and the report; by default
            runs/tune-<searcher>.
        threads: threads of torch; for networks as small as these one is fastest.
    """

    searcher: str = "dyna-ppo"
    fixed: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    budgets: tuple[float, ...] = (2.5, 3.5)
    evaluations: int = 60
    trials: int = 100
    seeds: int = 2
    judge_seeds: int = 20
    seed: int = 0
    out: Path | None = None
    threads: int = 1

    @property
    def folder(self) -> Path:
        """The folder to write."""
        return self.out or Path("runs") / f"tune-{self.searcher}"

    def require(self) -> None:
        """Raise `SettingsError` for numbers out of range, and for a budget given twice or none."""
        for flag in ("evaluations", "trials", "judge_seeds", "threads"):
            whole_number(f"--{flag.replace('_', '-')}", getattr(self, flag), 1)
        whole_number("--seeds", self.seeds, 1, JUDGE_SEED)
        whole_number("--seed", self.seed, 0, 2**31)
        if not self.budgets:
            raise SettingsError("--budgets needs at least one")
        require_distinct("--budgets", [str(limit) for limit in self.limits()])

    def limits(self) -> tuple[Budget, ...]:
        """Return the budgets; `BudgetError` for a number that is none."""
        return tuple(Budget.average_bits(limit) for limit in self.budgets)

    def fixed_settings(self) -> dict[str, Any]:
        """Return the settings that are not tuned.

        Raises:
            SettingsError: not of the form name=value, one given twice, or one that the searcher
                does not take.
            UnknownNameError: no searcher has that name.
        """
        pairs = [pair.partition("=") for pair in self.fixed]
        for name, equals, value in pairs:
            if not (name and equals and value):
                raise SettingsError(f"--fixed {name}{equals}{value}: write it as name=value")
        require_distinct("--fixed", [name for name, _, _ in pairs])
        found = {name: _value(value) for name, _, value in pairs}
        make_searcher(self.searcher, **found)
        return found

    def ranges(self) -> Ranges:
        """Return what is tuned; see `ranges_of`."""
        return ranges_of(self.searcher, self.fixed_settings())

    def read_tables(self) -> tuple[tuple[Table, ...], tuple[Table, ...]]:
        """Return the tables that settings are tried on, and those that are held out.

        Raises:
            SettingsError: a folder without tables, a table given twice, or one network on both
                sides.
            RlquantError: a table that cannot be read.
        """
        searched = _read("--tables", self.tables) or made_up(SEARCHED, SEARCHED_FROM)
        judged = _read("--held-out", self.held_out) or made_up(JUDGED, JUDGED_FROM)
        seen = {table.fingerprint: table.name for table in searched}
        both = [f"{table.name} ({seen[f]})" for table in judged if (f := table.fingerprint) in seen]
        if both:
            raise SettingsError(
                f"--held-out: the networks of {', '.join(both)} would be seen by the search; leave "
                f"them out of --tables or of --held-out"
            )
        for name in shipped_among(searched):
            logger.warning("%s comes with rlquant, and searchers are compared on it", name)
        return searched, judged


def made_up(shapes: Shapes, seed: int) -> tuple[Table, ...]:
    """Return made-up tables, the first with this seed and each with one more."""
    found = []
    for number, (groups, options, interaction) in enumerate(shapes, seed):
        table = random_table(groups, options, interaction, number)
        name = f"made-up-{groups}x{options}-{interaction:g}-{number}"
        found.append(replace(table, name=name))
    return tuple(found)


def shipped_among(tables: Sequence[Table]) -> list[str]:
    """Return the names of those that come with rlquant, under whatever name they were given."""
    known = {load_table(name).fingerprint for name in table_names()}
    return [table.name for table in tables if table.fingerprint in known]


def _read(flag: str, given: Sequence[str]) -> tuple[Table, ...]:
    names = [name for one in given for name in _in_folder(flag, one)]
    require_distinct(flag, [Path(name).stem for name in names])
    return tuple(replace(load_table(name), name=Path(name).stem) for name in names)


def _in_folder(flag: str, name: str) -> list[str]:
    """Return the tables in a folder; a name or a file as it is."""
    if not Path(name).is_dir():
        return [name]
    found = sorted(str(path) for path in Path(name).glob(f"*{SUFFIX}"))
    if not found:
        raise SettingsError(f"{flag}: the folder {name} holds no {SUFFIX} file; give another one")
    return found


def _value(text: str) -> Any:
    """Return a value in JSON; a word that is none as it stands."""
    try:
        return json.loads(text)
    except ValueError:
        return text
