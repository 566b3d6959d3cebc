"""Lowering of a graph with placeholders to ONNX's own operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir as ir
from torch import Tensor

from rlquant.export.onnx.between import quantize_between
from rlquant.export.onnx.block_layers import MICROSOFT, lower_blocks
from rlquant.export.onnx.graph_edits import GraphEditor
from rlquant.export.onnx.inputs import InputLowering
from rlquant.export.onnx.integer_layers import lower_integer_layer
from rlquant.export.onnx.packed_layers import lower_packed_linear
from rlquant.export.onnx.trace import DOMAIN, INPUTS, LAYER, OPSET, WEIGHT, Traced
from rlquant.export.onnx.weights import (
    IR_VERSION_OF_TWO_BITS,
    OPSET_OF_TWO_BITS,
    container_bits,
    gathered,
    is_scaled_integer,
    scaled_integers,
)
from rlquant.export.quantized_layers import QuantizedLayer
from rlquant.export.targets import INT4, INT8, MATMULNBITS

MARK = "quantized by rlquant"


def lowered(
    traced: Traced, target: str | None, samples: Sequence[tuple[Tensor, ...]]
) -> tuple[bytes, dict[str, str], int]:
    """Return the file of a model with placeholders, the same for exports and latency profiles.

    Args:
        traced: its model is changed.
        target: name of a target, which decides the form of weights.
        samples: batches of inputs, for the ranges between layers of "onnxruntime-int8".

    Returns:
        The contents, how each layer's weight and inputs are written, in words, and how many
        tensors between layers are quantized.
    """
    model = traced.model
    described = _lower(traced, target)
    without_traces(model, {"producer": MARK, "target": target or "any"})
    model.graph.sort()
    between = 0
    if target == INT8:
        between = quantize_between(model, samples)
        model.graph.sort()
    return serialized(model), described, between


def _lower(traced: Traced, target: str | None) -> dict[str, str]:
    """Lower every placeholder of a model; returns how, in words, by layer."""
    model, layers = traced.model, traced.layers
    editor = GraphEditor(model.graph)
    inputs, written = InputLowering(editor), {}
    for node in tuple(model.graph):
        if node.domain != DOMAIN:
            continue
        name = node.attributes[LAYER].as_string()
        if node.op_type == INPUTS:
            inputs.lower(node, name, layers[name])
        else:
            assert node.op_type == WEIGHT
            how = _lower_weight(editor, node, name, layers[name], target)
            written[name] = f"{how}; {_inputs_in_words(layers[name])}"
    editor.remove_unused()
    _declare_opset(model)
    return written


def _lower_weight(
    editor: GraphEditor, node: ir.Node, name: str, layer: QuantizedLayer, target: str | None
) -> str:
    """Lower a weight in the form that suits the target; returns how, in words."""
    tensor = layer.weight.tensor
    width = container_bits(tensor.bits)
    blocks = lower_blocks(editor, node, name, tensor) if target == MATMULNBITS else ""
    if blocks:
        return blocks
    if not is_scaled_integer(tensor):
        editor.replace(node.outputs[0], gathered(editor, node, name, tensor))
        return f"uint{width} codes, Gather"
    if layer.inputs is not None:
        lower_integer_layer(editor, node, layer, for_kernels=target == INT8)
        return f"int{width}, DequantizeLinear"
    if target == INT4 and lower_packed_linear(editor, node, layer):
        return "int4, a 4-bit kernel"
    editor.replace(node.outputs[0], scaled_integers(editor, node, name, tensor))
    return f"int{width} x scale"


def _inputs_in_words(layer: QuantizedLayer) -> str:
    if layer.inputs is None:
        return "float inputs"
    if not is_scaled_integer(layer.weight.tensor):
        return f"inputs of {layer.inputs.bits} bits by arithmetic"
    return f"uint{8 if layer.inputs.bits <= 8 else 16} inputs"


def _declare_opset(model: ir.Model) -> None:
    """Declare the opset that the integers need; what else is in the graph means the same in it."""
    model.opset_imports.pop(DOMAIN, None)
    types = {value.dtype for value in model.graph.initializers.values()}
    two_bits = bool(types & {ir.DataType.INT2, ir.DataType.UINT2})
    model.opset_imports[""] = OPSET_OF_TWO_BITS if two_bits else OPSET
    if any(node.domain == MICROSOFT for node in model.graph):
        model.opset_imports[MICROSOFT] = 1
    if two_bits:
        model.ir_version = IR_VERSION_OF_TWO_BITS


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
