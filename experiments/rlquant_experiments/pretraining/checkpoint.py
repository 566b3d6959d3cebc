"""A pretraining between two rounds, on disk: one safetensors file, never pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import torch
from safetensors.torch import save
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from torch import Tensor

from rlquant.documents import Count, parse_json, read_as, whole
from rlquant.documents.tensor_file import read_tensors, require_like, require_sound
from rlquant.errors import FileFormatError
from rlquant.files import reading, write_file
from rlquant_agents.policies.saved_agent import read_moments

FORMAT = "rlquant pretraining 1"
POLICY, BEST, MOMENTS = "policy", "best", "moments"

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """What a training goes on from; it never changes.

    Attributes:
        rounds: that are done.
        weights: the policy's.
        moments: its optimizer's, by "parameter|name".
        best: the weights that validated best.
        gains: held-out gains by what is known, after how many rounds they were measured.
    """

    rounds: int
    weights: Weights
    moments: Weights
    best: Weights
    gains: Mapping[int, Mapping[str, float]]

    @classmethod
    def of(
        cls,
        policy: MaskableActorCriticPolicy,
        rounds: int,
        best: Weights,
        gains: Mapping[int, Mapping[str, float]],
    ) -> Checkpoint:
        """Copy a policy and its optimizer."""
        return cls(rounds, weights_of(policy), _moments_of(policy), best, dict(gains))

    def restore(self, policy: MaskableActorCriticPolicy) -> None:
        """Put weights and moments into a policy.

        Raises:
            FileFormatError: they are of a policy of another shape.
        """
        require_like(self.weights, policy.state_dict())
        policy.load_state_dict(dict(self.weights))
        state = read_moments(policy, self.moments)
        policy.optimizer.state.clear()
        for parameter, moments in state.items():
            copied = {name: value.clone() for name, value in moments.items()}
            policy.optimizer.state[parameter].update(copied)

    def write(self, path: Path, training: Mapping[str, Any]) -> None:
        """Write the file whole or not at all; `training` says of what."""
        groups = {POLICY: self.weights, BEST: self.best, MOMENTS: self.moments}
        tensors = {f"{g}.{name}": value for g, of in groups.items() for name, value in of.items()}
        gains = {str(rounds): dict(found) for rounds, found in self.gains.items()}
        header = {
            "format": FORMAT,
            "rounds": str(self.rounds),
            "gains": json.dumps(gains),
            "training": json.dumps(dict(training)),
        }
        write_file(path, save(tensors, metadata=header))


def read_checkpoint(path: Path, training: Mapping[str, Any]) -> Checkpoint:
    """Read a checkpoint of this very training.

    Raises:
        FileFormatError: a damaged or foreign file, or one of another training.
        StorageError: the file cannot be read.
    """
    with reading(path):
        file = read_tensors(path)
        if file.metadata.get("format") != FORMAT:
            raise FileFormatError("no checkpoint of a pretraining")
        header = read_as(
            _Header, {k: parse_json(v) for k, v in file.metadata.items() if k != "format"}
        )
        before, now = header["training"], json.loads(json.dumps(dict(training)))
        if before != now:
            differing = sorted(k for k in before | now if before.get(k) != now.get(k))
            raise FileFormatError(
                f"holds a training with other {', '.join(differing)}; give another folder, or "
                f"move it away"
            )
        groups: dict[str, dict[str, Tensor]] = {POLICY: {}, BEST: {}, MOMENTS: {}}
        for key, value in file.tensors.items():
            group, _, name = key.partition(".")
            if group not in groups:
                raise FileFormatError(f"tensor {key[:80]!r} belongs to nothing")
            groups[group][name] = value
        require_sound(file.tensors)
        gains = {whole(n, "gains", 0, MOST_ROUNDS): g for n, g in header["gains"].items()}
        return Checkpoint(header["rounds"], groups[POLICY], groups[MOMENTS], groups[BEST], gains)


class _Header(TypedDict):
    """What is read of the header, whose texts are JSON."""

    rounds: Count
    gains: dict[str, dict[str, float]]
    training: dict[str, Any]


MOST_ROUNDS = 10**9


def weights_of(policy: MaskableActorCriticPolicy) -> dict[str, Tensor]:
    """Return a copy of a policy's weights."""
    return {name: t.detach().clone().contiguous() for name, t in policy.state_dict().items()}


def _moments_of(policy: MaskableActorCriticPolicy) -> dict[str, Tensor]:
    names = {id(parameter): name for name, parameter in policy.named_parameters()}
    return {
        f"{names[id(parameter)]}|{field}": torch.as_tensor(value).detach().clone().contiguous()
        for parameter, state in policy.optimizer.state.items()
        for field, value in state.items()
    }
