"""The report: complete, well-formed, the same for the same folder, and nothing from elsewhere."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from unittest import mock

import pytest

from html_page import HtmlPage
from problems import problem
from reported_runs import changed, live_problem, searched
from rlquant import Budget, SearchSpace, TabularProblem
from rlquant.cost.latency import LatencyTable
from rlquant.errors import SettingsError, StorageError
from rlquant.testing.toy_problem import MIXED, ToyProblem, WeightBits
from rlquant_agents import Callback, write_report
from rlquant_agents.reporting import make_report
from rlquant_agents.reporting.run_files import read_run
from rlquant_agents.search.result import Evaluation
from rlquant_agents.search.session import Session
from small_networks import trained
from tables import live_table

pytestmark = pytest.mark.usefixtures("blank_figures")


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a search on a small network, with a baseline beside it."""
    folder = tmp_path_factory.mktemp("runs") / "live"
    searched(folder, live_problem())
    searched(folder / "baselines" / "random", live_problem(), searcher="random")
    return folder


def page_of(folder: Path, against: Sequence[Path] = ()) -> HtmlPage:
    return HtmlPage(make_report(folder, against).html)


# --- the page


def test_the_page_needs_nothing_beside_it(live: Path) -> None:
    html = (live / "report.html").read_text(encoding="utf-8")
    page = HtmlPage(html)
    assert html.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert not re.search(r"http|url\((?!#)|@import|<script|<link|<img|<iframe|<image", html)
    assert page.values("src") == []
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert {href.removeprefix("#") for href in page.values("href")} <= set(ids)
    used = set(re.findall(r"url\(#(\w+)\)", html))
    assert set() < used <= set(ids)
    assert len(html) < 100_000


def test_charts_and_tables_are_told_to_those_who_cannot_see_them(live: Path) -> None:
    page = page_of(live)
    charts = [given for tag, given in page.tags if given.get("class") == "chart"]
    assert len(charts) == 3
    assert all(chart["role"] == "img" and chart["aria-label"] for chart in charts)
    assert page.count("caption") == page.count("table") == 4
    assert {given["scope"] for tag, given in page.tags if tag == "th"} == {"col", "row"}
    assert page.count("h1") == 1
    assert page.count("h2") == 7


def test_it_tells_what_was_found(live: Path) -> None:
    text = page_of(live).text
    result = json.loads((live / "result.json").read_text())
    assert f"{result['score']['loss']:.4f}" in text
    assert f"{result['float_score']['loss']:.4f}" in text
    assert f"{result['model_bytes']:,}" in text
    assert "all evaluations are spent" in text
    for words in ("ConvNet: 4 layers", "at most 8 bits per weight", "bits left", "uniform"):
        assert words in text
    for note in result["notes"]:
        assert note in text
    assert "search_problem(problem, searcher='local-swap', evaluations=40, seed=1" in text


def test_every_layer_has_its_choice_and_its_neighbours(live: Path) -> None:
    page = page_of(live)
    text, told = page.text, " ".join(page.values("aria-label"))
    config = read_run(live).config
    for choice in config:
        assert f"{choice.layer}: {choice.in_words}" in told
    assert text.count("loss not measured") + text.count(", measured ") >= len(config)
    assert "6 x 4 x 3 x 3" in text


def test_bytes_by_part_are_those_of_the_file(live: Path) -> None:
    page = page_of(live)
    start = page.words.index("part")
    cells = [word for word in page.words[start:] if word.strip()]
    sizes, total = [], 0
    for name, size in pairwise(cells):
        if name == "model.rlq":
            total = int(size.replace(",", ""))
            break
        if re.fullmatch(r"[\d,]+", size):
            sizes.append(int(size.replace(",", "")))
    assert sum(sizes) == total == (live / "model.rlq").stat().st_size


@pytest.mark.drawn
def test_the_same_folder_gives_the_same_bytes(live: Path, tmp_path: Path) -> None:
    at_the_end = (live / "report.html").read_bytes()
    assert make_report(live).html.encode() == at_the_end
    moved = shutil.copytree(live, tmp_path / "elsewhere")
    write_report(moved)
    assert (moved / "report.html").read_bytes() == at_the_end


def test_texts_from_outside_are_escaped(tmp_path: Path) -> None:
    evil = "<script>alert('1 & 2')</script>"
    searched(tmp_path, evaluations=3, remember={"task": evil, "command": ["x", evil, '"']})
    page = page_of(tmp_path)
    assert page.count("script") == 0
    assert page.text.count("<script>alert('1 & 2')</script>") >= 3
    assert "&lt;script&gt;" in (tmp_path / "report.html").read_text()


def test_the_code_of_a_task_loads_its_network(tmp_path: Path) -> None:
    searched(tmp_path, live_problem(), evaluations=3, remember={"task": "digits/mlp"})
    text = page_of(tmp_path).text
    assert "network = rlquant.tasks.load('digits/mlp').network" in text
    assert 'quantized = rlquant.load("model.rlq", network)' in text


# --- other problems


def test_a_table_has_no_file_and_no_way_to_load_it(tmp_path: Path) -> None:
    searched(tmp_path, TabularProblem(live_table(), Budget.average_bits(6.0)), evaluations=9)
    page = page_of(tmp_path)
    assert page.count("h2") == 5
    assert "model.rlq" not in page.text
    assert "table small: 2 layers" in page.text
    assert " bytes" in page.text


def test_a_network_that_is_one_layer_has_a_name(tmp_path: Path) -> None:
    layer = trained("mlp").first
    searched(tmp_path, problem("mlp", layer, space=SearchSpace(bits=(2,))), evaluations=1)
    report = make_report(tmp_path)
    page = HtmlPage(report.html)
    assert "network: 2 bits, clipped, nearest" in page.values("aria-label")
    assert "network  2 bits, clipped, nearest" in report.text


@pytest.mark.parametrize("quantity", ["size_bytes", "size_ratio", "bops"])
def test_every_quantity_has_its_words(tmp_path: Path, quantity: str) -> None:
    loose = live_problem().with_budget(Budget(quantity, 1e9))  # type: ignore[arg-type]
    feasible = loose.feasible
    limit = feasible.cost.value((feasible.smallest + feasible.largest) // 2)
    budget = Budget(quantity, limit)  # type: ignore[arg-type]
    searched(tmp_path, loose.with_budget(budget), evaluations=8)
    text = page_of(tmp_path).text
    unit = "bit-operations" if quantity == "bops" else "bytes"
    assert re.search(rf"[\d,]+ {unit} left", text)


def test_latency_has_a_column(tmp_path: Path) -> None:
    space = SearchSpace(bits=(2, 8))
    rows = {("linear", s, None, b, None): b * 1e-5 for s in ("8x6", "8x8", "3x8") for b in (2, 8)}
    budget = Budget.latency(2e-4, LatencyTable(rows))
    searched(tmp_path, problem("mlp", trained("mlp"), space=space, budget=budget), evaluations=4)
    text = page_of(tmp_path).text
    assert "latency (ms)" in text
    assert re.search(r"ns left", text)


def test_no_uniform_choice_may_fit(tmp_path: Path) -> None:
    with mock.patch("rlquant_agents.search.uniform.uniform_configs", return_value=[]):
        searched(tmp_path, ToyProblem(2, 4.0), searcher="random", evaluations=2)
    assert "uniform" not in page_of(tmp_path).text


def test_sixty_layers_of_many_options_stay_small(tmp_path: Path) -> None:
    deep = ToyProblem(8, 5.0, MIXED)
    deep.layers = tuple(
        replace(deep.layers[i % 8], name=f"stages.{i // 20}.blocks.{i % 20}.attention.projection")
        for i in range(60)
    )
    deep.sensitivities = {facts.name: 0.1 for facts in deep.layers}
    deep._cost = WeightBits(sum(facts.parameters for facts in deep.layers))
    deep._set_budget(deep.budget)
    assert len(deep.feasible.options) > 25
    searched(tmp_path, deep, searcher="random", evaluations=30)
    html = (tmp_path / "report.html").read_text()
    assert len(html) < 500_000
    text = HtmlPage(html).text
    assert all(facts.name in text for facts in deep.layers)


def test_losses_that_are_not_finite_are_said_in_words(tmp_path: Path) -> None:
    broken = ToyProblem(2, loss_of=lambda config: math.inf)  # a search to its end is refused
    searched(tmp_path, broken, searcher="random", evaluations=3, callback=InterruptAfter(2))
    report = make_report(tmp_path)
    page = HtmlPage(report.html)
    assert "not finite" in page.text
    assert "not finite" in report.text
    numbers = [v for _, given in page.tags for k, v in given.items() if k in ("d", "x", "y")]
    assert not [number for number in numbers if number and re.search("nan|inf", number)]


# --- runs that ended otherwise


class InterruptAfter(Callback):
    """Ctrl-C, so to speak, when that many evaluations were asked for."""

    def __init__(self, evaluations: int) -> None:
        self._evaluations = evaluations

    def on_evaluation(self, session: Session, evaluation: Evaluation) -> None:
        if evaluation.number == self._evaluations:
            raise KeyboardInterrupt


def test_an_interrupted_run_has_a_report_of_the_best_so_far(tmp_path: Path) -> None:
    result = searched(tmp_path, live_problem(), callback=InterruptAfter(5))
    assert result.stopped == "interrupted"
    text = page_of(tmp_path).text
    assert "interrupted; this is the best so far" in text
    assert "5 of at most 40" in text
    assert "How to load it" in text


def test_a_refined_network_says_what_was_measured_before(tmp_path: Path) -> None:
    loss = searched(tmp_path).score.loss
    changed(tmp_path / "result.json", lambda result: result["score"].update(loss=0.125))
    text = page_of(tmp_path).text
    assert f"has loss 0.1250; the search had measured {loss:.4f} for these choices" in text


# --- runs beside each other


@pytest.mark.drawn
def test_other_runs_come_into_table_and_curve(live: Path) -> None:
    alone, beside = page_of(live), page_of(live, [live / "baselines" / "random"])
    assert "random, seed 1" not in alone.text
    assert beside.text.count("random, seed 1") == 2  # table and legend
    assert "best of random, seed 1: loss" in beside.text
    assert "random, seed 1" in make_report(live, [live / "baselines" / "random"]).text


@pytest.mark.drawn
def test_runs_of_one_name_are_told_apart(live: Path) -> None:
    text = page_of(live, [live, live]).text
    for name in ("local-swap, seed 1 (live)", "local-swap, seed 1 (live) 2"):
        assert f"best of {name}: loss" in text


def test_a_run_of_another_problem_is_refused(live: Path, tmp_path: Path) -> None:
    searched(tmp_path, live_problem(budget=Budget.average_bits(6.0)), evaluations=2)
    words = f"{tmp_path} cannot be compared with {live}: budget.limit is 6.0 there and 8.0 here; "
    with pytest.raises(SettingsError, match=re.escape(words)) as error:
        make_report(live, [tmp_path])
    assert "give runs of the same network, data, budget, space and fidelity" in str(error.value)


def test_a_run_on_other_data_is_refused(live: Path, tmp_path: Path) -> None:
    searched(tmp_path, live_problem(seed=7), evaluations=2)
    with pytest.raises(SettingsError, match=r"problem is '.*' there and '.*' here"):
        make_report(live, [tmp_path])


def test_a_page_may_be_written_elsewhere(live: Path, tmp_path: Path) -> None:
    before = (live / "report.html").read_bytes()
    out = tmp_path / "mine.html"
    report = write_report(live, [live / "baselines" / "random"], out)
    assert out.read_text(encoding="utf-8") == report.html
    assert (live / "report.html").read_bytes() == before
    with pytest.raises(StorageError, match="cannot be written"):
        write_report(live, out=tmp_path / "nowhere" / "mine.html")
