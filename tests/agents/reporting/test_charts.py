"""The charts: what is measured is where it belongs."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from html_page import HtmlPage
from reported_runs import run_of, searched
from rlquant_agents.reporting.charts import curve_chart, pareto_chart, pareto_front
from rlquant_agents.reporting.drawing import COLORS
from rlquant_agents.reporting.layer_chart import LONGEST, layer_chart
from rlquant_agents.reporting.run_files import RunFiles, read_run
from rlquant_agents.search.result import pareto_front as front_of
from toy_problem import MIXED, ToyProblem


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFiles:
    return run_of(tmp_path_factory.mktemp("run"))


def dots_of(markup: str, style: str) -> int:
    found = re.search(rf'<path class="(?:fine )?dots {style}" d="([^"]*)">', markup)
    assert found is not None
    return found[1].count("M")


def test_the_front_is_that_of_the_result(tmp_path: Path) -> None:
    result = searched(tmp_path)
    front = [e.key for e in pareto_front(read_run(tmp_path).evaluations)]
    assert front == [c.key for c, _ in front_of(result.history, "average_bits")]


def test_the_pareto_chart_shows_all_evaluations(run: RunFiles) -> None:
    markup = pareto_chart(run)
    inside = {(e.cost, e.loss) for e in run.evaluations if e.feasible}
    outside = {(e.cost, e.loss) for e in run.evaluations if not e.feasible}
    assert 0 < dots_of(markup, "c0") <= len(inside)
    assert 0 < dots_of(markup, "grey") <= len(outside)
    text = HtmlPage(markup).text
    for words in ("within the budget", "over the budget", "Pareto front", "float: loss 0.2500"):
        assert words in text


def test_the_curve_ends_at_the_best(run: RunFiles) -> None:
    text = HtmlPage(curve_chart({"mine": run})).text
    assert f"best of mine: loss {run.outcome.score.loss:.4f}" in text
    assert f"mine: loss {run.outcome.score.loss:.4f} after 40 evaluations" in text


def test_more_runs_than_colours_are_dashed(run: RunFiles) -> None:
    markup = curve_chart({f"run {i}": run for i in range(COLORS + 1)})
    lines = re.findall(r'<path class="line c\d"[^>]*>', markup)
    assert sum("stroke-dasharray" in line for line in lines) == 2  # the line and its key


def test_many_dots_are_drawn_smaller(run: RunFiles) -> None:
    first = replace(run.evaluations[0], feasible=True)
    many = tuple(replace(first, loss=1 + i / 600) for i in range(600))
    assert 'class="fine dots' not in curve_chart({"a": run})
    assert 'class="fine dots' in curve_chart({"a": replace(run, evaluations=many)})


def test_a_bar_is_as_long_as_its_bits(tmp_path: Path) -> None:
    run = run_of(tmp_path, ToyProblem(4), searcher="random", evaluations=5)
    widths = [float(w) for w in re.findall(r'<rect [^>]*width="([\d.]+)"', layer_chart(run))]
    bits = [choice.bits for choice in run.config]
    assert widths == pytest.approx([b * widths[0] / bits[0] for b in bits], abs=0.2)


def test_long_names_are_shortened_and_words_say_everything(tmp_path: Path) -> None:
    run = run_of(tmp_path, ToyProblem(2, 9.0, MIXED), searcher="random", evaluations=3)
    long = "a" * 30 + "b" * 30
    choices = (replace(run.config.choices[0], layer=long), *run.config.choices[1:])
    markup = layer_chart(replace(run, config=replace(run.config, choices=choices)))
    assert f"{'a' * 19}…{'b' * 19}" in markup
    assert LONGEST == 40
    assert f"{long}: " in markup  # in the words for those who cannot see it
