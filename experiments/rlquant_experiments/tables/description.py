"""Description of a table: its space, its front and the optimum under each budget."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from rlquant import Budget, LayerChoice, Table, TabularProblem
from rlquant.errors import BudgetError
from rlquant.escaping import markdown_table

BUDGETS = (1.5, 1.75, 2.0, 2.25, 2.5, 2.75, 3.0, 3.5, 4.0, 5.0)
"""Average bits at which the optimum is shown, where something keeps them."""

_LEFT_OUT = {
    "rounding": ("nearest", "rounding is to the nearest point"),
    "activation_bits": (None, "inputs are float"),
    "group_size": ("channel", "there is one scale a channel"),
}
"""Options of which nothing is said in a row, and what is said of them once."""


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
        f"{table.samples} validation samples. Made by `{table.command}`.{_plain(table)}",
        "",
    ]
    words = ("average bits at most", "configurations", "best loss", "its accuracy", _heading(table))
    rows = []
    asked = {head.name for head in table.space.heads}
    for limit in budgets:
        try:
            problem = TabularProblem(table, Budget.average_bits(limit))
        except BudgetError:
            continue
        config, best = problem.optimum()
        chosen = " · ".join(option_words(choice, asked) for choice in config)
        count = int(np.searchsorted(bits, limit, side="right"))
        rows.append(
            (f"{limit:g}", f"{count:,}", f"{best.loss:.4f}", f"{best.accuracy:.4f}", chosen)
        )
    return "\n".join([*lines, markdown_table(words, rows)])


def _heading(table: Table) -> str:
    return "chosen for " + ", ".join(facts.name for facts in table.facts)


def _plain(table: Table) -> str:
    """Say what the words of the options leave out."""
    asked = {head.name: head.options for head in table.space.heads}
    left_out = [w for head, (option, w) in _LEFT_OUT.items() if option in asked.get(head, ())]
    return f" Where nothing is said, {' and '.join(left_out)}." if left_out else ""


def option_words(choice: LayerChoice, asked: Collection[str]) -> str:
    """Return a choice in few words, e.g. "ternary", "3 kmeans" or "5 clipped stochastic".

    Args:
        choice: canonical.
        asked: the decisions that a search makes; of the others nothing is said.
    """
    words = [{"float": "float", "ternary": "ternary"}.get(choice.method, str(choice.bits))]
    said = [head for head in asked if head in choice.decided]
    if "points" in said:
        words.append(choice.points.replace("_", " "))
    if "rounding" in said and choice.rounding != "nearest":
        words.append(choice.rounding.replace("_", " "))
    if choice.method == "distilled":
        words.append("distilled")
    if "activation_bits" in said and choice.activation_bits is not None:
        words.append(f"inputs {choice.activation_bits}")
    if "group_size" in said and choice.group_size != "channel":
        words.append(f"groups {choice.group_size}")
    return " ".join(words)
