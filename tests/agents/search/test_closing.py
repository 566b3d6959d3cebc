"""Closing: always done, and never what is heard of when something else went wrong."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlquant.errors import StorageError
from rlquant.testing import ToyProblem
from rlquant_agents import Callback, Callbacks, TensorBoardLog, make_searcher
from rlquant_agents.search.closing import closed_after
from rlquant_agents.search.session import Session


class Closes(Callback):
    """Counts how often it is closed, and fails in it where it is told to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.closed = 0
        self._error = error

    def close(self) -> None:
        self.closed += 1
        if self._error is not None:
            raise self._error


def failing(error: BaseException) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> Any:
        raise error

    return fail


def test_an_error_of_closing_alone_is_raised() -> None:
    with pytest.raises(OSError, match="full"), closed_after(Closes(OSError("full")).close):
        pass


@pytest.mark.parametrize("error", [ValueError("first"), KeyboardInterrupt("first")])
def test_an_error_of_closing_does_not_hide_another(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    closes = Closes(OSError("full"))
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(type(error), match="first"),
        closed_after(closes.close),
    ):
        raise error
    assert closes.closed == 1
    assert "closing failed as well: full" in caplog.text


def test_a_search_that_fails_says_why_though_closing_fails_too() -> None:
    problem = ToyProblem(loss_of=failing(RuntimeError("out of memory")))
    with pytest.raises(RuntimeError, match="out of memory"):
        make_searcher("random").search(problem, 5, 0, Closes(OSError("full")))


def test_all_callbacks_are_closed_although_one_fails() -> None:
    first, second, third = Closes(), Closes(OSError("full")), Closes()
    with pytest.raises(OSError, match="full"):
        Callbacks([first, second, third]).close()
    assert [each.closed for each in (first, second, third)] == [1, 1, 1]


def test_events_that_cannot_be_written_are_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        make_searcher("random").search(ToyProblem(2), 3, 0, TensorBoardLog(tmp_path / "file"))


def test_the_logger_of_ppo_does_not_hide_why_a_search_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from stable_baselines3.common.logger import Logger

    monkeypatch.setattr(Logger, "close", failing(OSError("full")))
    result = make_searcher("ppo").search(ToyProblem(2), 3, 0)
    assert result.stopped == "evaluations"


def test_the_order_of_closing_is_the_order_of_telling() -> None:
    order: list[str] = []

    class Named(Callback):
        def __init__(self, name: str) -> None:
            self.name = name

        def on_start(self, session: Session) -> None:
            order.append(self.name)

        def close(self) -> None:
            order.append(self.name)

    make_searcher("random").search(ToyProblem(1), 1, 0, Callbacks([Named("a"), Named("b")]))
    assert order == ["a", "b", "a", "b"]
