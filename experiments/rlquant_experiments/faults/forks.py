"""Children of a process that has everything imported: they begin at once, and may be killed."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable


def in_fork(work: Callable[[], int]) -> int:
    """Begin some work in a forked child and return its process number; its exit code is `work`'s.

    The child has its own group, so that what it starts can be ended with it, and answers signals as
    a fresh interpreter does.
    """
    child = os.fork()
    if child:
        return child
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        code = work()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
        code = 70
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def ended(child: int, within: float | None = None) -> int | None:
    """Wait for a child; return its exit code, or minus the signal that ended it.

    None where it runs on after `within` seconds.
    """
    deadline = None if within is None else time.monotonic() + within
    while True:
        number, status = os.waitpid(child, 0 if deadline is None else os.WNOHANG)
        if number:
            return os.waitstatus_to_exitcode(status)
        if deadline is not None and time.monotonic() > deadline:
            return None
        time.sleep(0.005)
