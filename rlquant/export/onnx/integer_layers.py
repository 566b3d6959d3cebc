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

from rlquant.export.onnx.graph_edits import GraphEditor, constant_of
from rlquant.export.onnx.weights import dequantized, scaled_integers, signed_codes
from rlquant.export.quantized_layers import QuantizedLayer

INTEGER_OPERATORS = ("Conv", "Gemm")
MOST = 2**31 - 1
EPSILON = 1e-5
"""ONNX's default of BatchNormalization."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class IntegerLayer:
    """A layer `scale[c] * (integers[c] . inputs) + bias[c]`.

    Attributes:
        integers: of the weight, in its shape, channels first.
        scale: shape `(channels,)`, not 0.
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
        assert tensor.scale is not None
        stored = tensor.scale.double().cpu().numpy()
        channels = integers.shape[0]
        scale: Floats = np.broadcast_to(stored, (channels,)).copy()
        integers = np.where(_rows(scale, integers) == 0, 0, integers)  # without a scale: zeros
        scale[scale == 0] = 1.0
        zeros: Floats = np.zeros(channels)
        return cls(integers, scale, zeros if bias is None else bias.astype(np.float64), tensor.bits)

    def normalized(self, factor: Floats, addend: Floats) -> IntegerLayer:
        """Return the layer with `factor[c] * outputs + addend[c]` behind it."""
        present = factor != 0
        return replace(
            self,
            integers=np.where(_rows(present, self.integers), self.integers, 0),
            scale=np.where(present, self.scale * factor, 1.0),
            bias=self.bias * factor + addend,
        )


def lower_integer_layer(editor: GraphEditor, placeholder: ir.Node, layer: QuantizedLayer) -> None:
    """Lower a weight whose layer has 8-bit inputs, with its bias and the BatchNorm behind it."""
    name = placeholder.attributes["layer"].as_string()
    uses = list(placeholder.outputs[0].uses())
    plain = IntegerLayer.of(layer, None)
    axis = layer.weight.tensor.channel_axis
    if len(uses) != 1 or uses[0].idx != 1 or uses[0].node.op_type not in INTEGER_OPERATORS or axis:
        weight = _weight(editor, placeholder, name, plain, axis)
        editor.replace(placeholder.outputs[0], weight)
        return
    node = uses[0].node
    if node.outputs[0].is_graph_output():  # nothing behind it takes integers: a float kernel
        value = scaled_integers(editor, node, name, layer.weight.tensor)
        editor.replace(placeholder.outputs[0], value)
        return
    given = node.inputs[2] if len(node.inputs) > 2 else None
    bias = constant_of(given)
    if given is not None and bias is None:  # computed at run time
        editor.replace(placeholder.outputs[0], _weight(editor, node, name, plain, 0))
        return
    integer = IntegerLayer.of(layer, bias)
    norm = _only_user(node.outputs[0], "BatchNormalization")
    folded = None if norm is None or node.op_type != "Conv" else _fold(integer, norm)
    kept = folded or integer
    inputs: list[ir.Value | None] = [node.inputs[0], _weight(editor, node, name, kept, 0)]
    if folded is not None or bias is not None:
        inputs.append(_bias(editor, node, name, kept, layer))
    attributes = {key: attribute.value for key, attribute in node.attributes.items()}
    computed = editor.node(node, node.op_type, inputs, f"{name}.layer", **attributes)
    replaced = norm.outputs[0] if folded is not None and norm is not None else node.outputs[0]
    computed.shape = replaced.shape
    editor.replace(replaced, computed)


def _fold(integer: IntegerLayer, norm: ir.Node) -> IntegerLayer | None:
    found = [constant_of(value) for value in norm.inputs[1:5]]
    parameters = [value.astype(np.float64) for value in found if value is not None]
    if len(parameters) < len(found):
        return None
    gain, shift, mean, variance = parameters
    epsilon = norm.attributes["epsilon"].as_float() if "epsilon" in norm.attributes else EPSILON
    factor = gain / np.sqrt(variance + epsilon)
    return integer.normalized(factor, shift - mean * factor)


def _weight(
    editor: GraphEditor, before: ir.Node, name: str, integer: IntegerLayer, axis: int
) -> ir.Value:
    scale = integer.scale.astype(np.float32)
    return dequantized(
        editor, before, name, integer.integers, scale, integer.bits, axis, as_int8=True
    )


def _bias(
    editor: GraphEditor, before: ir.Node, name: str, integer: IntegerLayer, layer: QuantizedLayer
) -> ir.Value:
    """Return the bias as 32-bit integers in steps of input scale x weight scale, if it fits."""
    assert layer.inputs is not None
    steps = (float(layer.inputs.scale) * integer.scale.astype(np.float32)).astype(np.float32)
    with np.errstate(divide="ignore", over="ignore"):
        integers = np.rint(integer.bias / steps)
    if not (np.isfinite(integers) & (np.abs(integers) <= MOST)).all():
        return editor.constant(f"{name}.bias", integer.bias.astype(np.float32))
    constants = [
        editor.constant(f"{name}.bias", integers.astype(np.int32)),
        editor.constant(f"{name}.bias_scale", steps),
    ]
    return editor.node(before, "DequantizeLinear", constants, f"{name}.bias", axis=0)


def _only_user(value: ir.Value, operator: str) -> ir.Node | None:
    uses = list(value.uses())
    if len(uses) != 1 or value.is_graph_output() or uses[0].node.op_type != operator:
        return None
    return uses[0].node


def _rows(numbers: npt.NDArray[Any], weight: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return numbers.reshape(-1, *[1] * (weight.ndim - 1))
