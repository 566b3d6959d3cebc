"""The report on a latency table: what is faster in 8 bits here, and how well sums predict."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import numpy as np

from rlquant.escaping import markdown_table
from rlquant.profiling.profile import LatencyProfile

HEADINGS = ("kind", "shape", "layers", "multiply-accumulates", "change (microseconds)")


def verdict(profile: LatencyProfile) -> str:
    """Return in one sentence whether 8 bits pay on this machine."""
    in_float, integer = 1e3 * profile.float_seconds, 1e3 * profile.integer_seconds
    times = f"{in_float:.3g} ms in float, {integer:.3g} ms in 8 bits"
    if profile.integers_pay:
        return f"8 bits make it {in_float / integer:.2f} times as fast here: {times}."
    return f"8 bits do not make it faster here: {times}. Choose fewer bits for size alone."


def latency_markdown(
    profile: LatencyProfile, task: str, machine: str, command: Sequence[str], figure: str
) -> str:
    """Return the report.

    Args:
        profile: what was measured.
        task: whose network.
        machine: what it was measured on, in words.
        command: that made it.
        figure: name of the picture's file, beside the report.
    """
    run = f"{profile.batch} samples a run" if profile.batch > 1 else "one sample a run"
    worst = float(np.abs(profile.errors).max())
    return "\n".join(
        [
            f"# Latency of {task}, layer by layer",
            "",
            "Made by",
            "",
            f"    {shlex.join(command)}",
            "",
            f"on {machine}, {run}.",
            "",
            f"**{verdict(profile)}**",
            "",
            "Weights of 1 to 8 bits run in the same 8-bit kernel where a layer's inputs have 8 "
            "bits, and in float where they are float: their width changes the file, not the time.",
            "",
            "## Layer by layer",
            "",
            "What one layer adds when it runs in 8 bits instead of float, changes of type around "
            "it included (standard error behind it).",
            "",
            markdown_table(HEADINGS, _rows(profile), "llrrr"),
            "",
            "## Predicted against measured",
            "",
            f"{profile.checks} random mixes of 8-bit and float layers, "
            f"{'none of which' if profile.unseen else 'all of which, as it has few layers,'} the "
            f"table was fitted to: mean error {100 * profile.mean_error:.1f} %, at worst "
            f"{100 * worst:.1f} %. Sums over layers leave out that two neighbours in 8 bits need "
            f"no change of type between them. The table's times are {100 * profile.margin:.0f} % "
            "longer than fitted, the most by which any prediction fell short, so that a network "
            "within the budget is usually within it when it runs; a search with a target runs it, "
            "and says whether it is.",
            "",
            f"![predicted against measured]({figure})",
            "",
        ]
    )


def _rows(profile: LatencyProfile) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for index, ((kind, shape, macs), count) in enumerate(profile.groups):
        change, error = 1e6 * profile.times.changes[index], 1e6 * profile.times.errors[index]
        shown = f"{change:+.1f} ± {error:.1f}" if profile.native[index] else "no 8-bit kernel"
        size = "x".join(str(n) for n in shape)
        rows.append((kind, size, str(count), f"{macs:,}", shown))
    return rows
