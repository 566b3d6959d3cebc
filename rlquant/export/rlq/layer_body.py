"""The bytes of one tensor in a packed file: raw, or a quantized weight's codes and numbers.

A quantized weight is its codes, packed or entropy-coded, then scales, offsets (affine weights: zero
points) and codebook values, then, where its inputs are quantized, their scale (float32) and zero
point (unsigned, 16 bits).
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rlquant.config import TERNARY_BITS, LayerChoice
from rlquant.cost.file_layout import encode_varint
from rlquant.cost.size import ACTIVATION_BYTES, code_bytes
from rlquant.errors import FileFormatError, NetworkError, QuantizationError
from rlquant.export.quantized_layers import QuantizedLayer
from rlquant.export.rlq.bit_packing import (
    Bytes,
    pack_codes,
    pack_ternary,
    unpack_codes,
    unpack_ternary,
)
from rlquant.export.rlq.contents import NUMBER_DTYPES, Entry, LayerRecord
from rlquant.export.rlq.entropy import can_be_coded, decode_codes, encode_codes
from rlquant.quantizers import ActivationQuantizer, QuantizedTensor
from rlquant.quantizers.formats import format_of
from rlquant.quantizers.groups import group_count
from rlquant.quantizers.weight_format import NumberCounts

ACTIVATION = struct.Struct("<fH")


def stored_bits(choice: LayerChoice) -> int:
    """Return the width of a quantized layer's codes."""
    return TERNARY_BITS if format_of(choice).kind == "ternary" else choice.bits


def body_bytes(entry: Entry) -> int:
    """Return how many bytes an entry's tensor takes in the body."""
    weights, kind = entry.shape.numel(), entry.kind
    if isinstance(kind, torch.dtype):
        return weights * kind.itemsize
    activations = 0 if kind.choice.activation_bits is None else ACTIVATION_BYTES
    numbers = sum(_counts(kind, entry.shape)) * kind.number_dtype.itemsize
    return _stored_code_bytes(kind, weights) + numbers + activations


def raw_bytes(tensor: Tensor) -> Bytes:
    """Return a tensor's bytes in C order."""
    flat = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
    raw: Bytes = flat.view(torch.uint8).numpy()
    return raw


def raw_tensor(data: Bytes, dtype: torch.dtype, shape: torch.Size) -> Tensor:
    """Undo `raw_bytes`; a truth value that is neither 0 nor 1 is a `FileFormatError`."""
    if dtype == torch.bool and data.size and data.max() > 1:
        raise FileFormatError(f"a truth value is stored as {data.max()}, not 0 or 1")
    tensor = torch.empty(shape, dtype=dtype)
    tensor.reshape(-1).view(torch.uint8).numpy()[:] = data
    return tensor


def record_of(name: str, layer: QuantizedLayer) -> LayerRecord:
    """Return the record of a quantized layer; `name` is its weight's.

    Raises:
        NetworkError: the layer's tensors are not those of its choice, or its numbers are of a
            type that the file cannot hold.
    """
    choice, tensor = layer.weight.choice, layer.weight.tensor
    own, numbers = format_of(choice), _numbers(tensor)
    dtypes = {part.dtype for part in numbers}
    number_dtype = next(iter(dtypes), torch.float32)
    if len(dtypes) != 1 or number_dtype not in NUMBER_DTYPES:
        raise NetworkError(
            f"tensor {name!r}: its scales are of type {sorted(map(str, dtypes))}, a packed file "
            f"holds one of {NUMBER_DTYPES}; convert the float network before it is quantized"
        )
    record = LayerRecord(choice, tensor.channel_axis, number_dtype)
    counts = _counts(record, tensor.codes.shape)
    inputs_bits = None if layer.inputs is None else layer.inputs.bits
    is_as_chosen = (
        tensor.kind == own.kind
        and tensor.bits == stored_bits(choice)
        and tensor.group_size == own.group_size(choice)
        and (tensor.zero_point is not None) == own.has_zero_point
        and [part.numel() for part in numbers] == [count for count in counts if count]
        and inputs_bits == choice.activation_bits
    )
    if not is_as_chosen:
        raise NetworkError(
            f"tensor {name!r} is not quantized as its {choice} says ({tensor.bits} bits, "
            f"{tensor.kind} codebook, activation_bits={inputs_bits}); quantize the float network "
            f"again with rlquant.quantize"
        )
    return record


def shorter_codes(layer: QuantizedLayer) -> bytes | None:
    """Return a layer's codes entropy-coded; None unless that takes less, their length included.

    Raises:
        SettingsError: constriction is not installed.
    """
    choice, codes = layer.weight.choice, _flat_codes(layer)
    if not can_be_coded(choice):
        return None
    coded = encode_codes(codes, choice)
    length = len(coded) + len(encode_varint(len(coded)))
    return coded if length < code_bytes(choice, codes.size) else None


def encode_layer(layer: QuantizedLayer, coded: bytes | None = None) -> list[bytes]:
    """Return the parts of a quantized weight's bytes, which `record_of` has checked.

    Args:
        layer: left as it is.
        coded: what `shorter_codes` returned, to be stored in place of packed codes.
    """
    stored = _pack(_flat_codes(layer), layer.weight.choice).tobytes() if coded is None else coded
    numbers = _numbers(layer.weight.tensor)
    parts = [stored, *(raw_bytes(part).tobytes() for part in numbers)]
    if layer.inputs is not None:
        parts.append(ACTIVATION.pack(float(layer.inputs.scale), int(layer.inputs.zero_point)))
    return parts


def decode_layer(
    data: Bytes, record: LayerRecord, shape: torch.Size
) -> tuple[QuantizedTensor, ActivationQuantizer | None]:
    """Undo `encode_layer`, strides aside.

    Args:
        data: exactly `body_bytes` long.
        record: the layer's record.
        shape: shape of the weight.

    Raises:
        FileFormatError: codes or an activation scale that cannot be.
        SettingsError: constriction is not installed, and the codes are entropy-coded.
    """
    choice, own = record.choice, format_of(record.choice)
    counts = _counts(record, shape)
    codes_end = _stored_code_bytes(record, shape.numel())
    numbers_end = codes_end + sum(counts) * record.number_dtype.itemsize
    stored = torch.Size([sum(counts)])
    numbers = raw_tensor(data[codes_end:numbers_end], record.number_dtype, stored)
    scale, offset, values = (
        part.clone() if part.numel() else None for part in torch.split(numbers, list(counts))
    )
    if own.kind == "ternary" and values is not None:
        values = torch.stack([values[0], torch.zeros_like(values[0]), values[1]])
    tensor = QuantizedTensor(
        torch.from_numpy(_unpack(data[:codes_end], record, shape.numel())).reshape(shape),
        stored_bits(choice),
        own.kind,
        scale=scale,
        offset=None if own.has_zero_point else offset,
        zero_point=offset if own.has_zero_point else None,
        values=values,
        group_size=own.group_size(choice),
        channel_axis=record.channel_axis,
    )
    return tensor, _decode_activation(data[numbers_end:], choice)


def _stored_code_bytes(record: LayerRecord, weights: int) -> int:
    if record.coded_bytes is not None:
        return record.coded_bytes
    return code_bytes(record.choice, weights)


def _flat_codes(layer: QuantizedLayer) -> npt.NDArray[Any]:
    codes: npt.NDArray[Any] = layer.weight.tensor.codes.detach().cpu().reshape(-1).numpy()
    return codes


def _pack(codes: npt.NDArray[Any], choice: LayerChoice) -> Bytes:
    if format_of(choice).kind == "ternary":
        return pack_ternary(codes)
    return pack_codes(codes if choice.bits <= 8 else codes.astype(np.uint16), choice.bits)


def _unpack(stored: Bytes, record: LayerRecord, weights: int) -> npt.NDArray[Any]:
    choice = record.choice
    if record.coded_bytes is not None:
        return decode_codes(stored, choice, weights)
    if format_of(choice).kind == "ternary":
        return unpack_ternary(stored, weights)
    codes = unpack_codes(stored, choice.bits, weights)
    return codes if choice.bits <= 8 else codes.astype(np.int32)


def _decode_activation(data: Bytes, choice: LayerChoice) -> ActivationQuantizer | None:
    if choice.activation_bits is None:
        return None
    scale, zero_point = ACTIVATION.unpack(data.tobytes())
    try:
        return ActivationQuantizer(choice.activation_bits, scale, zero_point)
    except QuantizationError as error:
        raise FileFormatError(f"the inputs of layer {choice.layer!r}: {error}") from error


def _counts(record: LayerRecord, shape: torch.Size) -> NumberCounts:
    choice, own = record.choice, format_of(record.choice)
    groups = group_count(shape, own.group_size(choice), record.channel_axis)
    return own.numbers(choice.bits, groups)


def _numbers(tensor: QuantizedTensor) -> list[Tensor]:
    """Return what is stored of scale, offset and codebook; of a ternary one not the 0."""
    if tensor.kind == "ternary" and tensor.values is not None:
        return [tensor.values[::2]]
    return list(tensor.numbers)
