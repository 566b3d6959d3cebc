"""The object that calls share: packed once, sent to each worker once, checked there by its hash.

Nothing is unpickled here but what this program's own processes have sent each other.
"""

from __future__ import annotations

import hashlib
import pickle
import shutil
import weakref
from collections import OrderedDict
from pathlib import Path
from tempfile import mkdtemp
from threading import Lock
from typing import Any

import cloudpickle

from rlquant.errors import SettingsError, WorkerError

MOST_KEPT = 2
"""Objects that a worker keeps: those of the searches that use it now."""

Source = str | bytes
"""Where a worker finds a parcel: the path of its file, or its bytes."""


class Parcel:
    """An object, packed into a file of a folder that only this user reads.

    Args:
        shared: what calls share.

    Attributes:
        key: hash of what is packed, by which workers know it.
        path: the file.

    Raises:
        SettingsError: it cannot be pickled.
    """

    def __init__(self, shared: object) -> None:
        try:
            packed = cloudpickle.dumps(shared)  # not torch's, which would share tensors' memory
        except (pickle.PicklingError, AttributeError, TypeError, NotImplementedError) as error:
            raise SettingsError(
                f"this cannot be sent to other processes ({error}): leave open files, locks and "
                f"generators out of networks and objectives, or evaluate without an executor"
            ) from error
        self.key = hashlib.sha256(packed).hexdigest()
        folder = mkdtemp(prefix="rlquant-")
        self._remove = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.path = Path(folder) / "shared"
        self.path.write_bytes(packed)

    def close(self) -> None:
        """Remove the file; what this process itself has opened is forgotten."""
        self._remove()
        OPENED.forget(self.key)


class Opened:
    """The objects that this process has opened, those used last; safe to share by threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Any] = OrderedDict()
        self._lock = Lock()

    def get(self, key: str, source: Source) -> Any:
        """Return the object of a parcel.

        Raises:
            WorkerError: there is no such file here, or it holds something else.
        """
        with self._lock:
            if key not in self._kept:
                self._kept[key] = _unpacked(key, source)
            self._kept.move_to_end(key)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
            return self._kept[key]

    def forget(self, key: str) -> None:
        """Let go of an object."""
        with self._lock:
            self._kept.pop(key, None)


OPENED = Opened()
"""Of this worker process."""


def _unpacked(key: str, source: Source) -> Any:
    try:
        packed = source if isinstance(source, bytes) else Path(source).read_bytes()
    except OSError as error:
        raise WorkerError(
            f"a worker cannot read {source!r} ({error.strerror}): workers on other machines need "
            f"Dask, or a temporary folder (TMPDIR) that all of them share"
        ) from error
    if hashlib.sha256(packed).hexdigest() != key:
        raise WorkerError(f"a worker was sent something else than {key[:12]}; start it again")
    try:
        return pickle.loads(packed)
    except (ImportError, AttributeError) as error:
        raise WorkerError(
            f"a worker cannot make what it was sent ({error}): install the same packages where "
            f"workers run, your own modules too"
        ) from error


def is_portable(error: Exception) -> bool:
    """Return whether another process can make an error again."""
    try:
        return str(pickle.loads(pickle.dumps(error))) == str(error)
    except Exception:
        return False
