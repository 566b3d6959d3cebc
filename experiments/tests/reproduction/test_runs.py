"""Runs, their files, and going on after an interruption."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from rlquant.errors import DataError, FileFormatError, SettingsError, StorageError
from rlquant_experiments.reproduction.running import run_jobs
from rlquant_experiments.reproduction.runs import Job, Measured, Progress, Results, Run


class Lab:
    """Makes jobs that remember that they ran; one of them can be made to fail."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.fails: BaseException | None = None
        self.fails_at = ""

    def job(self, variant: str, seed: int, settings: dict[str, Any] | None = None) -> Job:
        def measure(progress: Progress) -> Measured:
            if self.fails is not None and self.fails_at == f"{variant}{seed}":
                raise self.fails
            progress(2)
            self.done.append(f"{variant}{seed}")
            return {"error": 10.0 * seed, "curve": [1.0, float(seed)]}

        return Job(
            experiment="net",
            variant=variant,
            seed=seed,
            settings={"rate": 0.1} if settings is None else settings,
            measure=measure,
            steps=4,
        )

    def jobs(self) -> list[Job]:
        return [self.job(variant, seed) for variant in "ab" for seed in (1, 0)]


def test_an_interrupted_reproduction_goes_on_and_computes_nothing_twice(tmp_path: Path) -> None:
    lab = Lab()
    lab.fails, lab.fails_at = KeyboardInterrupt(), "b1"
    with pytest.raises(KeyboardInterrupt):
        run_jobs(lab.jobs(), tmp_path, progress=False)
    assert lab.done == ["a1", "a0"]
    lab.fails = None
    results = run_jobs(lab.jobs(), tmp_path, progress=False)
    assert lab.done == ["a1", "a0", "b1", "b0"]
    again = run_jobs(lab.jobs(), tmp_path, progress=False)
    assert len(lab.done) == 4
    for found in (results, again):
        assert found.values("net", "a", "error").tolist() == [0.0, 10.0]
        assert found.curves("net", "b", "curve") == [[1.0, 0.0], [1.0, 1.0]]


def test_other_settings_are_another_run(tmp_path: Path) -> None:
    lab = Lab()
    run_jobs([lab.job("a", 0)], tmp_path, progress=False)
    run_jobs([lab.job("a", 0, {"rate": 0.2})], tmp_path, progress=False)
    assert lab.done == ["a0", "a0"]
    assert len(list(tmp_path.glob("net-a-seed0-*.json"))) == 2


def test_a_file_says_what_was_run(tmp_path: Path) -> None:
    run_jobs([Lab().job("SR <2,14>, rate 0.1", 3)], tmp_path, progress=False)
    (path,) = tmp_path.glob("*.json")
    assert path.name.startswith("net-sr-2-14-rate-0-1-seed3-")
    document = json.loads(path.read_text())
    assert document["settings"] == {"rate": 0.1}
    assert document["figures"]["error"] == 30.0


def test_the_bar_shows_rate_and_time_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_jobs(Lab().jobs(), tmp_path)
    shown = capsys.readouterr().err
    assert "16/16" in shown
    assert "step/s" in shown
    assert "net, b, seed 0 (4 of 4)" in shown


def test_one_run_asked_for_twice_is_refused(tmp_path: Path) -> None:
    lab = Lab()
    with pytest.raises(SettingsError, match=r"asked for twice: net, a, seed 0; ask for each"):
        run_jobs([lab.job("a", 0), lab.job("a", 0)], tmp_path, progress=False)


def test_settings_must_be_json() -> None:
    with pytest.raises(SettingsError, match=r"Job net, a, seed 0: settings cannot be written"):
        Lab().job("a", 0, {"rate": object()})


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"format": 1}', '{"format": 2, "figures": {}, "seconds": 1}']
)
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    job = Lab().job("a", 0)
    (tmp_path / job.file_name).write_text(content)
    with pytest.raises(FileFormatError, match=r"net-a-seed0.*delete it"):
        run_jobs([job], tmp_path, progress=False)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        run_jobs([Lab().job("a", 0)], tmp_path / "file", progress=False)


def test_what_is_not_finite_comes_back_as_nan(tmp_path: Path) -> None:
    job = Lab().job("a", 0)
    Run("net", "a", 0, {"loss": math.inf, "losses": [1.0, math.nan]}, 1.0).write(tmp_path, job)
    read = Run.read(tmp_path, job)
    assert read is not None
    assert math.isnan(read.figures["loss"])
    assert read.figures["losses"][0] == 1.0
    assert math.isnan(read.figures["losses"][1])


def test_unknown_runs_and_figures_are_refused() -> None:
    results = Results([Run("net", "a", 0, {"error": 1.0}, 2.0)])
    assert results.seconds == 2.0
    with pytest.raises(DataError, match="no run of 'net' with the variant 'b'"):
        results.values("net", "b", "error")
    with pytest.raises(DataError, match="a run of 'net' has no 'loss'; it measured error"):
        results.values("net", "a", "loss")
