"""The contents of a packed file: the names, types and shapes of its tensors, written and read."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch

from rlquant.config import METHODS, POINTS, ROUNDINGS, LayerChoice
from rlquant.cost.file_layout import (
    CONTENTS_HEAD,
    DTYPES,
    MOST_AXES,
    MOST_TENSORS,
    QUANTIZED,
    encode_entry,
    encode_varint,
)
from rlquant.cost.size import LAYER_RECORD_BYTES
from rlquant.errors import ChoiceError, FileFormatError
from rlquant.export.rlq.byte_reader import ByteReader
from rlquant.export.rlq.entropy import can_be_coded
from rlquant.quantizers.formats import format_of

RECORD = struct.Struct(f"<{LAYER_RECORD_BYTES}B")
"""Method, rounding, points (as indices), bits, activation bits (0: float), channel axis, type of
the numbers, and `ENTROPY_CODED` plus twice the granularity, an index of `GRANULARITIES`. Behind the
record stand as varints the group size, where it is a number of weights, and then, where codes are
entropy-coded, their bytes."""
ENTROPY_CODED = 1
Granularity = Literal["channel", "tensor", "weights"]
GRANULARITIES: tuple[Granularity, ...] = get_args(Granularity)
NUMBER_DTYPES = (torch.float32, torch.float16)
"""What scales, offsets and codebooks may be stored as."""

MOST_NAMES_BYTES = 2**26
"""All names together; shared prefixes would let a small file hold an endless amount of them."""


@dataclass(frozen=True, slots=True)
class LayerRecord:
    """What the contents say of one quantized weight beside its shape.

    Attributes:
        choice: by which it was quantized.
        channel_axis: the output-channel axis of the weight.
        number_dtype: type of scales, offsets and codebook.
        coded_bytes: bytes of entropy-coded codes; None where they are packed plainly.
    """

    choice: LayerChoice
    channel_axis: int
    number_dtype: torch.dtype
    coded_bytes: int | None = None

    def encode(self) -> bytes:
        """Return the record's bytes."""
        choice = self.choice
        size = choice.group_size
        granularity = size if isinstance(size, str) else "weights"
        record = RECORD.pack(
            METHODS.index(choice.method),
            ROUNDINGS.index(choice.rounding),
            POINTS.index(format_of(choice).layout or choice.points),
            choice.bits,
            choice.activation_bits or 0,
            self.channel_axis,
            DTYPES.index(self.number_dtype),
            2 * GRANULARITIES.index(granularity) + (self.coded_bytes is not None),
        )
        sizes = [] if isinstance(size, str) else [size]
        sizes += [] if self.coded_bytes is None else [self.coded_bytes]
        return b"".join([record, *map(encode_varint, sizes)])

    @classmethod
    def read(cls, reader: ByteReader, layer: str) -> LayerRecord:
        """Read the record of the layer named `layer`; `FileFormatError` says what is wrong."""
        fields = RECORD.unpack(reader.take(RECORD.size))
        method, rounding, points, bits, activation_bits, axis, dtype, last = fields
        coded = last % 2 == ENTROPY_CODED
        try:
            granularity = GRANULARITIES[last // 2]
            choice = LayerChoice(
                layer,
                bits,
                rounding=ROUNDINGS[rounding],
                method=METHODS[method],
                points=POINTS[points],
                group_size=reader.varint() if granularity == "weights" else granularity,
                activation_bits=activation_bits or None,
            )
            number_dtype = DTYPES[dtype]
        except (IndexError, ChoiceError) as error:
            raise FileFormatError(f"the record of layer {layer!r} is wrong: {error}") from error
        possible = choice.method != "float" and (can_be_coded(choice) or not coded)
        if not possible or number_dtype not in NUMBER_DTYPES:
            raise FileFormatError(
                f"the record of layer {layer!r} is wrong: method={choice.method!r}, "
                f"{choice.bits} bits, numbers of type {number_dtype}, last byte {last}"
            )
        return cls(choice, axis, number_dtype, reader.varint() if coded else None)


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor: its name in the float network, shape, and type or record."""

    name: str
    shape: torch.Size
    kind: torch.dtype | LayerRecord

    @property
    def layer(self) -> str:
        """The name of the layer whose weight the tensor is; see `weight_sites.WeightSite`."""
        path, _, own = self.name.rpartition(".")
        return path if own == "weight" else self.name


def write_contents(entries: Sequence[Entry]) -> bytes:
    """Return the contents of a file."""
    parts = [CONTENTS_HEAD.pack(len(entries))]
    previous = ""
    for entry in entries:
        record = entry.kind if isinstance(entry.kind, LayerRecord) else None
        number = QUANTIZED if isinstance(entry.kind, LayerRecord) else DTYPES.index(entry.kind)
        parts.append(encode_entry(previous, entry.name, number, entry.shape))
        parts.append(record.encode() if record else b"")
        previous = entry.name
    return b"".join(parts)


class ContentsReader:
    """Reads untrusted contents; every fault is a `FileFormatError`.

    Attributes:
        count: number of tensors.
    """

    def __init__(self, data: bytes) -> None:
        self._bytes = ByteReader(data, "its contents")
        (self.count,) = CONTENTS_HEAD.unpack(self._bytes.take(CONTENTS_HEAD.size))
        if self.count > MOST_TENSORS:
            raise FileFormatError(
                f"it has {self.count:,} tensors, at most {MOST_TENSORS:,} are read"
            )

    def entries(self) -> Iterator[Entry]:
        """Yield the entries one by one, so that a reader can stop at the first wrong one."""
        previous, names_bytes = b"", 0
        for _ in range(self.count):
            shared = self._bytes.varint()
            if shared > len(previous):
                raise FileFormatError(f"the name after {previous!r} shares more than there is")
            name = previous[:shared] + self._bytes.take(self._bytes.varint())
            names_bytes += len(name)
            if name <= previous or names_bytes > MOST_NAMES_BYTES:
                raise FileFormatError(f"names after {previous[:80]!r} are not in order or too long")
            yield self._entry(name)
            previous = name
        if self._bytes.position != len(self._bytes.data):
            raise FileFormatError("its contents go on after the last tensor")

    def _entry(self, encoded: bytes) -> Entry:
        try:
            name = encoded.decode()
        except UnicodeDecodeError as error:
            raise FileFormatError(f"the name {encoded[:80]!r} is not UTF-8") from error
        number = self._bytes.take(1)[0]
        axes = self._bytes.varint()
        if axes > MOST_AXES:
            raise FileFormatError(
                f"tensor {name[:80]!r} has {axes:,} axes, use at most {MOST_AXES}"
            )
        shape = torch.Size([self._bytes.varint() for _ in range(axes)])
        if number != QUANTIZED:
            if number >= len(DTYPES):
                raise FileFormatError(f"tensor {name!r} is of unknown type {number}")
            return Entry(name, shape, DTYPES[number])
        entry = Entry(name, shape, torch.float32)
        if "weight" not in name.rpartition(".")[2]:
            raise FileFormatError(f"tensor {name!r} is quantized, which only a weight can be")
        return replace(entry, kind=LayerRecord.read(self._bytes, entry.layer))
