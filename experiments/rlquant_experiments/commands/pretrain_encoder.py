"""Teach a policy over the layers of large networks, and measure what it is worth.

Trains small networks of six families, takes their expected loss increases from gradients and
measures configurations of each; teaches encoders without one family after the other, and measures
their first answers on that family; checks them on what searches of pretrained networks have
measured. Each step is kept in the folder: interrupted, the same command goes on where it was. On
one idle core the landscapes take about ten minutes, teaching and first answers five.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from rlquant.errors import SettingsError, require_finite, whole_number
from rlquant.folder_lock import held
from rlquant_agents.cli.command_line import command_of, run_command
from rlquant_agents.cli.terminal import say
from rlquant_experiments.comparison.report_file import Report, made_by
from rlquant_experiments.landscapes.landscape import Landscape, read_landscape
from rlquant_experiments.landscapes.measuring import make_landscape
from rlquant_experiments.landscapes.networks import NETWORKS, SmallNetwork
from rlquant_experiments.layer_policy.first_answers import measure_answers
from rlquant_experiments.layer_policy.folds import TrainingSettings, folds_of, foreseen
from rlquant_experiments.layer_policy.imitation import ImitationSettings
from rlquant_experiments.layer_policy.kept_encoders import taught_once
from rlquant_experiments.layer_policy.policy_gradient import ReinforcementSettings
from rlquant_experiments.layer_policy.real_networks import stored_landscape
from rlquant_experiments.layer_policy.report import (
    INTRODUCTION,
    answers_section,
    foresight_section,
    landscapes_table,
)


@dataclass(frozen=True, kw_only=True)
class PretrainEncoderSettings:
    """Landscapes, teaching, and where the report goes.

    Attributes:
        networks: landscapes, the first so many of the list; the first six are one of each family.
        a_budget: configurations measured of each network under each budget.
        folder: keeps networks, evaluations, landscapes and first answers.
        steps: of imitation.
        pull: weight of the corrections' mean square, which draws them to nothing.
        updates: rounds of reinforcement after imitation; 0 leaves it out.
        seeds: encoders of each way of teaching; their corrections' mean counts.
        real: folders of `scripts/real_networks.py`, each as task=folder, that encoders are checked
            on; they are only read.
        report: Markdown file for the report; by default layer-policy.md in the folder.
        threads: torch's; for networks as small as these one is fastest.
        progress: show progress bars.
    """

    networks: int = len(NETWORKS)
    a_budget: int = 28
    folder: Path = Path("runs/layer-policy")
    steps: int = ImitationSettings.steps
    pull: float = ImitationSettings.pull
    updates: int = ReinforcementSettings.updates
    seeds: int = TrainingSettings.seeds
    real: tuple[str, ...] = ()
    report: Path | None = None
    threads: int = 1
    progress: bool = True

    def check(self) -> None:
        """Raise `SettingsError` for what cannot be taught."""
        whole_number("--networks", self.networks, 2, len(NETWORKS))
        whole_number("--a-budget", self.a_budget, 4)
        whole_number("--steps", self.steps, 10)
        require_finite("--pull", "pull", self.pull)
        whole_number("--updates", self.updates, 0)
        whole_number("--seeds", self.seeds, 1)
        for given in self.real:
            if "=" not in given:
                raise SettingsError(f"--real {given!r}: give task=folder, as minilm-l6=runs/real")

    @property
    def training(self) -> TrainingSettings:
        """How encoders are taught."""
        return TrainingSettings(
            imitation=ImitationSettings(steps=self.steps, pull=self.pull),
            reinforcement=ReinforcementSettings(updates=self.updates),
            seeds=self.seeds,
        )


def run(settings: PretrainEncoderSettings, command: Sequence[str]) -> int:
    """Teach in a folder that nobody else writes."""
    settings.check()
    torch.set_num_threads(settings.threads)
    with held(settings.folder) as folder:
        kinds = {kind.name: kind for kind in NETWORKS[: settings.networks]}
        landscapes = [_landscape(kind, folder.path, settings) for kind in kinds.values()]
        answers, known = [], {}
        for family, others, held_out in folds_of(landscapes):
            path = folder.path / "encoders" / f"without-{family}.safetensors"
            encoders = taught_once(path, others, settings.training)
            for each in held_out:
                known[each.name] = foreseen(each, encoders)
                own = folder.path / each.name
                answers.append(measure_answers(kinds[each.name], own, each, encoders))
        parts = [
            INTRODUCTION.rstrip(),
            made_by(command, settings.threads),
            landscapes_table(landscapes),
            answers_section(answers),
            foresight_section("Measured losses, families held out", known),
        ]
        if settings.real:
            path = folder.path / "encoders" / "of-all.safetensors"
            encoders = taught_once(path, landscapes, settings.training)
            found = [_real(given, folder.path) for given in settings.real]
            real = {each.name: foreseen(each, encoders) for each in found}
            parts.append(foresight_section("Measured losses of pretrained networks", real))
    report = settings.report or settings.folder / "layer-policy.md"
    Report("\n\n".join(parts) + "\n", {}).write([report])
    say(f"report in {report}")
    return 0


def _landscape(kind: SmallNetwork, folder: Path, settings: PretrainEncoderSettings) -> Landscape:
    """Return a landscape, from the folder where it is there already."""
    path = folder / kind.name / "landscape.safetensors"
    if not path.exists():
        found = make_landscape(kind, path.parent, settings.a_budget, bar=settings.progress)
        found.write(path)
    return read_landscape(path)


def _real(given: str, folder: Path) -> Landscape:
    """Return the landscape of a pretrained task, as it was when it was first asked for."""
    task, _, kept = given.partition("=")
    path = folder / "real" / f"{task}.safetensors"
    if not path.exists():
        stored_landscape(task, Path(kept), path.parent / task).write(path)
    return read_landscape(path)


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    command = command_of(__file__, argv)
    return run_command(PretrainEncoderSettings, partial(run, command=command), argv, __doc__)
