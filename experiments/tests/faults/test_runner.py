"""The runner of a campaign: what it counts, keeps and survives."""

from __future__ import annotations

import time
from pathlib import Path

from rlquant_experiments.faults.figures import Figures, Finding
from rlquant_experiments.faults.runner import Limits, run_campaign

PLACE = "fault_parts"


def test_trials_are_counted_and_only_findings_leave_a_folder(tmp_path: Path) -> None:
    told: list[Finding] = []

    def tell(figures: Figures, finding: Finding | None) -> None:
        told.extend([] if finding is None else [finding])

    limits = Limits(seconds=120, trials=4, workers=2, seed=3)
    figures = run_campaign(["holds", "finds", "fails"], limits, tmp_path, tell, place=PLACE)
    tallies = figures.tallies
    assert {name: tally.trials for name, tally in tallies.items()} == {
        "holds": 4,
        "finds": 4,
        "fails": 4,
    }
    assert figures.found == 2 + 4  # two odd seeds, and a fault of the trial is one as well
    assert sorted(finding.part for finding in told) == ["fails", "finds"]  # each kind once
    (alike,) = tallies["finds"].findings.values()
    assert sorted(finding.seed for finding in alike) == [3_000_001, 3_000_003]
    assert alike[0].command == f"python scripts/fuzz.py --only finds --trial {alike[0].seed}"
    kept = sorted(path.name for path in (tmp_path / "findings").iterdir())
    assert kept == sorted(alike[0].folder.name for alike in figures.kinds)  # the first of a kind
    assert (alike[0].folder / "evidence").read_text() == str(alike[0].seed)
    assert f"the seed is {alike[0].seed}" in (alike[0].folder / "finding.txt").read_text()
    assert "ZeroDivisionError" in tallies["fails"].findings.popitem()[1][0].fault
    assert not (tmp_path / "work").exists()


def test_a_trial_that_hangs_and_a_process_that_dies_are_findings(tmp_path: Path) -> None:
    limits = Limits(seconds=120, trials=1, workers=2)
    figures = run_campaign(["hangs", "dies"], limits, tmp_path, place=PLACE)
    faults = {alike[0].part: alike[0].fault for alike in figures.kinds}
    assert faults == {"hangs": "it does not end", "dies": "its process ended with code 7"}


def test_a_campaign_ends_in_time_and_leaves_figures(tmp_path: Path) -> None:
    started = time.monotonic()
    figures = run_campaign(["holds"], Limits(seconds=1, workers=1), tmp_path, place=PLACE)
    assert figures.seconds >= 1
    assert not figures.interrupted
    assert time.monotonic() - started < 30


def test_an_interrupted_campaign_leaves_its_figures(tmp_path: Path) -> None:
    def interrupt(figures: Figures, finding: Finding | None) -> None:
        if figures.trials == 3:
            raise KeyboardInterrupt

    figures = run_campaign(
        ["holds"], Limits(seconds=120, workers=1), tmp_path, interrupt, place=PLACE
    )
    assert (figures.trials, figures.interrupted) == (3, True)
    assert "interrupted after" in figures.text()
    assert not (tmp_path / "work").exists()


def test_one_trial_is_repeated_by_its_seed(tmp_path: Path) -> None:
    limits = Limits(seconds=120, trials=1, workers=1)
    figures = run_campaign(["finds"], limits, tmp_path, first=77, place=PLACE)
    assert [alike[0].seed for alike in figures.kinds] == [77]
