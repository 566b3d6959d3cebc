"""Figures of a campaign: findings of one kind together, and all of it as text and page."""

from __future__ import annotations

from pathlib import Path

from rlquant_experiments.faults.figures import Figures, Finding, Tally
from rlquant_experiments.faults.report import markdown


def finding(fault: str, seed: int = 1) -> Finding:
    return Finding("part", "trial", seed, fault, Path("x"))


def test_values_and_details_make_no_other_kind() -> None:
    one = finding("raw ValueError: 'a' at 3\n  more of it")
    two = finding("raw ValueError: another word\n  and more", seed=2)
    other = finding("raw TypeError: 'a' at 3")
    assert one.kind == two.kind == "part: raw ValueError"
    assert other.kind != one.kind
    assert finding("loss 0.5 of '/x/y'").kind == finding("loss 1e-3 of '/z'").kind


def test_a_tally_says_which_findings_are_new() -> None:
    tally = Tally("promise")
    assert not tally.add(0.5, None)
    assert tally.add(0.5, finding("a"))
    assert not tally.add(0.5, finding("a", seed=2))
    assert (tally.trials, tally.seconds) == (3, 1.5)


def test_the_page_says_what_was_tried_and_found() -> None:
    tallies = {"part": Tally("it holds"), "other": Tally("it holds too")}
    figures = Figures(5, tallies, seconds=12.0)
    tallies["other"].add(1.0, None)
    assert "No findings." in markdown(figures, "python scripts/fuzz.py")
    tallies["part"].add(2.0, finding("broken"))
    page = markdown(figures, "python scripts/fuzz.py --seed 5")
    assert "    python scripts/fuzz.py --seed 5" in page
    assert "| part | it holds | 1 | 1 | 2 |" in page
    assert "| other | it holds too | 1 | 0 | 1 |" in page
    assert "- 1 x trial: broken (`python scripts/fuzz.py --only part --trial 1`)" in page
    assert "2 trials in 12 s, seed 5: 1 findings of 1 kinds" in figures.text()
