"""scripts/compare.py --tables, the real one: searchers compared over several tables and budgets."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from rlquant import Problem
from rlquant.errors import SettingsError
from rlquant.tabular.table_file import write_table
from rlquant.testing import random_table
from rlquant_agents.searchers.random_feasible import RandomFeasible
from rlquant_experiments.commands import compare


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("tables")
    found = []
    for seed in (3, 6):  # in both, the widest option everywhere is the best there is
        path = folder / f"small-{seed}.rlt"
        write_table(random_table(5, interaction=1.0, seed=seed), path)
        found.append(str(path))
    return found


def tiny(tables: list[str], out: Path, *more: str) -> list[str]:
    plain = ["--tables", *tables, "--seeds", "2", "--evaluations", "12", "--budgets", "3.0", "4.0"]
    plain += ["--searchers", "random", "uniform", "nsga2", "successive-halving"]
    return [*plain, "--out", str(out), *more]


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def regrets_of(out: Path) -> list[tuple[str, ...]]:
    keys = ("table", "budget", "searcher", "seed", "evaluations", "regret")
    return [tuple(row[key] for key in keys) for row in rows_of(out / "report.csv")]


def test_it_compares_and_reports(
    tables: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, report = tmp_path / "compare", tmp_path / "docs" / "all.md"
    variants = tmp_path / "variants.json"
    variants.write_text(json.dumps({"small": {"searcher": "nsga2", "settings": {"population": 4}}}))
    more = ["--report", str(report), "--variants", str(variants), "--against", "nsga2"]
    arguments = tiny(tables, out, *more, "--first-seed", "7", "--workers", "2")
    assert compare.main(arguments) == 0
    text = report.read_text()
    assert text in capsys.readouterr().out
    for words in (
        "# Searchers on 2 tables\n",
        f"python scripts/compare.py {' '.join(arguments)}",
        "28 runs with the seeds 7 to 8",
        "2 at a time.",
        "Results over the budget: 0.",
        "left out, as a table has no network",
        "After 12 evaluations nsga2 (mean regret",
        "| searcher | after 10 | after 12 |",
        "| baseline | difference of mean regrets |",
        "(all-regret.png)",
        "(all-middle.png)",
        "(all-differences.png)",
        "(all-tables.png)",
    ):
        assert words in text
    for name in ("regret", "middle", "differences", "tables"):
        assert (report.parent / f"all-{name}.png").stat().st_size > 5_000
    rows = rows_of(report.with_suffix(".csv"))
    assert len(rows) == 2 * 28
    assert {row["searcher"] for row in rows} == {"random", "uniform", "nsga2", "small"}
    assert {row["seed"] for row in rows} == {"7", "8"}
    assert (out / "small-6" / "small-4.0-seed8.json").exists()
    assert len(list(out.glob("*/*.json"))) == 28


def test_in_one_process_or_two_and_in_one_go_or_two_it_is_the_same(
    tables: list[str], tmp_path: Path
) -> None:
    assert compare.main(tiny(tables, tmp_path / "one")) == 0
    assert compare.main(tiny(tables[:1], tmp_path / "two", "--budgets", "3.0")) == 0
    assert compare.main(tiny(tables, tmp_path / "two", "--workers", "2")) == 0
    assert regrets_of(tmp_path / "two") == regrets_of(tmp_path / "one")


def test_who_cannot_search_a_table_is_named_before_anything_runs(
    tables: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(self: RandomFeasible, problem: Problem) -> None:
        raise SettingsError(f"{self.name} needs a network")

    monkeypatch.setattr(RandomFeasible, "check", refuse)
    assert compare.main(tiny(tables, tmp_path / "compare")) == 1
    assert "error: random needs a network" in capsys.readouterr().err
    assert not (tmp_path / "compare").exists()


def test_where_regret_has_no_scale_it_is_left_out_and_named(
    tables: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = tiny(tables, tmp_path, "--budgets", "0.5", "3.0", "64")
    assert compare.main(arguments) == 0
    text = capsys.readouterr().out
    assert "under average bits 0.5 is left out: budget average bits 0.5 cannot be kept" in text
    assert "under average bits 64 is left out: average bits 64: uniform bits have" in text
    assert {row["budget"] for row in rows_of(tmp_path / "report.csv")} == {"average bits 3"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--budgets", "64"], "nothing is left to compare on: "),
        (["--against", "nsga"], "did you mean 'nsga2'"),
        (["--against", "successive-halving"], "unknown label for --against"),
        (["--agents", "nsga"], "unknown label for --agents"),
        (["--workers", "0"], "--workers=0"),
        (["--first-seed", "-1"], "--first-seed=-1"),
        (["--bits", "2", "4"], "--bits cannot be combined with --tables"),
        (["--table", "digits-cnn"], "--table and --tables both name tables"),
        (
            ["--searchers", "successive-halving"],
            "no network to train or differentiate; name another",
        ),
        (["--variants", "none.json"], "none.json: cannot be read"),
    ],
)
def test_wrong_input_is_one_clear_line(
    tables: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    assert compare.main(tiny(tables, tmp_path / "compare", *arguments)) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert words in error
    assert not (tmp_path / "compare").exists()
