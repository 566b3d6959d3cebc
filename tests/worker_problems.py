"""Problems that are no networks, for processes to score, fail at, or die of."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.score import Score


class UnsendableError(Exception):
    """Takes two arguments and keeps one, so that pickle cannot make it again."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}")


@dataclass(frozen=True)
class BitsProblem:
    """The loss is the number of bits; some numbers of bits are not survived.

    Attributes:
        folder: where it is noted which process began with what.
        deadly: the process that scores so many bits is killed, `lives` times.
        lives: after so many deaths it lives.
        wrong: so many bits are a ValueError.
        unsendable: so many bits are an error that pickle cannot make again.
        slow: so many bits take a minute.
    """

    folder: Path
    deadly: int | None = None
    lives: int = 1
    wrong: int | None = None
    unsendable: int | None = None
    slow: int | None = None

    def evaluate(self, config: QuantizationConfig) -> Score:
        bits = config["only"].bits
        with open(self.folder / str(bits), "a", encoding="utf-8") as stream:
            stream.write(f"{os.getpid()}\n")
        if bits == self.deadly and len(self.began(bits)) <= self.lives:
            os.kill(os.getpid(), signal.SIGKILL)
        if bits == self.wrong:
            raise ValueError(f"{bits} bits are wrong")
        if bits == self.unsendable:
            raise UnsendableError(f"{bits} bits", "no reason")
        if bits == self.slow:
            time.sleep(60)
        return Score(loss=bits, accuracy=0, size_bytes=0, average_bits=0, size_ratio=0, bops=0)

    def began(self, bits: int) -> list[int]:
        """The processes that began to score so many bits."""
        return [int(line) for line in (self.folder / str(bits)).read_text().split()]


class Unwelcome:
    """Ends the process that unpickles it."""

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return os._exit, (3,)

    def evaluate(self, config: QuantizationConfig) -> Score:
        raise NotImplementedError


def widths(*bits: int) -> list[QuantizationConfig]:
    return [QuantizationConfig((LayerChoice("only", b),)) for b in bits]
