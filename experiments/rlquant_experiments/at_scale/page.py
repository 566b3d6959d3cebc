"""The page: log loss increases and token-equivalents, the agent's standing, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from rlquant.escaping import markdown_table
from rlquant_agents.reporting.figure_files import png
from rlquant_experiments.at_scale.problems import Problem, missing
from rlquant_experiments.at_scale.spending import spent, unit
from rlquant_experiments.at_scale.standing import (
    ASK_ONCE,
    FIRST_ANSWER,
    PARTS,
    PPO,
    PPO_PARTS,
    Standing,
    against_best,
    baselines,
    best_single,
    increases,
    level,
    standings,
)
from rlquant_experiments.at_scale.standing_figures import differences_figure
from rlquant_experiments.comparison.report_file import Report, image
from rlquant_experiments.real_networks.rows import AGENT

ALLOWED = 3.0
"""Percent that the agent may lose against the best on any problem."""
INTRODUCTION = """
Searches of pretrained networks under average-bit budgets, measured by `scripts/real_networks.py` on
test data that no search saw. The log loss increase is the log of the loss over the float network's;
where the loss is a distance to the float network's own answers, the log of the loss. Of several
seeds it is the interquartile mean. `uniform` is the best uniform configuration that fits, chosen on
the samples that searches see. Intervals are of 95 %, by bootstrap over problems and, where there
are several, seeds.

A gradient counts as three forward passes, and an evaluation takes all validation samples;
calibration and quantizing, which all searchers need, are not counted. Searches have the same
evaluations, gradients and looks on few tokens among them.

Nothing was pretrained on these networks; samples and evaluations are those of the measurements.
"""

FIRST_ANSWERS = """What side information says before anything is evaluated: the knapsack of expected
increases, with which `auto` begins, beside the knapsacks of other scores."""
ABLATIONS = """`auto` without its rounds (`auto-first-answer`); with a race on an eighth of tokens
in each round (`auto-racing`); without what gradients say, where a policy plays against a surrogate
that knows weight errors alone (`dyna-ppo`); and that without what its policy has learned on tables
(`dyna-ppo-fresh`)."""
PPO_ABLATIONS = """
PPO in the environment, one layer a step. `masked-ppo` is fitted to knapsacks of expected
increases, the first of which it evaluates, sees all layers by attention, is paid for each decision
what it changes of the loss that increases foresee, and is asked for its likeliest configuration
before every rollout. Beside it `auto`, and itself with parts left out: learning from what is
measured (`-imitation`), likeliest configurations (`-sampled`), pay for each decision (`-encoder`),
sight of all layers (`-shaping`), both (`-warm-start`), and everything but masks and a fit to
configurations drawn uniformly (`-plain`)."""


def page_of(
    problems: Sequence[Problem],
    notes: Sequence[str],
    searchers: Sequence[str],
    seeds: Mapping[str, int],
    made: str,
    title: str = "Agents at scale",
) -> Report:
    """Return the page with its figure.

    Args:
        problems: with their runs.
        notes: what was left out, in words.
        searchers: that each problem should have.
        seeds: that each task should have.
        made: when and how the page was made, and what people should know first.
        title: of the page.
    """
    found = standings(problems, baselines(problems))
    parts = [f"# {title}", INTRODUCTION, made, "## Verdict", _verdict(problems, found)]
    if found:
        parts += [image(f"Log test loss above that of {AGENT}", "-differences")]
        parts += [f"## {AGENT} beside each searcher", _standings_table(found)]
    once = standings(problems, ASK_ONCE, FIRST_ANSWER)
    if once:
        parts += ["## First answers", FIRST_ANSWERS, _standings_table(once, FIRST_ANSWER)]
    ablated = standings(problems, PARTS)
    if ablated:
        parts += [f"## Parts of {AGENT}", ABLATIONS, _standings_table(ablated)]
    stepwise = standings(problems, (AGENT, FIRST_ANSWER, *PPO_PARTS), PPO)
    if stepwise:
        parts += [f"## Parts of {PPO}", PPO_ABLATIONS, _standings_table(stepwise, PPO)]
    parts += ["## Log loss increase on test data", _levels_table(problems)]
    parts += ["## Token-equivalents spent", _spending_table(problems)]
    lacking = [*notes, *missing(problems, searchers, seeds)]
    parts += ["## Missing", _listed(lacking) or "Nothing."]
    figures = {"-differences": png(differences_figure(problems))} if found else {}
    return Report("\n\n".join(part.strip() for part in parts) + "\n", figures)


def _listed(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _verdict(problems: Sequence[Problem], found: Sequence[Standing]) -> str:
    best, gaps = best_single(found), against_best(problems)
    if best is None or not gaps:
        return f"Nothing to compare: no problem has both {AGENT} and another searcher."
    worst, by, percent = max(gaps, key=lambda gap: gap[2])
    excluded = "excludes" if best.difference.low > 0 or best.difference.high < 0 else "holds"
    behind = [s.searcher for s in found if s.difference.value > 0]
    stands = f"behind {', '.join(behind)}" if behind else "at or below every other searcher"
    ahead = sum(gap <= 0 for _, _, gap in gaps)
    return _listed(
        [
            f"in the mean over the problems that both have, {AGENT} is {stands}",
            f"best single baseline of those with most problems ({best.problems}): {best.searcher}; "
            f"difference of {AGENT} {best.difference.words(signed=True)}, whose 95 % interval over "
            f"problems and seeds {excluded} 0",
            f"against the best of all on each problem {AGENT} is ahead on {ahead} of {len(gaps)}; "
            f"at worst {percent:+.1f} % of the loss ({worst.name}, {by}), allowed {ALLOWED:g} %",
        ]
    )


def _standings_table(found: Sequence[Standing], agent: str = AGENT) -> str:
    headings = [
        *("searcher", "problems", f"{agent} minus it, log loss", f"{agent} at worst, %"),
        "on",
    ]
    cells = [
        [s.searcher, str(s.problems), s.difference.words(signed=True), f"{s.worst:+.1f}", s.at]
        for s in found
    ]
    return markdown_table(headings, cells, "lrrrl")


def _names(problems: Sequence[Problem]) -> list[str]:
    names = dict.fromkeys(name for problem in problems for name in problem.runs)
    return sorted(names, key=lambda name: (name != AGENT, name))


def _levels_table(problems: Sequence[Problem]) -> str:
    """Return the levels: a row for each searcher, a column for each problem, the best bold."""
    best = {p.name: min((level(p, name) for name in p.runs), default=0.0) for p in problems}
    cells = []
    for name in _names(problems):
        own = [_level_words(p, name, best[p.name]) for p in problems]
        everywhere = all(name in p.runs for p in problems)
        mean = f"{fmean(level(p, name) for p in problems):.3f}" if everywhere else ""
        cells.append([name, *own, mean])
    headings = ["searcher", *(p.name for p in problems), "mean"]
    return markdown_table(headings, cells, "l" + "r" * (len(problems) + 1))


def _level_words(problem: Problem, name: str, best: float) -> str:
    if name not in problem.runs:
        return ""
    found = level(problem, name)
    seeds = len(increases(problem, name))
    words = f"**{found:.3f}**" if found == best else f"{found:.3f}"
    return words if seeds == 1 else f"{words} ({seeds})"


def _spending_table(problems: Sequence[Problem]) -> str:
    cells = []
    for name in _names(problems):
        own = [
            f"{fmean(spent(p, run) for run in p.runs[name]):,.0f}" if name in p.runs else ""
            for p in problems
        ]
        cells.append([name, *own])
    headings = ["searcher", *(f"{p.name} ({unit(p.task)})" for p in problems)]
    return markdown_table(headings, cells, "l" + "r" * len(problems))
