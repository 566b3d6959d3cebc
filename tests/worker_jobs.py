"""Jobs for workers to do, fail at, or die of; quick to import, as every worker does it."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path


class UnsendableError(Exception):
    """Takes two arguments and keeps one, so that pickle cannot make it again."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}")


@dataclass(frozen=True)
class Jobs:
    """The result of a job is ten times its number; some jobs are not survived.

    Attributes:
        folder: where it is noted which process began with what.
        deadly: the process that does this job is killed, `lives` times.
        lives: after so many deaths it lives.
        wrong: this job is a ValueError.
        unsendable: this job is an error that pickle cannot make again.
        slow: this job takes a minute.
    """

    folder: Path
    deadly: int | None = None
    lives: int = 1
    wrong: int | None = None
    unsendable: int | None = None
    slow: int | None = None

    def began(self, number: int) -> list[int]:
        """The processes that began with a job."""
        return [int(line) for line in (self.folder / str(number)).read_text().split()]


def do(jobs: Jobs, number: int) -> int:
    with open(jobs.folder / str(number), "a", encoding="utf-8") as stream:
        stream.write(f"{os.getpid()}\n")
    if number == jobs.deadly and len(jobs.began(number)) <= jobs.lives:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == jobs.wrong:
        raise ValueError(f"{number} is wrong")
    if number == jobs.unsendable:
        raise UnsendableError(str(number), "no reason")
    if number == jobs.slow:
        time.sleep(60)
    return 10 * number


class Unwelcome:
    """Ends the process that unpickles it."""

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return os._exit, (3,)
