"""Measures configurations: real quantized weights, real calibration, real data."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from rlquant.ambient import torch_generator_kept
from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.copying.network_copy import copy_network
from rlquant.evaluation.default_limits import prefix_limit
from rlquant.evaluation.incremental import IncrementalNetwork
from rlquant.evaluation.looks import LooksAt
from rlquant.evaluation.measure import measure_float, score_outputs
from rlquant.evaluation.process_memory import close_gaps
from rlquant.evaluation.sequential import Assign, SequentialPass
from rlquant.evaluation.weight_bank import WeightBank
from rlquant.evaluation.weight_folder import WeightFolder
from rlquant.evaluation_settings import EvaluationSettings
from rlquant.gguf.imatrix import read_imatrix
from rlquant.layers import LayerFacts, modules_of
from rlquant.network.calibrate import FloatReference, calibrate
from rlquant.network.hessians import output_hessian, shift_corrected
from rlquant.network.input_ranges import Ranges, measure_input_ranges
from rlquant.network.modules import install_activation
from rlquant.network.quantize import activation_quantizer, build_quantized, quantizes_activations
from rlquant.objective import Objective
from rlquant.rounding.layer_hessians import LayerHessians
from rlquant.samples import Samples
from rlquant.score import Measurement
from rlquant.weight_sites import site_of

OTHER_PREFIXES = 1 / 4
"""Of the memory for shared activations, what an evaluator on other batches has besides."""


class Evaluator:
    """Measures configurations of one network on fixed samples.

    It owns a working copy of the network: an evaluation points the copy's weights at the bank's,
    calibrates the copy and runs the validation batches, from the first layer on in which the
    configuration differs from what was run before. The result depends on the configuration alone,
    bit for bit.

    Args:
        network: float network; left as it is.
        layers: the searched layers.
        calibration: samples for calibration, run as one batch.
        batches: of samples to measure on, with the targets of the objective.
        objective: how outputs are scored.
        seed: decides random draws of quantizers.
        evaluation: memory for shared activations, ranges of inputs.
        folder: keeps quantized weights beyond what memory holds.
    """

    def __init__(
        self,
        network: nn.Module,
        layers: tuple[LayerFacts, ...],
        calibration: Samples,
        batches: Sequence[Samples],
        objective: Objective,
        *,
        seed: int,
        evaluation: EvaluationSettings = EvaluationSettings(),  # noqa: B008 - a frozen value
        folder: WeightFolder | None = None,
    ) -> None:
        self.network = network
        self.layers = layers
        self.objective = objective
        self.calibration = calibration
        self.batches = list(batches)
        self.reference = FloatReference.measure(network, layers, calibration, evaluation.calibrate)
        self._evaluation = evaluation
        self._range_method = evaluation.activation_range
        self._calibrate = evaluation.calibrate
        self._imatrix = evaluation.imatrix
        self._make_working_copy()
        self.bank = WeightBank(
            self._float,
            layers,
            seed,
            evaluation.weight_bank_bytes,
            moments=lambda: self.moments,
            folder=folder,
        )
        self._make_incremental(_prefix_bytes(network, evaluation))

    def _make_working_copy(self) -> None:
        network = self.network
        written = {network.get_parameter(f"{name}.bias") for name in self.reference.output_means}
        shared = [p for p in network.parameters() if p not in written]
        self._working = copy_network(network, shared=shared)
        close_gaps()
        sites = {f.name: site_of(self._working, f.name) for f in self.layers}
        self._modules = {name: site.owner_in(self._working) for name, site in sites.items()}
        self._runners = {
            name: self._working.get_submodule(site.runner) for name, site in sites.items()
        }
        self._weights = {name: site.weight_in(self._working) for name, site in sites.items()}
        self._float = {name: weight.detach() for name, weight in self._weights.items()}
        self._installed: dict[str, LayerChoice] = {}

    def _make_incremental(self, prefix_bytes: int | None) -> None:
        self.incremental = IncrementalNetwork(
            self._working,
            [facts.name for facts in self.layers],
            self.reference,
            self.calibration,
            self.batches,
            prefix_bytes,
            self._evaluation.precision,
        )

    def on(self, batches: Sequence[Samples]) -> Evaluator:
        """Return an evaluator of the same on other batches: it measures what this one quantizes.

        It calibrates on the same samples, and keeps at most a share of the activations
        (`OTHER_PREFIXES`) that this one keeps.
        """
        other = copy.copy(self)
        other.batches = list(batches)
        other._make_working_copy()
        limit = _prefix_bytes(self.network, self._evaluation)
        other._make_incremental(None if limit is None else int(OTHER_PREFIXES * limit))
        return other

    @cached_property
    def input_ranges(self) -> Ranges:
        """The range of each layer's inputs in the float network, measured on first use."""
        return measure_input_ranges(self.network, self.layers, self.calibration, self._range_method)

    @cached_property
    def moments(self) -> LayerHessians:
        """By what matrix each layer's weight errors count, measured on first use."""
        called = modules_of(self.layers)
        own = output_hessian(self.network, called, self.calibration, self._calibrate)
        if self._imatrix is None:
            return own
        read = read_imatrix(Path(self._imatrix), self.network, called)
        device = self.calibration.device
        return own.with_diagonals({name: found.to(device) for name, found in read.items()})

    def measure(
        self,
        config: QuantizationConfig,
        look: LooksAt | None = None,
        following: QuantizationConfig | None = None,
    ) -> Measurement:
        """Measure a canonical configuration that names every searched layer.

        Args:
            config: canonical, the layers in execution order.
            look: shown what each validation batch gave, for an objective that is `PerSample`.
            following: what is measured next, where that is known: saves memory and time.

        Raises:
            Ended: `look` asked for an early end.
        """
        with self._running(config, following) as outputs:
            return score_outputs(outputs, self.batches, self.objective, look)

    @contextmanager
    def _running(
        self, config: QuantizationConfig, following: QuantizationConfig | None
    ) -> Iterator[Iterator[Any]]:
        """Within the context, the working copy gives the configuration's outputs."""
        removals: list[Callable[[], None]] = []
        choices = {choice.layer: choice for choice in config}

        def install(layers: Sequence[str]) -> None:
            for name in layers:
                removals.extend(self._install(choices[name]))

        then = None if following is None else following.choices
        try:
            with torch_generator_kept():
                yield self.incremental.run(config.choices, install, then)
        finally:
            for remove in removals:
                remove()

    def _install(self, choice: LayerChoice) -> Iterator[Callable[[], None]]:
        """Give a layer of the working copy its weight; yield what takes its quantizer off again."""
        weight = self._weights[choice.layer]
        if self._installed.get(choice.layer) != choice:
            weight.data = self.bank.values(choice)
            self._installed[choice.layer] = choice
        if choice.activation_bits is not None:
            quantizer = activation_quantizer(choice, self.input_ranges)
            yield install_activation(self._modules[choice.layer], quantizer.to(weight.device))

    def _uninstall(self) -> None:
        """Give the working copy the float weights, and let go of dequantized ones."""
        for name, weight in self._weights.items():
            weight.data = self._float[name]
        self._installed.clear()
        self.bank.forget_values()
        close_gaps()

    def build(self, config: QuantizationConfig) -> nn.Module:
        """Return a calibrated quantized network with exactly the outputs that were scored."""
        ranges = self.input_ranges if quantizes_activations(config) else {}
        self._uninstall()  # the built network takes as much
        quantized = build_quantized(self.network, config, self.bank.tensor, ranges)
        calibrate(quantized, self.reference, self.calibration)
        return quantized

    @property
    def shift_corrected(self) -> set[str]:
        """The layers of which calibration takes back a constant shift of the outputs."""
        return shift_corrected(self.layers, self._calibrate)

    def assign_in_order(
        self, names: Sequence[str], values: Mapping[str, Tensor], assign: Assign
    ) -> None:
        """Have layers assigned again in execution order, see `SequentialPass`.

        Args:
            names: of layers that are run once.
            values: weights of all searched layers, to begin with.
            assign: is asked for new weights of layers that read one tensor.
        """
        self._uninstall()
        run = self.incremental
        try:
            SequentialPass(
                run.pieces, run.stages, self.calibration, self._runners, self._weights
            ).run(names, self._float, values, assign)
        finally:
            self._uninstall()

    def measure_float(self) -> Measurement:
        """Measure the float network as it is; `DataError` where the targets do not fit."""
        return measure_float(self.network, self.batches, self.objective)


def _prefix_bytes(network: nn.Module, evaluation: EvaluationSettings) -> int | None:
    """Return the bytes of activations that are kept; None where the network is not even cut."""
    if evaluation.stochastic:
        return None
    given = evaluation.prefix_bytes
    return prefix_limit(network.parameters()) if given == "auto" else given
