"""Train one PPO agent on one or several tasks and budgets.

The agent is a folder that `scripts/search.py --agent FOLDER` starts from. Started again with the
same folder, an interrupted training goes on from its last checkpoint; Ctrl-C saves one.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import tyro
from rich.console import Console
from rich.table import Table

from rlquant import Budget, QuantizationProblem, RlquantError, SearchSpace, tasks
from rlquant_agents.agent_training import TrainedAgent, train_agent
from rlquant_agents.ppo import MaskedPPO


@dataclass(frozen=True)
class Settings:
    """Train one PPO agent on one or several tasks and budgets."""

    tasks: tuple[str, ...] = ("digits/resnet8",)
    """Tasks to learn on; each episode is on one of them."""
    budgets: tuple[float, ...] = (2.5, 3.0, 4.0)
    """Average bits per weight, scales included; one is drawn for each episode."""
    bits: tuple[int, ...] = (2, 3, 4, 5, 6, 8)
    """Bit-widths that a layer may have."""
    episodes: int = 2000
    """Episodes to learn from, those before an interruption included."""
    seed: int = 0
    """Decides everything random."""
    out: Path = Path("runs/agent")
    """Folder for the agent, its TensorBoard events and answers.json."""
    store: Path = Path("runs/evaluations.sqlite")
    """File that keeps every evaluation, shared with other searches."""
    checkpoint_every: int = 200
    """Episodes between two checkpoints."""
    learning_rate: float = MaskedPPO.learning_rate
    """Adam's."""
    entropy: float = MaskedPPO.entropy
    """Weight of the entropy bonus."""
    device: str | None = None
    """Where networks are evaluated, e.g. cuda; the processor by default."""
    threads: int = 0
    """Torch's threads; 0 leaves its default."""


def train(settings: Settings) -> TrainedAgent:
    """Build the problems and train."""
    space = SearchSpace(bits=settings.bits)
    budgets = [Budget.average_bits(bits) for bits in settings.budgets]
    problems = {}
    for name in settings.tasks:
        task = tasks.load(name, device=settings.device or "cpu")
        problems[name] = QuantizationProblem(
            task.network,
            task.train,
            task.validation,
            space=space,
            budget=budgets[0],
            store=settings.store,
        )
    return train_agent(
        problems,
        budgets,
        folder=settings.out,
        episodes=settings.episodes,
        seed=settings.seed,
        settings=MaskedPPO(learning_rate=settings.learning_rate, entropy=settings.entropy),
        checkpoint_every=settings.checkpoint_every,
        progress=True,
    )


def report(agent: TrainedAgent, console: Console) -> None:
    """Show the agent's greedy answers and write them to answers.json."""
    table = Table(title=f"Greedy answers after {agent.episodes} episodes")
    for column in ("task", "budget", "bits by layer", "average bits", "loss", "accuracy"):
        table.add_column(column)
    rows = []
    for answer in agent.answers:
        bits = " ".join(str(choice.bits) for choice in answer.config)
        score = answer.score
        table.add_row(
            answer.problem,
            str(answer.budget),
            bits,
            f"{score.average_bits:.3f}",
            f"{score.loss:.4f}",
            f"{score.accuracy:.4f}",
        )
        rows.append(
            {
                "task": answer.problem,
                "budget": str(answer.budget),
                "config": json.loads(answer.config.to_json()),
                "score": asdict(score),
            }
        )
    (agent.folder / "answers.json").write_text(json.dumps(rows, indent=2), encoding="utf-8")
    console.print(table)
    console.print(f"Agent in {agent.folder}; use it: scripts/search.py --agent {agent.folder}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    settings = tyro.cli(Settings, args=argv, description=__doc__)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if settings.threads:
        torch.set_num_threads(settings.threads)
    try:
        agent = train(settings)
        report(agent, Console())
    except RlquantError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 130 if agent.interrupted else 0


if __name__ == "__main__":
    raise SystemExit(main())
