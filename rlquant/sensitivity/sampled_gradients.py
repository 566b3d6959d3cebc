"""Gradients by the layers' weights whose outer product has the loss's curvature as its mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from rlquant.copying.network_copy import shared_copy
from rlquant.forward_pass import run
from rlquant.objective import Curved, Objective, targets_of, units_of
from rlquant.samples import Samples
from rlquant.weight_sites import site_of

Take = Callable[[str, Tensor], None]
"""Given a layer and the gradient by its weight, in the shape of the weight; it may be let go."""


class GradientSampler:
    """Draws gradients of the float network at its own outputs, one sample at a time.

    An error of a layer's weights that shifts an output channel by a constant costs nothing where
    calibration corrects the shift. So for such a layer the gradient is that of the centred inputs:
    G - g m^T for the gradient g by the sum of its outputs and the mean m of its inputs.

    Args:
        network: float network; a copy that shares its parameters is run, in eval mode.
        samples: that the curvature is measured on; not those that quantizers were fitted to, on
            which errors are smaller than elsewhere.
        objective: a `Curved` one.
        means: by layer whose shifts are corrected, the mean of its inputs over calibration samples,
            shape `(groups, fan_in)`.
        draws: gradients, at least one for each sample that is run.
        seed: of the draws.

    Attributes:
        draws: gradients by each layer's weight.
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
        self._network = shared_copy(network)
        self._samples = samples.first(draws)
        self._objective, self._means, self._seed = objective, means, seed
        count = len(self._samples)
        self.draws = draws
        self._draws = [draws // count + (i < draws % count) for i in range(count)]

    def sample(self, layers: Sequence[str], take: Take) -> Iterator[int]:
        """Draw one gradient after the other; the draws are the same at every call.

        Args:
            layers: by whose weights gradients are taken.
            take: given each layer's as soon as it is there, so that they are never held together;
                not called for a layer that the outputs have no gradient by.

        Yields:
            After each draw the units of the objective that its random function is a sum over.
        """
        objective = self._objective
        assert isinstance(objective, Curved)
        generator = torch.Generator().manual_seed(self._seed)
        for batch, draws in zip(self._samples.batches(1), self._draws, strict=True):
            with torch.enable_grad(), self._taking(layers, take) as sums:
                outputs = run(self._network, batch.inputs)
                targets = targets_of(objective, batch, _given(outputs))
                units = units_of(objective, batch, targets)
                for left in reversed(range(draws)):
                    sums.clear()
                    loss = objective.sampled_loss(outputs, targets, generator)
                    torch.autograd.backward(loss, retain_graph=left > 0)
                    yield units

    @contextmanager
    def _taking(self, layers: Sequence[str], take: Take) -> Iterator[dict[str, Tensor]]:
        """Within the context, backward passes hand gradients over; see `_summing_outputs`."""
        weights = {n: site_of(self._network, n).weight_in(self._network) for n in layers}
        with self._summing_outputs(layers) as sums, ExitStack() as hooks:

            def taking(name: str) -> Callable[[Tensor], None]:
                def hook(weight: Tensor) -> None:
                    assert weight.grad is not None
                    take(name, self._centred(name, weight.grad, sums))
                    weight.grad = None

                return hook

            for name, weight in weights.items():
                weight.requires_grad_()
                hooks.callback(weight.requires_grad_, False)
                handle = weight.register_post_accumulate_grad_hook(taking(name))  # type: ignore[no-untyped-call]
                hooks.callback(handle.remove)
            yield sums

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

    def _centred(self, name: str, gradient: Tensor, sums: Mapping[str, Tensor]) -> Tensor:
        """Return the gradient of the centred inputs."""
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
