"""Settings tuned on tables: the objective, the study that goes on, the judgement, the refusals."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar

import numpy as np
import pytest

from rlquant import Budget, load_table
from rlquant.errors import BudgetError, RlquantError, SettingsError, StorageError, UnknownNameError
from rlquant.tabular.random_table import random_table
from rlquant.tabular.table_file import write_table
from rlquant_agents import optuna_tuning, searcher, tuning, tuning_settings
from rlquant_agents.comparison_progress import RunsBar
from rlquant_agents.figures import png
from rlquant_agents.optuna_tuning import open_study
from rlquant_agents.searcher import Searcher, make_searcher, register_searcher
from rlquant_agents.session import Session
from rlquant_agents.table_run import TableJob
from rlquant_agents.tuning import Judged, Side, Tuning, tune
from rlquant_agents.tuning_figures import search_figure
from rlquant_agents.tuning_ranges import (
    RANGES,
    OneOf,
    Ranges,
    Real,
    Whole,
    ranges_of,
    shipped_settings,
)
from rlquant_agents.tuning_report import report, verdict
from rlquant_agents.tuning_settings import JUDGE_SEED, TuneSettings
from rlquant_agents.tuning_trial import Ground, Measure, Outcome, Tried, excess, grounds_on

BUDGET = Budget.average_bits(4.0)


@dataclass(frozen=True, kw_only=True)
class Toy(Searcher):
    """Asks for the cheapest configuration, and then for so many at random."""

    name: ClassVar[str] = "toy"

    draws: int = 1

    def explore(self, session: Session, seed: int) -> None:
        session.ask_cheapest()
        generator = np.random.default_rng(seed)
        for _ in range(self.draws):
            session.ask_indices(session.feasible.sample(generator).tolist())


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searcher, "_REGISTRY", dict(searcher._REGISTRY))
    register_searcher("toy", f"{__name__}:Toy")
    monkeypatch.setitem(RANGES, "toy", {"draws": Whole(1, 5)})


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    for name, seed in (("one", 1), ("two", 2), ("apart", 3)):
        write_table(random_table(3, 4, 0.5, seed), tmp_path / f"{name}.rlt")
    return tmp_path


def settings_for(folder: Path, **other: Any) -> TuneSettings:
    plain = TuneSettings(
        searcher="toy",
        tables=(str(folder / "one.rlt"), str(folder / "two.rlt")),
        held_out=(str(folder / "apart.rlt"),),
        budgets=(4.0,),
        evaluations=6,
        trials=3,
        seeds=1,
        judge_seeds=3,
        out=folder / "out",
    )
    return dataclasses.replace(plain, **other)


# --- the objective


def test_the_area_is_the_mean_of_logs_with_the_cheapest_before_anything_is_within_budget() -> None:
    ground = Ground.of(random_table(2, 3), BUDGET)
    ground = dataclasses.replace(ground, optimum=math.log(0.5), cheapest=4.0)
    curve = np.array([math.nan, 2.0, 1.0])
    by_hand = (math.log(8) + math.log(4) + 3 * math.log(2)) / 5  # the last one's twice more
    assert ground.area(curve, 5) == pytest.approx(by_hand)
    assert ground.area(curve, 2) == pytest.approx((math.log(8) + math.log(4)) / 2)
    assert ground.area(np.array([0.5]), 7) == 0.0


def test_the_ends_of_a_ground_are_the_table_s() -> None:
    table = random_table(3, 4, 0.5, 1)
    ground = Ground.of(table, BUDGET)
    losses = table.measured.losses
    assert ground.optimum == pytest.approx(math.log(losses[ground.problem.feasible_mask()].min()))
    assert ground.cheapest == losses[0]  # two bits everywhere stand first


@pytest.mark.usefixtures("toy")
def test_a_trial_is_the_mean_over_tables_budgets_and_seeds(tmp_path: Path) -> None:
    made = tuning_settings.made_up(((3, 4, 0.5), (3, 4, 0.5)), 1)
    budgets = [BUDGET, Budget.average_bits(3.0)]
    grounds, left_out = grounds_on(made, budgets)
    progress = RunsBar(8, 6)
    with progress.bar:
        measure = Measure(
            searcher="toy",
            grounds=grounds,
            seeds=range(2),
            evaluations=6,
            folder=tmp_path,
            progress=progress,
        )
        outcomes = tuple(measure(7, {"draws": 3}))
        assert progress.bar.n == 8 * 6
    by_hand = []
    for ground in (ground for under in grounds for ground in under):
        for seed in range(2):
            result = make_searcher("toy", draws=3).search(ground.problem, 6, seed)
            losses = [evaluation.score.loss for evaluation in result.history]
            best = list(np.minimum.accumulate(losses)) + [min(losses)] * (6 - len(losses))
            by_hand.append(fmean(math.log(loss) - ground.optimum for loss in best))
    assert left_out == []
    assert [area for of in outcomes for area in of.areas] == pytest.approx(by_hand)
    trial = Tried(7, {"draws": 3}, outcomes, True)
    assert trial.value == pytest.approx(fmean(by_hand))
    assert trial.seconds > 0
    assert len(list((tmp_path / "trial-7").glob("*.json"))) == 8


@pytest.mark.usefixtures("toy")
def test_runs_that_are_not_asked_for_any_more_count_as_done(tmp_path: Path) -> None:
    grounds, _ = grounds_on([random_table(3, 4, seed=seed) for seed in (1, 2, 3)], [BUDGET])
    progress = RunsBar(3, 6)
    with progress.bar:
        measure = Measure(
            searcher="toy",
            grounds=grounds,
            seeds=[0],
            evaluations=6,
            folder=tmp_path,
            progress=progress,
        )
        outcomes = measure(0, {})
        next(outcomes)
        assert progress.bar.n == 6
        outcomes.close()  # type: ignore[attr-defined]
        assert progress.bar.n == 18


def test_the_excess_is_over_the_runs_that_both_have() -> None:
    shipped = [Outcome((1.0, 2.0), (1.0, 1.0)), Outcome((5.0,), (1.0,))]
    assert excess([Outcome((1.5, 3.5), (1.0, 1.0))], shipped) == pytest.approx(1.0)
    assert excess(shipped, shipped) == 0.0


def test_a_budget_that_a_table_cannot_keep_is_left_out() -> None:
    small, large = random_table(3, 4), random_table(3, 4, seed=9)
    large = dataclasses.replace(
        large,
        costs=dataclasses.replace(large.costs, average_bits=5 * large.costs.average_bits),
    )
    grounds, left_out = grounds_on([small, large], [BUDGET])
    assert len(grounds) == len(left_out) == 1
    assert left_out[0].startswith("random under average bits 4 is left out")
    with pytest.raises(BudgetError, match="nothing is left to search"):
        grounds_on([large], [BUDGET])


# --- ranges


@pytest.mark.parametrize("name", list(RANGES))
def test_shipped_settings_are_within_the_ranges(name: str) -> None:
    ranges = ranges_of(name)
    for setting, value in shipped_settings(name, ranges).items():
        match ranges[setting]:
            case OneOf(options):
                assert value in options
            case Whole(low, high) | Real(low, high):
                assert low <= value <= high


@pytest.mark.parametrize("name", list(RANGES))
def test_a_searcher_takes_both_ends_of_every_range(name: str) -> None:
    ends = [
        {k: of.options[0] if isinstance(of, OneOf) else of.low for k, of in RANGES[name].items()},
        {k: of.options[-1] if isinstance(of, OneOf) else of.high for k, of in RANGES[name].items()},
    ]
    for settings in ends:
        make_searcher(name, **settings)


# --- the study

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


# --- the whole


@pytest.mark.usefixtures("toy")
def test_held_out_tables_and_their_seeds_are_in_no_trial(
    tables: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[str, str, int]] = []
    run = TableJob.run

    def watched(self: TableJob, *rest: Any) -> Any:
        ran.append((self.path.parent.name, self.problem.table.name, self.seed))
        return run(self, *rest)

    monkeypatch.setattr(TableJob, "run", watched)
    found = tune(settings_for(tables))
    assert found is not None
    assert {table for folder, table, _ in ran if folder.startswith("trial-")} == {"one", "two"}
    judged = [(table, seed) for folder, table, seed in ran if folder == "held-out"]
    assert set(judged) == {("apart", JUDGE_SEED + seed) for seed in range(3)}
    assert len(judged) == 2 * 3
    assert max(seed for folder, _, seed in ran if folder != "held-out") < JUDGE_SEED
    assert found.searched == ("one", "two")
    assert found.tried[0].settings == {"draws": 1}
    assert found.winner.settings["draws"] > 1
    assert found.winner is min((t for t in found.tried if t.finished), key=lambda t: t.value)
    assert found.judged is not None
    assert found.judged.differences.shape == (3, 1)
    assert found.judged.for_seeds.value == pytest.approx(found.judged.differences.mean())
    ran.clear()
    again = tune(settings_for(tables))
    assert ran == []
    assert again is not None
    assert again.judged is not None
    assert np.array_equal(again.judged.winner.areas, found.judged.winner.areas)
    assert "trials" in report(settings_for(tables), found, ["python"])


@pytest.mark.usefixtures("toy")
def test_an_interrupted_tuning_returns_nothing_and_keeps_what_ran(
    tables: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = []
    run = TableJob.run

    def interrupted(self: TableJob, *rest: Any) -> Any:
        ran.append(self.path)
        return None if len(ran) == 6 else run(self, *rest)

    monkeypatch.setattr(TableJob, "run", interrupted)
    assert tune(settings_for(tables)) is None  # in the third trial
    kept = list((tables / "out" / "trials").rglob("*.json"))
    assert len(kept) == 5
    assert tune(settings_for(tables)) is not None
    assert not set(kept) & set(ran[6:])
    monkeypatch.setattr(tuning, "run_jobs", lambda jobs: None)
    assert tune(settings_for(tables)) is None  # while it judged


@pytest.mark.usefixtures("toy")
def test_where_the_shipped_settings_win_nothing_is_judged(tables: Path) -> None:
    found = tune(settings_for(tables, trials=1))
    assert found is not None
    assert found.judged is None
    text = report(settings_for(tables), found, ["python"])
    assert "The shipped settings won the search" in text
    assert "Held-out" not in text


@pytest.mark.usefixtures("toy")
def test_a_folder_of_another_tuning_is_refused(tables: Path) -> None:
    assert tune(settings_for(tables, trials=1)) is not None
    with pytest.raises(SettingsError, match="evaluations was 6 and is 7 now"):
        tune(settings_for(tables, trials=1, evaluations=7))
    held_out = settings_for(tables, trials=1, judge_seeds=1)  # trials know nothing of it
    assert tune(held_out) is not None


@pytest.mark.parametrize(
    ("other", "error", "words"),
    [
        ({"searcher": "tyo"}, UnknownNameError, "unknown searcher 'tyo'"),
        ({"searcher": "knapsack"}, UnknownNameError, "unknown searcher to tune 'knapsack'"),
        ({"fixed": ("draws",)}, SettingsError, "--fixed draws: write it as name=value"),
        ({"fixed": ("draws=2", "draws=3")}, SettingsError, "--fixed names draws twice"),
        ({"fixed": ("drawn=2",)}, SettingsError, "no setting 'drawn'"),
        ({"fixed": ("draws=2",)}, SettingsError, "nothing of toy is left to tune"),
        ({"budgets": ()}, SettingsError, "--budgets needs at least one"),
        ({"budgets": (3.0, 3.0)}, SettingsError, "--budgets names average bits 3 twice"),
        ({"budgets": (0.1,)}, BudgetError, "nothing is left to search"),
        ({"trials": 0}, SettingsError, "--trials=0"),
        ({"judge_seeds": 0}, SettingsError, "--judge-seeds=0"),
        ({"seeds": 1001}, SettingsError, "--seeds=1001"),
        ({"seed": -1}, SettingsError, "--seed=-1"),
        ({"tables": ("digits-cn",)}, UnknownNameError, "did you mean 'digits-cnn'"),
        ({"tables": ("digits-mlp", "digits-mlp")}, SettingsError, "--tables names digits-mlp tw"),
        ({"tables": ("digits-mlp",), "held_out": ("digits-mlp",)}, SettingsError, "would be seen"),
        ({"tables": ("{folder}/none",)}, SettingsError, "holds no .rlt file"),
    ],
)
@pytest.mark.usefixtures("toy")
def test_wrong_settings_are_refused_before_anything_is_written(
    tables: Path, other: dict[str, Any], error: type[RlquantError], words: str
) -> None:
    (tables / "none").mkdir()
    if other.get("tables") == ("{folder}/none",):
        other = {"tables": (str(tables / "none"),)}
    with pytest.raises(error, match=words):
        tune(settings_for(tables, **other))
    assert not (tables / "out").exists()


def test_a_folder_stands_for_its_tables(tables: Path) -> None:
    settings = TuneSettings(tables=(str(tables),), held_out=("digits-mlp",))
    searched, judged = settings.read_tables()
    assert [table.name for table in searched] == ["apart", "one", "two"]
    assert [table.name for table in judged] == ["digits-mlp"]


def test_by_default_no_table_that_comes_with_rlquant_is_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tuning_settings, "SEARCHED", ((3, 4, 0.5), (2, 6, 0.1)))
    monkeypatch.setattr(tuning_settings, "JUDGED", ((3, 4, 0.5),))
    searched, judged = TuneSettings().read_tables()
    assert [t.name for t in searched] == ["made-up-3x4-0.5-100", "made-up-2x6-0.1-101"]
    assert [t.name for t in judged] == ["made-up-3x4-0.5-200"]
    assert tuning_settings.shipped_among([*searched, *judged]) == []
    assert not np.array_equal(searched[0].measured.losses, judged[0].measured.losses)


def test_a_shipped_table_is_known_under_any_name(
    tables: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy = tables / "other.rlt"
    write_table(load_table("digits-mlp"), copy)
    TuneSettings(tables=(str(copy),)).read_tables()
    assert "other comes with rlquant" in caplog.text


# --- the verdict


def tuning_with(differences: list[list[float]]) -> Tuning:
    """Return one with these differences, a row a seed and a column a table."""
    areas = np.array(differences)
    tables = tuple(f"table{i}" for i in range(areas.shape[1]))
    judged = Judged(Side(areas + 1.0, 2.0), Side(np.ones(areas.shape), 1.0), tables)
    tried = (
        Tried(0, {"x": 1.5}, (Outcome((2.0,), (1.0,)),), True),
        Tried(1, {"x": 0.25}, (Outcome((1.0,), (3.0,)),), True),
        Tried(2, {"x": 0.1}, (Outcome((0.5,), (3.0,)),), False),
    )
    return Tuning(tried, judged, ("one",), ("one is left out.",), ("one",))


@pytest.mark.parametrize(
    ("differences", "words"),
    [
        ([[-0.5, -0.4], [-0.4, -0.5]], r"better than the shipped ones beyond the interval\."),
        ([[-0.5, 0.1], [-0.4, 0.1]], "beyond the interval, on these tables; for others it is not"),
        ([[0.5, 0.4], [0.4, 0.5]], "worse than the shipped ones"),
        ([[0.5, -0.25], [-0.5, 0.5]], "not told apart"),
    ],
)
def test_the_verdict_is_by_the_intervals(differences: list[list[float]], words: str) -> None:
    found = verdict(tuning_with(differences))
    assert found.startswith('Trial 1 won the search:\n\n    {"x": 0.25}\n\n')
    assert re.search(words, found)
    assert f"seeds on the same tables: {np.mean(differences):+.4f}" in found
    assert "A run took 2.00 s, with the shipped settings 1.00 s." in found


def test_the_report_shows_the_best_settings_and_the_shipped_ones_place() -> None:
    text = report(TuneSettings(fixed=("a=1",)), tuning_with([[-0.5, 0.25]]), ["python", "x.py"])
    for words in (
        "    python x.py\n",
        "3 trials, of which 1 were given up",
        "one came with rlquant: a comparison of searchers there no longer says",
        "Fixed on both sides: a=1. one is left out.",
        "shipped settings (trial 0) are in place 2 of the 2 trials",
        "| 1 | 1 | 1.0000 | 3.00 | 0.25 |",
        "| 2 | 0 (shipped) | 2.0000 | 1.00 | 1.5 |",
        "| table0 | 0.5000 | 1.0000 | -0.5000 |",
        "| table1 | 1.2500 | 1.0000 | +0.2500 |",
        "(search.png)",
    ):
        assert words in text


def test_shipped_settings_beyond_the_best_ten_are_shown_too() -> None:
    tried = tuple(
        Tried(number, {"x": 0.5}, (Outcome((20.0 - number,), (1.0,)),), True)
        for number in range(15)
    )
    text = report(TuneSettings(), Tuning(tried, None, ("one",)), ["python"])
    assert "| 10 | 5 | 15.0000 |" in text
    assert "| 11 | 4 |" not in text
    assert "| 15 | 0 (shipped) | 20.0000 |" in text
    assert "No table that comes with rlquant" in text
