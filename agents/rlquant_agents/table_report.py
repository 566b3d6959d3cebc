"""What is in a table, in words: its space, its front and the best there is under each budget."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rlquant import Budget, LayerChoice, Table, TabularProblem
from rlquant.errors import BudgetError

BUDGETS = (1.5, 1.75, 2.0, 2.25, 2.5, 2.75, 3.0, 3.5, 4.0, 5.0)
"""Average bits at which the optimum is shown, where something keeps them."""


def describe_table(table: Table, budgets: Sequence[float] = BUDGETS) -> str:
    """Return what a table holds, as Markdown.

    Args:
        table: to describe.
        budgets: average bits at which the optimum is shown; those that cannot be kept are left
            out.
    """
    widest = TabularProblem(table, Budget.average_bits(64.0))
    bits = np.sort(widest.units()) / table.costs.weights
    score = table.float_score
    lines = [
        f"**{table.name}**: {table.task}, {table.fidelity}, {len(table.facts)} groups with "
        f"{len(table.options)} options each, {table.count:,} configurations of {bits[0]:.2f} to "
        f"{bits[-1]:.2f} average bits, {len(widest.pareto())} of them on the front of loss and "
        f"average bits. Float: loss {score.loss:.4f}, accuracy {score.accuracy:.4f} on "
        f"{table.samples} validation samples. Made by `{table.command}`.",
        "",
        f"| average bits at most | configurations | best loss | its accuracy | {_heading(table)} |",
        "|---|---|---|---|---|",
    ]
    asked = [head.name for head in table.space.heads if head.name not in ("bits", "method")]
    for limit in budgets:
        try:
            problem = TabularProblem(table, Budget.average_bits(limit))
        except BudgetError:
            continue
        config, best = problem.optimum()
        chosen = " · ".join(_option(choice, asked) for choice in config)
        count = int(np.searchsorted(bits, limit, side="right"))
        lines.append(
            f"| {limit:g} | {count:,} | {best.loss:.4f} | {best.accuracy:.4f} | {chosen} |"
        )
    return "\n".join(lines)


def _heading(table: Table) -> str:
    return "chosen for " + ", ".join(facts.name for facts in table.facts)


def _option(choice: LayerChoice, asked: Sequence[str]) -> str:
    """Return bits or method, and what else is chosen."""
    if choice.method == "ternary":
        return "ternary"
    words = [str(choice.bits), *(str(getattr(choice, head)).replace("_", " ") for head in asked)]
    if choice.method == "distilled":
        words.append("distilled")
    return " ".join(words)
