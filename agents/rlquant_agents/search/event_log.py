"""TensorBoard's event files: each figure, text and picture once a step, written at once.

A folder has one file: where there are two, a TensorBoard without its data server shows the first
in order of names until it is started again, and of the other only what follows it.

TensorBoard's own writer does it in a thread, whose errors come late and beside the search's, puts
the machine's name into the file's, and begins a new file each time, so that a search that goes on,
which asks its questions again, shows every step twice.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rlquant.documents import read_file, require_regular
from rlquant.files import about, write_file

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event

Value = Any
"""A `Summary.Value` of tensorboard, which has no types: a tag with a figure, text or picture."""
FILE = "events.out.tfevents"
"""How TensorBoard knows its files."""
WRITER = "search"
"""Of the file in a run folder."""
MOST_BYTES = 2**28
_VERSION = "brain.Event:2"
_LENGTH, _CHECKSUM = struct.Struct("<Q"), struct.Struct("<I")


class EventLog:
    """Scalars of one writer, each step of a name once.

    Args:
        folder: where TensorBoard is to find them; it is there already.
        name: of the writer; two in one folder have different ones.

    Raises:
        FileFormatError: something else than a file is there.
        StorageError: the file cannot be read or written; so do all methods that write.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / f"{FILE}.{name}"
        self._written: dict[tuple[str, int], float] = {}
        with about(self.path):
            if require_regular(self.path) is not None:
                self._go_on()
            else:
                self._append(_first_event())

    def add(self, step: int, figures: Mapping[str, float]) -> None:
        """Write the figures of a step that were not written before."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=tag, simple_value=float(v)) for tag, v in figures.items()]
        self.add_values(step, values)

    def add_values(self, step: int, values: Iterable[Value]) -> None:
        """Write values of a step, such as texts and pictures, that were not written before."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        new = [value for value in values if (value.tag, step) not in self._written]
        if not new:
            return
        with about(self.path):
            self._append(Event(wall_time=time.time(), step=step, summary=Summary(value=new)))
        self._written.update({(value.tag, step): value.simple_value for value in new})

    def differs(self, step: int, name: str, value: float) -> bool:
        """Return whether another value was written of a step: from there on the run is another."""
        written = self._written.get((name, step))
        return written is not None and not np.array_equal(
            np.float32(written), np.float32(value), equal_nan=True
        )

    def cut(self, step: int, group: str = "") -> None:
        """Remove what was written of this step and all that follow.

        Args:
            step: the first that goes.
            group: how names begin of which alone it goes, such as "search/".
        """
        events = list(_events(read_file(self.path, MOST_BYTES)))
        before = sum(len(event.summary.value) for event in events)
        for event in events:
            if event.step >= step:
                kept = [value for value in event.summary.value if not value.tag.startswith(group)]
                del event.summary.value[:]
                event.summary.value.extend(kept)
        if sum(len(event.summary.value) for event in events) < before:
            self._replace([e for e in events if not e.HasField("summary") or e.summary.value])

    def _go_on(self) -> None:
        """Read what is there, without what a kill tore off, which would hide what follows."""
        content = read_file(self.path, MOST_BYTES)
        events = list(_events(content))
        if not events or sum(len(_record(event)) for event in events) != len(content):
            self._replace(events or [_first_event()])
        self._remember(events)

    def _remember(self, events: list[Event]) -> None:
        self._written = {
            (value.tag, event.step): value.simple_value
            for event in events
            for value in event.summary.value
        }

    def _replace(self, events: list[Event]) -> None:
        write_file(self.path, b"".join(map(_record, events)))
        self._remember(events)

    def _append(self, event: Event) -> None:
        with open(self.path, "ab", buffering=0) as stream:  # one call, so that a record is whole
            stream.write(_record(event))


def _first_event() -> Event:
    from tensorboard.compat.proto.event_pb2 import Event

    return Event(wall_time=time.time(), file_version=_VERSION)


def _record(event: Event) -> bytes:
    data: bytes = event.SerializeToString(deterministic=True)
    length = _LENGTH.pack(len(data))
    return b"".join((length, _checksum(length), data, _checksum(data)))


def _events(content: bytes) -> Iterator[Event]:
    """Yield the whole events of a file, up to the first that is not."""
    from google.protobuf.message import DecodeError
    from tensorboard.compat.proto.event_pb2 import Event

    place = 0
    while place < len(content):
        length = content[place : place + _LENGTH.size]
        begin = place + _LENGTH.size + _CHECKSUM.size
        if content[place + _LENGTH.size : begin] != _checksum(length):
            return
        end = begin + _LENGTH.unpack(length)[0]
        data, place = content[begin:end], end + _CHECKSUM.size
        if content[end:place] != _checksum(data):
            return
        try:
            yield Event.FromString(data)
        except DecodeError:
            return


def _checksum(data: bytes) -> bytes:
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    return _CHECKSUM.pack(masked_crc32c(data))
