"""Quantized inputs of layers: QuantizeLinear and DequantizeLinear with an unsigned zero point.

Beside weights that are no grid of integers the same numbers are computed by plain arithmetic:
onnxruntime takes the pair of nodes for a wish to have such weights in 8 bits, and requantizes them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from rlquant.export.onnx.graph_edits import GraphEditor
from rlquant.export.onnx.weights import is_scaled_integer
from rlquant.export.quantized_layers import QuantizedLayer

GRIDS = {8: ir.DataType.UINT8, 16: ir.DataType.UINT16}


@dataclass
class InputLowering:
    """Lowers placeholders of quantized inputs; the same tensor on the same grid is done once.

    Attributes:
        editor: of the graph.
    """

    editor: GraphEditor
    _done: dict[tuple[object, ...], ir.Value] = field(default_factory=dict)

    def lower(self, placeholder: ir.Node, name: str, layer: QuantizedLayer) -> None:
        """Put the quantization of a layer's inputs in place of their placeholder.

        Widths that ONNX does not have are 8- or 16-bit ones of which the upper part is clipped
        off: the same values.
        """
        value, quantizer = placeholder.inputs[0], layer.inputs
        assert value is not None
        if quantizer is None:  # left float after all
            self.editor.replace(placeholder.outputs[0], value)
            return
        grid = _Grid(float(quantizer.scale), int(quantizer.zero_point), quantizer.bits)
        as_nodes = is_scaled_integer(layer.weight.tensor)
        key = (value, grid, as_nodes)
        if key not in self._done:
            written = self._nodes if as_nodes else self._arithmetic
            self._done[key] = written(placeholder, value, name, grid)
        self.editor.replace(placeholder.outputs[0], self._done[key])

    def _nodes(self, before: ir.Node, value: ir.Value, name: str, grid: _Grid) -> ir.Value:
        width = 8 if grid.bits <= 8 else 16
        if grid.bits != width:
            largest = np.float32((grid.last - grid.zero_point) * grid.scale)
            ends = [None, self.editor.constant(f"{name}.largest_input", largest)]
            value = self.editor.node(before, "Clip", [value, *ends], f"{name}.clip")
        scale, zero_point = grid.scale, grid.zero_point
        return quantize_dequantize(self.editor, before, value, name, scale, zero_point, width)

    def _arithmetic(self, before: ir.Node, value: ir.Value, name: str, grid: _Grid) -> ir.Value:
        constant, node = self.editor.constant, self.editor.node
        scale = constant(f"{name}.input_scale", np.float32(grid.scale))
        ends = [
            constant(f"{name}.{end}_input", np.float32(integer - grid.zero_point))
            for end, integer in (("least", 0), ("largest", grid.last))
        ]
        steps = node(before, "Div", [value, scale], f"{name}.steps")
        integers = node(before, "Round", [steps], f"{name}.round")
        clipped = node(before, "Clip", [integers, *ends], f"{name}.clip")
        return node(before, "Mul", [clipped, scale], f"{name}.inputs")


@dataclass(frozen=True)
class _Grid:
    scale: float
    zero_point: int
    bits: int

    @property
    def last(self) -> int:
        return (1 << self.bits) - 1


def quantize_dequantize(
    editor: GraphEditor,
    before: ir.Node,
    value: ir.Value,
    name: str,
    scale: float,
    zero_point: int,
    width: int = 8,
) -> ir.Value:
    """Insert both nodes before another one; returns the dequantized value."""
    dtype = GRIDS[width]
    grid = [
        editor.constant(f"{name}.input_scale", np.float32(scale)),
        editor.constant(f"{name}.input_zero_point", zero_point, dtype),
    ]
    integers = editor.node(before, "QuantizeLinear", [value, *grid], f"{name}.quantize", dtype)
    return editor.node(before, "DequantizeLinear", [integers, *grid], f"{name}.inputs")
