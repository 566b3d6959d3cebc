"""What watches a search: TensorBoard events that can be read back, and the progress bar."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rlquant.testing import ToyProblem
from rlquant_agents.search.callbacks import Callbacks, ProgressBar, TensorBoardLog
from rlquant_agents.search.result import Evaluation, SearchResult
from rlquant_agents.search.searcher import make_searcher
from rlquant_agents.search.session import Callback, Session

TAGS = {
    "search/accuracy",
    "search/average_bits",
    "search/best_accuracy",
    "search/best_loss",
    "search/episodes",
    "search/evaluations",
    "search/loss",
    "search/size_bytes",
}


def events(folder: Path) -> EventAccumulator:
    read = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    read.Reload()
    return read


def values(read: EventAccumulator, tag: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in read.Scalars(tag)]


def test_scalars_can_be_read_back(tmp_path: Path) -> None:
    log = TensorBoardLog(tmp_path / "run")
    result = make_searcher("random").search(ToyProblem(4, 4.0), 12, 0, log)
    read = events(tmp_path / "run")
    assert set(read.Tags()["scalars"]) == TAGS | {f"outcome/{name}" for name in OUTCOMES}
    for tag, field in (("accuracy", "accuracy"), ("average_bits", "average_bits")):
        expected = [(e.number, getattr(e.score, field)) for e in result.history]
        written = values(read, f"search/{tag}")
        assert [step for step, _ in written] == [step for step, _ in expected]
        assert [v for _, v in written] == pytest.approx([v for _, v in expected])
    assert values(read, "search/evaluations") == [(n, n) for n in range(1, 13)]
    best = [value for _, value in values(read, "search/best_accuracy")]
    assert best == sorted(best)
    assert best[-1] == pytest.approx(result.score.accuracy)


def test_there_is_no_best_before_something_is_feasible(tmp_path: Path) -> None:
    result = make_searcher("local-swap").search(ToyProblem(4, 4.0), 60, 0, TensorBoardLog(tmp_path))
    first = next(e.number for e in result.history if e.feasible)
    assert first > 1
    best = values(events(tmp_path), "search/best_accuracy")
    assert [step for step, _ in best] == list(range(first, len(result.history) + 1))


OUTCOMES = ("accuracy", "average_bits", "loss", "size_bytes")


@pytest.mark.parametrize("name", ["masked-ppo", "ppo"])
def test_ppo_writes_its_own_losses_beside_the_search(name: str, tmp_path: Path) -> None:
    make_searcher(name).search(ToyProblem(6, 4.0), 24, 0, TensorBoardLog(tmp_path))
    tags = set(events(tmp_path).Tags()["scalars"])
    assert tags >= TAGS
    assert tags >= {
        "train/loss",
        "train/policy_gradient_loss",
        "train/value_loss",
        "train/entropy_loss",
        "rollout/ep_rew_mean",
    }


def test_ppo_writes_nothing_where_nobody_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_searcher("ppo").search(ToyProblem(3, 4.0), 10, 0)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_an_interrupted_search_leaves_whole_events(tmp_path: Path) -> None:
    class Impatient(Callback):
        def on_evaluation(self, session: Session, evaluation: Evaluation) -> None:
            if evaluation.number == 4:
                raise KeyboardInterrupt

    both = Callbacks([TensorBoardLog(tmp_path), Impatient()])
    make_searcher("random").search(ToyProblem(4, 4.0), 12, 0, both)
    assert [step for step, _ in values(events(tmp_path), "search/loss")] == [1, 2, 3, 4]


def test_the_progress_bar_writes_to_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    result = make_searcher("random").search(ToyProblem(4, 4.0), 12, 0, ProgressBar("looking"))
    out, error = capfd.readouterr()
    assert out == ""
    assert "looking: 12/12 |" in error
    assert f"loss {result.score.loss:.4f}" in error


def test_the_progress_bar_shows_where_a_search_ended_early(
    capfd: pytest.CaptureFixture[str],
) -> None:
    make_searcher("uniform").search(ToyProblem(4, 4.0), 12, 0, ProgressBar())
    assert "2/12" in capfd.readouterr().err


def test_stages_have_bars_of_their_own_which_go(capfd: pytest.CaptureFixture[str]) -> None:
    bar, session = ProgressBar("looking"), Session(ToyProblem(1), 1)
    with closing(bar):
        bar.on_start(session)
        for done in range(3):
            bar.on_progress(session, "taking gradients", done, 2)
        bar.on_progress(session, "another stage", 1, 5)
    error = capfd.readouterr().err
    assert "looking: taking gradients: 0/2 |" in error
    assert "looking: another stage:" in error


def test_several_callbacks_hear_everything_in_order(tmp_path: Path) -> None:
    heard: list[str] = []

    class Listener(Callback):
        def __init__(self, name: str) -> None:
            self.name = name

        def on_start(self, session: Session) -> None:
            heard.append(f"{self.name} start")

        def on_progress(self, session: Session, stage: str, done: int, total: int) -> None:
            heard.append(f"{self.name} {stage} {done}/{total}")

        def on_evaluation(self, session: Session, evaluation: Evaluation) -> None:
            heard.append(f"{self.name} {evaluation.number}")

        def on_end(self, session: Session, result: SearchResult) -> None:
            heard.append(f"{self.name} end")

    both = Callbacks([Listener("a"), Listener("b")])
    make_searcher("uniform").search(ToyProblem(2, 4.0), 1, 0, both)
    assert heard == ["a start", "b start", "a 1", "b 1", "a end", "b end"]
    heard.clear()
    both.on_progress(Session(ToyProblem(1), 1), "x", 1, 2)
    assert heard == ["a x 1/2", "b x 1/2"]


def test_the_events_of_several_callbacks_are_those_of_the_first_that_has_some(
    tmp_path: Path,
) -> None:
    assert Callbacks([]).event_log is None
    logs = [TensorBoardLog(tmp_path / "a"), TensorBoardLog(tmp_path / "b")]
    both = Callbacks([Callback(), *logs])
    assert both.event_log is None  # nothing is open before a search begins
    both.on_start(Session(ToyProblem(1), 1))
    assert both.event_log is logs[0].event_log is not None


def test_workers_are_seen_on_the_bar_and_in_tensorboard(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    told = Callbacks([ProgressBar("search"), TensorBoardLog(tmp_path)])
    with ThreadPoolExecutor(2) as threads:
        make_searcher("random", batch=6).search(ToyProblem(4, 4.0), 12, 0, told, threads)
    shown = capfd.readouterr().err
    assert re.search(r"12/12 .*eval/s, loss 0\.\d+, \d/2 workers, \d queued", shown)
    read = events(tmp_path)
    assert len(values(read, "search/evaluations_per_second")) == 12
    assert all(0 <= share <= 1 for _, share in values(read, "search/worker_utilisation"))
