"""A PostgreSQL server of the tests' own: in a temporary folder, reached by a socket there alone."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

USERS = ("postgres", "nobody")
"""Whom the server runs as where the tests are root, which it refuses to be."""
QUICK = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "autovacuum": "off",
    "wal_writer_delay": "10s",
    "max_connections": "30",
}


def programs() -> Path | None:
    """Return the folder of the newest PostgreSQL on this machine, None without one."""
    on_path = shutil.which("initdb")
    found = [Path(on_path).parent] if on_path else []
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parts[-2])
    whole = [path for path in found if (path / "initdb").exists() and (path / "postgres").exists()]
    return whole[-1] if whole else None


def user() -> str | None:
    """Return whom to run a server as; None where root has nobody for it."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid()).pw_name
    for name in USERS:
        with suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    return None


class PostgresServer:
    """A server with one user, `rlquant`, who needs no password."""

    def __init__(self, bin_folder: Path, user: str, settings: dict[str, str] = QUICK) -> None:
        self._programs, self._settings = bin_folder, settings
        self.folder = Path(tempfile.mkdtemp(prefix="rlquant-pg-"))
        root = os.geteuid() == 0
        account = pwd.getpwnam(user)
        self._as = {"user": account.pw_uid, "group": account.pw_gid} if root else {}
        self._as |= {"extra_groups": []} if root else {}
        if root:
            os.chown(self.folder, account.pw_uid, account.pw_gid)
        initdb = [str(bin_folder / "initdb"), "-D", str(self.folder / "data"), "-U", "rlquant"]
        initdb += ["-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        self._run(initdb)

    def _run(self, command: list[str]) -> None:
        ran = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, **self._as)
        assert ran.returncode == 0, ran.stderr

    def start(self) -> None:
        """Start it, and wait until it answers."""
        deadline = time.monotonic() + 30
        while not self._starts(deadline):
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.1)  # processes of one that was killed are about to end

    def _starts(self, deadline: float) -> bool:
        options = [part for item in self._settings.items() for part in ("-c", "=".join(item))]
        data, log = str(self.folder / "data"), self.folder / "log"
        command = [str(self._programs / "postgres"), "-D", data, "-k", str(self.folder), *options]
        with open(log, "ab") as output:
            self._process = subprocess.Popen(
                command, cwd=self.folder, stdout=output, stderr=output, **self._as
            )
        ready = [str(self._programs / "pg_isready"), "-q", "-h", str(self.folder)]
        while self._process.poll() is None and time.monotonic() < deadline:
            if subprocess.run(ready).returncode == 0:
                return True
            time.sleep(0.02)
        return False

    def kill(self) -> None:
        """Kill it without a warning (kill -9)."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End it at once, and remove everything."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait()
        shutil.rmtree(self.folder)

    def url(self, schema: str | None = None) -> str:
        """Return the URL of a store; another schema is another store."""
        where = f"host={quote(str(self.folder), safe='')}"
        options = "" if schema is None else f"&options=-csearch_path%3D{schema}"
        return f"postgresql+psycopg://rlquant@/postgres?{where}{options}"

    def execute(self, statement: str) -> None:
        """Execute SQL as anybody might."""
        import psycopg  # of the extra `cluster`

        with psycopg.connect(
            host=str(self.folder), user="rlquant", dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(statement)
