"""Files written whole or not at all, and read, with errors that name the file."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from rlquant.errors import FileFormatError, StorageError
from rlquant.escaping import printable
from rlquant.process_identity import ProcessIdentity

_PART = re.compile(r"\.(\d+)-(\d+)-([0-9a-f]{12})-[0-9a-f]{8}\.part")
"""Names of files that are being written: whose process, and a number of its own."""
_OLD = 24 * 3600.0
"""Seconds after which what processes of other machines left is taken for left behind."""
_CANNOT_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EACCES}
"""What a disk answers that syncs files only, and a folder that may be written but not read."""
_REMEDIES = {
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "your quota is used up, delete something",
    errno.EFBIG: "the system limits how large files may be, see ulimit -f",
    errno.EROFS: "give a place that can be written",
    errno.EACCES: "give a place that you may write, or ask for the right to",
    errno.EPERM: "give a place that you may write, or ask for the right to",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.EEXIST: "a file stands where a folder is needed; move it away, or give another place",
    errno.ENOTDIR: "a file stands where a folder is needed; move it away, or give another place",
    errno.EISDIR: "a folder stands where a file is needed; move it away, or give another place",
    errno.ENOTEMPTY: "a folder stands where a file is needed; move it away, or give another place",
    errno.ENOENT: "make its folder first",
    errno.EMFILE: "this process has too many files open, see ulimit -n",
    errno.ENFILE: "the machine has too many files open",
    errno.ELOOP: "it is a symbolic link, or leads through too many of them; give its target",
    errno.EIO: "the disk or the network reports a fault",
    errno.ESTALE: "the network's file system lost it; mount it again",
}


def make_folder(path: Path) -> None:
    """Make a folder, try to write into it, and clear it of what killed writes left there.

    Raises:
        StorageError: one of these fails.
    """
    with about(path):
        path.mkdir(parents=True, exist_ok=True)
        probe = path / part_name()
        try:
            probe.write_bytes(b"rlquant")
        finally:
            probe.unlink(missing_ok=True)
        for part in list(path.iterdir()):
            if _is_left_behind(part):
                with contextlib.suppress(OSError):  # another user's
                    shutil.rmtree(part) if part.is_dir() else part.unlink()


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all; `StorageError` where it cannot be written.

    That holds for kills and for power cuts: the file reaches the disk before it gets its name, and
    its name before this returns. Processes that write the same file at the same time leave one of
    the contents whole. Text is written as UTF-8; what cannot be (names of files that are none) is
    written with backslashes.
    """
    data = content.encode(errors="backslashreplace") if isinstance(content, str) else content
    temporary = path.parent / part_name()
    with about(path):
        try:
            write_synced(temporary, data)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def write_synced(path: Path, content: bytes) -> None:
    """Write a new file, and wait until the disk has it."""
    with open(path, "xb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def sync_folder(path: Path) -> None:
    """Have the names in a folder reach the disk, on systems and disks that can be asked to."""
    if os.name == "nt":
        return
    try:
        opened = os.open(path, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise


def part_name() -> str:
    """Return a name for what is being written, which says by what process."""
    own = ProcessIdentity.own()
    return f".{own.pid}-{own.started or 0}-{own.place}-{secrets.token_hex(4)}.part"


def _is_left_behind(part: Path) -> bool:
    """Whether a file is one of ours that was being written by a process that has ended."""
    found = _PART.fullmatch(part.name)
    if found is None:
        return False
    own = ProcessIdentity.own()
    pid, started, place = int(found[1]), int(found[2]), found[3]
    if place != own.place:
        with contextlib.suppress(FileNotFoundError):
            return time.time() - part.lstat().st_mtime > _OLD
        return False
    return not ProcessIdentity(pid, started or None, own.host, own.boot, own.space).runs


@contextlib.contextmanager
def about(path: Path) -> Iterator[None]:
    """Turn an error of the operating system into a `StorageError` with `path` and a remedy."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        remedy = _REMEDIES.get(error.errno or 0, "")
        words = f"{shortened(path)}: cannot be written ({reason})"
        raise StorageError(f"{words}; {remedy}" if remedy else words) from error


def shortened(path: str | Path) -> str:
    """Return a path as errors show it: without its middle where it is very long."""
    text = printable(str(path))
    return text if len(text) <= 240 else f"{text[:120]}...{text[-100:]}"


@contextlib.contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """Name the file that is read in every `FileFormatError` and in those of the operating system.

    Raises:
        StorageError: in place of an `OSError`.
    """
    try:
        yield
    except FileFormatError as error:
        raise FileFormatError(printable(f"{path}: {error}", lines=True)) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(f"{shortened(path)}: cannot be read: {reason}") from error
