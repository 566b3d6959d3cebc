"""Layers in the form that 8-bit kernels take: integer weight, integer bias, no BatchNorm behind.

A BatchNorm behind a convolution becomes part of its scales, which costs nothing and changes no
integer: `scale * g` and a bias, with `g` its factor for the channel. Where `g` is negative so is
the scale, which onnxruntime's kernels take (turned integers would not all fit: there is no +128).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from rlquant.export.onnx.graph_edits import GraphEditor, constant_of, only_user
from rlquant.export.onnx.weights import dequantized, scale_of, signed_codes
from rlquant.export.quantized_layers import QuantizedLayer

INTEGER_OPERATORS = ("Conv", "Gemm")
ROOM = 2**30
"""Steps that a bias may take of 32 bits; the rest is for the products it is added to."""
SMALLEST = 1e-30
"""The smallest scale: smaller ones lose digits in float32."""
EPSILON = 1e-5
"""ONNX's default of BatchNormalization."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class IntegerLayer:
    """A layer `scale[c] * (integers[c] . inputs) + bias[c]`.

    Attributes:
        integers: of the weight, in its shape, channels first.
        scale: shape `(channels,)`; negative behind a BatchNorm with a negative gain.
        bias: shape `(channels,)`.
        bits: of an integer.
    """

    integers: npt.NDArray[np.int32]
    scale: Floats
    bias: Floats
    bits: int

    @classmethod
    def of(cls, layer: QuantizedLayer, bias: npt.NDArray[Any] | None) -> IntegerLayer:
        """Take a quantized layer on an integer grid and the bias of its node."""
        tensor = layer.weight.tensor
        integers = signed_codes(tensor)
        scale: Floats = np.broadcast_to(scale_of(tensor), (len(integers),)).astype(np.float64)
        given: Floats = np.zeros(len(integers)) if bias is None else bias.astype(np.float64)
        return cls(integers, scale, given, tensor.bits)

    def normalized(self, factor: Floats, addend: Floats) -> IntegerLayer:
        """Return the layer with `factor[c] * outputs + addend[c]` behind it."""
        return replace(self, scale=self.scale * factor, bias=self.bias * factor + addend)

    def with_room(self, input_scale: float) -> IntegerLayer:
        """Return the layer with scales so large that its bias fits 32 bits in their steps.

        A channel whose scale is next to nothing beside its bias gives its bias alone: its integers
        are fewer steps of a larger scale, or zeros.
        """
        least = np.maximum(np.abs(self.bias) / ROOM / input_scale, SMALLEST)
        silent = ~(self.integers != 0).reshape(len(self.integers), -1).any(axis=1)
        size = np.abs(self.scale)
        scale = np.where(silent | (size < least), np.copysign(least, self.scale), self.scale)
        kept = np.where(silent, 0.0, np.minimum(1.0, size / np.abs(scale)))
        integers = np.rint(self.integers * _rows(kept, self.integers)).astype(np.int32)
        return replace(self, integers=integers, scale=scale)


def lower_integer_layer(
    editor: GraphEditor, placeholder: ir.Node, layer: QuantizedLayer, *, for_kernels: bool
) -> None:
    """Lower a weight whose layer has quantized inputs, with its bias.

    Args:
        editor: of the graph.
        placeholder: of the weight.
        layer: on an integer grid.
        for_kernels: write 8-bit integers, and take a BatchNorm behind the layer into its scales.
    """
    name = placeholder.attributes["layer"].as_string()
    tensor = layer.weight.tensor
    node = _only_layer(placeholder.outputs[0])
    bias = None if node is None or len(node.inputs) < 3 else node.inputs[2]
    if node is None or (bias is not None and constant_of(bias) is None):
        integers, scale = signed_codes(tensor), scale_of(tensor)
        axis = tensor.channel_axis
        weight = dequantized(editor, placeholder, name, integers, scale, tensor.bits, axis)
        editor.replace(placeholder.outputs[0], weight)
        return
    integer = IntegerLayer.of(layer, constant_of(bias))
    norm = only_user(node.outputs[0]) if for_kernels and node.op_type == "Conv" else None
    folded = None if norm is None else _fold(integer, norm)
    assert layer.inputs is not None
    kept = (folded or integer).with_room(float(layer.inputs.scale))
    scale = kept.scale.astype(np.float32)
    weight = dequantized(
        editor, node, name, kept.integers, scale, kept.bits, 0, as_int8=for_kernels
    )
    inputs: list[ir.Value | None] = [node.inputs[0], weight]
    if folded is not None or bias is not None:
        inputs.append(_bias(editor, node, name, kept.bias, float(layer.inputs.scale) * scale))
    attributes = {key: attribute.value for key, attribute in node.attributes.items()}
    computed = editor.node(node, node.op_type, inputs, f"{name}.layer", **attributes)
    replaced = norm.outputs[0] if folded is not None and norm is not None else node.outputs[0]
    computed.shape = replaced.shape
    editor.replace(replaced, computed)


def _only_layer(weight: ir.Value) -> ir.Node | None:
    """Return the node that alone takes a weight, channels first; None where there is no such."""
    node = only_user(weight)
    if node is None or node.op_type not in INTEGER_OPERATORS:
        return None
    return node if node.op_type == "Conv" or node.attributes["transB"].as_int() == 1 else None


def _fold(integer: IntegerLayer, norm: ir.Node) -> IntegerLayer | None:
    """Return the layer with a BatchNorm behind it; None where the node is none, or not constant."""
    if norm.op_type != "BatchNormalization":
        return None
    found = [constant_of(value) for value in norm.inputs[1:5]]
    parameters = [value.astype(np.float64) for value in found if value is not None]
    if len(parameters) < len(found):
        return None
    gain, shift, mean, variance = parameters
    epsilon = norm.attributes["epsilon"].as_float() if "epsilon" in norm.attributes else EPSILON
    factor = gain / np.sqrt(variance + epsilon)
    return integer.normalized(factor, shift - mean * factor)


def _bias(
    editor: GraphEditor,
    before: ir.Node,
    name: str,
    bias: Floats,
    steps: npt.NDArray[np.float32],
) -> ir.Value:
    """Return the bias as 32-bit integers in steps of input scale x weight scale."""
    constants = [
        editor.constant(f"{name}.bias", np.rint(bias / steps).astype(np.int32)),
        editor.constant(f"{name}.bias_scale", steps.astype(np.float32)),
        editor.constant(f"{name}.bias_zero_point", np.zeros(steps.shape, np.int32)),
    ]
    return editor.node(before, "DequantizeLinear", constants, f"{name}.bias", axis=0)


def _rows(numbers: npt.NDArray[Any], weight: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return numbers.reshape(-1, *[1] * (weight.ndim - 1))
