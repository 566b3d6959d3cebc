"""T4: error against a constant share of zeros."""

from __future__ import annotations

from collections.abc import Iterable

from rlquant_experiments.reproduction.claims import Claim, Comparison, Finding
from rlquant_experiments.reproduction.runs import Results
from rlquant_experiments.reproduction.statistics import Values
from rlquant_experiments.reproduction.tables import variants_table
from rlquant_experiments.reproduction.ttq.presets import TtqPreset
from rlquant_experiments.reproduction.ttq.variants import SPARSITIES, TTQ, sparse

T4 = Claim("T4", "Some zeros are better than none, too many are worse: the optimum lies inside.")
INNER = tuple(share for share in SPARSITIES if 0.1 <= share <= 0.6)
MOST = max(SPARSITIES)


def sparsity_finding(preset: TtqPreset, results: Results) -> Finding:
    """Return the finding on T4."""

    def errors(share: float, figure: str = "test_error") -> Values:
        return results.values(preset.smallest, sparse(share), figure)

    def by_validation(shares: Iterable[float]) -> list[float]:
        return sorted(shares, key=lambda share: float(errors(share, "validation_error").mean()))

    inner = by_validation(INNER)[0]
    worst = by_validation(share for share in SPARSITIES if share != MOST)[-1]
    rows = [(preset.smallest, sparse(share)) for share in SPARSITIES]
    return Finding(
        claim=T4,
        ours=", ".join(f"{errors(share).mean():.2f} % at r={share:g}" for share in SPARSITIES),
        table=variants_table(results, [*rows, (preset.smallest, TTQ)]),
        comparisons=[
            Comparison.of(f"r={inner:g} - r=0 (points)", errors(inner) - errors(0.0), "below"),
            Comparison.of(
                f"r={MOST:g} - r={worst:g} (points)", errors(MOST) - errors(worst), "above"
            ),
        ],
        note=f"The threshold is set at every step so that the share r of each layer is 0; the last "
        f"row has the constant threshold instead. Which inner r is compared with r=0, and which "
        f"other r with r={MOST:g}, was chosen by validation error: the best of r="
        f"{', '.join(f'{share:g}' for share in INNER)} and the worst of all others.",
    )
