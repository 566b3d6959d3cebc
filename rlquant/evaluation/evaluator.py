"""A configuration in, what it is worth out: real quantized weights, real calibration, real data."""

from __future__ import annotations

from functools import cached_property

from torch import Tensor, nn

from rlquant.choices import BucketSize, QuantizationConfig
from rlquant.data import Samples
from rlquant.evaluation.measure import measure_float, run_batches
from rlquant.evaluation.weight_bank import WeightBank
from rlquant.layers import LayerFacts, copy_network
from rlquant.network.calibrate import FloatReference, calibrate, calibrated_tensors
from rlquant.network.input_ranges import Ranges, measure_input_ranges
from rlquant.network.modules import install_activation
from rlquant.network.quantize import activation_quantizer, build_quantized, quantizes_activations
from rlquant.network.second_moments import output_moments
from rlquant.quantizers.activation import RangeMethod, require_range_method
from rlquant.score import Measurement, Objective
from rlquant.training.watching import Watcher


class Evaluator:
    """Measures configurations of one network on fixed samples.

    It owns a working copy of the network: an evaluation points the copy's weights at the bank's,
    calibrates the copy and runs the validation batches. Nothing is carried over from one
    evaluation to the next, so the result depends on the configuration alone.

    Args:
        network: float network; left as it is.
        layers: the searched layers.
        calibration: samples for calibration, run as one batch.
        validation: samples to measure on, run in batches of `batch_size`.
        objective: how outputs are judged.
        bucket_size: weights that share a scale.
        seed: decides random draws of quantizers.
        batch_size: larger batches than about 250 images are slower: their memory is not reused.
        activation_range: how the range of a layer's inputs is taken from the calibration samples.
    """

    def __init__(
        self,
        network: nn.Module,
        layers: tuple[LayerFacts, ...],
        calibration: Samples,
        validation: Samples,
        objective: Objective,
        *,
        bucket_size: BucketSize,
        seed: int,
        batch_size: int = 250,
        activation_range: RangeMethod = "percentile",
    ) -> None:
        require_range_method(activation_range)
        self.network = network
        self.layers = layers
        self.objective = objective
        self.calibration = calibration
        self.batches = validation.batches(batch_size)
        self.reference = FloatReference.measure(network, layers, calibration)
        self._range_method: RangeMethod = activation_range
        self._working = copy_network(network)
        self._modules = {f.name: self._working.get_submodule(f.name) for f in layers}
        weights = {name: _weight(module).detach() for name, module in self._modules.items()}
        self.bank = WeightBank(weights, layers, bucket_size, seed, moments=lambda: self.moments)
        self._calibrated = [
            (tensor, tensor.clone()) for tensor in calibrated_tensors(self._working, self.reference)
        ]

    @cached_property
    def input_ranges(self) -> Ranges:
        """The range of each layer's inputs in the float network, measured on first use."""
        return measure_input_ranges(self.network, self.layers, self.calibration, self._range_method)

    @cached_property
    def moments(self) -> dict[str, Tensor]:
        """By what matrix each layer's weight errors count, measured on first use."""
        return output_moments(self.network, self.layers, self.calibration)

    def measure(self, config: QuantizationConfig, watch: Watcher | None = None) -> Measurement:
        """Measure a canonical configuration that names every searched layer.

        Args:
            config: canonical.
            watch: has nothing to hear, as nothing is trained.
        """
        removals = []
        try:
            for choice in config:
                module = self._modules[choice.layer]
                _weight(module).data = self.bank.values(choice)
                if choice.activation_bits is not None:
                    quantizer = activation_quantizer(choice, self.input_ranges)
                    device = _weight(module).device
                    removals.append(install_activation(module, quantizer.to(device)))
            for tensor, original in self._calibrated:
                tensor.copy_(original)
            calibrate(self._working, self.reference, self.calibration)
            return run_batches(self._working, self.batches, self.objective)
        finally:
            for remove in removals:
                remove()

    def build(self, config: QuantizationConfig) -> nn.Module:
        """Return a calibrated quantized network with exactly the outputs that were scored."""
        ranges = self.input_ranges if quantizes_activations(config) else {}
        quantized = build_quantized(self.network, config, self.bank.tensor, ranges)
        calibrate(quantized, self.reference, self.calibration)
        return quantized

    def measure_float(self) -> Measurement:
        """Measure the float network as it is; `DataError` where the targets do not fit."""
        return measure_float(self.network, self.batches, self.objective)


def _weight(module: nn.Module) -> Tensor:
    weight = module.weight
    assert isinstance(weight, Tensor)
    return weight
