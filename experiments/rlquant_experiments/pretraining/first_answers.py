"""First answers on known tables: the pretrained agent beside the knapsack, before any search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rlquant import Budget, Table, TabularProblem
from rlquant.errors import BudgetError
from rlquant.escaping import markdown_table
from rlquant.score import log_loss
from rlquant_agents.searchers.dyna_ppo.pretrained import WEIGHTS, read_pretrained
from rlquant_agents.searchers.knapsack import solve_knapsack
from rlquant_experiments.pretraining.first_answer import first_answer
from rlquant_experiments.pretraining.training_episodes import TrainingTable
from rlquant_experiments.pretraining.training_tables import LEAST_ACCURACY
from rlquant_experiments.pretraining.validation import best_round, share_of_possible

BUDGETS = (2.3, 2.6, 3.0, 3.5, 4.0)
SAME = 1e-9
WAYS = {
    "a": "knapsack on measured sensitivities",
    "b": "pretrained agent, the same sensitivities",
    "c": "fresh policy, the same sensitivities",
    "d": "knapsack on weight errors, nothing measured",
    "e": "pretrained agent, nothing measured",
}
"""How first answers are found; `c` is the soft knapsack with a tenth of the weight errors added."""


@dataclass(frozen=True)
class FirstAnswers:
    """How far first answers on one table under one budget are from the best there is.

    Attributes:
        table: name.
        bits: average bits at most.
        ratios: log of the answer's loss over the optimum's, by the keys of `WAYS`.
    """

    table: str
    bits: float
    ratios: Mapping[str, float]


def compare_first_answers(
    tables: Sequence[Table], budgets: Sequence[float] = BUDGETS, path: str | Path = WEIGHTS
) -> list[FirstAnswers]:
    """Return the first answers on every table under every budget that can be kept.

    Args:
        tables: none of a network that the agent was trained on.
        budgets: average bits.
        path: weights.

    Raises:
        FileFormatError, StorageError: weights that cannot be used; see `load_pretrained`.
    """
    found = []
    for table in tables:
        member = TrainingTable(table, 1, len(table.options), 0)
        effects = member.sensitivities()
        for bits in budgets:
            try:
                problem = TabularProblem(table, Budget.average_bits(bits))
            except BudgetError:
                continue
            limit = np.array([float(problem.feasible.limit)])
            member.features.set_effects(effects)
            rows = {
                "a": solve_knapsack(effects, problem.feasible),
                "b": problem.indices(first_answer(problem, effects, path)),
                "c": member.features.knapsack_answers(limit)[0],
                "d": solve_knapsack(member.features.errors, problem.feasible),
                "e": problem.indices(first_answer(problem, path=path)),
            }
            best = log_loss(problem.optimum()[1].loss)
            increases = member.increases_of(np.array(list(rows.values())))
            ratios = {
                way: float(increase - best) for way, increase in zip(rows, increases, strict=True)
            }
            found.append(FirstAnswers(table.name, bits, ratios))
    return found


def wins(answers: Sequence[FirstAnswers], one: str, other: str) -> tuple[int, int, int]:
    """Return how often one way is better than another, as good, and worse."""
    gaps = np.array([each.ratios[one] - each.ratios[other] for each in answers])
    better, worse = int((gaps < -SAME).sum()), int((gaps > SAME).sum())
    return better, len(gaps) - better - worse, worse


def report_first_answers(
    answers: Sequence[FirstAnswers], command: str, path: str | Path = WEIGHTS
) -> str:
    """Return what the weights are, how they were made and how they answer, as Markdown."""
    made = read_pretrained(path)[0]["made"]
    return (
        "\n\n".join(
            [
                "# The pretrained agent",
                _training_words(made),
                _gains_table(made),
                _answer_words(command),
                _answers_table(answers),
                *(
                    _duel(answers, one, other)
                    for one, other in (("b", "a"), ("b", "c"), ("e", "d"))
                ),
            ]
        )
        + "\n"
    )


def _training_words(made: Mapping[str, Any]) -> str:
    trained, held = made["trained_on"], made["held_out"]
    settings = made["settings"]
    return (
        f"The policy of `dyna-ppo` (`searchers/dyna_ppo/pretrained.safetensors`) begins as "
        f"the soft knapsack and was taught on {len(trained)} small networks that exist for this "
        f"purpose alone; {len(held)} more were held out to choose among the weights of a training. "
        f"Every configuration of each was measured beforehand; networks that did not learn (float "
        f"accuracy below {LEAST_ACCURACY:g}) were left out. All are on the data sets of the tables "
        f"below, digits and Fashion-MNIST, but none is a network of these tables: every network of "
        f"the shipped tables is left out, and those of member have other widths, other weights "
        f"and another length of training. First, "
        f"{settings['guided']} rounds of imitation: the tables say by how much the best that can "
        f"still be reached is worse after each option. Then {settings['updates']} rounds of masked "
        f"PPO, rewarded by the log of the knapsack's loss over the policy's. Made by\n\n"
        f"    {made['command']}"
    )


def _gains_table(made: Mapping[str, Any]) -> str:
    """Return the held-out gains before, between, after, and of the weights that were kept."""
    gains = {int(rounds): found for rounds, found in made["held_out_gains"].items()}
    possible = made["possible_gains"]
    if not possible:
        return "Nothing was held out."
    kept, guided = best_round(gains, possible), made["settings"]["guided"]
    rows = {
        "at the beginning": 0,
        f"after imitation ({guided} rounds)": guided,
        f"after PPO ({made['rounds']} rounds)": made["rounds"],
        f"kept (after {kept} rounds)": kept,
    }
    words = (
        "Held-out member: mean log of the knapsack's loss over that of the agent's first answer, "
        "by what is known of a network. Weight errors alone; each option at each layer alone with "
        "the others at their widest; the same around a good configuration. The weights of the "
        "largest mean share of what is possible are kept."
    )
    found = {name: gains[rounds] for name, rounds in rows.items() if rounds in gains}
    cells = []
    for name, by_known in {**found, "largest possible": possible}.items():
        gains_by_known = [by_known[known] for known in ("nothing", "sensitivities", "neighbours")]
        share = f"{share_of_possible(by_known, possible):.1%}"
        cells.append([name, *(f"{gain:.4f}" for gain in gains_by_known), share])
    headings = ("", "nothing measured", "sensitivities", "around a good one", "share of possible")
    return f"{words}\n\n{markdown_table(headings, cells)}"


def _answer_words(command: str) -> str:
    ways = "\n".join(f"- **{way}**: {words}" for way, words in WAYS.items())
    return (
        f"## First answers on the tables that come with rlquant\n\nLog of the loss of one "
        f"configuration over the loss of the best one there is within the budget: 0 is the "
        f"optimum, 0.01 about one per cent of loss more. No network of these tables was trained "
        f"on, and the weights were chosen by the training networks that were held out. So were the "
        f"training's few settings, though with the figures of these tables in sight. Nothing is "
        f"searched: each is the first configuration that one would try.\n\n{ways}\n\n"
        f"Measured by\n\n    {command}"
    )


def _answers_table(answers: Sequence[FirstAnswers]) -> str:
    rows = [[each.table, f"{each.bits:g}", *_means([each])] for each in answers]
    for name in dict.fromkeys(each.table for each in answers):
        own = [each for each in answers if each.table == name]
        rows.append([f"**{name}**", "mean", *_means(own)])
    rows.append(["**all**", "mean", *_means(answers)])
    return markdown_table(("table", "bits", *WAYS), rows)


def _means(answers: Sequence[FirstAnswers]) -> list[str]:
    return [f"{np.mean([each.ratios[way] for each in answers]):.4f}" for way in WAYS]


def _duel(answers: Sequence[FirstAnswers], one: str, other: str) -> str:
    better, same, worse = wins(answers, one, other)
    means = [np.mean([each.ratios[way] for each in answers]) for way in (one, other)]
    gaps = {
        name: np.mean([e.ratios[one] - e.ratios[other] for e in answers if e.table == name])
        for name in dict.fromkeys(each.table for each in answers)
    }
    lost = [name for name, gap in gaps.items() if gap > SAME]
    listed = f" ({', '.join(lost)})" if lost else ""
    return (
        f"**{one}** ({WAYS[one]}) against **{other}** ({WAYS[other]}): better {better} times, as "
        f"good {same}, worse {worse} of {len(answers)}; mean {means[0]:.4f} against "
        f"{means[1]:.4f}; better on average on {sum(gap < -SAME for gap in gaps.values())} of "
        f"{len(gaps)} tables, worse on {len(lost)}{listed}."
    )
