"""The parts of the campaign by name."""

from __future__ import annotations

from collections.abc import Mapping

from rlquant_experiments.faults.ambient import Ambient
from rlquant_experiments.faults.campaign import Part
from rlquant_experiments.faults.crash_points import CrashPoints
from rlquant_experiments.faults.damaged_files import DamagedFiles
from rlquant_experiments.faults.episodes import Episodes
from rlquant_experiments.faults.kills import Kills
from rlquant_experiments.faults.odd_arguments import OddArguments

PARTS: Mapping[str, Part] = {
    part.name: part
    for part in (DamagedFiles(), Kills(), CrashPoints(), Ambient(), OddArguments(), Episodes())
}
"""By their name on the command line."""
