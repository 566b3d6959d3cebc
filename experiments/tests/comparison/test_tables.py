"""A comparison on several tables, from the searches to the page."""

from __future__ import annotations

from pathlib import Path

from rlquant_experiments.comparison.compare_settings import CompareSettings
from rlquant_experiments.comparison.comparison import compare


def test_the_page_of_tables_compares_with_one_searcher(tmp_path: Path) -> None:
    settings = CompareSettings(
        tables=("digits-mlp", "digits-cnn"),
        budgets=(2.6,),
        seeds=2,
        evaluations=4,
        searchers=("random", "local-swap"),
        out=tmp_path / "runs",
        report=tmp_path / "page.md",
    )
    compare(settings, ("compare",))
    page = (tmp_path / "page.md").read_text()
    assert page.startswith("# Searchers on 2 tables")
    assert "## random against each other" in page
    assert (tmp_path / "page-regret.png").exists()
