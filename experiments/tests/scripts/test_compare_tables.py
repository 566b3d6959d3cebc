"""scripts/compare.py --table, the real one: regrets against the optimum, and going on."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from rlquant import Budget, TabularProblem, load_table, table_names
from rlquant.tabular.table_file import write_table
from rlquant.testing import random_table
from rlquant_experiments.commands import compare
from rlquant_experiments.comparison.comparison_progress import RunsBar
from rlquant_experiments.comparison.variants import DETERMINISTIC


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tables") / "small.rlt"
    write_table(random_table(5, interaction=1.0, seed=3), path)
    return path


def tiny(table: Path, out: Path, *more: str) -> list[str]:
    plain = ["--table", str(table), "--seeds", "2", "--evaluations", "30", "--budgets", "3.0"]
    plain += ["--searchers", "random", "uniform", "nsga2", "knapsack", "successive-halving"]
    return [*plain, "--out", str(out), *more]


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_it_compares_with_the_optimum(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, report = tmp_path / "compare", tmp_path / "docs" / "small.md"
    arguments = tiny(table, out, "--report", str(report), "--budgets", "3.0", "4.0")
    assert compare.main(arguments) == 0
    text = report.read_text()
    shown = capsys.readouterr().out
    assert shown.count("\n") <= 44
    for words in ("## Average bits 4\n\n| searcher |", f"whole report: {report}"):
        assert words in shown
    assert f"python scripts/compare.py {' '.join(arguments)}" in text
    for words in (
        "## Average bits 3\n",
        "## Average bits 4\n",
        "| searcher | after 10 | after 30 |",
        "| optimum found |",
        "per-layer effects explain",
        "left out, as a table has no network",
        "all runs took",
        "(small-4.0.png)",
    ):
        assert words in text
    assert (report.parent / "small-3.0.png").stat().st_size > 10_000
    problem = TabularProblem(load_table(table), Budget.average_bits(3.0))
    rows = rows_of(report.with_suffix(".csv"))
    ours = [row for row in rows if row["budget"] == "average bits 3"]
    assert [(r["searcher"], r["seed"]) for r in ours] == [
        ("random", "0"),
        ("random", "1"),
        ("uniform", "0"),
        ("nsga2", "0"),
        ("nsga2", "1"),
        ("knapsack", "0"),
    ]
    for row in ours:
        assert float(row["optimum"]) == problem.optimum()[1].loss
        assert float(row["loss"]) >= float(row["optimum"])
        assert float(row["average_bits"]) <= 3.0
        assert int(row["evaluations"]) <= 30
        ends = float(row["uniform"]) - float(row["optimum"])
        regret = (float(row["loss"]) - float(row["optimum"])) / ends
        assert float(row["regret_30"]) == pytest.approx(regret)
    assert float(ours[2]["regret_30"]) == 1.0


def test_what_ran_does_not_run_again(table: Path, tmp_path: Path) -> None:
    assert compare.main(tiny(table, tmp_path, "--searchers", "random")) == 0
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.json")}
    first = rows_of(tmp_path / "report.csv")
    gone = tmp_path / "random-3.0-seed1.json"
    gone.unlink()
    assert compare.main(tiny(table, tmp_path, "--searchers", "random", "uniform")) == 0
    after = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.json")}
    assert len(after) == 3
    assert [path for path in before if after[path] != before[path]] == [gone]
    again = [row for row in rows_of(tmp_path / "report.csv") if row["searcher"] == "random"]
    assert [row["loss"] for row in again] == [row["loss"] for row in first]


def test_an_interrupted_comparison_says_how_to_go_on(
    table: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen = []

    def interrupt(self: RunsBar, *_: object) -> None:
        seen.append(1)
        if len(seen) == 40:
            raise KeyboardInterrupt

    monkeypatch.setattr(RunsBar, "on_evaluation", interrupt)
    assert compare.main(tiny(table, tmp_path)) == 130
    assert f"goes on from {tmp_path}" in capsys.readouterr().err
    assert len(list(tmp_path.glob("*.json"))) == 1
    monkeypatch.undo()
    assert compare.main(tiny(table, tmp_path)) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--table", "digits-cn"], "unknown table 'digits-cn'"),
        (["--bits", "2", "4"], "--bits cannot be combined with --table"),
        (
            ["--searchers", "successive-halving"],
            "no network to train or differentiate; name another",
        ),
        (["--budgets", "0.5"], "smallest reachable"),
        (["--budgets", "64"], "regret has no scale"),
        (["--threads", "0"], "--threads 0"),
        (["--quantity", "latency"], "needs --latency-table"),
    ],
)
def test_wrong_input_is_one_clear_line(
    table: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    assert compare.main(tiny(table, tmp_path / "compare", *arguments)) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert words in error
    assert not (tmp_path / "compare").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", table_names())
def test_every_searcher_with_ten_seeds_is_done_in_two_minutes(name: str, tmp_path: Path) -> None:
    import time

    start = time.process_time()
    assert compare.main(["--table", name, "--out", str(tmp_path)]) == 0
    assert time.process_time() - start < 120
    rows = rows_of(tmp_path / "report.csv")
    names = {row["searcher"] for row in rows}
    assert names >= {"dyna-ppo", "masked-ppo", "tpe", "pairwise", "ddpg", "random", "uniform"}
    once = names & set(DETERMINISTIC)
    assert len(rows) == 2 * (10 * len(names - once) + len(once))
