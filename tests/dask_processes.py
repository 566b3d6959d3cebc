"""A scheduler and workers of Dask, each a process, as somebody starts them by hand."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path


class DaskProcesses:
    """A scheduler and a worker on a port of their own."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start both."""
        host, _, port = self.address.partition(":")
        where = ["--host", host, "--port", port, "--no-dashboard"]
        self._start("dask_scheduler", *where)
        self._start("dask_worker", self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard")

    def _start(self, module: str, *arguments: str) -> None:
        command = [sys.executable, "-m", f"distributed.cli.{module}", *arguments]
        where = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
        self.started.append(subprocess.Popen(command, env=where, stderr=subprocess.DEVNULL))

    def kill(self) -> None:
        """Kill what runs (kill -9)."""
        for process in self.started:
            process.kill()
            process.wait()
        self.started.clear()
