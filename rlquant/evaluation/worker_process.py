"""The worker process of parallel evaluation."""

from __future__ import annotations

import os
import pickle
import threading
import traceback
from collections.abc import Iterator
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol

import torch

from rlquant.config import QuantizationConfig
from rlquant.errors import SettingsError, WorkerError
from rlquant.score import Measurement, Score

Message = tuple[str, Any]
"""A word and its content: see `run_worker`."""


class Evaluates(Protocol):
    """What crosses to another process: something that can be pickled and that scores."""

    def evaluate(self, config: QuantizationConfig) -> Score:
        """Score a configuration."""


def pack(problem: Evaluates) -> bytes:
    """Return a problem as bytes for processes of our own; nothing from outside is ever unpacked.

    Raises:
        SettingsError: it holds something that cannot be pickled, such as a lambda.
    """
    try:
        return pickle.dumps(problem)  # not multiprocessing's, which would share tensors' memory
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise SettingsError(
            f"the problem cannot be sent to other processes ({error}); define network and "
            f"objective as classes and functions of a module, or use workers=1"
        ) from error


def run_worker(pipe: Connection, threads: int) -> None:
    """Score chunk after chunk until the other end of the pipe is closed.

    Sends "problem?" when it can take the packed problem, "work?" when it can take configurations,
    "measured" with a `Measurement` for each of them in the order given, and "error" with an
    exception, after which it ends.

    Args:
        pipe: gives the packed problem, then lists of configurations.
        threads: of torch.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    try:
        for message in _messages(pipe):
            pipe.send(message)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # nobody listens any more


def _messages(pipe: Connection) -> Iterator[Message]:
    yield "problem?", None
    packed = pipe.recv()
    try:
        problem: Evaluates = pickle.loads(packed)
    except Exception as error:
        yield "error", _portable(error, "unpacking the problem")
        return
    yield "work?", None
    while True:
        for config in pipe.recv():
            try:
                score = problem.evaluate(config)
            except Exception as error:
                yield "error", _portable(error, f"scoring {config.to_json()}")
                return
            yield "measured", Measurement(score.loss, score.accuracy, score.samples)


def _end_with_parent() -> None:
    """End this process when the one that started it has ended, even if that was killed."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _portable(error: Exception, doing: str) -> Exception:
    """Return the error in a form that can be sent, with where it was raised as a note."""
    error.add_note(f"in an evaluation process, {doing}:\n{traceback.format_exc()}")
    try:
        if str(pickle.loads(pickle.dumps(error))) == str(error):
            return error
    except Exception:
        pass
    return WorkerError(f"an evaluation process raised {type(error).__name__}: {error}")
