"""Objectives: how a network's outputs are scored, as sums over a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rlquant.errors import DataError, SettingsError
from rlquant.samples import Samples, Targets


@runtime_checkable
class Objective(Protocol):
    """How outputs are scored: sums over a batch, so that batches can be added up.

    A plain function `(outputs, targets) -> (summed loss, summed metric)` does too; see
    `as_objective`.
    """

    @property
    def name(self) -> str:
        """Identify the objective in stores and reports."""

    def __call__(self, outputs: Any, targets: Any) -> tuple[Tensor, Tensor]:
        """Return the batch's summed loss and summed metric, each a scalar tensor."""

    def check(self, outputs: Any, targets: Any) -> None:
        """Raise `DataError` where outputs and targets do not belong together."""


@runtime_checkable
class PerSample(Protocol):
    """An objective that can tell the samples of a batch apart, as racing wants it."""

    def losses(self, outputs: Any, targets: Tensor) -> Tensor:
        """Return the loss of each sample, shape `(batch,)`; their sum is the batch's."""


@runtime_checkable
class PerUnit(Protocol):
    """An objective whose means are over something else than samples, such as tokens."""

    def units(self, targets: Any) -> int:
        """Return how many units the sums of a batch are over."""


@runtime_checkable
class Detailed(Protocol):
    """An objective that gives further metrics by name, from values of single units."""

    def details(self, outputs: Any, targets: Any) -> Mapping[str, Tensor]:
        """Return by name the values of the units of a batch, shape `(units,)`.

        The sums of "loss" and "agreement" are what the objective itself returns.
        """

    def metrics(self, values: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the metrics of the values of all batches together."""


@runtime_checkable
class MakesTargets(Protocol):
    """An objective that makes its targets itself: of the inputs, or the float network's outputs."""

    def targets_of(self, batch: Samples, float_outputs: Callable[[], Any]) -> Targets:
        """Return the targets of a batch.

        Args:
            batch: its inputs, and the targets that the data gave, if any.
            float_outputs: gives the float network's outputs for it.
        """


@dataclass(frozen=True, slots=True)
class Classification:
    """Cross-entropy and accuracy; outputs `(batch, classes)`, integer targets `(batch,)`.

    Where outputs are a mapping or a tuple, their logits are taken; see `main_output`.
    """

    name: str = "classification"

    def __call__(self, outputs: Any, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return summed cross-entropy and number of correct answers."""
        logits = main_output(outputs, self.name)
        loss = functional.cross_entropy(_wide(logits), targets.long(), reduction="sum")
        return loss, (logits.argmax(dim=1) == targets).sum()

    def losses(self, outputs: Any, targets: Tensor) -> Tensor:
        """Return the loss of each sample, shape `(batch,)`."""
        logits = main_output(outputs, self.name)
        return functional.cross_entropy(_wide(logits), targets.long(), reduction="none")

    def check(self, outputs: Any, targets: Any) -> None:
        """Raise `DataError` for wrong shapes and for labels that no output stands for."""
        outputs = main_output(outputs, self.name)
        _require_targets(targets, self.name)
        if not outputs.is_floating_point():
            raise DataError(
                f"classification needs floating-point outputs, the network gives {outputs.dtype}; "
                f"give a network that returns logits, or an objective of your own"
            )
        if outputs.dim() != 2 or targets.dim() != 1 or len(outputs) != len(targets):
            raise DataError(
                f"classification needs outputs (batch, classes) and targets (batch,), got "
                f"{tuple(outputs.shape)} and {tuple(targets.shape)}; give your own objective"
            )
        if targets.is_floating_point() or targets.is_complex():
            raise DataError(f"targets are {targets.dtype}, classification needs integer labels")
        labels = targets.long()
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= outputs.shape[1]:
            raise DataError(
                f"labels reach from {low} to {high}, the network has {outputs.shape[1]} outputs "
                f"(labels 0..{outputs.shape[1] - 1})"
            )


IGNORED = -100
"""The label of positions that do not count, as in PyTorch and Hugging Face."""


@dataclass(frozen=True, slots=True)
class NextToken:
    """Cross-entropy and accuracy of the next token; logits `(batch, positions, vocabulary)`.

    Targets are token numbers `(batch, positions)`, by default the inputs `input_ids`; those of -100
    and masked positions do not count. Means are over tokens; `perplexity` is among the metrics.
    """

    name: str = "next-token"

    def targets_of(self, batch: Samples, float_outputs: Callable[[], Any]) -> Targets:
        """Return the token numbers of the batch, -100 where they do not count."""
        inputs, given = batch.inputs, batch.targets
        if not isinstance(given, Tensor):
            if not isinstance(inputs, dict) or "input_ids" not in inputs:
                raise DataError(
                    "next-token: batches have no targets and no input named 'input_ids'; give "
                    "(inputs, token numbers)"
                )
            given = inputs["input_ids"]
        mask = batch.mask
        if mask is None or mask.shape != given.shape:
            return given
        masked: Tensor = given.masked_fill(~mask, IGNORED)
        return masked

    def __call__(self, outputs: Any, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return summed cross-entropy and number of tokens that were the likeliest."""
        values = self.details(outputs, targets)
        return values["loss"].sum(), values["agreement"].sum()

    def units(self, targets: Tensor) -> int:
        """Return how many tokens count."""
        return int((targets[:, 1:] != IGNORED).sum())

    def details(self, outputs: Any, targets: Tensor) -> Mapping[str, Tensor]:
        """Return loss and agreement, 1 or 0, of each token that counts."""
        logits, following = main_output(outputs, self.name), targets[:, 1:].long()
        found = [
            {"loss": _cross_entropy(rows, tokens), "agreement": rows.argmax(dim=1) == tokens}
            for sample, wanted in zip(logits[:, :-1], following, strict=True)
            for rows, tokens in _in_cache(_wide(sample), wanted)
        ]
        counts = (following != IGNORED).flatten()
        return {name: torch.cat([part[name] for part in found])[counts] for name in found[0]}

    def metrics(self, values: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the perplexity."""
        return {"perplexity": float(values["loss"].double().mean().exp())}

    def check(self, outputs: Any, targets: Any) -> None:
        """Raise `DataError` for wrong shapes and for tokens that no output stands for."""
        logits = main_output(outputs, self.name)
        _require_targets(targets, self.name)
        if logits.dim() != 3 or targets.shape != logits.shape[:2]:
            raise DataError(
                f"next-token needs outputs (batch, positions, vocabulary) and targets (batch, "
                f"positions), got {tuple(logits.shape)} and {tuple(targets.shape)}"
            )
        tokens = targets[targets != IGNORED]
        if targets.is_floating_point() or not self.units(targets):
            raise DataError(
                f"next-token needs token numbers to predict, got {targets.dtype} of which "
                f"{len(tokens)} count"
            )
        low, high = int(tokens.min()), int(tokens.max())
        if low < 0 or high >= logits.shape[2]:
            raise DataError(
                f"token numbers reach from {low} to {high}, the network has {logits.shape[2]} "
                f"outputs a position (tokens 0..{logits.shape[2] - 1})"
            )


IN_CACHE = 2**19
"""Numbers that are reduced at a time: what a vocabulary takes more of falls out of the cache."""


def _in_cache(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield some rows after the others of tensors of as many rows; of the first they are few."""
    rows = max(1, IN_CACHE // max(1, tensors[0].shape[-1]))
    yield from zip(*(torch.split(tensor, rows) for tensor in tensors), strict=True)


def _cross_entropy(logits: Tensor, tokens: Tensor) -> Tensor:
    return functional.cross_entropy(logits, tokens, reduction="none", ignore_index=IGNORED)


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
        outputs = _wide(main_output(float_outputs(), self.name)).detach()
        if outputs.dim() < 2:
            raise DataError(
                f"{self.name} needs outputs (batch, ..., features), got {outputs.shape}"
            )
        mask = _mask_of(batch, outputs)
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
        given = _wide(main_output(outputs, self.name))
        counts = targets["counts"]
        if self.kind == "kl":
            features = given.shape[-1]
            columns = [targets[n].flatten() for n in ("mass", "negative_entropy", "likeliest")]
            likely = targets["probabilities"].reshape(-1, features)
            parts = _in_cache(given.reshape(-1, features), likely, *columns)
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


@dataclass(frozen=True, slots=True)
class Regression:
    """Mean squared error; outputs and float targets of the same shape `(batch, ...)`.

    The accuracy is minus the mean absolute error.
    """

    name: str = "regression"

    def __call__(self, outputs: Any, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the summed squared error and minus the summed absolute error, means a sample."""
        error = self._error(outputs, targets)
        return error.square().mean(dim=1).sum(), -error.abs().mean(dim=1).sum()

    def losses(self, outputs: Any, targets: Tensor) -> Tensor:
        """Return the loss of each sample, shape `(batch,)`."""
        return self._error(outputs, targets).square().mean(dim=1)

    def _error(self, outputs: Any, targets: Tensor) -> Tensor:
        given = _wide(main_output(outputs, self.name))
        return (given - targets.to(given.dtype)).reshape(len(targets), -1)

    def check(self, outputs: Any, targets: Any) -> None:
        """Raise `DataError` for wrong shapes."""
        given = main_output(outputs, self.name)
        _require_targets(targets, self.name)
        if given.shape != targets.shape or not len(targets):
            raise DataError(
                f"regression needs outputs and targets of one shape, got {tuple(given.shape)} and "
                f"{tuple(targets.shape)}"
            )


def targets_of(objective: Objective, batch: Samples, float_outputs: Callable[[], Any]) -> Any:
    """Return the targets of a batch: those that the objective makes, or those of the data.

    Args:
        objective: may be a `MakesTargets`.
        batch: of samples.
        float_outputs: gives the float network's outputs for it.
    """
    if isinstance(objective, MakesTargets):
        return objective.targets_of(batch, float_outputs)
    return batch.targets


def units_of(objective: Objective, batch: Samples, targets: Any) -> int:
    """Return what the sums of an objective are over in a batch: samples, or its own units."""
    return objective.units(targets) if isinstance(objective, PerUnit) else len(batch)


MAIN_OUTPUTS = ("logits", "last_hidden_state", "out", "output")
"""Which of the outputs by name is scored, the first that there is."""


def main_output(outputs: Any, name: str) -> Tensor:
    """Return the tensor that is scored of a network's outputs.

    A tensor is itself; of a mapping (Hugging Face's outputs are some) it is the first of
    `MAIN_OUTPUTS` or the only tensor; of a tuple the first element.

    Raises:
        DataError: there is none; it names the objective.
    """
    found = outputs
    if isinstance(outputs, Mapping):
        tensors = [key for key, value in outputs.items() if isinstance(value, Tensor)]
        named = [key for key in MAIN_OUTPUTS if key in tensors] or tensors[: len(tensors) == 1]
        found = outputs[named[0]] if named else outputs
    elif isinstance(outputs, Sequence) and outputs:
        found = outputs[0]
    if not isinstance(found, Tensor):
        keys = f" with {sorted(map(str, outputs))}" if isinstance(outputs, Mapping) else ""
        raise DataError(
            f"{name} needs a tensor of outputs, the network gives a {type(outputs).__name__}"
            f"{keys}; give an objective of your own that takes it out, or a network that returns "
            f"it alone"
        )
    return found


def _require_targets(targets: Any, name: str) -> None:
    if not isinstance(targets, Tensor):
        what = f"targets named {sorted(targets)}" if targets else "no targets"
        raise DataError(
            f"{name} needs a tensor of targets, batches have {what}; give (inputs, targets), or "
            f"objective=Distillation(), which needs none"
        )


def _mask_of(batch: Samples, outputs: Tensor) -> Tensor:
    """Return which vectors of features count, bool, the shape of the outputs but for the last."""
    mask = batch.mask
    shape = outputs.shape[:-1]
    if mask is None or mask.shape != shape[:2]:
        return torch.ones(shape, dtype=torch.bool, device=outputs.device)
    return mask.reshape(*mask.shape, *[1] * (len(shape) - 2)).expand(shape).contiguous()


def _wide(outputs: Tensor) -> Tensor:
    """Return float outputs in at least float32: a sum of losses in bfloat16 has two digits."""
    return outputs.float() if outputs.dtype in (torch.float16, torch.bfloat16) else outputs


ObjectiveFunction = Callable[[Any, Tensor], tuple[Tensor, Tensor]]
"""What an objective does at the least: outputs and targets in, summed loss and metric out."""


@dataclass(frozen=True, slots=True)
class FunctionObjective:
    """A function as an objective: named after itself, with no check of its own."""

    function: ObjectiveFunction

    @property
    def name(self) -> str:
        """The function's own name, or that of its class."""
        named = getattr(self.function, "__qualname__", type(self.function).__qualname__)
        return str(getattr(self.function, "name", named))

    def __call__(self, outputs: Any, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the function returns."""
        return self.function(outputs, targets)

    def check(self, outputs: Any, targets: Any) -> None:
        """Let everything through, unless the function has a check."""
        check = getattr(self.function, "check", None)
        if check is not None:
            check(outputs, targets)


def as_objective(objective: Objective | ObjectiveFunction | None) -> Objective:
    """Return an objective, `Classification` for None; a callable without name or check gets both.

    Raises:
        SettingsError: `objective` cannot be called with outputs and targets.
    """
    if objective is None:
        return Classification()
    if isinstance(objective, type) or not callable(objective):
        raise SettingsError(
            f"objective={objective!r}, give a function (outputs, targets) -> (summed loss, summed "
            f"metric) or an object that is called like one, such as Classification()"
        )
    return objective if isinstance(objective, Objective) else FunctionObjective(objective)
