"""Parts of a fault campaign that hold, find, hang or die, for tests of the campaign itself."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rlquant_experiments.faults.campaign import Fault, Trial


@dataclass(frozen=True)
class StubPart:
    """Every trial does the same with its seed."""

    name: str
    do: Callable[[int, Path], Fault]
    promise: str = "it holds"
    share: float = 1.0
    limit: float = 60.0

    def trial(self, seed: int) -> Trial:
        return Trial(f"{self.name} {seed}", seed, partial(self.do, seed))


def hold(seed: int, folder: Path) -> Fault:
    (folder / "seen").write_text(str(seed))
    return None


def find_odd(seed: int, folder: Path) -> Fault:
    (folder / "evidence").write_text(str(seed))
    return f"the seed is {seed}" if seed % 2 else None


def hang(seed: int, folder: Path) -> Fault:
    time.sleep(600)
    return None


def die(seed: int, folder: Path) -> Fault:
    os._exit(7)


def fail(seed: int, folder: Path) -> Fault:
    raise ZeroDivisionError("of the trial")


PARTS = {
    part.name: part
    for part in (
        StubPart("holds", hold),
        StubPart("finds", find_odd),
        StubPart("hangs", hang, limit=0.5),
        StubPart("dies", die),
        StubPart("fails", fail),
    )
}
