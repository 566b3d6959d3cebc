"""A reader of bytes and varints from untrusted input."""

from __future__ import annotations

from rlquant.errors import FileFormatError

VARINT_BYTES = 9
"""63 bits: the largest size that a tensor can have."""


class ByteReader:
    """Reads from the front; every fault is a `FileFormatError`.

    Attributes:
        data: what is read.
        position: how many of its bytes have been read.
    """

    def __init__(self, data: bytes, what: str) -> None:
        """Begin; `what` names the data in errors, in the plural."""
        self.data = data
        self.position = 0
        self._what = what

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        taken = self.data[self.position : self.position + size]
        if len(taken) != size:
            raise FileFormatError(f"{self._what} end in the middle")
        self.position += size
        return taken

    def varint(self) -> int:
        """Return the next number, below 2**63."""
        value = 0
        for place in range(VARINT_BYTES):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                return value
        raise FileFormatError(f"a number in {self._what} is too large")
