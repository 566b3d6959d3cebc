"""An agent on disk: a folder of safetensors and JSON, never pickle."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, TypeVar

import torch
from safetensors.torch import save
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor, nn

from rlquant import Problem, SearchSpace
from rlquant.arguments import explained
from rlquant.documents import Count, Range, read_as, read_file, read_json, require_regular
from rlquant.documents.tensor_file import bytes_of, parse_tensors, require_like, require_sound
from rlquant.errors import FileFormatError
from rlquant.file_group import current, write_together
from rlquant.files import make_folder, reading
from rlquant.paths import PathLike, path_of
from rlquant_agents.search.session import Session
from rlquant_agents.searchers.ppo.greedy import answer_greedily
from rlquant_agents.searchers.ppo.searcher import Learning, MaskedPPO
from rlquant_agents.searchers.ppo.side_information import SideInformation
from rlquant_envs import FEATURES, LayerwiseQuantization

AGENT_VERSION = 2
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
        steps: decisions it has learnt from, which are TensorBoard's steps.
        digests: hashes of the files with its weights, which say that they belong together.
        version: of the folder's format.
    """

    heads: dict[str, list[Any]]
    features: list[str]
    hidden: Annotated[int, Range(1)]
    episodes: Count
    trained_on: list[str]
    steps: Count = 0
    digests: dict[str, str] = field(default_factory=dict)
    version: int = AGENT_VERSION

    @classmethod
    def of(
        cls, space: SearchSpace, hidden: int, episodes: int, trained_on: list[str], steps: int = 0
    ) -> Self:
        """Describe an agent for `space`."""
        return cls(heads_of(space), list(FEATURES), hidden, episodes, trained_on, steps)


def heads_of(space: SearchSpace) -> dict[str, list[Any]]:
    """Return the decisions of a space and their options."""
    return {head.name: list(head.options) for head in space.heads}


@explained
def save_agent(model: OnPolicyAlgorithm, record: AgentRecord, folder: PathLike) -> None:
    """Write an agent into a folder, in place of the one that is there: wholly or not at all.

    Raises:
        SettingsError: no path.
        StorageError: the folder cannot be written.
    """
    target = path_of("folder", folder)
    make_folder(target)
    weights = {
        POLICY_FILE: save(_policy_state(model)),
        OPTIMIZER_FILE: save(_optimizer_state(model)),
    }
    digests = {name: _digest(content) for name, content in weights.items()}
    document = json.dumps(asdict(replace(record, digests=digests)), indent=2)
    write_together(target, {**weights, AGENT_FILE: document.encode()})


def holds_agent(folder: Path) -> bool:
    """Return whether there is an agent in a folder, if perhaps a damaged one."""
    return os.path.exists(current(folder, AGENT_FILE))


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


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


@explained
def read_record(folder: PathLike) -> AgentRecord:
    """Read and check what kind of agent a folder holds.

    Raises:
        FileFormatError: no agent, a damaged one, or one of another version or feature set.
        StorageError: a file cannot be read.
    """
    source = path_of("folder", folder)
    path = current(source, AGENT_FILE)
    with reading(path):
        if require_regular(path) is None:
            raise FileFormatError(f"{folder} holds no agent, this file is missing")
        document = read_as(dict[str, Any], read_json(path))
        version = document.get("version")
        if version != AGENT_VERSION:
            raise FileFormatError(f"agent version {version}, this rlquant reads {AGENT_VERSION}")
        record = read_as(AgentRecord, document)
        if record.features != list(FEATURES):
            raise FileFormatError(
                "the agent was trained on other observation features; train it again"
            )
        _require_width(record.hidden, current(source, POLICY_FILE))
    return record


def _require_width(hidden: int, policy: Path) -> None:
    """Raise `FileFormatError` for a width that the weights are too few for: it takes memory."""
    size = require_regular(policy)
    if size is None:
        raise FileFormatError(f"the agent's weights cannot be used, {policy.name} is missing")
    if hidden**2 * torch.float32.itemsize > size:
        raise FileFormatError(f"hidden={hidden}, but {policy.name} has only {size:,} bytes")


def require_heads(record: AgentRecord, space: SearchSpace, folder: PathLike) -> None:
    """Raise `FileFormatError` unless the agent decides what `space` asks."""
    if record.heads != heads_of(space):
        raise FileFormatError(
            f"{folder}: the agent decides {record.heads}, the space asks {heads_of(space)}; search "
            f"the space it was trained on, or train another agent"
        )


def load_weights(model: OnPolicyAlgorithm, folder: PathLike) -> None:
    """Load policy and optimizer into a new model of the same shape.

    Raises:
        FileFormatError: a file is missing, damaged, of another shape, or of another agent.
        StorageError: a file cannot be read.
    """
    source = path_of("folder", folder)
    digests = read_record(source).digests
    policy = model.policy.state_dict()
    most = bytes_of(policy)
    weights = _read(current(source, POLICY_FILE), most, digests, partial(_like, policy))
    moments = _read(
        current(source, OPTIMIZER_FILE), 2 * most, digests, partial(read_moments, model.policy)
    )
    model.policy.load_state_dict(weights)
    model.policy.optimizer.state.update(moments)


Read = TypeVar("Read")


def _read(
    path: Path, most: int, digests: Mapping[str, str], check: Callable[[dict[str, Tensor]], Read]
) -> Read:
    """Read a file of weights once, and return what `check` makes of its tensors."""
    with reading(path):
        if require_regular(path) is None:
            raise FileFormatError("the agent's weights cannot be used, the file is missing")
        content = read_file(path, most)
        found = check(parse_tensors(content).tensors)
        if digests.get(path.name) != _digest(content):
            raise FileFormatError(
                f"it is not of the agent that {AGENT_FILE} beside it describes, or was changed "
                f"since; train the agent again, or wait where one is being trained there"
            )
    return found


def _like(expected: Mapping[str, Tensor], found: dict[str, Tensor]) -> dict[str, Tensor]:
    require_like(found, expected)
    require_sound(found)
    for name, tensor in found.items():
        if bool((tensor.abs() > LARGEST_WEIGHT).any()):
            raise FileFormatError(f"tensor {name!r} holds a number beyond {LARGEST_WEIGHT:g}")
    return found


LARGEST_WEIGHT = 1e6
"""What comes out of a policy with larger ones may not be finite."""
MOMENTS = ("step", "exp_avg", "exp_avg_sq")
"""What Adam remembers of a parameter."""
LARGEST_RATIO = 10.0
"""Of a mean gradient to the root of the mean square, which is at most 7.3 by Adam's rates."""
ROUNDED_OFF = 1e-18
"""Mean gradients up to this may have squares that are 0 in float32."""


def read_moments(policy: nn.Module, found: Mapping[str, Tensor]) -> dict[Tensor, dict[str, Tensor]]:
    """Return the state of a policy's optimizer out of what `_optimizer_state` made of one.

    Raises:
        FileFormatError: moments of other parameters, shapes or types, or that Adam cannot have.
    """
    parameters = dict(policy.named_parameters())
    updated = {name.rpartition("|")[0] for name in found} & parameters.keys()
    step = torch.zeros((), dtype=torch.float32)
    expected = {
        f"{name}|{moment}": step if moment == "step" else parameters[name]
        for name in updated
        for moment in MOMENTS
    }
    require_like(found, expected)
    require_sound(found)
    for name, tensor in found.items():
        if not name.endswith("|exp_avg") and bool((tensor < 0).any()):
            raise FileFormatError(f"tensor {name!r} holds a number below 0")
    for name in updated:
        mean, square = (found[f"{name}|{moment}"] for moment in MOMENTS[1:])
        if bool((mean.abs() > LARGEST_RATIO * square.sqrt() + ROUNDED_OFF).any()):
            raise FileFormatError(f"tensor {name + '|exp_avg'!r} is too large for its squares")
    return {
        parameters[name]: {moment: found[f"{name}|{moment}"] for moment in MOMENTS}
        for name in updated
    }


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

    def known(self, session: Session) -> SideInformation | None:
        """Return nothing: the agent goes on as it was trained, on observations alone."""
        return None

    def make_model(
        self,
        environments: VecEnv,
        layers: int,
        seed: int,
        extractor: dict[str, Any] | None = None,
    ) -> OnPolicyAlgorithm:
        """Return a model with the agent's weights."""
        model = super().make_model(environments, layers, seed, extractor)
        load_weights(model, self.agent)
        return model

    def before_learning(self, model: OnPolicyAlgorithm, learning: Learning) -> None:
        """Ask for the agent's greedy answer."""
        answer_greedily(model, LayerwiseQuantization(learning.session, reward=self.reward))


@explained
def from_agent(folder: PathLike) -> AgentSearch:
    """Return the searcher that begins with the agent in `folder`; see `read_record` for errors."""
    source = path_of("folder", folder)
    return AgentSearch(agent=os.fsdecode(folder), hidden=read_record(source).hidden)
