"""Side effects of a call: its time, its memory, what it writes and starts."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlquant_experiments.faults.campaign import require
from rlquant_experiments.faults.mutations import CANARY

CPU_SECONDS = 2.0
"""What reading a damaged file may take."""
MORE_BYTES = 2**30
"""What a call may take beside what the process holds already."""

_STARTS = (
    *("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty"),
    *("subprocess.Popen", "socket.connect", "pickle.find_class", "code.__new__"),
)
_CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class _Watch:
    """Notes events of the interpreter; its hook is added once, as none can be removed."""

    def __init__(self) -> None:
        self.inside: Path | None = None
        self.seen: list[str] = []
        self._added = False

    @contextlib.contextmanager
    def over(self, folder: Path) -> Iterator[list[str]]:
        """Note what is started, and what is written outside `folder`; temporary files may be."""
        if not self._added:
            sys.addaudithook(self._hook)
            self._added = True
        self.inside, self.seen = folder, []
        try:
            yield self.seen
        finally:
            self.inside = None

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.inside is None:
            return
        if event in _STARTS:
            self.seen.append(f"{event}{arguments!r:.120}")
        elif event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITING:
                self._note(event, path)
        elif event in _CHANGES:
            self._note(event, arguments[0])

    def _note(self, event: str, path: Any) -> None:
        if isinstance(path, int):
            return
        place = Path(os.fsdecode(path)).absolute()
        allowed = (self.inside or place, Path(tempfile.gettempdir()), Path(os.devnull))
        if not any(place.is_relative_to(each) for each in allowed):
            self.seen.append(f"{event} {place}")


_WATCH = _Watch()


@contextlib.contextmanager
def harmless(folder: Path, *, cpu_seconds: float = CPU_SECONDS) -> Iterator[None]:
    """Raise `Broken` where a block takes long or much memory, or does more than read.

    Memory beyond `MORE_BYTES` cannot be had inside. Files in `folder` may be written.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_virtual_bytes() + MORE_BYTES, hard))
    started = time.process_time()
    try:
        with _WATCH.over(folder) as seen:
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    require_harmless(folder, seen, time.process_time() - started, cpu_seconds)


def require_harmless(folder: Path, seen: list[str], seconds: float, most: float) -> None:
    """Raise `Broken` for what was noted."""
    require(not seen, f"it does more than read: {'; '.join(seen[:3])}")
    require(not list(folder.rglob(CANARY)), "content was run as code")
    require(seconds < most, f"it takes {seconds:.1f} s of CPU time, more than {most:g}")


def _virtual_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()
