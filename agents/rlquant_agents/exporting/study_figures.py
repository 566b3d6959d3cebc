"""The picture of what leaves the tool: bytes and times of every task's networks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from rlquant_agents.exporting.study import BATCHES, Exported, TaskExport
from rlquant_agents.figure_axes import COLORS, LEGEND


def study_figure(studies: Sequence[TaskExport]) -> Figure:
    """Draw, for each task, bytes as a share of the float tensors and speed against float."""
    figure = Figure(figsize=(9.6, 0.62 * len(studies) + 1.9), layout="constrained")
    sizes, speeds = figure.subplots(1, 2, sharey=True)
    places = np.arange(len(studies))
    shown = ("2 bits", "3 bits", "4 bits", "searched")
    for index, name in enumerate(shown):
        shares = [_network(study, name).packed / study.float_bytes for study in studies]
        sizes.barh(places + 0.2 * index - 0.3, shares, 0.19, color=COLORS[index], label=name)
    for index, batch in enumerate(BATCHES):
        ratios = [s.seconds["float"][index] / s.seconds["searched"][index] for s in studies]
        offset = 0.34 * index - 0.17
        color = COLORS[index + 4]
        speeds.barh(places + offset, ratios, 0.32, color=color, label=f"batch {batch}")
    speeds.axvline(1.0, color="#333333", linewidth=1.0)
    sizes.set_yticks(places, [study.task for study in studies])
    sizes.invert_yaxis()
    sizes.set_xlabel("packed file over float tensors (bytes per byte)")
    speeds.set_xlabel("times as fast as float in onnxruntime (searched bits)")
    for axes in (sizes, speeds):
        axes.grid(visible=True, axis="x", color="#e6e6e6", linewidth=0.7)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(**LEGEND, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=4)
    return figure


def _network(study: TaskExport, name: str) -> Exported:
    return next(network for network in study.networks if network.name == name)
