"""Identity of processes: the writer of a file, and whether it still runs."""

from __future__ import annotations

import hashlib
import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

_PROC = Path("/proc")
_STATE, _START = 0, 19
"""Places in /proc/<pid>/stat, counted after the name of the program."""
_ENDED = {"Z", "X"}


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process, told from any other that has or had its number.

    Attributes:
        pid: its number.
        started: when it started, in clock ticks after the machine's start; None where the system
            does not tell.
        host: name of the machine.
        boot: of the machine's last start; "" where the system does not tell.
        space: the container in which numbers of processes count; "" where the system does not tell.
    """

    pid: int
    started: int | None
    host: str
    boot: str
    space: str

    @classmethod
    def own(cls) -> Self:
        """Return this process's."""
        pid = os.getpid()
        return cls(pid, _stat(pid)[1], socket.gethostname(), _boot(), _space())

    @property
    def place(self) -> str:
        """Where its number counts, as a hash: what is written tells nobody the machine's name."""
        place = f"{self.host}|{self.boot}|{self.space}"
        return hashlib.blake2b(place.encode(), digest_size=6).hexdigest()

    @property
    def is_of_this_machine(self) -> bool:
        """Whether it runs or ran here, perhaps in another container or before a restart."""
        return self.host == socket.gethostname() or (bool(self.boot) and self.boot == _boot())

    @property
    def runs(self) -> bool | None:
        """Whether it still runs; None where that cannot be told from here."""
        if not self.is_of_this_machine or os.name == "nt":  # where signal 0 is no question
            return None
        if self.boot != _boot():
            return False
        if self.space != _space():
            return None
        try:
            os.kill(self.pid, 0)
        except (ProcessLookupError, OverflowError):
            return False
        except PermissionError:
            pass  # another user's
        state, started = _stat(self.pid)
        return state not in _ENDED and (None in (started, self.started) or started == self.started)


def _stat(pid: int) -> tuple[str, int | None]:
    """Return a process's state and start, "" and None where the system does not tell."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        fields = text[text.rindex(")") + 2 :].split()  # a program's name may contain anything
        return fields[_STATE], int(fields[_START])
    except (OSError, ValueError, IndexError):
        return "", None


@cache
def _boot() -> str:
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


@cache
def _space() -> str:
    try:
        return (_PROC / "self/ns/pid").readlink().name
    except OSError:
        return ""
