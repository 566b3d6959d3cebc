"""A folder lock: one run at a time, with a lock file that names its process.

The file is locked by the operating system, which releases it whenever and however its process
ends, and it says whose it is: for people, and for file systems without such locks. It is deleted at
the end of a run; one that was left behind by a killed process is taken over.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rlquant.errors import FolderInUseError
from rlquant.files import about, make_folder, shortened
from rlquant.paths import path_of
from rlquant.process_identity import ProcessIdentity

if sys.platform != "win32":
    import fcntl

LOCK = ".rlquant.lock"
"""Name of a folder's lock file."""
_MOST_BYTES = 4096
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL}
"""What file systems answer that have no locks."""


@dataclass(frozen=True)
class HeldFolder(os.PathLike[str]):
    """A folder that this run holds; what is given one writes there without asking again."""

    path: Path

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)


@contextlib.contextmanager
def held(folder: Any, name: str = "out") -> Iterator[HeldFolder]:
    """Hold a folder for the block: no other run gets it, in this process or any other.

    A block that ends in an error takes a folder with it that was made for it and is empty.

    Args:
        folder: a path, made where it is missing; or a `HeldFolder` of a caller.
        name: of the argument that it was given as, for errors.

    Raises:
        SettingsError: no path.
        FolderInUseError: another run holds it, or may: of a process on another machine that is
            only said by the file, it cannot be known whether it still runs.
        StorageError: the folder cannot be written.
    """
    if isinstance(folder, HeldFolder):
        yield folder
        return
    path = path_of(name, folder)
    with about(path):
        missing = [place for place in (path, *path.parents) if not place.exists()]
    try:
        make_folder(path)
        with _locked(path / LOCK, path):
            yield HeldFolder(path)
    except BaseException:
        with contextlib.suppress(OSError):  # something is in it
            for place in missing:
                place.rmdir()
        raise


@contextlib.contextmanager
def held_file(file: Path) -> Iterator[None]:
    """Hold one file for the block, as `held` does a folder, which is made where it is missing."""
    make_folder(file.parent)
    with _locked(file.with_name(f".{file.name}.lock"), file):
        yield


@contextlib.contextmanager
def _locked(lock: Path, place: Path) -> Iterator[None]:
    own = ProcessIdentity.own()
    with about(lock):
        opened = _taken(lock, place)
        try:
            _write(opened, {**asdict(own), "since": time.strftime("%Y-%m-%d %H:%M:%S")})
        except BaseException:
            os.close(opened)
            raise
    try:
        yield
    finally:
        if os.getpid() == own.pid:  # a forked child that gets here has not got the lock
            with contextlib.suppress(OSError):  # the folder may be gone, with all that is in it
                if _is_at(opened, lock):
                    _write(opened, {})  # where it cannot be deleted, nobody holds it
                    lock.unlink()
        os.close(opened)


def _taken(lock: Path, place: Path) -> int:
    """Return the opened lock file, locked; nobody else has it, or gets it before it is closed."""
    while True:
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        opened = os.open(lock, flags, 0o644)
        try:
            if not stat.S_ISREG(os.fstat(opened).st_mode):
                raise FileExistsError(errno.EEXIST, "something that is no file has its name")
            locked = _lock(opened)
            if locked is False:
                raise _in_use(_read_present(opened), place)
            if _is_at(opened, lock):
                earlier = _read(opened)
                if earlier is not None and _may_hold(earlier, locked):
                    raise _maybe_in_use(earlier, lock, place)
                return opened
        except BaseException:
            os.close(opened)
            raise
        os.close(opened)  # its owner deleted it between the two calls


def _lock(opened: int) -> bool | None:
    """Return whether the system locked the file; None where it locks none."""
    if sys.platform == "win32":
        return None
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return None
        raise
    return True


def _is_at(opened: int, lock: Path) -> bool:
    """Whether an open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(opened), os.lstat(lock))
    except FileNotFoundError:
        return False


def _may_hold(earlier: _Owner, locked: bool | None) -> bool:
    """Whether the owner that the file names may still run, though the system gave us its lock.

    On one machine the system knows. Another machine's locks may not be seen here.
    """
    if earlier.process.is_of_this_machine and locked:
        return False
    return earlier.process.runs is not False


@dataclass(frozen=True)
class _Owner:
    """Whose run it is, as the lock file says."""

    process: ProcessIdentity
    since: str

    def __str__(self) -> str:
        return f"process {self.process.pid} on {self.process.host[:64]!r} since {self.since!s:.20}"


def _read(opened: int) -> _Owner | None:
    """Read whose lock it is; None for a new one, and for anything that this does not write."""
    try:
        found = json.loads(os.pread(opened, _MOST_BYTES, 0))
        since = str(found.pop("since"))
        process = ProcessIdentity(**found)
        texts = (process.host, process.boot, process.space)
        numbers = (process.pid, process.started or 0)
        right = all(isinstance(t, str) for t in texts) and all(type(n) is int for n in numbers)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return _Owner(process, since) if right and process.pid > 0 else None


def _read_present(opened: int) -> _Owner | None:
    """Read whose lock it is while it is locked: its owner writes that a moment after."""
    for _ in range(50):
        owner = _read(opened)
        if owner is not None and owner.process.runs is not False:
            return owner
        time.sleep(0.01)
    return None


def _write(opened: int, content: dict[str, Any]) -> None:
    os.ftruncate(opened, 0)
    os.pwrite(opened, json.dumps(content).encode(), 0)


def _in_use(owner: _Owner | None, place: Path) -> FolderInUseError:
    who = "" if owner is None else f", {owner}"
    return FolderInUseError(
        f"{shortened(place)}: another run writes here{who}; wait for its end, or give another place"
    )


def _maybe_in_use(owner: _Owner, lock: Path, place: Path) -> FolderInUseError:
    return FolderInUseError(
        f"{shortened(place)}: another run may be writing here, {owner}; whether it still runs "
        f"cannot be told from here: where it does not, delete the file {lock.name} there"
    )
