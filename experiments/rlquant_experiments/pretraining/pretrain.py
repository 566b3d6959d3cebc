"""Teach one policy on many training tables: guided by their optima first, by PPO afterwards."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sb3_contrib import MaskablePPO
from tqdm import tqdm

from rlquant import Table
from rlquant.ambient import isolated
from rlquant.errors import SettingsError, require_finite, whole_number
from rlquant.folder_lock import held
from rlquant.paths import PathLike
from rlquant_agents.search.checks import whole_seed
from rlquant_agents.search.closing import closed_after
from rlquant_agents.search.interrupts import interrupts_held
from rlquant_agents.searchers.dyna_ppo.agent import PPOSettings, make_agent
from rlquant_agents.searchers.dyna_ppo.pretrained import save_pretrained
from rlquant_agents.searchers.ppo.event_logger import event_logger
from rlquant_experiments.pretraining.checkpoint import Checkpoint, read_checkpoint, weights_of
from rlquant_experiments.pretraining.guided import play, teach
from rlquant_experiments.pretraining.training_episodes import SideBySide, TrainingTable
from rlquant_experiments.pretraining.validation import (
    Validation,
    best_round,
    held_out,
    share_of_possible,
)

logger = logging.getLogger(__name__)

CHECKPOINT_FILE = "checkpoint.safetensors"
WEIGHTS_FILE = "pretrained.safetensors"
STEPS = 20
"""Of a rollout, in each environment: four episodes of five layers, five of four."""


@dataclass(frozen=True, kw_only=True)
class PretrainSettings:
    """How a policy is taught.

    Attributes:
        guided: rounds of the first stage, in which tables say what each option loses.
        updates: rounds of the second stage, PPO on whole episodes' rewards.
        episodes: of each table in a round of the first stage.
        environments: of each table in the second, where a rollout has `STEPS` steps.
        passes: over a round's lessons in the first stage.
        guided_rate: learning rate of the first stage, falling to a hundredth.
        guided_entropy: weights of the policy's entropy in its first and its last round.
        learning_rate: PPO's.
        entropy: PPO's weight of the entropy.
        epochs: PPO's passes over a rollout.
        minibatches: parts of such a pass.
        hidden: width of the policy's hidden layers.
        validate_every: rounds between two validations, each with a checkpoint.
    """

    guided: int = 160
    updates: int = 60
    episodes: int = 16
    environments: int = 4
    passes: int = 8
    guided_rate: float = 2e-3
    guided_entropy: tuple[float, float] = (0.03, 0.005)
    learning_rate: float = 3e-4
    entropy: float = 0.001
    epochs: int = 4
    minibatches: int = 8
    hidden: int = PPOSettings.hidden
    validate_every: int = 10

    def __post_init__(self) -> None:
        place = "PretrainSettings"
        for field in ("guided", "updates"):
            whole_number(f"{place}: {field}", getattr(self, field), 0)
        fields = ("episodes", "environments", "passes", "epochs", "minibatches", "hidden")
        for field in (*fields, "validate_every"):
            whole_number(f"{place}: {field}", getattr(self, field), 1)
        for field in ("guided_rate", "learning_rate"):
            require_finite(place, field, getattr(self, field), above=0.0)
        if len(self.guided_entropy) != 2 or min(self.guided_entropy) <= 0:
            raise SettingsError(
                f"{place}: guided_entropy={self.guided_entropy!r}, use two numbers above 0"
            )

    @property
    def rounds(self) -> int:
        """Rounds of both stages."""
        return self.guided + self.updates

    @property
    def ppo(self) -> PPOSettings:
        """The agent's own settings."""
        return PPOSettings(
            learning_rate=self.learning_rate,
            epochs=self.epochs,
            minibatches=self.minibatches,
            entropy=self.entropy,
            hidden=self.hidden,
        )


@dataclass(frozen=True)
class Pretrained:
    """What a training left.

    Attributes:
        weights: file of the policy that validated best.
        rounds: that are done.
        gains: held-out gains by what is known, after how many rounds they were measured.
        possible: the largest there could be.
        interrupted: whether Ctrl-C ended it.
    """

    weights: Path
    rounds: int
    gains: Mapping[int, Mapping[str, float]]
    possible: Mapping[str, float]
    interrupted: bool


def pretrain(
    tables: Sequence[Table],
    folder: PathLike,
    *,
    settings: PretrainSettings | None = None,
    seed: int = 0,
    command: str = "",
    progress: bool = False,
) -> Pretrained:
    """Train a policy over all tables side by side; an interrupted training goes on.

    A fifth of the tables is held out. The weights that gain most there at first sight, as a share
    of what the best answers would gain, on average over what may be known, are kept; the very first
    ones, the soft knapsack's, are among those that are compared. Everything random depends on the
    seed and the round alone, so that an interruption changes nothing.

    Args:
        tables: of training networks; see `training_tables`.
        folder: for checkpoint, TensorBoard events and, in the end, `pretrained.safetensors`.
        settings: how it is taught.
        seed: decides everything random.
        command: that makes the weights, for their header.
        progress: whether to show a bar with rate and time left.

    Raises:
        SettingsError: no tables, or a seed that is none.
        FileFormatError: `folder` holds a damaged checkpoint, or one of another training.
        StorageError: `folder` cannot be written, or another run holds it.
    """
    if not tables:
        raise SettingsError("pretrain: give at least one table")
    seed = whole_seed(seed)
    with held(folder, "folder") as target, isolated(seed):
        training = _Training(tables, target.path, settings or PretrainSettings(), seed)
        with closed_after(training.close):
            interrupted = training.run(progress)
        return training.finish(command, interrupted)


class _Training:
    """A training: its member, its validation, and the state between two rounds."""

    def __init__(
        self, tables: Sequence[Table], folder: Path, settings: PretrainSettings, seed: int
    ) -> None:
        trained_on, validated_on = held_out(tables)
        padded = max(len(table.options) for table in tables)
        self._folder, self._settings, self._seed = folder, settings, seed
        self._members = [
            TrainingTable(table, settings.environments, padded, (seed, i))
            for i, table in enumerate(trained_on)
        ]
        self._validation = Validation(validated_on, padded, seed)
        self._description: dict[str, Any] = {
            "settings": asdict(settings),
            "seed": seed,
            "trained_on": [table.name for table in trained_on],
            "held_out": [table.name for table in validated_on],
        }
        episodes = SideBySide([member.episodes for member in self._members])
        self._model: MaskablePPO = make_agent(episodes, STEPS, seed, settings.ppo)
        self._state = self._first_state()
        self._log = event_logger(folder, "pretrain", self._state.rounds)
        self._model.set_logger(self._log)

    def _first_state(self) -> Checkpoint:
        path = self._folder / CHECKPOINT_FILE
        policy = self._model.policy
        if path.exists():
            state = read_checkpoint(path, self._description)
            state.restore(policy)
            logger.info("going on from round %d in %s", state.rounds, path)
            return state
        gains = {0: self._validation.gains(policy)}
        return Checkpoint.of(policy, 0, weights_of(policy), gains)

    def close(self) -> None:
        """Close the events."""
        self._log.close()

    def run(self, progress: bool) -> bool:
        """Train to the last round; returns whether it was interrupted."""
        done, rounds = self._state.rounds, self._settings.rounds
        bar = tqdm(total=rounds, initial=done, desc="pretrain", unit="round", disable=not progress)
        try:
            for number in range(done, rounds):
                self._round(number)
                with interrupts_held():
                    self._keep(number + 1)
                    bar.set_postfix_str(
                        f"held-out gain {self._latest():.1%} of possible", refresh=False
                    )
                    bar.update(1)
            return False
        except KeyboardInterrupt:
            return True
        finally:
            bar.close()
            self._write()

    def _round(self, number: int) -> None:
        """Train once, as the seed and the round's number decide."""
        settings, model = self._settings, self._model
        model.set_random_seed(int(np.random.default_rng((self._seed, number)).integers(2**31)))
        for i, member in enumerate(self._members):
            member.draw_from(np.random.default_rng((self._seed, i, number)))
            member.learn_anew()
        if number < settings.guided:
            share = number / settings.guided
            first, last = settings.guided_entropy
            for group in model.policy.optimizer.param_groups:
                group["lr"] = settings.guided_rate * max(0.01, 1 - share)
            model.policy.set_training_mode(True)
            lessons = play(model.policy, self._members, settings.episodes)
            entropy = first * (last / first) ** share
            lost = teach(model.policy, lessons, passes=settings.passes, entropy=entropy)
            self._log.record("pretrain/lost_by_step", lost)
            self._log.record("pretrain/reward", float(lessons.returns.mean()))
        else:  # with a reset, so that all episodes begin with what is known now
            steps = model.n_steps * model.n_envs
            model.learn(steps, log_interval=2, reset_num_timesteps=True)  # 2: logged by round
            self._log.record("pretrain/reward", self._mean_reward())

    def _mean_reward(self) -> float:
        """Return the mean reward of the rollout's episodes, and forget them."""
        count = 0
        for member in self._members:
            count += sum(len(rows) for rows, _ in member.episodes.finished)
            member.episodes.finished.clear()
        return float(self._model.rollout_buffer.rewards.sum() / max(1, count))

    def _keep(self, rounds: int) -> None:
        """Take the state over and now and then validate and write it."""
        policy, settings = self._model.policy, self._settings
        best, gains = self._state.best, dict(self._state.gains)
        due = rounds % settings.validate_every == 0 or rounds in (settings.guided, settings.rounds)
        if due:
            found = self._validation.gains(policy)
            gains[rounds] = found
            if best_round(gains, self._validation.possible) == rounds:
                best = weights_of(policy)
            for known, gain in found.items():
                self._log.record(f"pretrain/held_out_gain_{known}", gain)
        self._state = Checkpoint.of(policy, rounds, best, gains)
        self._log.dump(rounds)
        if due:
            self._write()

    def _latest(self) -> float:
        gains = self._state.gains
        return share_of_possible(gains[max(gains)], self._validation.possible)

    def _write(self) -> None:
        self._state.write(self._folder / CHECKPOINT_FILE, self._description)

    def finish(self, command: str, interrupted: bool) -> Pretrained:
        """Write the best weights, and say what came of it."""
        state, path = self._state, self._folder / WEIGHTS_FILE
        possible = self._validation.possible
        policy = self._model.policy
        policy.load_state_dict(dict(state.best))
        gains = {str(rounds): dict(found) for rounds, found in state.gains.items()}
        made = {
            **self._description,
            "command": command,
            "rounds": state.rounds,
            "held_out_gains": gains,
            "possible_gains": possible,
        }
        save_pretrained(policy, path, made)
        return Pretrained(path, state.rounds, state.gains, possible, interrupted)
