"""Values of a GGUF file's metadata, as its bytes: the type of each, then its content."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from rlquant.errors import FileFormatError

NUMBERS = {
    "uint8": (0, "<u1"),
    "int8": (1, "<i1"),
    "uint16": (2, "<u2"),
    "int16": (3, "<i2"),
    "uint32": (4, "<u4"),
    "int32": (5, "<i4"),
    "float32": (6, "<f4"),
    "bool": (7, "<u1"),
    "uint64": (10, "<u8"),
    "int64": (11, "<i8"),
    "float64": (12, "<f8"),
}
"""Types of numbers: their number in the file, and how NumPy reads them."""
DTYPES = {number: np.dtype(dtype) for number, dtype in NUMBERS.values()}
BOOL, STRING, ARRAY = 7, 8, 9


class Cursor:
    """Reads a header from the front; every fault is a `FileFormatError`.

    Attributes:
        data: what is read, not copied.
        position: how many of its bytes have been read.
    """

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.position = 0

    def take(self, size: int) -> memoryview:
        """Return the next `size` bytes."""
        start, self.position = self.position, self.position + size
        if self.position > len(self.data):
            raise FileFormatError("it ends in the middle of its header")
        return self.data[start : self.position]

    def number(self, form: str = "<Q") -> int:
        """Return the next whole number."""
        value: int = struct.unpack(form, self.take(struct.calcsize(form)))[0]
        return value

    def string(self) -> str:
        """Return the next string; one that is no UTF-8 has its wrong bytes replaced."""
        return bytes(self.take(self.number())).decode("utf-8", "replace")

    def value(self) -> bytes:
        """Return the next value of the metadata as it stands, its type in front."""
        start = self.position
        self._pass_over(self.number("<I"))
        return bytes(self.data[start : self.position])

    def _pass_over(self, kind: int) -> None:
        if kind == STRING:
            self.take(self.number())
        elif kind == ARRAY:
            of, count = self.number("<I"), self.number()
            if of in DTYPES:
                self.take(count * DTYPES[of].itemsize)
            elif of == STRING:
                for _ in range(count):  # each has eight bytes at least, so that this ends soon
                    self.take(self.number())
            else:
                raise FileFormatError(f"its metadata have an array of type {of}")
        elif kind in DTYPES:
            self.take(DTYPES[kind].itemsize)
        else:
            raise FileFormatError(f"its metadata have a value of type {kind}")


def encode_string(text: str) -> bytes:
    """Return a string behind its length."""
    encoded = text.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def encode(kind: str, value: Any) -> bytes:
    """Return a value of the metadata.

    Args:
        kind: "string" or a name in `NUMBERS`.
        value: of that type, or a list of such.
    """
    number, dtype = (STRING, "") if kind == "string" else NUMBERS[kind]
    if isinstance(value, (list, tuple)):
        head = struct.pack("<IIQ", ARRAY, number, len(value))
        return head + _content(kind, dtype, value)
    return struct.pack("<I", number) + _content(kind, dtype, [value])


def _content(kind: str, dtype: str, values: Sequence[Any]) -> bytes:
    if kind == "string":
        return b"".join(map(encode_string, values))
    return np.array(values, dtype).tobytes()


def decode(encoded: bytes) -> Any:
    """Return what `Cursor.value` returned as a number, a string, or a list of these."""
    cursor = Cursor(memoryview(encoded))
    kind = cursor.number("<I")
    if kind != ARRAY:
        return _items(cursor, kind, 1)[0]
    kind = cursor.number("<I")
    return _items(cursor, kind, cursor.number())


def _items(cursor: Cursor, kind: int, count: int) -> list[Any]:
    if kind == STRING:
        return [cursor.string() for _ in range(count)]
    items = np.frombuffer(cursor.take(count * DTYPES[kind].itemsize), DTYPES[kind]).tolist()
    return [item != 0 for item in items] if kind == BOOL else items
