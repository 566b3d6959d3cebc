"""8 bits behind convolutions: what an 8-bit one hands to something that is no layer.

onnxruntime has kernels of convolutions that take integers only where they give integers too (those
of Linear layers give floats). Layers quantize their inputs; what flows into a sum (a residual
connection), and out of it into something that is no layer, would stay float, and the convolution
before would run in float. Such tensors get 8 bits here: the grid of a layer that takes the same
tensor, or the range that they have on calibration samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from torch import Tensor

from rlquant.export.onnx.graph_edits import GraphEditor
from rlquant.export.onnx.inputs import quantize_dequantize
from rlquant.export.onnx.runtime import feed, open_session
from rlquant.quantizers.activation import activation_grid

PASSED_THROUGH = ("MaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze")
"""Operators that hand numbers on unchanged: a runtime moves a quantization before them."""


@dataclass(frozen=True)
class Open:
    """A tensor between layers that something takes as float.

    Attributes:
        value: the tensor, behind a ReLU where one follows.
        takers: the nodes that take it as float, with the place of their input.
        quantized: the same tensor on a grid, where a layer's inputs already are that.
    """

    value: ir.Value
    takers: tuple[tuple[ir.Node, int], ...]
    quantized: ir.Value | None


def quantize_between(model: ir.Model, samples: Sequence[tuple[Tensor, ...]]) -> int:
    """Quantize what 8-bit convolutions hand on as floats; returns how many tensors.

    Args:
        model: a graph without placeholders; changed.
        samples: batches of inputs, for the ranges.
    """
    found = list(_open_tensors(model.graph))
    measured = [place for place in found if place.quantized is None]
    ranges = _ranges(model, [place.value for place in measured], samples) if measured else []
    editor = GraphEditor(model.graph)
    for place in found:
        if place.quantized is not None:
            _hand_over(place, place.quantized)
    for place, (low, high) in zip(measured, ranges, strict=True):
        scale, zero_point = activation_grid(low, high, 8)
        name, first = f"{place.value.name}.sum", place.takers[0][0]
        _hand_over(place, quantize_dequantize(editor, first, place.value, name, scale, zero_point))
    return len(found)


def _open_tensors(graph: ir.Graph) -> Iterator[Open]:
    """Yield the tensors to quantize, in execution order."""
    covered: set[ir.Value] = set()
    for node in graph:
        if not (_is_integer_convolution(node) or _is_sum_of(node, covered)):
            continue
        value = node.outputs[0]
        uses = list(value.uses())
        if len(uses) == 1 and uses[0].node.op_type == "Relu" and not value.is_graph_output():
            value = uses[0].node.outputs[0]
        if value.is_graph_output():
            continue
        covered.add(value)
        takers = tuple((use.node, use.idx) for use in value.uses() if not _ends_quantized(use.node))
        if takers:
            yield Open(value, takers, _on_a_grid(value))


def _is_integer_convolution(node: ir.Node) -> bool:
    producers = [value.producer() for value in node.inputs[:2] if value is not None]
    return node.op_type == "Conv" and all(
        producer is not None and producer.op_type == "DequantizeLinear" for producer in producers
    )


def _is_sum_of(node: ir.Node, covered: set[ir.Value]) -> bool:
    return node.op_type == "Add" and all(value in covered for value in node.inputs)


def _ends_quantized(node: ir.Node) -> bool:
    if node.op_type == "QuantizeLinear":
        return True
    if node.op_type not in PASSED_THROUGH or node.outputs[0].is_graph_output():
        return False
    uses = list(node.outputs[0].uses())
    return bool(uses) and all(_ends_quantized(use.node) for use in uses)


def _on_a_grid(value: ir.Value) -> ir.Value | None:
    for node, _ in value.uses():
        if node.op_type == "QuantizeLinear":
            for user, _ in node.outputs[0].uses():
                if user.op_type == "DequantizeLinear":
                    return user.outputs[0]
    return None


def _hand_over(place: Open, quantized: ir.Value) -> None:
    for node, index in place.takers:
        node.replace_input_with(index, quantized)


def _ranges(
    model: ir.Model, values: Sequence[ir.Value], samples: Sequence[tuple[Tensor, ...]]
) -> list[tuple[float, float]]:
    """Return the extremes of tensors in the graph, over all samples."""
    outputs = model.graph.outputs
    count = len(outputs)
    outputs.extend(values)
    try:
        session = open_session(ir.to_proto(model).SerializeToString())
    finally:
        del outputs[count:]
    low, high = np.full(len(values), np.inf), np.full(len(values), -np.inf)
    for batch in samples:
        measured = session.run([value.name for value in values], feed(session, batch))
        low = np.minimum(low, [array.min() for array in measured])
        high = np.maximum(high, [array.max() for array in measured])
    return list(zip(low.tolist(), high.tolist(), strict=True))
