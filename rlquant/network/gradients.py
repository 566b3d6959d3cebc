"""Check that a network passes gradients on; some switch them off in their own forward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from rlquant.copying.network_copy import shared_copy
from rlquant.errors import NetworkError, SettingsError
from rlquant.forward_pass import run
from rlquant.objective import Objective, targets_of
from rlquant.samples import Samples
from rlquant.weight_sites import site_of


def require_gradients(
    network: nn.Module,
    layers: Sequence[str],
    samples: Samples,
    objective: Objective,
    wanted_by: str,
) -> None:
    """Require that the loss has a gradient by the weight of each layer.

    Args:
        network: a copy is run in eval mode, and backwards.
        layers: names of layers with a float weight.
        samples: a few, to run it on.
        objective: scores the outputs.
        wanted_by: what needs the gradients, for the error.

    Raises:
        NetworkError: a layer that the outputs have no gradient by.
        SettingsError: an objective whose loss has no gradient.
    """
    clone = shared_copy(network)
    weights: list[Any] = [site_of(clone, name).weight_in(clone) for name in layers]
    for weight in weights:
        weight.requires_grad_()
    outputs = run(clone, samples.inputs)
    targets = targets_of(objective, samples, lambda: outputs)
    loss = loss_with_gradients(objective, outputs, targets, wanted_by)
    found = torch.autograd.grad(loss, weights, allow_unused=True)
    without = [n for n, gradient in zip(layers, found, strict=True) if gradient is None]
    if without:
        shown = ", ".join(map(repr, without[:3])) + (", ..." if len(without) > 3 else "")
        raise _without_gradients(f"{wanted_by} needs gradients by the weight of {shown}")


def loss_with_gradients(objective: Objective, outputs: Any, targets: Any, wanted_by: str) -> Tensor:
    """Return the loss of outputs, from which gradients can be taken; see `require_gradients`."""
    if not any(isinstance(t, Tensor) and t.requires_grad for t in tree_leaves(outputs)):
        raise _without_gradients(f"{wanted_by} needs gradients")
    loss = objective(outputs, targets)[0]
    if not isinstance(loss, Tensor) or not loss.requires_grad:
        raise SettingsError(
            f"objective {objective.name!r} gives a loss of {loss!r}, which has no gradient; "
            f"{wanted_by} needs one: compute it from the outputs with torch alone, without "
            f"detach() or item()"
        )
    return loss


def _without_gradients(need: str) -> NetworkError:
    return NetworkError(
        f"{need}, but the network's outputs have none: its forward runs under torch.no_grad() or "
        f"torch.inference_mode(), or detaches what they give. Take that out of forward and put it "
        f"around the calls; where no gradients are needed, rlquant records none"
    )
