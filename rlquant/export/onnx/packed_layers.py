"""Linear layers in the form of which onnxruntime makes 4-bit kernels (its MatMulNBits)."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from rlquant.export.onnx.graph_edits import GraphEditor, only_user
from rlquant.export.onnx.weights import dequantized, scale_of, signed_codes
from rlquant.export.quantized_layers import QuantizedLayer

KERNEL_BITS = 4


def lower_packed_linear(editor: GraphEditor, placeholder: ir.Node, layer: QuantizedLayer) -> bool:
    """Lower a weight that a Linear layer alone takes, inputs first; returns whether it is one.

    The kernel takes the weight as it is stored, `inputs x outputs`, and by default rounds the
    layer's inputs to 8 bits for each row.
    """
    node = only_user(placeholder.outputs[0])
    name, tensor = placeholder.attributes["layer"].as_string(), layer.weight.tensor
    if node is None or tensor.codes.dim() != 2 or node.op_type not in ("Gemm", "Transpose"):
        return False
    if node.op_type == "Gemm" and node.attributes["transB"].as_int() != 1:
        return False
    codes, scale = signed_codes(tensor).T, scale_of(tensor)
    weight = dequantized(editor, node, name, codes, scale, tensor.bits, 1, least_width=KERNEL_BITS)
    if node.op_type == "Transpose":  # of the weight, for inputs of more than two axes
        editor.replace(node.outputs[0], weight)
        return True
    product = editor.node(node, "MatMul", [node.inputs[0], weight], f"{name}.product")
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        product = editor.node(node, "Add", [product, node.inputs[2]], f"{name}.layer")
    product.shape = node.outputs[0].shape
    editor.replace(node.outputs[0], product)
    relu = only_user(product)
    if relu is not None and relu.op_type == "Relu":
        # the same, but onnxruntime would fuse a Relu to a Gemm, of which it has no such kernel
        zero = editor.constant(f"{name}.zero", np.float32(0))
        editor.replace(relu.outputs[0], editor.node(relu, "Max", [product, zero], f"{name}.relu"))
    return True
