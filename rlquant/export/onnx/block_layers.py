"""Linear layers and embeddings as onnxruntime's own operators of 2, 4 or 8 bits in blocks.

`MatMulNBits` and `GatherBlockQuantized` of the domain com.microsoft compute with
`(code - zero point) * scale`, a zero point of 2**(bits - 1) where none is given. Blocks are
consecutive inputs of an output; their codes are packed bit after bit, the lowest first. Sums are of
float32 numbers (accuracy level 0).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from rlquant.export.onnx.graph_edits import GraphEditor, only_user
from rlquant.export.onnx.weights import scale_of
from rlquant.export.targets import BLOCK_BITS, BLOCKS
from rlquant.quantizers import QuantizedTensor

MICROSOFT = "com.microsoft"
Bytes = npt.NDArray[np.uint8]


def lower_blocks(
    editor: GraphEditor, placeholder: ir.Node, name: str, tensor: QuantizedTensor
) -> str:
    """Lower a weight into the operators that take it; returns how, in words.

    Empty, and nothing is changed, where one of them has no such form: other layers, and weights of
    other formats.
    """
    if not _has_form(tensor):
        return ""
    uses = list(placeholder.outputs[0].uses())
    blocks = _Blocks(editor, name, tensor)
    steps = [_step(use.node, use.idx, blocks) for use in uses]
    if not steps or any(step is None for step in steps):
        return ""
    return ", ".join(dict.fromkeys(step() for step in steps if step is not None))


def _has_form(tensor: QuantizedTensor) -> bool:
    whole = tensor.kind == "integer" or (tensor.zero_point is not None and tensor.kind == "steps")
    return (
        whole
        and tensor.bits in BLOCK_BITS
        and tensor.group_size in BLOCKS
        and tensor.codes.dim() == 2
        and tensor.channel_axis == 0
    )


class _Blocks:
    """The constants of a weight, made when they are first asked for and shared by its users."""

    def __init__(self, editor: GraphEditor, name: str, tensor: QuantizedTensor) -> None:
        assert isinstance(tensor.group_size, int)
        self.editor, self.name, self._tensor = editor, name, tensor
        self.rows, self.columns = tensor.codes.shape
        self.bits, self.block = tensor.bits, tensor.group_size
        self.count = -(-self.columns // self.block)

    @cached_property
    def codes(self) -> ir.Value:
        """Shape `(rows, blocks, bytes of a block)`, the last block of a row filled up."""
        codes = self._tensor.codes.cpu().numpy()
        filled = np.pad(codes, ((0, 0), (0, self.count * self.block - self.columns)))
        blocks = filled.reshape(self.rows, self.count, self.block)
        return self.editor.constant(f"{self.name}.codes", packed_bytes(blocks, self.bits))

    @cached_property
    def scales(self) -> ir.Value:
        """Shape `(rows, blocks)`, float32."""
        scale = scale_of(self._tensor).reshape(self.rows, self.count)
        return self.editor.constant(f"{self.name}.scale", scale)

    @cached_property
    def zero_points(self) -> ir.Value | None:
        """Shape `(rows, bytes of a row's blocks)`; None where they are the middle code."""
        if self._tensor.zero_point is None:
            return None
        zeros = self._tensor.zero_point.cpu().numpy().astype(np.uint8)
        packed = packed_bytes(zeros.reshape(self.rows, self.count), self.bits)
        return self.editor.constant(f"{self.name}.zero_point", packed)


def packed_bytes(codes: npt.NDArray[np.uint8], bits: int) -> Bytes:
    """Return codes of 2, 4 or 8 bits along the last axis as bytes, the lowest bits first."""
    in_byte = 8 // bits
    missing = -codes.shape[-1] % in_byte
    filled = np.pad(codes, [*[(0, 0)] * (codes.ndim - 1), (0, missing)])
    apart = filled.reshape(*filled.shape[:-1], -1, in_byte)
    shifts = np.arange(in_byte, dtype=np.uint8) * np.uint8(bits)
    found: Bytes = np.bitwise_or.reduce(apart << shifts, axis=-1)
    return found


def _step(node: ir.Node, index: int, blocks: _Blocks) -> Callable[[], str] | None:
    """Return what puts an operator of the block form in the place of a node, None for others."""
    if node.op_type == "Gather" and index == 0 and not blocks.columns % blocks.block:
        return lambda: _gather(node, blocks)
    if node.op_type == "Gemm" and index == 1 and _is_plain(node):
        return lambda: _matmul(node, node.inputs[0], node.inputs[2:3], blocks)
    if node.op_type == "Transpose":
        product = only_user(node.outputs[0])
        takes_it = product is not None and product.op_type == "MatMul"
        if product is not None and takes_it and product.inputs[1] is node.outputs[0]:
            return lambda: _matmul(product, product.inputs[0], (), blocks)
    return None


def _is_plain(node: ir.Node) -> bool:
    """Return whether a Gemm is `x @ weight.T + bias`."""
    given = {name: attribute.value for name, attribute in node.attributes.items()}
    factors = (given.get("alpha", 1.0), given.get("beta", 1.0))
    return factors == (1.0, 1.0) and given.get("transA", 0) == 0 and given.get("transB", 0) == 1


def _matmul(
    node: ir.Node, inputs: ir.Value | None, bias: Sequence[ir.Value | None], blocks: _Blocks
) -> str:
    given = [inputs, blocks.codes, blocks.scales, blocks.zero_points]
    if bias and bias[0] is not None:
        given += [None, bias[0]]  # None for an order of the inputs
    product = blocks.editor.node(
        node, "MatMulNBits", given, f"{blocks.name}.product", domain=MICROSOFT,
        K=blocks.columns, N=blocks.rows, bits=blocks.bits, block_size=blocks.block,
        accuracy_level=0,
    )  # fmt: skip
    product.shape = node.outputs[0].shape
    blocks.editor.replace(node.outputs[0], product)
    return f"uint{blocks.bits} blocks, MatMulNBits"


def _gather(node: ir.Node, blocks: _Blocks) -> str:
    flat = blocks.editor.constant(f"{blocks.name}.flat", np.array([blocks.rows, -1]))
    codes = blocks.editor.node(
        node, "Reshape", [blocks.codes, flat], f"{blocks.name}.rows", ir.DataType.UINT8
    )
    given = [codes, node.inputs[1], blocks.scales, blocks.zero_points]
    rows = blocks.editor.node(
        node, "GatherBlockQuantized", given, f"{blocks.name}.gather", domain=MICROSOFT,
        bits=blocks.bits, block_size=blocks.block, gather_axis=0, quantize_axis=1,
    )  # fmt: skip
    rows.shape = node.outputs[0].shape
    blocks.editor.replace(node.outputs[0], rows)
    return f"uint{blocks.bits} blocks, GatherBlockQuantized"
