"""T5: how small a packed ternary network is."""

from __future__ import annotations

from rlquant_experiments.reproduction.claims import Claim, Comparison, Finding, Table
from rlquant_experiments.reproduction.runs import Results
from rlquant_experiments.reproduction.ttq.jobs import SIZES
from rlquant_experiments.reproduction.ttq.presets import TtqPreset
from rlquant_experiments.reproduction.ttq.variants import TTQ

T5 = Claim("T5", "Ternary weights take a sixteenth of the space.", "nearly 16 times smaller")
RATIO = 16


def size_finding(preset: TtqPreset, results: Results) -> Finding:
    """Return the finding on T5."""
    trained = {preset.experiment(b): (preset.experiment(b), TTQ) for b in preset.blocks}
    packed = {f"{name}, {preset.data}, untrained": (SIZES, name) for name in preset.packed}
    rows = []
    for label, run in {**trained, **packed}.items():
        ratios = [results.values(*run, f"{part}_ratio").mean() for part in ("ternary", "file")]
        sizes = [
            results.values(*run, f"{part}_bytes").mean()
            for part in ("ternary_float", "ternary", "float", "file")
        ]
        cells = [f"{size:,.0f}" for size in sizes]
        rows.append((label, *cells[:2], f"{ratios[0]:.2f}", *cells[2:], f"{ratios[1]:.2f}"))
    headings = (
        *("network", "ternary layers in float (bytes)", "packed", "ratio"),
        *("whole network in float (bytes)", "file", "ratio of the whole"),
    )
    return Finding(
        claim=T5,
        ours=f"ternary layers {_span(rows, 3)} times smaller, whole files {_span(rows, 6)} times",
        table=Table(headings, rows),
        comparisons=[
            Comparison.of(
                f"{name}: float / packed bytes of ternary layers",
                results.values(*run, "ternary_ratio"),
                "above",
                RATIO,
            )
            for name, run in trained.items()
        ],
        note="Measured on the files that `rlquant.save` wrote. Five ternary codes go into a byte, "
        "1.6 bits a weight where the paper counts 2, and two float16 scales a layer; so ternary "
        "layers are up to 20 times smaller. The whole file counts everything: the first "
        "convolution and the BatchNorms in float32, names, shapes and header. These weigh the "
        "more the smaller the network: the claim holds for ternary layers, and for the whole "
        "network where little else is in it. Training changes no size, so that larger networks "
        "are packed untrained.",
    )


def _span(rows: list[tuple[str, ...]], column: int) -> str:
    numbers = sorted(float(row[column]) for row in rows)
    return f"{numbers[0]:.1f} to {numbers[-1]:.1f}"
