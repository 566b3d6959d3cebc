"""Event files as TensorBoard reads them: each step once, whatever happened to the process."""

from __future__ import annotations

import math
import os
import socket
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rlquant.errors import FileFormatError, StorageError
from rlquant.testing import ToyProblem
from rlquant_agents import Callback, TensorBoardLog, make_searcher, search_problem
from rlquant_agents.search.event_log import EventLog
from rlquant_agents.search.result import Evaluation
from rlquant_agents.search.session import Session

Curves = dict[str, list[tuple[int, float]]]


def read(folder: Path) -> Curves:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def written(folder: Path) -> EventLog:
    log = EventLog(folder, "test")
    for step in (1, 2, 3):
        log.add(step, {"a": step / 2, "b": -step})
    return log


def test_tensorboard_reads_what_is_written(tmp_path: Path) -> None:
    log = written(tmp_path)
    log.add(4, {"a": math.inf})
    assert read(tmp_path) == {
        "a": [(1, 0.5), (2, 1.0), (3, 1.5), (4, math.inf)],
        "b": [(1, -1.0), (2, -2.0), (3, -3.0)],
    }


def test_what_goes_on_writes_no_step_twice(tmp_path: Path) -> None:
    written(tmp_path)
    log = written(tmp_path)
    log.add(3, {"a": 9.0, "c": 1.0})
    log.add(4, {"a": 2.0})
    assert [step for step, _ in read(tmp_path)["a"]] == [1, 2, 3, 4]
    assert read(tmp_path)["c"] == [(3, 1.0)]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_running_tensorboard_sees_what_follows_of_search_and_agent(tmp_path: Path) -> None:
    events = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0})
    seen: list[set[str]] = []

    class Looks(Callback):
        def on_evaluation(self, session: Session, evaluation: Evaluation) -> None:
            assert session.event_log is not None
            session.event_log.add(evaluation.number, {"train/loss": 1.0})
            seen.append(set(events.Reload().Tags()["scalars"]))

    search_problem(ToyProblem(4), searcher="random", evaluations=3, out=tmp_path, callback=Looks())
    assert seen[0] >= {"search/loss", "train/loss"}
    assert [e.step for e in events.Reload().Scalars("search/loss")] == [1, 2, 3]


def test_texts_hyperparameters_and_figures_are_written_at_the_end(tmp_path: Path) -> None:
    result = search_problem(ToyProblem(2, 4.0), searcher="random", evaluations=3, out=tmp_path)
    sizes = {"scalars": 0, "tensors": 0, "images": 0}
    events = EventAccumulator(str(tmp_path), size_guidance=sizes).Reload()
    texts = {
        tag: events.Tensors(tag)[0].tensor_proto.string_val[0].decode()
        for tag in events.Tags()["tensors"]
    }
    assert "| searcher | random |" in texts["settings/text_summary"]
    for choice in result.best:
        assert f"| {choice.layer} | {choice.bits} |" in texts["best configuration/text_summary"]
    assert [e.value for e in events.Scalars("outcome/loss")] == [pytest.approx(result.score.loss)]
    assert set(events.summary_metadata) >= {"_hparams_/experiment", "_hparams_/session_start_info"}
    pictures = events.Tags()["images"]
    assert set(pictures) == {"figures/layers", "figures/pareto", "figures/search"}
    assert events.Images("figures/search")[0].encoded_image_string.startswith(b"\x89PNG")


@pytest.mark.parametrize("lost", [1, 4, 7, 20, 30])
def test_what_a_kill_tore_off_does_not_hide_what_follows(tmp_path: Path, lost: int) -> None:
    log = written(tmp_path)
    os.truncate(log.path, log.path.stat().st_size - lost)
    written(tmp_path)
    assert [step for step, _ in read(tmp_path)["a"]] == [1, 2, 3]


@pytest.mark.parametrize("content", [b"", b"noise", bytes(100), b"\xff" * 100])
def test_a_file_that_holds_no_events_is_begun_again(tmp_path: Path, content: bytes) -> None:
    EventLog(tmp_path, "test").path.write_bytes(content)
    written(tmp_path)
    assert [step for step, _ in read(tmp_path)["a"]] == [1, 2, 3]


def test_a_cut_removes_a_step_and_all_that_follow(tmp_path: Path) -> None:
    log = written(tmp_path)
    assert log.differs(2, "a", 7.0)
    assert not log.differs(2, "a", 1.0)
    assert not log.differs(9, "a", 1.0)
    log.cut(2)
    log.add(2, {"a": 7.0})
    assert read(tmp_path)["a"] == [(1, 0.5), (2, 7.0)]


def test_infinite_and_missing_values_are_equal_to_themselves(tmp_path: Path) -> None:
    log = EventLog(tmp_path, "test")
    log.add(1, {"a": math.nan, "b": math.inf})
    assert not log.differs(1, "a", math.nan)
    assert not log.differs(1, "b", math.inf)


def test_the_files_do_not_tell_the_name_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "the-name-of-this-machine")
    search_problem(ToyProblem(3), searcher="masked-ppo", evaluations=3, out=tmp_path)
    names = {path.name for path in tmp_path.iterdir() if "tfevents" in path.name}
    assert names == {"events.out.tfevents.search"}
    for path in tmp_path.glob("*tfevents*"):
        assert b"the-name-of-this-machine" not in path.read_bytes()


def test_a_search_that_goes_on_shows_each_step_once(tmp_path: Path) -> None:
    for evaluations in (4, 9):
        search_problem(ToyProblem(4), searcher="masked-ppo", evaluations=evaluations, out=tmp_path)
    curves = read(tmp_path)
    assert [step for step, _ in curves["search/loss"]] == list(range(1, 10))
    for curve in curves.values():
        steps = [step for step, _ in curve]
        assert steps == sorted(set(steps))


def test_a_search_that_goes_on_otherwise_replaces_the_curve_from_there(tmp_path: Path) -> None:
    make_searcher("random").search(ToyProblem(4), 6, 0, TensorBoardLog(tmp_path))
    first = read(tmp_path)["search/loss"]
    changed = ToyProblem(4, loss_of=lambda config: 1.0)
    make_searcher("random").search(changed, 6, 0, TensorBoardLog(tmp_path))
    assert len(first) == 6
    assert read(tmp_path)["search/loss"] == [(step, 1.0) for step in range(1, 7)]


def test_a_full_disk_ends_a_search_with_one_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    class Full(Callback):
        """Makes the event file one that cannot be written any more."""

        def on_evaluation(self, session: Session, evaluation: Evaluation) -> None:
            if evaluation.number == 2:
                events = tmp_path / "events.out.tfevents.search"
                events.unlink()
                events.symlink_to("/dev/full")

    with pytest.raises(StorageError, match=r"No space left on device\); make room on the disk"):
        search_problem(
            ToyProblem(4), searcher="random", evaluations=6, out=tmp_path, callback=Full()
        )
    assert "Traceback" not in "".join(capfd.readouterr())


def test_a_folder_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="a file stands where a folder is needed"):
        EventLog(tmp_path / "file", "test")


def test_what_is_no_file_of_events_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "events.out.tfevents.search")
    with pytest.raises(FileFormatError, match="it is a pipe"):
        EventLog(tmp_path, "search")
