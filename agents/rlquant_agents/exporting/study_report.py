"""The report on what leaves the tool: bytes, agreement and speed of every task's networks."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Iterator, Sequence

from rlquant_agents.exporting.study import BATCHES, KERNEL_BITS, TaskExport

COLUMNS = (
    *("task", "network", "loss", "average_bits", "predicted_bytes", "rlq_bytes", "coded_bytes"),
    *("onnx_bytes", "error", "agreement", "onnx_loss"),
    *(f"ms_batch_{batch}" for batch in BATCHES),
)


def study_csv(studies: Sequence[TaskExport]) -> str:
    """Return every number."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for study in studies:
        times = [f"{1e3 * s:.6g}" for s in study.seconds["float"]]
        size = study.float_bytes
        writer.writerow(
            [
                *(study.task, "float", f"{study.float_loss:.6g}", 32, size, "", ""),
                *(study.float_onnx, "", "", "", *times),
            ]
        )
        for network in study.networks:
            writer.writerow(
                [
                    study.task,
                    network.name,
                    f"{network.loss:.6g}",
                    f"{network.average_bits:.6g}",
                    network.predicted,
                    network.packed,
                    network.coded,
                    network.onnx,
                    f"{network.error:.3g}",
                    f"{network.agreement:.6g}",
                    f"{network.onnx_loss:.6g}",
                    *(f"{1e3 * s:.6g}" for s in study.seconds[network.name]),
                ]
            )
    return stream.getvalue()


def study_markdown(
    studies: Sequence[TaskExport], command: Sequence[str], machine: str, figure: str, table: str
) -> str:
    """Return the report.

    Args:
        studies: one for each task.
        command: that made it.
        machine: what it was measured on, in words.
        figure: name of the picture's file beside the report.
        table: name of the CSV beside the report.
    """
    return "\n".join(
        [
            "# What leaves the tool: bytes, agreement, speed",
            "",
            "Made by",
            "",
            f"    {shlex.join(command)}",
            "",
            f"on {machine}, one thread. All layers have 8-bit inputs, as for "
            "`--target onnxruntime-int8`; the searched networks keep the budget of average bits. "
            f"Every number is in [{table}]({table}).",
            "",
            f"![bytes and times]({figure})",
            "",
            "## Bytes",
            "",
            "Of the float network's tensors; of the packed file at uniform bits and as searched; "
            "the same with entropy coding; of the searched network's ONNX file and the float "
            f"one's. Predicted and real bytes of packed files: {_prediction(studies)}.",
            "",
            "| task | float | 2 bits | 3 bits | 4 bits | searched | entropy-coded "
            "| ONNX | float ONNX |",
            f"|---{8 * '|---:'}|",
            *_bytes(studies),
            "",
            "ONNX files keep scales, biases and the graph's own text beside the codes, and have no "
            "3-, 5- or 6-bit integers: of networks as small as these most is text.",
            "",
            "## Agreement of onnxruntime with PyTorch",
            "",
            "Validation loss by PyTorch and by onnxruntime, largest difference of an output as a "
            "share of the largest output, share of images classified alike. Between layers tensors "
            "have 8 bits too in the exported file, which is where the differences come from.",
            "",
            "| task | network | loss | by onnxruntime | largest difference | classified alike |",
            "|---|---|---:|---:|---:|---:|",
            *_agreement(studies),
            "",
            "## Milliseconds a run",
            "",
            "Of float, uniform 8 bits and the searched bits, in turns, medians. Codes of 1 to 8 "
            "bits run in the same kernels: searched bits make the file smaller, 8-bit inputs make "
            "it faster, where they do.",
            "",
            "| task | batch | float | 8 bits | searched | float over searched |",
            "|---|---:|---:|---:|---:|---:|",
            *_times(studies),
            "",
        ]
    )


def _prediction(studies: Sequence[TaskExport]) -> str:
    networks = [network for study in studies for network in study.networks]
    wrong = sum(network.predicted != network.packed for network in networks)
    if wrong:
        return f"they differ in {wrong} of {len(networks)}"
    return f"the same in all {len(networks)}"


def _bytes(studies: Sequence[TaskExport]) -> Iterator[str]:
    for study in studies:
        by_name = {network.name: network for network in study.networks}
        found = by_name["searched"]
        sizes = (
            study.float_bytes,
            *(by_name[f"{bits} bits"].packed for bits in (2, 3, 4)),
            *(found.packed, found.coded, found.onnx, study.float_onnx),
        )
        yield f"| {study.task} | {' | '.join(f'{size:,}' for size in sizes)} |"


def _agreement(studies: Sequence[TaskExport]) -> Iterator[str]:
    for study in studies:
        for network in study.networks:
            cells = (
                *(study.task, network.name, f"{network.loss:.4f}", f"{network.onnx_loss:.4f}"),
                *(f"{100 * network.error:.2g} %", f"{100 * network.agreement:.2f} %"),
            )
            yield f"| {' | '.join(cells)} |"


def _times(studies: Sequence[TaskExport]) -> Iterator[str]:
    for study in studies:
        names = ("float", f"{KERNEL_BITS} bits", "searched")
        for index, batch in enumerate(BATCHES):
            times = [1e3 * study.seconds[name][index] for name in names]
            shown = " | ".join(f"{time:.3g}" for time in times)
            yield f"| {study.task} | {batch} | {shown} | {times[0] / times[2]:.2f} |"
