"""The layout of the packed file `.rlq`: what is stored, in which order, in how many bytes.

    prologue   magic, version, length of the contents, length of the body, checksum
    contents   four bytes that are kept free, number of tensors, then one entry a tensor, sorted by
               name: shared prefix with the name before, rest of the name, type, shape;
               a quantized weight has a record of its choice behind its entry
    body       the tensors' bytes in the same order, nothing between them; of a quantized weight
               its codes, scales, offsets, codebook and activation grid

Scales are shared by output channel, by tensor or by so many consecutive weights of a channel, as
the record of each layer says; a number of weights stands behind the record, as a varint.

Codes are packed to their bits (`export/rlq/bit_packing.py`), or entropy-coded where that was asked
for and takes less (`export/rlq/entropy.py`): then the bytes of the codes stand behind the record
too, as a varint.

Prologue and contents, the header, are small. They take at most 44 bytes, and for each tensor its
name, 4 bytes (5 for names from 128 bytes on), and one for every 7 bits of each axis; for each
quantized weight 8 bytes more, at most 3 for a group size, and where its codes are entropy-coded one
for every 7 bits of their number of bytes. `header_bytes_at_most` adds that up.

Whole numbers are little-endian; varints are LEB128. The size of a file is known before anything
is quantized: `fixed_bytes` here plus `LayerStorage.file_bytes` for each searched layer. Entropy
coding can only lessen it. docs/examples/read_rlq.py reads a file without any of this package.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from rlquant.config import LARGEST_GROUP
from rlquant.cost.size import LAYER_RECORD_BYTES, varint_bytes
from rlquant.errors import NetworkError

MAGIC = b"RLQ\x89"
FILE_VERSION = 4
PROLOGUE = struct.Struct("<4sHxxIQ16s")
"""Magic, version, bytes of contents, bytes of body, BLAKE2b-128 of all but itself."""
CONTENTS_HEAD = struct.Struct("<4xI")
"""Number of tensors, behind four bytes that are kept free."""

DTYPES: tuple[torch.dtype, ...] = (
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.float64,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
    torch.complex64,
    torch.complex128,
)
"""Types by their number in the file; only ever append."""
QUANTIZED = 255
"""The type number of a quantized weight: a `LayerRecord` follows its entry."""

MOST_TENSORS, MOST_AXES = 2**16, 64
"""What a file may hold: contents of a few megabytes could name millions of empty tensors."""

NOT_NEEDED = "num_batches_tracked"
"""BatchNorm's counter of training steps: no output depends on it, so it is not stored."""


def stored_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Return every tensor that a plain network needs beyond its class, sorted by name.

    A tensor with several names (a shared module, tied weights) stands under the one registered
    first, as in `named_modules`. Raises `NetworkError` for state that is no tensor or of a type
    that the file cannot hold.
    """
    return needed_tensors(network.state_dict(keep_vars=True))


def needed_tensors(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Do the work of `stored_tensors` on a state dictionary in the order of registration."""
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in state.items():
        if name.endswith(NOT_NEEDED) or id(tensor) in seen:
            continue
        if not isinstance(tensor, Tensor) or tensor.dtype not in DTYPES:
            kind = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
            raise NetworkError(f"{name!r} is of type {kind}, which a packed file cannot hold")
        if tensor.is_meta or tensor.layout != torch.strided:
            kind = "meta" if tensor.is_meta else str(tensor.layout)
            raise NetworkError(f"{name!r} is a {kind} tensor; a packed file needs dense data")
        if tensor.dim() > MOST_AXES:
            raise NetworkError(
                f"{name!r} has {tensor.dim()} axes, a packed file at most {MOST_AXES}"
            )
        seen.add(id(tensor))
        found[name] = tensor.detach()
    if len(found) > MOST_TENSORS:
        raise NetworkError(f"{len(found):,} tensors, a packed file holds at most {MOST_TENSORS:,}")
    return dict(sorted(found.items()))


def encode_varint(value: int) -> bytes:
    """Return a non-negative whole number as LEB128."""
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def encode_entry(previous: str, name: str, dtype_number: int, shape: Collection[int]) -> bytes:
    """Return one entry of the contents; `previous` is the name of the entry before."""
    old, new = previous.encode(), name.encode()
    differing = (i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b)
    shared = next(differing, min(len(old), len(new)))
    rest = new[shared:]
    numbers = b"".join(encode_varint(n) for n in (len(shape), *shape))
    sizes = encode_varint(shared) + encode_varint(len(rest))
    return sizes + rest + bytes([dtype_number]) + numbers


def contents_bytes(tensors: Mapping[str, Tensor]) -> int:
    """Return the bytes of the contents without the quantized layers' records."""
    names = list(tensors)
    entries = (
        encode_entry(before, name, 0, tensors[name].shape)
        for before, name in zip(["", *names], names, strict=False)
    )
    return CONTENTS_HEAD.size + sum(len(entry) for entry in entries)


def fixed_bytes(tensors: Mapping[str, Tensor], searched: Collection[str]) -> int:
    """Return the bytes of a file without what depends on the configuration.

    Args:
        tensors: the float network's `stored_tensors`.
        searched: names of the searched layers' weights.
    """
    others = sum(tensor.nbytes for name, tensor in tensors.items() if name not in searched)
    return PROLOGUE.size + contents_bytes(tensors) + others


def header_bytes_at_most(tensors: Mapping[str, Tensor]) -> int:
    """Return how many bytes prologue and contents take at most, however layers are stored.

    Args:
        tensors: the float network's `stored_tensors`.
    """
    entries = (
        len(encode_entry("", name, QUANTIZED, tensor.shape))
        + LAYER_RECORD_BYTES
        + varint_bytes(LARGEST_GROUP)
        + len(encode_varint(tensor.numel()))  # as many bytes, or less, are entropy-coded codes
        for name, tensor in tensors.items()
    )
    return PROLOGUE.size + CONTENTS_HEAD.size + sum(entries)
