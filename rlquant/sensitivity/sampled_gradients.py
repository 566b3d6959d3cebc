"""Gradients by the layers' weights whose outer product has the loss's curvature as its mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rlquant.copying.network_copy import copy_network
from rlquant.forward_pass import run
from rlquant.objective import Curved, Objective, targets_of, units_of
from rlquant.samples import Samples
from rlquant.weight_sites import site_of


@dataclass(frozen=True, slots=True, eq=False)
class SampledGradient:
    """One draw of the gradient of a sample's random function, see `objective.Curved`.

    Attributes:
        by_layer: gradients by the weights, the shapes of the weights.
        units: units of the objective that the function is a sum over.
    """

    by_layer: Mapping[str, Tensor]
    units: int


class GradientSampler:
    """Draws gradients of the float network at its own outputs, one sample at a time.

    An error of a layer's weights that shifts an output channel by a constant costs nothing where
    calibration corrects the shift. So for such a layer the gradient is that of the centred inputs:
    G - g m^T for the gradient g by the sum of its outputs and the mean m of its inputs.

    Args:
        network: float network; a copy is run, in eval mode.
        samples: that the curvature is measured on; not those that quantizers were fitted to, on
            which errors are smaller than elsewhere.
        objective: a `Curved` one.
        means: by layer whose shifts are corrected, the mean of its inputs over calibration samples,
            shape `(groups, fan_in)`.
        draws: gradients, at least one for each sample that is run.
        seed: of the draws.
    """

    def __init__(
        self,
        network: nn.Module,
        samples: Samples,
        objective: Objective,
        means: Mapping[str, Tensor],
        draws: int,
        seed: int,
    ) -> None:
        self._network = copy_network(network)
        self._network.requires_grad_(requires_grad=False)
        self._samples = samples.first(draws)
        self._objective, self._means, self._seed = objective, means, seed
        count = len(self._samples)
        self._draws = [draws // count + (i < draws % count) for i in range(count)]

    def sample(self, layers: Sequence[str]) -> Iterator[SampledGradient]:
        """Yield the gradients by some layers' weights; the draws are the same at every call."""
        objective = self._objective
        assert isinstance(objective, Curved)
        generator = torch.Generator().manual_seed(self._seed)
        weights = [site_of(self._network, n).weight_in(self._network) for n in layers]
        for weight in weights:
            weight.requires_grad_()
        try:
            for batch, draws in zip(self._samples.batches(1), self._draws, strict=True):
                with torch.enable_grad(), self._summing_outputs(layers) as sums:
                    outputs = run(self._network, batch.inputs)
                    targets = targets_of(objective, batch, _given(outputs))
                    units = units_of(objective, batch, targets)
                    for left in reversed(range(draws)):
                        sums.clear()
                        loss = objective.sampled_loss(outputs, targets, generator)
                        found = torch.autograd.grad(
                            loss, weights, retain_graph=left > 0, allow_unused=True
                        )
                        named = zip(layers, weights, found, strict=True)
                        yield SampledGradient(
                            {n: self._centred(n, w, g, sums) for n, w, g in named}, units
                        )
        finally:
            for weight in weights:
                weight.requires_grad = False

    @contextmanager
    def _summing_outputs(self, layers: Sequence[str]) -> Iterator[dict[str, Tensor]]:
        """Within the context, gradients by the corrected layers' outputs are summed by channel."""
        sums: dict[str, Tensor] = {}
        handles = [
            self._network.get_submodule(name).register_forward_hook(_summing(sums, name))
            for name in layers
            if name in self._means
        ]
        try:
            yield sums
        finally:
            for handle in handles:
                handle.remove()

    def _centred(
        self, name: str, weight: Tensor, gradient: Tensor | None, sums: Mapping[str, Tensor]
    ) -> Tensor:
        """Return the gradient of the centred inputs; 0 where the outputs have none."""
        if gradient is None:
            return torch.zeros_like(weight)
        if name not in sums:
            return gradient
        mean = self._means[name].to(gradient)
        shift = sums[name].reshape(len(mean), -1, 1) * mean[:, None]
        return gradient - shift.reshape(gradient.shape)


def _given(outputs: Any) -> Callable[[], Any]:
    return lambda: outputs


def _summing(sums: dict[str, Tensor], name: str) -> Any:
    def hook(module: nn.Module, args: Any, outputs: Tensor) -> None:
        channel = outputs.dim() - 1 if isinstance(module, nn.Linear) else 1
        others = [axis for axis in range(outputs.dim()) if axis != channel]

        def add(gradient: Tensor) -> None:
            found = gradient.sum(dim=others) if others else gradient
            sums[name] = sums[name] + found if name in sums else found

        if outputs.requires_grad:
            outputs.register_hook(add)  # type: ignore[no-untyped-call]

    return hook


def chunks_within(sizes: Mapping[str, int], most: int) -> Iterator[list[str]]:
    """Yield consecutive names whose sizes add up to at most `most`, at least one name each."""
    total, chunk = 0, list[str]()
    for name, size in sizes.items():
        if chunk and total + size > most:
            yield chunk
            total, chunk = 0, []
        chunk.append(name)
        total += size
    if chunk:
        yield chunk
