"""Shell completion of `rlquant`: commands, flags and the options that flags choose from."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from typing import Annotated, Any, Union

import tyro

from rlquant_agents.cli.eval import EvalSettings
from rlquant_agents.cli.export import ExportSettings
from rlquant_agents.cli.profile_latency import LatencySettings
from rlquant_agents.cli.report import ReportSettings
from rlquant_agents.cli.search_settings import SearchSettings
from rlquant_agents.cli.store import StoreSettings
from rlquant_agents.cli.train_agent import AgentSettings

SETTINGS: dict[str, type[Any]] = {
    "search": SearchSettings,
    "report": ReportSettings,
    "export": ExportSettings,
    "eval": EvalSettings,
    "train-agent": AgentSettings,
    "profile-latency": LatencySettings,
    "store": StoreSettings,
}
"""Command -> its settings."""


def script(shell: str) -> str:
    """Return the completion script of a shell: bash, zsh or fish."""
    named = [Annotated[kind, tyro.conf.subcommand(name)] for name, kind in SETTINGS.items()]
    everything: Any = Union[tuple(named)]  # noqa: UP007
    written = io.StringIO()
    try:
        with redirect_stdout(written):
            tyro.cli(everything, prog="rlquant", args=["--tyro-print-completion", shell])
    except SystemExit:  # tyro ends the process after it
        pass
    return written.getvalue()
