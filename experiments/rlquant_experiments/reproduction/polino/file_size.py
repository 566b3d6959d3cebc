"""The paper's size formula beside the bytes of a packed file."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from rlquant.cost.file_layout import PROLOGUE, contents_bytes
from rlquant.cost.size import code_bytes, record_bytes
from rlquant.export.quantized_layers import QuantizedLayer, float_tensors, quantized_layers
from rlquant.export.rlq.packed import pack

FLOAT_BITS = 32


def reduction(bits: float, bucket: int = 256, scale_bits: int = FLOAT_BITS) -> float:
    """Return how many times smaller than in float32 weights are by the paper's formula.

    Args:
        bits: of a code, or the mean length of a Huffman code.
        bucket: weights of a bucket.
        scale_bits: of a scale, and of an offset; 32 in the paper.

    Source: the code released with Polino et al. 2018: kf / (kb + 2f).
    """
    return bucket * FLOAT_BITS / (bucket * bits + 2 * scale_bits)


@dataclass(frozen=True, slots=True)
class FileSize:
    """A packed file's bytes, and what they are made of.

    Attributes:
        file: bytes of the file.
        formula: bits * N + 2 * scale_bits * N / bucket over all quantized weights, and what is
            not quantized as it is.
        buckets: more scales and offsets, as the last bucket of an output channel is a whole one.
        blocks: more codes, as they are written in blocks of eight.
        tables: learned points.
        head: names, shapes, records of layers and the checksum.
    """

    file: float
    formula: float
    buckets: float
    blocks: float
    tables: float
    head: float

    @classmethod
    def of(cls, quantized: nn.Module, bucket: int) -> FileSize:
        """Measure a quantized network whose buckets have `bucket` weights."""
        layers = quantized_layers(quantized)
        tensors = float_tensors(quantized, layers)
        own = {f"{name}.weight" for name in layers}
        others = sum(tensor.nbytes for name, tensor in tensors.items() if name not in own)
        head = (
            PROLOGUE.size
            + contents_bytes(tensors)
            + sum(record_bytes(layer.weight.choice) for layer in layers.values())
        )
        return cls(
            file=len(pack(quantized)),
            formula=others + sum(_formula(layer, bucket) for layer in layers.values()),
            buckets=sum(_part_buckets(layer, bucket) for layer in layers.values()),
            blocks=sum(_part_blocks(layer) for layer in layers.values()),
            tables=sum(_table(layer) for layer in layers.values()),
            head=head,
        )

    @property
    def named(self) -> float:
        """Bytes of the formula and of everything that has a name here."""
        return self.formula + self.buckets + self.blocks + self.tables + self.head


def _formula(layer: QuantizedLayer, bucket: int) -> float:
    tensor = layer.weight.tensor
    weights = tensor.codes.numel()
    return weights * (tensor.bits / 8 + _numbers_bytes(layer) / bucket)


def _part_buckets(layer: QuantizedLayer, bucket: int) -> float:
    tensor = layer.weight.tensor
    assert tensor.scale is not None
    return (tensor.scale.numel() - tensor.codes.numel() / bucket) * _numbers_bytes(layer)


def _part_blocks(layer: QuantizedLayer) -> float:
    choice, tensor = layer.weight.choice, layer.weight.tensor
    weights = tensor.codes.numel()
    return code_bytes(choice, weights) - weights * tensor.bits / 8


def _table(layer: QuantizedLayer) -> float:
    values = layer.weight.tensor.values
    return 0.0 if values is None else float(values.nbytes)


def _numbers_bytes(layer: QuantizedLayer) -> int:
    """Return the bytes of a bucket's scale and offset."""
    tensor = layer.weight.tensor
    assert tensor.scale is not None
    assert tensor.offset is not None
    return tensor.scale.element_size() + tensor.offset.element_size()
