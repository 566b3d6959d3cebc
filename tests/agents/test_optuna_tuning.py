"""The study that goes on where it was interrupted, and gives up what is worse than most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from rlquant.errors import StorageError
from rlquant_agents import optuna_tuning
from rlquant_agents.figures import png
from rlquant_agents.optuna_tuning import open_study
from rlquant_agents.tuning_figures import search_figure
from rlquant_agents.tuning_ranges import (
    OneOf,
    Ranges,
    Real,
    Whole,
)
from rlquant_agents.tuning_trial import Outcome

RANGED: Ranges = {"x": Real(-2.0, 2.0), "n": Whole(1, 3), "word": OneOf(("a", "b"))}
SHIPPED = {"x": 1.5, "n": 2, "word": "b"}


class Parabola:
    """Counts what it is asked, on two tables; the third question of a trial may be interrupted."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.asked: list[tuple[int, Mapping[str, Any]]] = []
        self._stop_at = stop_at

    def __call__(self, number: int, settings: Mapping[str, Any]) -> Iterator[Outcome]:
        self.asked.append((number, dict(settings)))
        for table in range(2):
            if len(self.asked) == self._stop_at and table == 1:
                raise KeyboardInterrupt
            yield Outcome((table + settings["x"] ** 2,), (0.5,))


def test_a_study_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    file = tmp_path / "study.sqlite"
    first = Parabola(stop_at=3)
    with open_study(file, RANGED, SHIPPED, 0) as study, pytest.raises(KeyboardInterrupt):
        study.run(5, first)
    assert first.asked[0] == (0, SHIPPED)
    again = Parabola()
    with open_study(file, RANGED, SHIPPED, 0) as study:
        assert [trial.number for trial in study.tried()] == [0, 1]
        study.run(5, again)
        tried = study.tried()
        study.run(5, again)  # there are enough
    assert again.asked[0] == first.asked[2]  # the same settings under the same number
    assert len(again.asked) == 3
    assert len({trial.number for trial in tried}) == len(tried) == 5
    assert tried[0].settings == SHIPPED
    assert tried[0].outcomes == (Outcome((2.25,), (0.5,)), Outcome((3.25,), (0.5,)))
    assert len({trial.settings["x"] for trial in tried}) == 5  # nothing is drawn again
    whole = [trial for trial in tried if trial.finished]
    for trial in whole:
        assert trial.value == pytest.approx(0.5 + trial.settings["x"] ** 2)
    assert all(len(trial.outcomes) == 2 for trial in whole)


def test_the_first_trial_is_taken_up_even_if_it_was_interrupted(tmp_path: Path) -> None:
    file = tmp_path / "study.sqlite"
    with open_study(file, RANGED, SHIPPED, 0) as study, pytest.raises(KeyboardInterrupt):
        study.run(2, Parabola(stop_at=1))
    with open_study(file, RANGED, SHIPPED, 0) as study:
        study.run(1, Parabola())
        (trial,) = study.tried()
    assert (trial.number, trial.settings, trial.finished) == (0, SHIPPED, True)


def test_what_is_worse_than_most_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optuna_tuning, "WHOLE_TRIALS", 3)

    def worse_and_worse(number: int, settings: Mapping[str, Any]) -> Iterator[Outcome]:
        for _ in range(3):
            yield Outcome((float(number),), (0.5,))

    with open_study(tmp_path / "study.sqlite", RANGED, SHIPPED, 0) as study:
        study.run(5, worse_and_worse)
        tried = study.tried()
    assert [trial.finished for trial in tried] == [True, True, True, False, False]
    assert [len(trial.outcomes) for trial in tried] == [3, 3, 3, 2, 2]
    figure = search_figure(tried)
    whole, given_up, best, shipped = figure.axes[0].get_lines()
    assert list(whole.get_ydata()) == [0.0, 1.0, 2.0]
    assert list(given_up.get_xdata()) == [3, 4]
    assert list(best.get_ydata()) == [0.0] * 4
    assert list(shipped.get_ydata()) == [0.0, 0.0]
    assert len(png(figure)) > 10_000


def test_a_file_that_is_no_study_is_named(tmp_path: Path) -> None:
    file = tmp_path / "study.sqlite"
    file.write_text("nothing of the kind " * 100)
    with (
        pytest.raises(StorageError, match=r"study\.sqlite: cannot be used as the study"),
        open_study(file, RANGED, SHIPPED, 0),
    ):
        pass
