"""Training data, validated before the first step."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from rlquant.ambient import seeded
from rlquant.copying.network_copy import copy_network
from rlquant.errors import SettingsError
from rlquant.forward_pass import run
from rlquant.network.gradients import loss_with_gradients
from rlquant.objective import MakesTargets, Objective, targets_of
from rlquant.samples import Samples
from rlquant.training.settings import PLACE


def require_trainable(
    network: nn.Module, objective: Objective, samples: Samples, batch_size: int
) -> None:
    """Check samples, batch size and objective on a copy of the network in training mode.

    Args:
        network: float network.
        objective: scores outputs by the labels, and checks every one of them.
        samples: all samples that are trained on, or the first batch where there is a loader.
        batch_size: samples of a batch; there may be fewer.

    Raises:
        DataError: labels out of range, or outputs and targets that do not belong together, as
            where a network has other outputs in training mode.
        NetworkError: outputs without gradients.
        SettingsError: batches of one sample, of which BatchNorm can take no statistics; an
            objective whose loss has no gradient.
    """
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    size = min(batch_size, len(samples))
    if size == 1 and norms:
        raise SettingsError(
            f"{PLACE}: batch_size={batch_size} with {len(samples)} samples gives batches "
            f"of one, of which BatchNorm takes no statistics; use at least 2 of each"
        )
    few = samples.first(2)
    with seeded(0):
        outputs = run(copy_network(network).train().requires_grad_(), few.inputs)
        targets = targets_of(objective, few, lambda: outputs)
        if isinstance(objective, MakesTargets):
            objective.check(outputs, targets)
        else:
            objective.check(as_many(outputs, len(samples)), samples.targets)
        loss_with_gradients(objective, outputs, targets, "training")


def as_many(outputs: Any, count: int) -> Any:
    """Return the first output as often as there are targets, so that all can be checked."""
    return tree_map_only(
        Tensor, lambda t: t[:1].expand(count, *t.shape[1:]) if t.dim() else t, outputs
    )
