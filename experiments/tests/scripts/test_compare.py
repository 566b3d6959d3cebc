"""scripts/compare.py, the real one: equal evaluations, tables from the numbers, going on."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from rlquant_experiments.commands import compare
from rlquant_experiments.comparison.comparison_progress import RunsBar


def tiny(out: Path, *more: str) -> list[str]:
    plain = ["--task", "digits/mlp", "--budgets", "3.0", "4.0", "--seeds", "2"]
    plain += ["--evaluations", "7", "--searchers", "random", "uniform", "tpe"]
    return [*plain, "--out", str(out), *more]


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_it_compares_and_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, report = tmp_path / "compare", tmp_path / "docs" / "mlp.md"
    arguments = tiny(out, "--report", str(report))
    assert compare.main(arguments) == 0
    text = report.read_text()
    assert text in capsys.readouterr().out
    assert f"python scripts/compare.py {' '.join(arguments)}" in text
    for words in (
        *("## Average bits 3\n", "## Average bits 4\n", "cores", "torch", "Below it: "),
        *(
            "seeds 0 to 1, each of at most 7",
            "Results over the budget: 0.",
            "| evaluator's share |",
        ),
        *("random less each other searcher, image by image", "| searcher | test loss | test acc"),
    ):
        assert words in text
    for figure in ("mlp-3.0.png", "mlp-4.0.png"):
        assert f"({figure})" in text
        assert (report.parent / figure).stat().st_size > 10_000
    rows = rows_of(report.with_suffix(".csv"))
    assert [(r["searcher"], r["seed"]) for r in rows[:5]] == [
        ("random", "0"),
        ("random", "1"),
        ("uniform", "0"),
        ("tpe", "0"),
        ("tpe", "1"),
    ]
    assert len(rows) == 10
    limits = {"average bits 3": 3.0, "average bits 4": 4.0}
    for row in rows:
        assert float(row["average_bits"]) <= limits[row["budget"]]
        assert int(row["evaluations"]) <= 7
        file = out / f"{row['searcher']}-{limits[row['budget']]}-seed{row['seed']}.json"
        assert json.loads(file.read_text())["run"]["curve"][-1] == float(row["loss"])
    assert (out / "report.md").exists()


def test_what_ran_does_not_run_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "compare"
    assert compare.main(tiny(out, "--searchers", "random")) == 0
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.json")}
    assert len(before) == 4
    # one run is gone, as if the job had been killed in it
    gone = out / "random-3.0-seed1.json"
    gone.unlink()
    first = rows_of(out / "report.csv")
    assert compare.main(tiny(out, "--searchers", "random", "uniform")) == 0
    after = {path: path.stat().st_mtime_ns for path in out.glob("*.json")}
    assert len(after) == 6
    assert [path for path in before if after[path] != before[path]] == [gone]
    again = [row for row in rows_of(out / "report.csv") if row["searcher"] == "random"]
    assert [row["loss"] for row in again] == [row["loss"] for row in first]


def test_an_interrupted_comparison_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []

    def interrupt(self: RunsBar, *_: object) -> None:
        seen.append(1)
        if len(seen) == 10:
            raise KeyboardInterrupt

    monkeypatch.setattr(RunsBar, "on_evaluation", interrupt)
    out = tmp_path / "compare"
    assert compare.main(tiny(out, "--budgets", "3.0")) == 130
    assert f"goes on from {out}" in capsys.readouterr().err
    assert len(list(out.glob("*.json"))) == 1  # the second one is cut short
    monkeypatch.undo()
    assert compare.main(tiny(out, "--budgets", "3.0")) == 0
    assert {row["evaluations"] for row in rows_of(out / "report.csv")} == {"7", "1"}


def test_variants_are_compared_on_other_seeds_against_one_of_them(tmp_path: Path) -> None:
    variants = tmp_path / "variants.json"
    variants.write_text('{"few": {"searcher": "tpe", "settings": {"startup": 2}}}')
    more = ["--variants", str(variants), "--first-seed", "5", "--against", "few"]
    out = tmp_path / "compare"
    assert compare.main(tiny(out, "--budgets", "3.0", "--searchers", "random", *more)) == 0
    rows = [(row["searcher"], row["seed"]) for row in rows_of(out / "report.csv")]
    assert rows == [("random", "5"), ("random", "6"), ("few", "5"), ("few", "6")]
    text = (out / "report.md").read_text()
    assert "few less each other searcher" in text
    assert "few (mean " in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--task", "digit/mlp"], "did you mean 'digits/mlp'"),
        (["--searchers", "local-swaps"], "did you mean 'local-swap'"),
        (["--budgets", "0.5"], "smallest reachable"),
        (["--budgets"], "at least one"),
        (["--budgets", "4", "4"], "--budgets names average bits 4 twice"),
        (["--searchers", "tpe", "random", "tpe"], "--searchers names tpe twice"),
        (["--seeds", "0"], "at least one"),
        (["--evaluations", "0"], "at least one"),
        (["--workers", "2"], "--workers 2 cannot be used without tables"),
        (["--against", "masked-ppo"], "unknown label for --against"),
    ],
)
def test_wrong_input_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert compare.main(tiny(tmp_path / "compare", *arguments)) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert words in error


def test_a_folder_of_another_comparison_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "compare"
    assert compare.main(tiny(out, "--searchers", "random", "--seeds", "1")) == 0
    assert compare.main(tiny(out, "--searchers", "random", "--seeds", "1", "--bits", "2", "8")) == 1
    assert "space.bits was" in capsys.readouterr().err
