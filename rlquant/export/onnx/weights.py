"""Quantized weights as expressions of packed integer constants.

Three forms, chosen by what a runtime can do with them:

- `DequantizeLinear(integers, scale, 0)`, the standard form of a grid without offset (onnxruntime
  has kernels of all layers for it only where the zero point is written out);
- `Cast(integers) * scale`, the same values; runtimes compute it once, when they load the file,
  while they leave DequantizeLinear to every run;
- `Gather(points, Cast(codes)) * scale + offset` for everything else.

Integers take 2, 4, 8 or 16 bits, the narrowest that holds the codes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import torch
from torch import Tensor

from rlquant.export.onnx.graph_edits import GraphEditor
from rlquant.quantizers import QuantizedTensor
from rlquant.quantizers.groups import to_rows

SIGNED = {2: ir.DataType.INT2, 4: ir.DataType.INT4, 8: ir.DataType.INT8, 16: ir.DataType.INT16}
UNSIGNED = {
    2: ir.DataType.UINT2,
    4: ir.DataType.UINT4,
    8: ir.DataType.UINT8,
    16: ir.DataType.UINT16,
}
OPSET_OF_TWO_BITS = 25
"""The first opset with 2-bit integers."""
IR_VERSION_OF_TWO_BITS = 13


def container_bits(bits: int) -> int:
    """Return the narrowest width of an ONNX integer that holds codes of `bits` bits."""
    return next(width for width in SIGNED if width >= bits)


def is_scaled_integer(tensor: QuantizedTensor) -> bool:
    """Return whether `DequantizeLinear` can express a weight: one scale a channel or in all."""
    return tensor.kind == "integer" and isinstance(tensor.group_size, str)


def signed_codes(tensor: QuantizedTensor) -> npt.NDArray[np.int32]:
    """Return the integers of an integer grid, in the weight's shape."""
    codes: npt.NDArray[np.int32] = tensor.codes.cpu().numpy().astype(np.int32)
    codes -= 2 ** (tensor.bits - 1)
    return codes


def scaled_integers(
    editor: GraphEditor, before: ir.Node, name: str, tensor: QuantizedTensor
) -> ir.Value:
    """Lower an integer grid to `Cast(integers) * scale`."""
    width = container_bits(tensor.bits)
    codes = editor.constant(f"{name}.codes", _in_rows(signed_codes(tensor), tensor), SIGNED[width])
    values = _cast(editor, before, codes, f"{name}.cast", ir.DataType.FLOAT)
    return _placed(editor, before, name, tensor, values)


def dequantized(
    editor: GraphEditor,
    before: ir.Node,
    name: str,
    integers: npt.NDArray[np.int32],
    scale: npt.NDArray[np.float32],
    bits: int,
    axis: int,
    *,
    least_width: int = 2,
    as_int8: bool = False,
) -> ir.Value:
    """Lower an integer grid to `DequantizeLinear`.

    Args:
        editor: of the graph.
        before: the node that needs the weight.
        name: of the layer.
        integers: in the weight's shape.
        scale: shape `(channels,)`, or one number in all.
        bits: that the integers need, signed; at most 16.
        axis: of the channels.
        least_width: bits of the integers in the file, at the least.
        as_int8: hand narrower ones over as 8-bit integers, which is what 8-bit kernels take.
    """
    dtype = SIGNED[container_bits(max(bits, least_width))]
    codes = editor.constant(f"{name}.codes", integers, dtype)
    if as_int8 and dtype in (ir.DataType.INT2, ir.DataType.INT4):
        dtype = ir.DataType.INT8
        codes = _cast(editor, before, codes, f"{name}.cast", dtype)
    one = scale.size == 1 and integers.shape[axis] != 1
    scales = scale.reshape(() if one else (-1,))
    grid = [
        editor.constant(f"{name}.scale", scales),
        editor.constant(f"{name}.zero_point", np.zeros(scales.shape, np.int8), dtype),
    ]
    attributes: dict[str, Any] = {} if one else {"axis": axis}
    return editor.node(before, "DequantizeLinear", [codes, *grid], f"{name}.weight", **attributes)


def gathered(editor: GraphEditor, before: ir.Node, name: str, tensor: QuantizedTensor) -> ir.Value:
    """Lower any quantized weight to `Gather(points, codes) * scale + offset`."""
    width = container_bits(tensor.bits)
    rows = _in_rows(tensor.codes.cpu().numpy(), tensor)
    codes = editor.constant(f"{name}.codes", rows, UNSIGNED[width])
    indices = _cast(editor, before, codes, f"{name}.cast", ir.DataType.INT32)
    points = editor.constant(f"{name}.points", tensor.codebook.cpu().numpy())
    values = editor.node(before, "Gather", [points, indices], f"{name}.gather")
    return _placed(editor, before, name, tensor, values)


def _cast(
    editor: GraphEditor, before: ir.Node, value: ir.Value, name: str, dtype: ir.DataType
) -> ir.Value:
    return editor.node(before, "Cast", [value], name, dtype, to=int(dtype))


def _placed(
    editor: GraphEditor, before: ir.Node, name: str, tensor: QuantizedTensor, values: ir.Value
) -> ir.Value:
    """Apply scale and offset to points, and bring rows of groups back to the weight's shape."""
    for operator, kind, numbers in (
        ("Mul", "scale", tensor.scale),
        ("Add", "offset", tensor.offset),
    ):
        if numbers is not None:
            constant = editor.constant(f"{name}.{kind}", _along_groups(numbers, tensor))
            values = editor.node(before, operator, [values, constant], f"{name}.{operator}")
    if not isinstance(tensor.group_size, int):
        return values
    shape, axis = list(tensor.codes.shape), tensor.channel_axis
    channels = shape.pop(axis)
    by_channel = editor.constant(f"{name}.channels", np.array([channels, -1]))
    values = editor.node(before, "Reshape", [values, by_channel], f"{name}.reshape")
    length = math.prod(shape)
    if length % min(tensor.group_size, length):
        ends = (("from", 0), ("to", length), ("along", 1))
        cut = [editor.constant(f"{name}.{word}", np.array([at])) for word, at in ends]
        values = editor.node(before, "Slice", [values, *cut], f"{name}.slice")
    wanted = editor.constant(f"{name}.shape", np.array([channels, *shape]))
    values = editor.node(before, "Reshape", [values, wanted], f"{name}.shaped")
    if axis == 0:
        return values
    order = [*range(1, axis + 1), 0, *range(axis + 1, len(shape) + 1)]
    return editor.node(before, "Transpose", [values], f"{name}.weight", perm=order)


def _in_rows(codes: npt.NDArray[np.integer], tensor: QuantizedTensor) -> npt.NDArray[np.integer]:
    """Return the codes as rows of one group each where groups are consecutive weights."""
    if isinstance(tensor.group_size, str):
        return codes
    rows = to_rows(torch.from_numpy(codes), tensor.group_size, tensor.channel_axis)
    rowwise: npt.NDArray[np.integer] = rows.contiguous().numpy()
    return rowwise


def _along_groups(numbers: Tensor, tensor: QuantizedTensor) -> npt.NDArray[np.float32]:
    """Return scales or offsets in a shape that spreads over the codes of `_in_rows`."""
    array: npt.NDArray[np.float32] = numbers.float().cpu().numpy()
    if isinstance(tensor.group_size, int):
        return array.reshape(-1, 1)
    if tensor.group_size == "channel" and array.size > 1:
        shape = [1] * tensor.codes.dim()
        shape[tensor.channel_axis] = -1
        return array.reshape(shape)
    return array.reshape(())


def scale_of(tensor: QuantizedTensor) -> npt.NDArray[np.float32]:
    """Return an integer grid's scales, float32, shape `(groups,)`."""
    assert tensor.scale is not None
    scale: npt.NDArray[np.float32] = tensor.scale.float().cpu().numpy()
    return scale
