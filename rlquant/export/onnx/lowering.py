"""From a graph with placeholders to one of ONNX's own operators."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from rlquant.export.onnx.graph_edits import GraphEditor
from rlquant.export.onnx.inputs import InputLowering
from rlquant.export.onnx.integer_layers import lower_integer_layer
from rlquant.export.onnx.trace import DOMAIN, INPUTS, LAYER, OPSET, WEIGHT, Traced
from rlquant.export.onnx.weights import (
    IR_VERSION_OF_TWO_BITS,
    OPSET_OF_TWO_BITS,
    container_bits,
    dequantized,
    gathered,
    is_scaled_integer,
    scale_of,
    scaled_integers,
    signed_codes,
)
from rlquant.export.quantized_layers import QuantizedLayer
from rlquant.quantizers import QuantizedTensor

KERNEL_BITS = 8
"""Width of the integers that kernels multiply."""


def lower(traced: Traced, target: str | None) -> dict[str, str]:
    """Lower every placeholder of a model.

    Args:
        traced: its model is changed.
        target: name of a target, which decides the form of weights.

    Returns:
        How each layer's weight and inputs are written, in words.
    """
    model, layers = traced.model, traced.layers
    editor = GraphEditor(model.graph)
    inputs = InputLowering(editor)
    for node in tuple(model.graph):
        if node.domain != DOMAIN:
            continue
        name = node.attributes[LAYER].as_string()
        if node.op_type == INPUTS:
            inputs.lower(node, name, layers[name])
        else:
            assert node.op_type == WEIGHT
            _lower_weight(editor, node, name, layers[name], target)
    editor.remove_unused()
    _declare_opset(model, [layer.weight.tensor for layer in layers.values()])
    return {name: described(layer, target) for name, layer in layers.items()}


def _lower_weight(
    editor: GraphEditor, node: ir.Node, name: str, layer: QuantizedLayer, target: str | None
) -> None:
    tensor = layer.weight.tensor
    if not is_scaled_integer(tensor):
        value = gathered(editor, node, name, tensor)
    elif target == "onnxruntime-int8" and layer.inputs is not None:
        lower_integer_layer(editor, node, layer)
        return
    elif _stays_packed(layer, target):
        value = dequantized(
            editor,
            node,
            name,
            signed_codes(tensor),
            scale_of(tensor),
            tensor.bits,
            tensor.channel_axis,
            as_int8=False,
        )
    else:
        value = scaled_integers(editor, node, name, tensor)
    editor.replace(node.outputs[0], value)


def _stays_packed(layer: QuantizedLayer, target: str | None) -> bool:
    """Return whether a weight is handed to its layer as `DequantizeLinear`.

    Runtimes look for that form where a layer's inputs are quantized, or where they have kernels
    for packed weights. Beside float inputs it costs onnxruntime a third of its speed.
    """
    return layer.inputs is not None or target == "onnxruntime-int4"


def _declare_opset(model: ir.Model, tensors: list[QuantizedTensor]) -> None:
    """Declare the opset that the integers need; what else is in the graph means the same in it."""
    narrowest = min((container_bits(tensor.bits) for tensor in tensors), default=KERNEL_BITS)
    model.opset_imports.pop(DOMAIN, None)
    model.opset_imports[""] = OPSET_OF_TWO_BITS if narrowest == 2 else OPSET
    if narrowest == 2:
        model.ir_version = IR_VERSION_OF_TWO_BITS


def described(layer: QuantizedLayer, target: str | None) -> str:
    """Return how a layer is written, in words."""
    tensor = layer.weight.tensor
    width = container_bits(tensor.bits)
    if is_scaled_integer(tensor):
        packed = _stays_packed(layer, target)
        how = f"int{width}, DequantizeLinear" if packed else f"int{width} x scale"
    else:
        how = f"uint{width} codes, Gather"
    if layer.inputs is None:
        return f"{how}; float inputs"
    if not is_scaled_integer(tensor):
        return f"{how}; inputs of {layer.inputs.bits} bits by arithmetic"
    return f"{how}; uint{8 if layer.inputs.bits <= 8 else 16} inputs"


def serialized(model: ir.Model) -> bytes:
    """Return the file's contents, without shapes of values inside: runtimes infer them."""
    graph = model.graph
    values = (*graph.initializers.values(), *(v for node in graph for v in node.outputs))
    for value in values:
        if not value.is_graph_output():
            value.shape = value.type = None
    content: bytes = ir.to_proto(model).SerializeToString()
    return content


def without_traces(model: ir.Model, metadata: Mapping[str, str]) -> None:
    """Drop the exporter's notes (stack traces with paths of this machine), add our own."""
    for node in model.graph:
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()
    model.graph.metadata_props.clear()
    model.metadata_props.clear()
    model.metadata_props.update(metadata)
