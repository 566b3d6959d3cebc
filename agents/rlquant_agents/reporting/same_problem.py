"""Check that runs searched the same problem, before they share a picture."""

from __future__ import annotations

from rlquant.errors import SettingsError
from rlquant_agents.reporting.run_files import RunFiles
from rlquant_agents.search.run_settings import differences

SHARED = ("problem", "budget", "space", "fidelity")
"""The settings that runs share whose losses can be compared."""


def require_same_problem(run: RunFiles, other: RunFiles) -> None:
    """Raise `SettingsError` where two runs differ in what they searched."""
    differ = differences(run.settings, other.settings, SHARED)
    if differ:
        words = ", ".join(
            f"{name} is {there!r} there and {here!r} here" for name, here, there in differ
        )
        raise SettingsError(
            f"{other.folder} cannot be compared with {run.folder}: {words}; give runs of the same "
            f"network, data, budget, space and fidelity"
        )
