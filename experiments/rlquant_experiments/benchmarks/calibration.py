"""What calibration is worth: a network quantized uniformly, calibrated in three ways."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from rlquant import LayerChoice, QuantizationConfig
from rlquant.copying.network_copy import copy_network
from rlquant.data import take_samples
from rlquant.forward_pass import run
from rlquant.network.bias_correction import OutputMeans, output_rows, shifted
from rlquant.network.calibrate import FloatReference, calibrate
from rlquant.network.hessians import output_hessian
from rlquant.network.norm_statistics import channel_statistics
from rlquant.network.quantize import build_quantized, layers_of
from rlquant.network.weights import quantize_weight
from rlquant.network_inputs import first_input
from rlquant.objective import Distillation
from rlquant.plain_network import weight_of
from rlquant.samples import Samples
from rlquant.tasks import Task

BATCH = 50


@dataclass(frozen=True, slots=True)
class Uniform:
    """One choice for all layers, where asked for with another width for grouped convolutions."""

    bits: int
    group_size: Any = "channel"
    rounding: Any = "nearest"
    depthwise_bits: int | None = None

    def choice(self, layer: str, module: nn.Module) -> LayerChoice:
        """Return the choice of a layer."""
        depthwise = getattr(module, "groups", 1) > 1 and self.depthwise_bits is not None
        bits = self.depthwise_bits if depthwise else self.bits
        assert bits is not None
        return LayerChoice(
            layer, bits, points="clipped", group_size=self.group_size, rounding=self.rounding
        )

    def __str__(self) -> str:
        depthwise = f", depthwise {self.depthwise_bits}" if self.depthwise_bits else ""
        return f"{self.bits}{depthwise} | {self.group_size} | {self.rounding}"


@dataclass(frozen=True, slots=True)
class Row:
    """Figures of a quantized network by method and name of the figure."""

    uniform: Uniform
    figures: Mapping[str, Mapping[str, float]]


Calibration = Callable[[nn.Module, FloatReference, Samples], None]


def left_alone(network: nn.Module, reference: FloatReference, samples: Samples) -> None:
    """Calibrate nothing."""


@torch.no_grad()
def re_estimated(network: nn.Module, reference: FloatReference, samples: Samples) -> None:
    """Give BatchNorms the samples' own statistics, and layers the float network's plain means.

    Source: the first edition of this project.
    """

    def statistics(module: nn.Module, args: Any, keywords: Any) -> None:
        mean, variance = channel_statistics(first_input(args, keywords))
        module.running_mean.copy_(mean)  # type: ignore[operator]
        module.running_var.copy_(variance)  # type: ignore[operator]

    def corrector(plain: Tensor) -> Any:
        def hook(module: nn.Module, args: Any, output: Tensor) -> Tensor:
            shift = plain - output_rows(module, output).mean(dim=(0, 1))
            module.bias.add_(shift)  # type: ignore[operator]
            return shifted(module, output, shift)

        return hook

    with ExitStack() as hooks:
        for name in reference.batch_norms:
            module = network.get_submodule(name)
            hooks.enter_context(module.register_forward_pre_hook(statistics, with_kwargs=True))
        for name, means in reference.output_means.items():
            assert isinstance(means, _PlainMeans)
            module = network.get_submodule(name)
            hooks.enter_context(module.register_forward_hook(corrector(means.plain)))
        run(network, samples.inputs)


@dataclass(frozen=True, slots=True, eq=False)
class _PlainMeans(OutputMeans):
    """Means of a layer's outputs with the plain one, shape `(channels,)`."""

    plain: Tensor


METHODS: Mapping[str, Calibration] = {
    "uncorrected": left_alone,
    "re-estimated": re_estimated,
    "by difference": calibrate,
}


def measured(
    task: Task, uniforms: Sequence[Uniform], calibration: int, validation: int
) -> Iterator[Row]:
    """Yield the rows of the table.

    Figures are the mean cosine to the float network's outputs where the task has no labels, else
    top-1 accuracy and the mean KL divergence from the float network.

    Args:
        task: trained network and data.
        uniforms: how to quantize.
        calibration: samples to calibrate on.
        validation: samples to measure on.
    """
    network, cpu = task.network, torch.device("cpu")
    samples = take_samples(task.train, calibration, name="train", device=cpu)
    batches = take_samples(task.validation, validation, name="validation", device=cpu)
    names = [n for n, m in network.named_modules() if isinstance(m, (nn.Linear, nn.Conv2d))]
    everything = QuantizationConfig(tuple(LayerChoice(name, 8) for name in names))
    layers = layers_of(network, everything, samples.first(2).inputs)
    reference = _with_plain_means(
        network, FloatReference.measure(network, layers, samples), samples
    )
    hessians = cache(lambda: output_hessian(network, layers, samples))
    answers = _outputs(network, batches)
    targets = None if isinstance(task.metric, Distillation) else batches.targets
    for uniform in uniforms:
        config = QuantizationConfig(
            tuple(uniform.choice(f.name, network.get_submodule(f.name)) for f in layers)
        )
        plain = build_quantized(
            network,
            config,
            lambda choice: quantize_weight(
                weight_of(network.get_submodule(choice.layer)).detach(), choice, moments=hessians
            ),
            {},
        )
        figures = {}
        for name, method in METHODS.items():
            quantized = copy_network(plain)
            method(quantized, reference, samples)
            figures[name] = _figures(_outputs(quantized, batches), answers, targets)
        yield Row(uniform, figures)


def _with_plain_means(
    network: nn.Module, reference: FloatReference, samples: Samples
) -> FloatReference:
    found: dict[str, OutputMeans] = {}

    def recorder(name: str, means: OutputMeans) -> Any:
        def hook(module: nn.Module, args: Any, output: Tensor) -> None:
            plain = output_rows(module, output).mean(dim=(0, 1))
            found[name] = _PlainMeans(means.weights, means.halves, plain)

        return hook

    with ExitStack() as hooks, torch.no_grad():
        for name, means in reference.output_means.items():
            module = network.get_submodule(name)
            hooks.enter_context(module.register_forward_hook(recorder(name, means)))
        run(network, samples.inputs)
    return FloatReference(found, reference.batch_norms)


@torch.no_grad()
def _outputs(network: nn.Module, samples: Samples) -> Tensor:
    return torch.cat([run(network, batch.inputs) for batch in samples.batches(BATCH)])


def _figures(outputs: Tensor, answers: Tensor, targets: Tensor | None) -> dict[str, float]:
    if targets is None:
        return {"cosine": float(functional.cosine_similarity(outputs, answers).mean())}
    ours, theirs = outputs.log_softmax(dim=1), answers.log_softmax(dim=1)
    divergence = (theirs.exp() * (theirs - ours)).sum(dim=1).mean()
    right = outputs.argmax(dim=1) == targets
    return {"top-1": float(right.float().mean()), "KL": float(divergence)}
