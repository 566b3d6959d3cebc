"""Stable-Baselines3's logger over our event files."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import Any

from stable_baselines3.common.logger import KVWriter, Logger

from rlquant_agents.search.event_log import EventLog


class EventWriter(KVWriter):
    """Writes the scalars that an algorithm logs."""

    def __init__(self, log: EventLog) -> None:
        self.log = log

    def write(
        self,
        key_values: dict[str, Any],
        key_excluded: dict[str, tuple[str, ...]],
        step: int = 0,
    ) -> None:
        """Write what is a number and is not kept from TensorBoard."""
        figures: Mapping[str, Any] = {
            name: value
            for name, value in key_values.items()
            if isinstance(value, Real) and "tensorboard" not in (key_excluded.get(name) or ())
        }
        self.log.add(step, figures)

    def close(self) -> None:
        """Nothing is open between two writes."""


def event_logger(folder: Path, name: str, after: int | None = None) -> Logger:
    """Return a logger into a folder that is there.

    Args:
        folder: where TensorBoard is to find the events.
        name: of what logs.
        after: the last step that counts, of an agent that goes on from there: what was logged
            between its last checkpoint and its end will be logged again.

    Raises:
        StorageError: the events cannot be written; logging may raise it as well.
    """
    log = EventLog(folder, name)
    if after is not None:
        log.cut(after + 1)
    return logger_into(log)


def logger_into(log: EventLog) -> Logger:
    """Return a logger that writes into an open file of events."""
    return Logger(str(log.path.parent), [EventWriter(log)])
