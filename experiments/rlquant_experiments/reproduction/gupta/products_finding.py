"""G6: products that are rounded one by one."""

from __future__ import annotations

from rlquant_experiments.reproduction.claims import Claim, Comparison, Finding
from rlquant_experiments.reproduction.gupta.presets import Part
from rlquant_experiments.reproduction.gupta.variants import ONCE, PRODUCT_FRACTIONS, each_product
from rlquant_experiments.reproduction.runs import Results
from rlquant_experiments.reproduction.statistics import Difference, Values
from rlquant_experiments.reproduction.tables import listed, variants_table

G6 = Claim("G6", "Sums of products must be rounded once, by a wide accumulator.")

JUDGED = sorted(PRODUCT_FRACTIONS)[1]


def products_finding(part: Part, results: Results) -> Finding:
    """Return the finding on G6."""

    def error(variant: str) -> Values:
        return results.values("products", variant, "test_error")

    once, nearest, stochastic = ONCE, each_product("nearest", JUDGED), each_product("SR", JUDGED)
    rows = [each_product(r, f) for f in reversed(PRODUCT_FRACTIONS) for r in ("SR", "nearest")]
    noise = Difference.paired(error(stochastic), error(once))
    full = each_product("nearest", max(PRODUCT_FRACTIONS))
    cost = Difference.paired(error(full), error(once))
    return Finding(
        claim=G6,
        ours=listed({name: error(name) for name in (once, stochastic, nearest)}),
        table=variants_table(
            results, [("products", variant) for variant in (once, *rows)], heading="arithmetic"
        ),
        comparisons=[
            Comparison.of(f"{nearest} - once (points)", error(nearest) - error(once), "above"),
            Comparison.of(f"{nearest} - SR (points)", error(nearest) - error(stochastic), "above"),
        ],
        note=f"{part.network} on {part.data}. Weights, outputs, errors and updates are SR <8,8> in "
        f"all of these runs; only the products differ, in the forward pass, the errors and the "
        f"gradients. {stochastic} - once: {noise.words()} points; {full}, with as "
        f"many fraction bits as everything else has, - once: {cost.words()} points.",
    )
