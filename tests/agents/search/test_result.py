"""What a search found, as a table, in a notebook and in a line."""

from __future__ import annotations

import math
import re
import sys
from dataclasses import replace

import pytest

from html_page import HtmlPage
from rlquant.errors import SettingsError
from rlquant.testing.toy_problem import MIXED, ToyProblem
from rlquant_agents import make_searcher
from rlquant_agents.search.result import SearchResult


@pytest.fixture(scope="module")
def result() -> SearchResult:
    return make_searcher("random").search(ToyProblem(3, 6.0, MIXED), 20, seed=0)


def test_a_data_frame_has_a_row_for_each_evaluation(result: SearchResult) -> None:
    pytest.importorskip("pandas")
    frame = result.to_dataframe()
    assert frame["number"].tolist() == list(range(1, 21))
    assert frame["loss"].tolist() == [e.score.loss for e in result.history]
    assert frame["bits:layer1"].tolist() == [e.config["layer1"].bits for e in result.history]
    assert frame["method:layer0"].tolist() == [e.config["layer0"].method for e in result.history]
    assert frame.loc[frame["feasible"] & frame["final"], "value"].max() == max(
        e.value for e in result.history if e.candidate
    )


def test_decisions_that_are_the_same_everywhere_have_no_columns() -> None:
    pytest.importorskip("pandas")
    found = make_searcher("random").search(ToyProblem(2), 5, seed=0)
    chosen = [column for column in found.to_dataframe().columns if ":" in column]
    assert chosen == ["bits:layer0", "bits:layer1"]


def test_without_pandas_it_says_what_to_install(
    result: SearchResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(SettingsError, match=re.escape("pip install 'rlquant[notebook]'")):
        result.to_dataframe()


def test_a_result_is_one_short_line(result: SearchResult) -> None:
    shown = repr(result)
    assert shown.startswith("SearchResult(searcher='random', seed=0, evaluations=20, stopped=")
    assert f"loss={result.score.loss:.5g}" in shown
    assert len(shown) < 200


def test_a_notebook_shows_the_front_with_the_best(result: SearchResult) -> None:
    page = HtmlPage(result._repr_html_())
    assert page.count("tr") == 1 + len(result.pareto)
    assert page.words.count("best") == 1
    evil = HtmlPage(replace(result, searcher="<script>")._repr_html_())
    assert evil.count("script") == 0


def test_a_notebook_shows_a_score_without_what_was_not_measured(result: SearchResult) -> None:
    page = HtmlPage(replace(result.score, loss=math.inf)._repr_html_())
    assert "average bits" in page.words
    assert "inf" in page.words
    assert "latency" not in page.words
