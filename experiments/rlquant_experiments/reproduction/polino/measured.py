"""Measurements of each network."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from rlquant.config import GroupSize, Points
from rlquant.cost.file_layout import stored_tensors
from rlquant.training.settings import TrainSettings
from rlquant_experiments.reproduction.data import error_percent
from rlquant_experiments.reproduction.polino.file_size import FileSize
from rlquant_experiments.reproduction.polino.huffman import code_frequencies, entropy, mean_length
from rlquant_experiments.reproduction.polino.lab import Lab
from rlquant_experiments.reproduction.polino.networks import quantized_layers
from rlquant_experiments.reproduction.polino.training import BUCKET
from rlquant_experiments.reproduction.polino.variants import Heuristics
from rlquant_experiments.reproduction.runs import Measured, Progress

Make = Callable[[Progress], nn.Module]
"""Trains a network."""


def float_run(lab: Lab, make: Make, progress: Progress) -> Measured:
    """Return errors in percent and "bytes", of all tensors of a float network."""
    network = make(progress)
    size = sum(tensor.nbytes for tensor in stored_tensors(network).values())
    return {**errors(lab, network), "bytes": float(size)}


def quantized_run(lab: Lab, make: Make, progress: Progress) -> Measured:
    """Return errors in percent, sizes, and mean code lengths of a network in buckets of 256."""
    network = make(progress)
    return {**errors(lab, network), **lengths(network), **sizes(network)}


def post_mortem_run(
    lab: Lab, bits: int, bucket: GroupSize, points: Points, progress: Progress
) -> Measured:
    """Quantize the distilled student without training; also with renewed BatchNorm statistics.

    The figures of the second network are named "renewed_test_error" and so on. "weight_error" is
    the squared error of all weights in percent of their squares.
    """
    network = lab.post_mortem(bits, bucket, points, renewed=False)
    renewed = errors(lab, lab.post_mortem(bits, bucket, points, renewed=True))
    return {
        "weight_error": weight_error(lab.student(), network),
        **errors(lab, network),
        **{f"renewed_{name}": value for name, value in renewed.items()},
        **lengths(network),
        **(sizes(network) if bucket != "tensor" else {}),
    }


def ablation_run(lab: Lab, heuristics: Heuristics, progress: Progress) -> Measured:
    """Return the errors of one combination of heuristics, and the bits of a code on average."""
    network = lab.ablated(heuristics, progress)
    return {**errors(lab, network), **lengths(network)}


def rate_run(lab: Lab, bits: int, settings: TrainSettings, progress: Progress) -> Measured:
    """Return the validation error of quantized distillation; nothing of the test set."""
    network = lab.distilled(lab.preset.student, bits, settings, progress)
    return {"validation_error": errors(lab, network)["validation_error"]}


def point_rate_run(lab: Lab, bits: int, settings: TrainSettings, progress: Progress) -> Measured:
    """Return the validation error of differentiable quantization; nothing of the test set."""
    network = lab.learned(bits, settings, progress)
    return {"validation_error": errors(lab, network)["validation_error"]}


def weight_error(network: nn.Module, quantized: nn.Module) -> float:
    """Return the squared error of all quantized weights in percent of their squares."""
    error = square = 0.0
    for layer in quantized_layers(network):
        weight = network.get_parameter(f"{layer}.weight").detach()
        used = quantized.get_submodule(layer).weight
        assert isinstance(used, Tensor)
        error += float((used.detach() - weight).square().sum())
        square += float(weight.square().sum())
    return 100.0 * error / square


def errors(lab: Lab, network: nn.Module) -> dict[str, float]:
    """Return the shares of wrong answers in percent."""
    parts = {"test_error": lab.splits.test, "validation_error": lab.splits.validation}
    return {name: error_percent(network, data) for name, data in parts.items()}


def lengths(network: nn.Module) -> dict[str, float]:
    """Return mean length of a Huffman code and entropy, in bits, of all codes together."""
    frequencies = code_frequencies(network)
    return {"huffman_bits": mean_length(frequencies), "entropy_bits": entropy(frequencies)}


def sizes(network: nn.Module) -> dict[str, float]:
    """Return the bytes of the packed file and of each of its parts."""
    size = FileSize.of(network, BUCKET)
    return {
        "bytes": size.file,
        "formula_bytes": size.formula,
        "bucket_bytes": size.buckets,
        "block_bytes": size.blocks,
        "table_bytes": size.tables,
        "head_bytes": size.head,
        "unnamed_percent": 100.0 * (size.file - size.named) / size.file,
    }
