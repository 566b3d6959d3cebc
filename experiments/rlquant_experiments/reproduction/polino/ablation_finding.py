"""P5: the three heuristics of differentiable quantization."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rlquant_experiments.reproduction.claims import Claim, Comparison, Finding
from rlquant_experiments.reproduction.polino import variants as v
from rlquant_experiments.reproduction.polino.presets import PolinoPreset
from rlquant_experiments.reproduction.polino.students import Students
from rlquant_experiments.reproduction.polino.variants import ABLATION, CELLS, HEURISTICS
from rlquant_experiments.reproduction.runs import Results
from rlquant_experiments.reproduction.statistics import Difference, Values
from rlquant_experiments.reproduction.tables import variants_table

P5 = Claim(
    "P5",
    "Points that start at quantiles help DQ. (Redistribution and the distillation loss: the "
    "effect is measured, and decides nothing.)",
)


def main_effects(results: Results) -> Mapping[str, Values]:
    """Return, by heuristic, the points of test error that it saves, seed by seed.

    The mean over the four pairs of combinations that differ in it alone.
    """
    errors = {cell: results.values(ABLATION, cell.name, "test_error") for cell in CELLS}
    effects = {}
    for heuristic in HEURISTICS:
        on = [errors[cell] for cell in CELLS if getattr(cell, heuristic)]
        off = [errors[cell] for cell in CELLS if not getattr(cell, heuristic)]
        effects[heuristic] = np.mean(off, axis=0) - np.mean(on, axis=0)
    return effects


def ablation_finding(preset: PolinoPreset, results: Results) -> Finding:
    """Return the finding on P5."""
    effects = main_effects(results)
    students = Students(results)
    spaced, quantiles = v.post_mortem(v.ABLATION_BITS, buckets=True), v.QUANTILE_START
    starts = "; ".join(
        f"{name}: {students.mean(start, 'weight_error'):.0f} % and "
        f"{students.mean(start, 'renewed_test_error'):.2f} %"
        for name, start in (("equally spaced", spaced), ("at quantiles", quantiles))
    )
    longer = Difference.paired(
        students.values(v.SPACED_LEARNED), students.values(v.learned_points(v.ABLATION_BITS))
    )
    words = {name: Difference.of(values).words() for name, values in effects.items()}
    columns = {
        "test error (%)": ("test_error", 2),
        "validation error (%)": ("validation_error", 2),
        "Huffman length (bits)": ("huffman_bits", 2),
    }
    return Finding(
        claim=P5,
        ours="points of test error saved: "
        + ", ".join(f"{name} {word}" for name, word in words.items()),
        table=variants_table(
            results, [(ABLATION, cell.name) for cell in CELLS], columns, heading="heuristics"
        ),
        comparisons=[
            Comparison.of(
                "equally spaced start - start at quantiles, mean of four pairs (points)",
                effects["quantiles"],
                "above",
            )
        ],
        note=f"Four points a layer on average, trained for {preset.ablation_steps} steps from the "
        f"distilled float student; without the distillation loss the labels alone are followed. "
        f"Main effects in points of test error saved: redistribution "
        f"{words['redistribution']}, distillation loss {words['distillation']}. Redistribution "
        f"keeps the number of points, not that of bits: a layer of 5 points has codes of 3 bits. "
        f"Where the points start, squared error of the weights and test error before any step "
        f"(BatchNorm's statistics renewed): {starts}. After {preset.points_training.epochs} "
        f"epochs with the distillation loss, equally spaced start - start at quantiles: "
        f"{longer.words()} points.",
    )
