"""Train one PPO agent on one or several tasks and budgets.

The agent is a folder that `rlquant search --agent FOLDER` starts from. Started again with the
same folder, an interrupted training goes on from its last checkpoint; Ctrl-C saves one.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rlquant.counted import counted
from rlquant.files import write_file
from rlquant.folder_lock import HeldFolder, held
from rlquant.store.place import require_no_password
from rlquant_agents.cli.command_line import INTERRUPTED, run_command
from rlquant_agents.cli.config_file import CommandSettings
from rlquant_agents.cli.hints import near, rlquant
from rlquant_agents.cli.task_settings import TaskSettings
from rlquant_agents.cli.terminal import rich_table, say, show
from rlquant_agents.policies.agent_training import TrainedAgent, train_agent
from rlquant_agents.reporting.words import decimal
from rlquant_agents.searchers.ppo.searcher import MaskedPPO


@dataclass(frozen=True, kw_only=True)
class AgentSettings(CommandSettings):
    """An agent and what it learns on.

    Attributes:
        tasks: each episode is on one of them.
        budgets: average bits per weight, scales included; one is drawn for each episode.
        bits: bit-widths that a layer may have.
        episodes: to learn from, those before an interruption included.
        seed: decides everything random.
        out: folder for the agent, its TensorBoard events and answers.json.
        store: keeps every evaluation, shared with other searches: an SQLite file, or
            postgresql+psycopg://USER@HOST/DATABASE.
        checkpoint_every: episodes between two checkpoints.
        learning_rate: of the agent's optimizer.
        entropy: weight of the entropy bonus.
        device: where networks are evaluated, e.g. cpu or cuda.
        threads: threads of torch; for networks as small as these one is fastest.
        progress: show a progress bar.
    """

    tasks: tuple[str, ...] = ("digits/resnet8",)
    budgets: tuple[float, ...] = (2.5, 3.0, 4.0)
    bits: tuple[int, ...] = (2, 3, 4, 5, 6, 8)
    episodes: int = 2000
    seed: int = 0
    out: Path = Path("runs/agent")
    store: str = "runs/evaluations.sqlite"
    checkpoint_every: int = 200
    learning_rate: float = MaskedPPO.learning_rate
    entropy: float = MaskedPPO.entropy
    device: str = "cpu"
    threads: int = 1
    progress: bool = True

    def of_task(self, name: str) -> TaskSettings:
        """Return the settings of one of the tasks."""
        return TaskSettings(task=name, bits=self.bits, device=self.device, threads=self.threads)


def run(settings: AgentSettings) -> int:
    """Train, then show and write what the agent answers."""
    require_no_password("--store", settings.store)
    with held(settings.out) as folder:
        agent = trained(settings, folder)
        report(agent)
    return INTERRUPTED if agent.interrupted else 0


def trained(settings: AgentSettings, folder: HeldFolder) -> TrainedAgent:
    """Train, or go on."""
    problems = {}
    for name in settings.tasks:
        task = settings.of_task(name)
        budget = task.budget_of(settings.budgets[0])
        problems[name] = task.problem(task.load(), budget, settings.store)
    return train_agent(
        problems,
        [TaskSettings().budget_of(limit) for limit in settings.budgets],
        folder=folder,
        episodes=settings.episodes,
        seed=settings.seed,
        settings=MaskedPPO(learning_rate=settings.learning_rate, entropy=settings.entropy),
        checkpoint_every=settings.checkpoint_every,
        progress=settings.progress,
    )


def report(agent: TrainedAgent) -> None:
    """Show the agent's greedy answers and write them to answers.json."""
    headings = ("task", "budget", "bits by layer", "average bits", "loss", "accuracy")
    rows = [
        (
            answer.problem,
            str(answer.budget),
            " ".join(str(choice.bits) for choice in answer.config),
            f"{answer.score.average_bits:.3f}",
            decimal(answer.score.loss),
            f"{answer.score.accuracy:.4f}",
        )
        for answer in agent.answers
    ]
    answers = [
        {
            "task": answer.problem,
            "budget": str(answer.budget),
            "config": json.loads(answer.config.to_json()),
            "score": json.loads(answer.score.to_json()),
        }
        for answer in agent.answers
    ]
    document = json.dumps(answers, indent=2, allow_nan=False)
    write_file(agent.folder / "answers.json", document + "\n")
    title = f"Greedy answers after {counted(agent.episodes, 'episode')}"
    show(rich_table(title, headings, rows), width=110)
    folder = shlex.quote(str(near(agent.folder)))
    say(f"Agent in {folder}; use it: {rlquant()} search --agent {folder}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    return run_command(AgentSettings, run, argv, __doc__, prog="rlquant train-agent")
