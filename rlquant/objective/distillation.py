"""Distillation: the distance to the float network's own outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rlquant.errors import DataError, SettingsError
from rlquant.objective.drawn import loss_of_drawn_classes, loss_of_drawn_errors
from rlquant.objective.outputs import in_cache, main_output, mask_of, wide
from rlquant.samples import Samples, Targets

Divergence = Literal["kl", "mse", "cosine"]


@dataclass(frozen=True, slots=True)
class Distillation:
    """The distance to the float network's own outputs: no labels are needed.

    Outputs have shape `(batch, ..., features)`; a unit is one vector of features, and positions
    that an `attention_mask` of shape `(batch, positions)` masks do not count. The float network's
    loss is 0.

    Attributes:
        kind: "kl", KL(float || quantized) of the softmax of logits in nats, with the share of equal
            answers as accuracy and the 99.9 % quantile among the metrics; "mse", the squared
            error over the float outputs' mean square; or "cosine", 1 - cosine similarity. The
            accuracy of the last two is the mean cosine similarity.
    """

    kind: Divergence = "kl"

    def __post_init__(self) -> None:
        if self.kind not in ("kl", "mse", "cosine"):
            raise SettingsError(f'Distillation: kind={self.kind!r}, use "kl", "mse" or "cosine"')

    @property
    def name(self) -> str:
        """Kind included."""
        return f"distillation-{self.kind}"

    def targets_of(self, batch: Samples, float_outputs: Callable[[], Any]) -> Targets:
        """Return what the quantized outputs are compared with.

        For "kl" they are the probabilities p, which take half the memory in float16, their sum,
        sum p log p, and the likeliest class: KL = sum p log p - sum p x + (sum p) log sum exp x
        for logits x.
        """
        outputs = wide(main_output(float_outputs(), self.name)).detach()
        if outputs.dim() < 2:
            raise DataError(
                f"{self.name} needs outputs (batch, ..., features), got {outputs.shape}"
            )
        mask = mask_of(batch, outputs)
        if self.kind != "kl":
            return {"outputs": outputs, "counts": mask}
        logs = functional.log_softmax(outputs, dim=-1)
        likely = logs.exp().half()
        weights = likely.to(logs.dtype)
        return {
            "probabilities": likely,
            "mass": weights.sum(dim=-1),
            "negative_entropy": (weights * logs.clamp_min(torch.finfo(logs.dtype).min)).sum(dim=-1),
            "likeliest": outputs.argmax(dim=-1),
            "counts": mask,
        }

    def __call__(self, outputs: Any, targets: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the summed divergence and the summed agreement."""
        values = self.details(outputs, targets)
        return values["loss"].sum(), values["agreement"].sum()

    def units(self, targets: Mapping[str, Tensor]) -> int:
        """Return how many vectors of features count."""
        return int(targets["counts"].sum())

    def details(self, outputs: Any, targets: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return divergence and agreement of each vector of features that counts."""
        given = wide(main_output(outputs, self.name))
        counts = targets["counts"]
        if self.kind == "kl":
            features = given.shape[-1]
            columns = [targets[n].flatten() for n in ("mass", "negative_entropy", "likeliest")]
            likely = targets["probabilities"].reshape(-1, features)
            parts = in_cache(given.reshape(-1, features), likely, *columns)
            losses, agreements = zip(*(_divergence(*part) for part in parts), strict=True)
            loss, agree = (torch.cat(some).reshape(counts.shape) for some in (losses, agreements))
            return {"loss": loss[counts], "agreement": agree[counts]}
        wanted = targets["outputs"]
        cosine = functional.cosine_similarity(given, wanted, dim=-1)
        if self.kind == "cosine":
            loss = (1.0 - cosine).clamp_min(0.0)
        else:
            power = wanted.square().mean(dim=-1).clamp_min(torch.finfo(wanted.dtype).tiny)
            loss = (given - wanted).square().mean(dim=-1) / power
        return {"loss": loss[counts], "agreement": cosine[counts]}

    def metrics(self, values: Mapping[str, Tensor]) -> dict[str, float]:
        """Return for "kl" the mean, the 99.9 % quantile and the share of equal answers."""
        agreement = float(values["agreement"].double().mean())
        if self.kind != "kl":
            return {"cosine": agreement}
        losses = values["loss"].double()
        return {
            "kl": float(losses.mean()),
            "kl_99.9": float(np.quantile(losses.cpu().numpy(), 0.999)),
            "top1_agreement": agreement,
        }

    def sampled_loss(
        self, outputs: Any, targets: Mapping[str, Tensor], generator: torch.Generator
    ) -> Tensor:
        """Return the loss of classes, or of errors, that are drawn; see `Curved`.

        For float outputs f of n features, errors e have the distances e^2 / (n mean(f^2)), or, of
        the part across f alone, e^2 / (2 f^2).
        """
        given = wide(main_output(outputs, self.name))[targets["counts"]]
        if self.kind == "kl":
            return loss_of_drawn_classes(given, generator)
        power = given.detach().square().sum(dim=1, keepdim=True)
        power = power.clamp_min(torch.finfo(given.dtype).tiny)
        if self.kind == "mse":
            return loss_of_drawn_errors(given, (2.0 / power).sqrt(), generator)
        along = functional.normalize(given.detach(), dim=1)
        across = given - along * (along * given).sum(dim=1, keepdim=True)
        return loss_of_drawn_errors(across, power.rsqrt(), generator)

    def check(self, outputs: Any, targets: Any) -> None:
        """Raise `DataError` where outputs are not shaped as the float network's."""
        given = main_output(outputs, self.name)
        wanted = targets["probabilities" if self.kind == "kl" else "outputs"]
        if given.shape != wanted.shape:
            raise DataError(
                f"{self.name}: the network gives outputs {tuple(given.shape)}, the float network "
                f"{tuple(wanted.shape)}"
            )


def _divergence(
    logits: Tensor, likely: Tensor, mass: Tensor, negative_entropy: Tensor, likeliest: Tensor
) -> tuple[Tensor, Tensor]:
    """Return KL and agreement of rows of logits; see `Distillation.targets_of`."""
    total = mass * torch.logsumexp(logits, dim=-1)
    cross = total - torch.linalg.vecdot(likely.to(logits.dtype), logits)
    agree = logits.argmax(dim=-1) == likeliest
    return (negative_entropy + cross).clamp_min(0.0), agree.to(logits.dtype)
