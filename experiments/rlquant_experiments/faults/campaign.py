"""The parts of a fault campaign, and the trials that a seed decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rlquant.errors import RlquantError

Fault = str | None
"""What broke a promise, in words; None where it held."""

LONGEST_MESSAGE = 500
"""Characters of an error that a person is asked to read."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One attempt to break a promise.

    Attributes:
        name: what is tried, in words.
        seed: decides everything about it.
        run: tries it in an empty folder that is its own.
    """

    name: str
    seed: int
    run: Callable[[Path], Fault]


class Part(Protocol):
    """One kind of fault, tried in endlessly many ways."""

    @property
    def name(self) -> str:
        """Identify the part on the command line and in reports."""

    @property
    def promise(self) -> str:
        """State what every trial checks."""

    @property
    def share(self) -> float:
        """Return the part's share of the campaign's time, beside those of the other parts."""

    @property
    def limit(self) -> float:
        """Return the seconds after which a trial counts as one that never ends."""

    def trial(self, seed: int) -> Trial:
        """Return the trial of a seed; neighbouring seeds walk through what can be listed."""


class Broken(Exception):
    """A promise that does not hold, in words."""


def require(held: bool, words: str) -> None:
    """Raise `Broken` unless a promise held."""
    if not held:
        raise Broken(words)


def fault_of(error: BaseException, *, allowed: tuple[type[BaseException], ...] = ()) -> Fault:
    """Say what is wrong with an error that a caller got, None where it is one it may get."""
    if isinstance(error, Broken):
        return str(error)[:LONGEST_MESSAGE]
    if isinstance(error, allowed):
        return None
    if not isinstance(error, RlquantError):
        return f"raw {type(error).__name__}: {str(error)[:LONGEST_MESSAGE]}"
    length = len(str(error))
    if not 0 < length <= LONGEST_MESSAGE:
        return f"{type(error).__name__} of {length:,} characters: {str(error)[:160]}..."
    return None
