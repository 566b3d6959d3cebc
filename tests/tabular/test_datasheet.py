"""The datasheet of the tables says what the files hold, and the leaderboard can be read."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from pathlib import Path

import rlquant
from rlquant import Budget, TabularProblem
from rlquant.tabular import shipped

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
PAGE = (REFERENCE / "tables.md").read_text(encoding="utf-8")


def rows(heading: str) -> Iterator[list[str]]:
    """Yield the cells of the table below a heading."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    for line in lines:
        yield [cell.strip() for cell in line.strip("|").split("|")]


def test_the_files_are_those_of_the_datasheet() -> None:
    found = {name: (groups, count, digest) for name, _, groups, count, _, digest in rows("Files")}
    assert tuple(found) == rlquant.table_names()
    for name, (groups, count, digest) in found.items():
        table = rlquant.load_table(name)
        assert (groups, count) == (str(len(table.groups)), f"{table.count:,}")
        content = (shipped.FOLDER / f"{name}.rlt").read_bytes()
        assert digest == f"`{hashlib.sha256(content).hexdigest()}`", name


def test_the_reference_results_are_the_tables_own() -> None:
    given = list(rows("Reference results"))
    assert len(given) == 3 * len(rlquant.table_names())
    for name, bits, within, _, optimum in given:
        problem = TabularProblem(rlquant.load_table(name), Budget.average_bits(float(bits)))
        assert within == f"{problem.feasible.count():,.0f}"
        assert optimum == f"{problem.optimum()[1].loss:.4f}"


def test_the_leaderboard_is_in_order_and_names_its_sources() -> None:
    with open(REFERENCE / "leaderboard.csv", newline="", encoding="utf-8") as stream:
        lines = list(csv.DictReader(stream))
    marks = ("after_300", "after_100", "after_30")
    regrets = [tuple(float(line[mark]) for mark in marks) for line in lines]
    assert regrets == sorted(regrets)
    for line in lines:
        assert int(line["seeds"]) >= 10
        source = line["source"]
        assert source.startswith("https://") or (ROOT / source).is_file()
