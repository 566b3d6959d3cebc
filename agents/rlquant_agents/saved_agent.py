"""An agent on disk: a folder of safetensors and JSON, never pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from rlquant import Problem, SearchSpace
from rlquant.errors import FileFormatError
from rlquant.whole_files import make_folder, write_file
from rlquant_agents.ppo import MaskedPPO
from rlquant_agents.session import Session
from rlquant_envs import FEATURES, LayerwiseQuantization

AGENT_VERSION = 1
POLICY_FILE = "policy.safetensors"
OPTIMIZER_FILE = "optimizer.safetensors"
AGENT_FILE = "agent.json"


@dataclass(frozen=True, slots=True)
class AgentRecord:
    """What is known of an agent on disk besides its weights.

    Attributes:
        heads: the decisions it was trained to take, name -> options.
        features: names of the observation's features, in order.
        hidden: width of its hidden layers.
        episodes: episodes it has learnt from.
        trained_on: tasks and budgets, for people.
        version: of the folder's format.
    """

    heads: dict[str, list[Any]]
    features: list[str]
    hidden: int
    episodes: int
    trained_on: list[str]
    version: int = AGENT_VERSION

    @classmethod
    def of(cls, space: SearchSpace, hidden: int, episodes: int, trained_on: list[str]) -> Self:
        """Describe an agent for `space`."""
        return cls(heads_of(space), list(FEATURES), hidden, episodes, trained_on)


def heads_of(space: SearchSpace) -> dict[str, list[Any]]:
    """Return the decisions of a space and their options."""
    return {head.name: list(head.options) for head in space.heads}


def save_agent(model: OnPolicyAlgorithm, record: AgentRecord, folder: str | Path) -> None:
    """Write an agent; each file is replaced at once, `agent.json` last.

    Raises:
        StorageError: the folder cannot be written.
    """
    target = Path(folder)
    make_folder(target)
    write_file(target / POLICY_FILE, save(_policy_state(model)))
    write_file(target / OPTIMIZER_FILE, save(_optimizer_state(model)))
    document = {name: getattr(record, name) for name in _fields()}
    write_file(target / AGENT_FILE, json.dumps(document, indent=2))


def _fields() -> list[str]:
    return list(AgentRecord.__dataclass_fields__)


def _policy_state(model: OnPolicyAlgorithm) -> dict[str, Tensor]:
    return {name: t.contiguous().clone() for name, t in model.policy.state_dict().items()}


def _optimizer_state(model: OnPolicyAlgorithm) -> dict[str, Tensor]:
    """Return Adam's moments by parameter name."""
    names = {id(p): name for name, p in model.policy.named_parameters()}
    states: Mapping[Any, dict[str, Any]] = model.policy.optimizer.state
    return {
        f"{names[id(parameter)]}|{key}": torch.as_tensor(value).detach().clone().contiguous()
        for parameter, state in states.items()
        for key, value in state.items()
    }


def read_record(folder: str | Path) -> AgentRecord:
    """Read and check what kind of agent a folder holds.

    Raises:
        FileFormatError: no agent, a damaged one, or one of another version or feature set.
    """
    path = Path(folder) / AGENT_FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        version = document["version"]
        if version != AGENT_VERSION:
            raise FileFormatError(
                f"{path}: agent version {version}, this one reads {AGENT_VERSION}"
            )
        record = AgentRecord(**document)
    except FileNotFoundError as error:
        raise FileFormatError(f"{folder}: holds no agent ({AGENT_FILE} is missing)") from error
    except FileFormatError:
        raise
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise FileFormatError(f"{path}: damaged or no agent ({error})") from error
    if record.features != list(FEATURES):
        raise FileFormatError(
            f"{path}: the agent was trained on other observation features; train it again"
        )
    return record


def require_heads(record: AgentRecord, space: SearchSpace, folder: str | Path) -> None:
    """Raise `FileFormatError` unless the agent decides what `space` asks."""
    if record.heads != heads_of(space):
        raise FileFormatError(
            f"{folder}: the agent decides {record.heads}, the space asks {heads_of(space)}; search "
            f"the space it was trained on, or train another agent"
        )


def load_weights(model: OnPolicyAlgorithm, folder: str | Path) -> None:
    """Load policy and optimizer into a new model of the same shape.

    Raises:
        FileFormatError: a file is missing, damaged, or of another shape.
    """
    source = Path(folder)
    try:
        model.policy.load_state_dict(load_file(source / POLICY_FILE))
        moments = load_file(source / OPTIMIZER_FILE)
        parameters = dict(model.policy.named_parameters())
        for key, value in moments.items():
            name, _, field = key.rpartition("|")
            model.policy.optimizer.state[parameters[name]][field] = value
    except (OSError, SafetensorError, RuntimeError, KeyError) as error:
        raise FileFormatError(f"{source}: the agent's weights cannot be used ({error})") from error


@dataclass(frozen=True, kw_only=True)
class AgentSearch(MaskedPPO):
    """Begin with a trained agent: its greedy answer first, then it goes on learning.

    Attributes:
        agent: folder that `save_agent` wrote.
    """

    name: ClassVar[str] = "agent"

    agent: str = ""

    def check(self, problem: Problem) -> None:
        """Raise `FileFormatError` where the agent decides other things than the problem asks."""
        require_heads(read_record(self.agent), problem.space, self.agent)

    def make_model(self, environments: VecEnv, layers: int, seed: int) -> OnPolicyAlgorithm:
        """Return a model with the agent's weights."""
        model = super().make_model(environments, layers, seed)
        load_weights(model, self.agent)
        return model

    def before_learning(self, model: OnPolicyAlgorithm, session: Session, seed: int) -> None:
        """Ask for the agent's greedy answer."""
        answer_greedily(model, LayerwiseQuantization(session, reward=self.reward))


def answer_greedily(model: OnPolicyAlgorithm, env: LayerwiseQuantization) -> dict[str, Any]:
    """Play one episode with the likeliest options; returns the last step's info."""
    observation, _ = env.reset()
    info: dict[str, Any] = {}
    done = False
    while not done:
        action, _ = model.predict(  # type: ignore[call-arg]
            observation, action_masks=env.action_masks(), deterministic=True
        )
        observation, _, done, _, info = env.step(np.asarray(action))
    return info


def from_agent(folder: str | Path) -> AgentSearch:
    """Return the searcher that begins with the agent in `folder`."""
    record = read_record(folder)
    return replace(AgentSearch(agent=str(folder)), hidden=record.hidden)
