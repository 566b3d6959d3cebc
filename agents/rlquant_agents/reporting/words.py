"""Numbers and budgets as a person reads them, the same on the page and on the terminal."""

from __future__ import annotations

import math

from rlquant_agents.reporting.neighbours import Neighbour
from rlquant_agents.reporting.quantities import UNITS
from rlquant_agents.reporting.run_files import RunFiles


def decimal(value: float, sign: str = "") -> str:
    """Return a loss or an accuracy; what is not finite is said in words."""
    if not math.isfinite(value):
        return "not finite"
    small = value != 0 and abs(value) < 1e-3
    return f"{value:{sign}.2e}" if small else f"{value:{sign}.4f}"


def count(value: int, sign: str = "") -> str:
    """Return a whole number with its thousands apart."""
    return f"{value:{sign},}"


def share(part: float, whole: float) -> str:
    """Return a part of a whole in per cent."""
    return f"{100 * part / whole if whole else 0.0:.1f} %"


def plain(value: float) -> str:
    """Return a number in as few digits as it needs, four at most behind the point."""
    return f"{value:,.4f}".rstrip("0").rstrip(".")


def duration(seconds: float) -> str:
    """Return a time in the two largest units that it has."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def budget_in_words(run: RunFiles) -> str:
    """Say what the limit is, how much of it is used, and what is left."""
    unit, value = UNITS[run.quantity]
    used = run.facts.cost.total(run.facts.chosen(run.config))
    left = run.facts.limit - used
    return (
        f"at most {run.limit:,.10g} {value}; {plain(used * run.facts.unit)} used "
        f"({share(used, run.facts.limit)}), {count(left)} {unit} left"
    )


def neighbour_in_words(run: RunFiles, beside: Neighbour) -> list[str]:
    """Return the choice of a neighbour, what it costs more or less, whether it fits, its loss."""
    unit, value = UNITS[run.quantity]
    cost = f"{count(beside.units, '+')} {unit}"
    if beside.size is not None and unit != "bytes":
        cost += f", {count(beside.size, '+')} bytes"
    words = [beside.choice.in_words, cost]
    if run.facts.unit != 1.0:
        words.append(f"{decimal(beside.units * run.facts.unit, '+')} {value}")
    over = f"over the budget by {count(beside.over)} {unit}"
    words.append(over if beside.over else "fits the budget")
    here = run.measured(run.config)
    if beside.loss is None or here is None:
        return [*words, "loss not measured"]
    return [*words, f"loss {decimal(beside.loss - here, '+')}, measured"]
