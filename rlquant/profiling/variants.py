"""A network with some layers in 8 bits and the others in float, as files for onnxruntime."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from torch import Tensor, nn

from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.data import Data
from rlquant.export.onnx.exporter import batches_of
from rlquant.export.onnx.lowering import lowered
from rlquant.export.onnx.trace import Traced, trace
from rlquant.export.quantized_layers import quantized_layers
from rlquant.export.targets import INT8
from rlquant.layers import LayerFacts
from rlquant.network.quantize import quantize

KERNEL_BITS = 8
NATIVE_KINDS = ("conv1d", "conv2d", "conv3d", "linear")
"""Layers of which onnxruntime has 8-bit kernels."""


@dataclass(frozen=True)
class Variants:
    """Every mix of 8-bit and float layers of one network; it is traced once.

    Attributes:
        traced: the network with all native layers quantized.
        samples: batches of inputs, for the ranges between layers.
    """

    traced: Traced
    samples: list[tuple[Tensor, ...]]

    @classmethod
    def of(
        cls,
        network: nn.Module,
        layers: Collection[LayerFacts],
        data: Data,
        inputs: tuple[Tensor, ...],
        samples: int,
    ) -> Variants:
        """Quantize and trace a float network.

        Args:
            network: on the CPU.
            layers: its layers.
            data: for calibration.
            inputs: a batch of at least two samples.
            samples: of `data` to calibrate with.
        """
        choices = (
            LayerChoice(
                facts.name,
                KERNEL_BITS,
                activation_bits=KERNEL_BITS if facts.kind in NATIVE_KINDS else None,
            )
            for facts in layers
        )
        config = QuantizationConfig(tuple(choices))
        quantized = quantize(network, config, calibration=data, calibration_samples=samples)
        traced = trace(quantized, quantized_layers(quantized), inputs, dynamic_batch=True)
        return cls(traced, batches_of(network, inputs, data, samples))

    def file(self, in_8_bits: Collection[str]) -> bytes:
        """Return the file in which the named layers run in 8 bits and the others in float."""
        layers = {
            name: layer if name in in_8_bits else replace(layer, inputs=None)
            for name, layer in self.traced.layers.items()
        }
        variant = Traced(self.traced.model.clone(), layers)
        return lowered(variant, INT8, self.samples)[0]
