"""A made-up table of any size, whose losses behave like those of a network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rlquant.arguments import explained
from rlquant.config import FLOAT_BITS, LayerChoice
from rlquant.cost.feasible import Indices
from rlquant.errors import LARGEST_SEED, require_not_negative, whole_number
from rlquant.layers import ERROR_BITS, LayerFacts
from rlquant.score import Score
from rlquant.space import SearchSpace
from rlquant.tabular.measured import Measured
from rlquant.tabular.table import Table, require_count
from rlquant.tabular.table_costs import TableCosts

USUAL_BITS = (2, 3, 4, 5, 6, 8)
FLOAT_LOSS, FLOAT_ACCURACY = 0.25, 0.95
SAMPLES = 2000
FIXED_BYTES, RECORD_BYTES = 200, 8
CHANNELS = 16


@explained
def random_table(
    groups: int = 4,
    options: int = 6,
    interaction: float = 0.3,
    seed: int = 0,
    *,
    space: SearchSpace | None = None,
) -> Table:
    """Return a made-up table, the same for the same arguments.

    The log of the loss falls with the bits of every group, by as much as the group is sensitive;
    beside that sum, pairs of neighbouring groups raise or lower it together.

    Args:
        groups: groups of layers, at least one.
        options: bit-widths, 1 to 15: 2, 3, 4, 5, 6 and 8 where there are six of them, else from 2
            bits upwards.
        interaction: how strongly neighbours interact, against what each does alone; 0 for a sum
            over the groups.
        seed: decides sensitivities, sizes and interactions.
        space: other options than bits alone, in place of `options`.

    Raises:
        SettingsError: an argument outside these limits, or more configurations than a table holds.
    """
    whole_number("random_table: groups", groups, 1)
    whole_number("random_table: options", options, 1, 15)
    whole_number("random_table: seed", seed, 0, LARGEST_SEED)
    require_not_negative("random_table", "interaction", interaction)
    widths = USUAL_BITS if options == len(USUAL_BITS) else tuple(range(2, 2 + options))
    space = space or SearchSpace(bits=widths)
    choices = space.options()
    require_count(groups, len(choices))
    generator = np.random.default_rng(seed)
    facts = tuple(_facts(f"group{i}", generator) for i in range(groups))
    costs = _costs(facts, choices)
    losses = FLOAT_LOSS * np.exp(_damage(groups, choices, interaction, generator))
    correct = np.rint(SAMPLES * FLOAT_ACCURACY * np.minimum(1, FLOAT_LOSS / losses))
    described = f"{groups}, {len(choices)}, {interaction:g}, {seed}"
    return Table(
        name="random",
        task="none",
        command=f"random_table({described})",
        fingerprint=f"random table {described}",
        groups={f.name: (f.name,) for f in facts},
        facts=facts,
        space=space,
        fidelity="calibrated",
        seed=0,
        float_score=_float_score(facts, costs),
        costs=costs,
        samples=SAMPLES,
        source=Measured(losses.astype(np.float32), correct.astype(np.uint16), SAMPLES),
    )


def _facts(name: str, generator: np.random.Generator) -> LayerFacts:
    """Return a convolution of random size and statistics."""
    inputs = int(generator.integers(4, 33))
    weights = CHANNELS * inputs * 9
    std = float(np.float32(generator.uniform(0.02, 0.2)))
    error = float(np.float32(generator.uniform(0.1, 0.4)))
    return LayerFacts(
        name=name,
        kind="conv2d",
        shape=(CHANNELS, inputs, 3, 3),
        parameters=weights,
        macs=weights * int(generator.integers(8, 129)),
        has_bias=False,
        normalized=True,
        std=std,
        largest=4 * std,
        kurtosis=3.0,
        relative_error=tuple(error * 4.0 ** (2 - bits) for bits in ERROR_BITS),
    )


def _costs(facts: Sequence[LayerFacts], choices: Sequence[LayerChoice]) -> TableCosts:
    """Return codes and a float16 scale a channel, as an integer grid has them."""

    def table(cost: list[list[int]]) -> Indices:
        return np.array(cost, dtype=np.int64)

    bits = table(
        [[f.parameters * c.arithmetic_bits + 16 * CHANNELS for c in choices] for f in facts]
    )
    operations = [
        [f.macs * c.arithmetic_bits * (c.activation_bits or FLOAT_BITS) for c in choices]
        for f in facts
    ]
    weights = sum(f.parameters for f in facts)
    return TableCosts(
        average_bits=bits,
        size_bytes=bits // 8 + RECORD_BYTES,
        bops=table(operations),
        weights=weights,
        float_bytes=4 * weights + FIXED_BYTES,
        fixed_bytes=FIXED_BYTES,
    )


def _damage(
    groups: int,
    choices: Sequence[LayerChoice],
    interaction: float,
    generator: np.random.Generator,
) -> npt.NDArray[np.float64]:
    """Return the log of every configuration's loss over the float network's."""
    falling = np.array([4.0 ** (2 - choice.arithmetic_bits) for choice in choices])
    alone = generator.uniform(0.1, 1.0, (groups, 1)) * falling
    alone *= generator.uniform(0.8, 1.2, alone.shape)
    total = np.zeros(1)
    for group, effect in enumerate(alone):
        step = np.broadcast_to(effect, (1, len(choices)))
        if group:
            pairs = np.sqrt(np.outer(alone[group - 1], effect))
            step = step + interaction * generator.standard_normal(pairs.shape) * pairs
        before = total.reshape(-1, len(step))  # what stands last is the group before
        total = (before[:, :, None] + step).reshape(-1)
    return total


def _float_score(facts: Sequence[LayerFacts], costs: TableCosts) -> Score:
    return Score(
        loss=FLOAT_LOSS,
        accuracy=FLOAT_ACCURACY,
        size_bytes=costs.float_bytes,
        average_bits=float(FLOAT_BITS),
        size_ratio=1.0,
        bops=sum(f.macs for f in facts) * FLOAT_BITS**2,
        samples=SAMPLES,
    )
