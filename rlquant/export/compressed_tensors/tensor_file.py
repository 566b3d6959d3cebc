"""The file model.safetensors, whose size is known before any layer's choice is made.

Eight bytes of length, a JSON header, then the tensors' bytes. The header is filled up with spaces,
which its specification allows, to what it takes at most: so the bytes of a file are a sum over its
layers.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Collection, Iterator, Mapping, Sequence

import torch
from torch import Tensor

TYPES: Mapping[torch.dtype, str] = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
METADATA = {"format": "pt"}
PARTS = ("weight_packed", "weight_scale", "weight_shape", "weight_zero_point")
LENGTH = struct.Struct("<Q")
ALIGNMENT = 8


def stored_float(tensor: Tensor) -> Tensor:
    """Return a tensor in the smallest type that holds its numbers exactly, on the CPU."""
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype != torch.float32:
        return tensor
    for dtype in (torch.bfloat16, torch.float16):
        if torch.equal(tensor.to(dtype).float(), tensor):
            return tensor.to(dtype)
    return tensor


def header_bytes_at_most(shapes: Mapping[str, Sequence[int]], linear: Collection[str]) -> int:
    """Return the bytes of length and header, however layers are stored.

    Args:
        shapes: of the float network's tensors by name.
        linear: names of those that may be stored packed.
    """
    # Each dimension of a packed tensor is at most one of the weight's, or 2; codes, scales and zero
    # points take less than eight bytes a weight, but for what fills up words.
    most = sum(8 * math.prod(shape) + 4 * sum(shape) + 64 for shape in shapes.values())
    entries = {name: _entry(list(shape), most) for name, shape in shapes.items()}
    plain = [
        len(json.dumps({name: entry}, separators=(",", ":"))) for name, entry in entries.items()
    ]
    more = sum(_growth(name, list(shapes[name]), most) for name in linear)
    whole = len(json.dumps({"__metadata__": METADATA})) + sum(plain) + more
    return LENGTH.size + whole + -whole % ALIGNMENT


def encode_tensors(tensors: Mapping[str, Tensor], header_bytes: int) -> Iterator[bytes]:
    """Yield the parts of a file: the header, then each tensor's bytes.

    Args:
        tensors: contiguous, on the CPU.
        header_bytes: of length and header together.
    """
    # The widest types first, so that every tensor begins at a multiple of its element's size.
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))
    header: dict[str, object] = {"__metadata__": METADATA}
    at = 0
    for name, tensor in ordered:
        end = at + tensor.nbytes
        shape = list(tensor.shape)
        header[name] = {"dtype": TYPES[tensor.dtype], "shape": shape, "data_offsets": [at, end]}
        at = end
    text = json.dumps(header, separators=(",", ":")).encode()
    length = header_bytes - LENGTH.size
    assert len(text) <= length
    yield LENGTH.pack(length) + text.ljust(length)
    for _, tensor in ordered:
        yield tensor.reshape(-1).view(torch.uint8).numpy().tobytes()


def _growth(name: str, shape: list[int], most: int) -> int:
    """Return by how much the entries of a packed weight are longer than that of the float one."""
    entries = {f"{name.removesuffix('weight')}{part}": _entry(shape, most) for part in PARTS}
    packed = len(json.dumps(entries, separators=(",", ":")))
    return packed - len(json.dumps({name: _entry(shape, most)}, separators=(",", ":")))


def _entry(shape: list[int], most: int) -> dict[str, object]:
    return {"dtype": "BF16", "shape": shape, "data_offsets": [most, most]}
