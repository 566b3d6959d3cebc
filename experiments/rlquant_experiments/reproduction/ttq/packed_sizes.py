"""The bytes of a packed network, measured on its file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import nn

from rlquant.cost.file_layout import stored_tensors
from rlquant.export.quantized_layers import quantized_layers
from rlquant.export.rlq.layer_body import encode_layer
from rlquant.export.rlq.packed import save


def packed_sizes(quantized: nn.Module, network: nn.Module) -> Mapping[str, float]:
    """Save a quantized network and measure it.

    Args:
        quantized: with ternary layers.
        network: the float network it was made of.

    Returns:
        "file_bytes" of the whole file with its header, "float_bytes" of all tensors of the float
        network, "ternary_bytes" of codes and scales in the file, "ternary_float_bytes" of the
        same layers' weights in float, the two ratios float / packed: "ternary_ratio" and
        "file_ratio", and "zeros", the share of zeros among the ternary weights.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "network.rlq"
        save(quantized, path)
        file_bytes = path.stat().st_size
    layers = quantized_layers(quantized).values()
    codes = [layer.weight.tensor.codes for layer in layers]
    weights = sum(each.numel() for each in codes)
    float_bytes = sum(t.numel() * t.element_size() for t in stored_tensors(network).values())
    ternary = sum(len(piece) for layer in layers for piece in encode_layer(layer))
    return {
        "file_bytes": float(file_bytes),
        "float_bytes": float(float_bytes),
        "ternary_bytes": float(ternary),
        "ternary_float_bytes": 4.0 * weights,
        "ternary_ratio": 4.0 * weights / ternary,
        "file_ratio": float_bytes / file_bytes,
        "zeros": sum(int((each == 1).sum()) for each in codes) / weights,
    }
