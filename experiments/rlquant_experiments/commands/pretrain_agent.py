"""Teach the agent that `dyna-ppo` begins with, on small networks that no task uses.

Trains the training networks and measures every configuration of each, teaches one policy on all of
these tables, writes its weights, and reports its first answers on the tables that come with
rlquant. Each step is kept in the folder: interrupted, the same command goes on where it was. On one
core the tables take about an hour, the training five minutes.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from rlquant import load_table, table_names
from rlquant.files import make_folder, write_file
from rlquant.folder_lock import HeldFolder, held
from rlquant_agents.cli.command_line import INTERRUPTED, command_of, run_command
from rlquant_agents.cli.terminal import say
from rlquant_experiments.pretraining.first_answers import (
    BUDGETS,
    compare_first_answers,
    report_first_answers,
)
from rlquant_experiments.pretraining.pretrain import PretrainSettings, pretrain
from rlquant_experiments.pretraining.training_networks import draw_networks
from rlquant_experiments.pretraining.training_tables import training_tables


@dataclass(frozen=True, kw_only=True)
class PretrainAgentSettings:
    """Training networks, training, and where the weights go.

    Attributes:
        networks: training networks; of those with less than 0.7 accuracy nothing is learnt.
        first: seed of the first of them, the next one has the next seed.
        folder: keeps training tables (in tables/), checkpoint and TensorBoard events.
        weights: file for the weights; by default pretrained.safetensors in the folder. Those that
            come with rlquant are agents/rlquant_agents/searchers/dyna_ppo/pretrained.safetensors.
        report: Markdown file for the report; by default pretrained.md in the folder.
        guided: rounds of imitation, in which the tables say what each option loses.
        updates: rounds of PPO after these.
        episodes: of each table in a round of imitation.
        hidden: width of the policy's hidden layers; `dyna-ppo` takes the default alone.
        seed: decides everything random in the training.
        tables: those that the report is about; by default all that come with rlquant.
        budgets: average bits per weight in the report, scales included.
        threads: torch's; for networks as small as these one is fastest.
        progress: show progress bars.
    """

    networks: int = 120
    first: int = 1000
    folder: Path = Path("runs/pretraining")
    weights: Path | None = None
    report: Path | None = None
    guided: int = PretrainSettings.guided
    updates: int = PretrainSettings.updates
    episodes: int = PretrainSettings.episodes
    hidden: int = PretrainSettings.hidden
    seed: int = 0
    tables: tuple[str, ...] = ()
    budgets: tuple[float, ...] = BUDGETS
    threads: int = 1
    progress: bool = True


def run(settings: PretrainAgentSettings, command: Sequence[str]) -> int:
    """Teach in a folder that nobody else writes."""
    with held(settings.folder) as folder:
        return teach(folder, settings, command)


def teach(folder: HeldFolder, settings: PretrainAgentSettings, command: Sequence[str]) -> int:
    """Make the tables, train, write weights and report."""
    torch.set_num_threads(settings.threads)
    training = PretrainSettings(
        guided=settings.guided,
        updates=settings.updates,
        episodes=settings.episodes,
        hidden=settings.hidden,
    )
    held_out = [load_table(name) for name in settings.tables or table_names()]
    tables = training_tables(
        draw_networks(settings.networks, settings.first),
        settings.folder / "tables",
        progress=settings.progress,
    )
    found = pretrain(
        tables,
        folder,
        settings=training,
        seed=settings.seed,
        command=shlex.join(command),
        progress=settings.progress,
    )
    if found.interrupted:
        say(f"interrupted after {found.rounds} rounds; the same command goes on", sys.stderr)
        return INTERRUPTED
    weights = settings.weights or found.weights
    if weights != found.weights:
        make_folder(weights.parent)
        write_file(weights, found.weights.read_bytes())
    answers = compare_first_answers(held_out, settings.budgets, weights)
    report = settings.report or settings.folder / "pretrained.md"
    make_folder(report.parent)
    write_file(report, report_first_answers(answers, shlex.join(command), weights))
    say(f"weights in {weights}, report in {report}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    command = command_of(__file__, argv)
    return run_command(PretrainAgentSettings, partial(run, command=command), argv, __doc__)
