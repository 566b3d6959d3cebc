"""Train one masked PPO agent on several problems and budgets, with checkpoints on disk."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor
from tqdm import tqdm

from rlquant import Budget, Problem, QuantizationConfig, Reward, Score
from rlquant.ambient import isolated, seeded
from rlquant.arguments import explained
from rlquant.errors import SettingsError, whole_number
from rlquant.folder_lock import held
from rlquant.paths import PathLike
from rlquant_agents.policies.saved_agent import (
    AgentRecord,
    heads_of,
    holds_agent,
    load_weights,
    read_record,
    require_heads,
    save_agent,
)
from rlquant_agents.search.checks import whole_seed
from rlquant_agents.search.interrupts import signals_interrupt
from rlquant_agents.searchers.ppo.event_logger import event_logger
from rlquant_agents.searchers.ppo.greedy import answer_greedily
from rlquant_agents.searchers.ppo.searcher import MaskedPPO
from rlquant_envs import LayerwiseQuantization

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """The agent's greedy configuration for one problem and budget."""

    problem: str
    budget: Budget
    config: QuantizationConfig
    score: Score


@dataclass(frozen=True, slots=True)
class TrainedAgent:
    """What a training run left: where, after how many episodes, and how it answers."""

    folder: Path
    episodes: int
    interrupted: bool
    answers: tuple[Answer, ...] = field(default=())


@explained
@isolated(seed=0)
def train_agent(
    problems: Mapping[str, Problem],
    budgets: Sequence[Budget],
    *,
    folder: PathLike,
    episodes: int,
    seed: int = 0,
    settings: MaskedPPO | None = None,
    checkpoint_every: int = 200,
    progress: bool = False,
) -> TrainedAgent:
    """Train an agent; if `folder` holds one that was interrupted, go on from its checkpoint.

    Args:
        problems: name -> problem; all must ask the same decisions.
        budgets: drawn from at the start of each episode.
        folder: where the agent and its TensorBoard events go.
        episodes: to learn from, those before an interruption included.
        seed: decides everything random.
        settings: PPO's settings.
        checkpoint_every: episodes between two checkpoints.
        progress: whether to show a bar with rate and time left.

    Raises:
        SettingsError: no problem, no budget, fewer than one episode, or problems that differ in
            what they ask.
        FileFormatError: `folder` holds an agent for other decisions, or a damaged one.
        FolderInUseError: another run writes there.
        StorageError: it cannot be written.
    """
    _require(problems, budgets, episodes)
    seed = whole_seed(seed)
    with signals_interrupt(), held(folder, "folder") as target:
        return _train(
            problems,
            budgets,
            target.path,
            episodes=episodes,
            seed=seed,
            settings=settings or MaskedPPO(),
            checkpoint_every=checkpoint_every,
            progress=progress,
        )


def _train(
    problems: Mapping[str, Problem],
    budgets: Sequence[Budget],
    target: Path,
    *,
    episodes: int,
    seed: int,
    settings: MaskedPPO,
    checkpoint_every: int,
    progress: bool,
) -> TrainedAgent:
    """Train in a folder that is held."""
    space = next(iter(problems.values())).space
    trained_on = [f"{name} at {budget}" for name in problems for budget in budgets]
    episodes_before = steps_before = 0
    with seeded(seed):
        model = settings.make_model(
            _environments(problems, budgets, settings),
            max(len(problem.feasible) for problem in problems.values()),
            seed,
        )
        if holds_agent(target):
            record = read_record(target)
            require_heads(record, space, target)
            load_weights(model, target)
            episodes_before, steps_before = record.episodes, record.steps
            logger.info("going on from %d episodes in %s", episodes_before, target)

        def save(done: int) -> None:
            episodes, steps = episodes_before + done, model.num_timesteps
            record = AgentRecord.of(space, settings.hidden, episodes, trained_on, steps)
            save_agent(model, record, target)

        model.num_timesteps = steps_before
        keeper = _Checkpoints(save, episodes - episodes_before, checkpoint_every, progress)
        interrupted = _learn(model, keeper, target, seed + episodes_before)
        answers = tuple(
            _answer(model, name, problem.with_budget(budget), settings.reward)
            for name, problem in problems.items()
            for budget in budgets
        )
    return TrainedAgent(target, episodes_before + keeper.done, interrupted, answers)


def _require(problems: Mapping[str, Problem], budgets: Sequence[Budget], episodes: int) -> None:
    if not problems or not budgets:
        raise SettingsError("train_agent: give at least one problem and at least one budget")
    whole_number("train_agent: episodes", episodes, 1)
    asked = {name: heads_of(problem.space) for name, problem in problems.items()}
    first = next(iter(asked))
    for name, heads in asked.items():
        if heads != asked[first]:
            raise SettingsError(
                f"train_agent: {name!r} asks {heads}, {first!r} asks {asked[first]}; one agent "
                f"needs the same decisions everywhere"
            )


def _environments(
    problems: Mapping[str, Problem], budgets: Sequence[Budget], settings: MaskedPPO
) -> VecMonitor:
    """Return at least one environment a problem, budgets drawn at each reset."""
    count = max(settings.environments, len(problems))
    ring = list(problems.values())

    def maker(problem: Problem) -> Callable[[], LayerwiseQuantization]:
        return lambda: LayerwiseQuantization(problem, budget=budgets, reward=settings.reward)

    return VecMonitor(DummyVecEnv([maker(ring[i % len(ring)]) for i in range(count)]))


def _learn(model: OnPolicyAlgorithm, keeper: _Checkpoints, folder: Path, seed: int) -> bool:
    """Learn until the episodes are done; returns whether it was interrupted."""
    if keeper.wanted <= 0:
        return False
    model.set_random_seed(seed)  # a resumed run draws again instead of repeating its beginning
    model.set_logger(event_logger(folder, "agent", model.num_timesteps))
    try:
        model.learn(total_timesteps=10**12, callback=keeper, reset_num_timesteps=False)
        return False
    except KeyboardInterrupt:
        return True
    finally:
        keeper.save()
        keeper.close()


def _answer(model: OnPolicyAlgorithm, name: str, problem: Problem, reward: str | Reward) -> Answer:
    info = answer_greedily(model, LayerwiseQuantization(problem, reward=reward))
    return Answer(name, problem.budget, info["config"], info["score"])


class _Checkpoints(BaseCallback):
    """Counts episodes, saves now and then, shows progress, and ends the training."""

    def __init__(
        self, save: Callable[[int], None], wanted: int, every: int, progress: bool
    ) -> None:
        super().__init__()
        self._write = save
        self.wanted = wanted
        self.done = 0
        self._every = every
        self._saved = 0
        self._bar = tqdm(
            total=max(0, wanted), desc="train agent", unit="episode", disable=not progress
        )

    def save(self) -> None:
        """Write the agent as it is now."""
        self._write(self.done)
        self._saved = self.done

    def close(self) -> None:
        """Close the bar."""
        self._bar.close()

    def _on_step(self) -> bool:
        finished = [i["score"] for i in self.locals["infos"] if "score" in i]
        for score in finished:
            self.logger.record_mean("search/accuracy", score.accuracy)
            self.logger.record_mean("search/loss", score.loss)
            self.logger.record_mean("search/average_bits", score.average_bits)
        self.done += len(finished)
        self._bar.update(len(finished))
        return self.done < self.wanted

    def _on_rollout_end(self) -> None:
        if self.done - self._saved >= self._every:
            self.save()
