"""Scores of configurations: what was measured, beside what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rlquant.config import Fidelity, LayerChoice, QuantizationConfig
from rlquant.cost.budget import Cost, NetworkCosts, total
from rlquant.errors import unknown_name
from rlquant.layers import LayerFacts
from rlquant.precision import Precision
from rlquant.score import Measurement, Score


def score_of(
    config: QuantizationConfig,
    measured: Measurement,
    layers: Sequence[LayerFacts],
    costs: NetworkCosts,
    latency: Cost | None,
    fidelity: Fidelity,
    precision: Precision,
) -> Score:
    """Return the score of a configuration.

    Args:
        config: canonical.
        measured: its loss and metrics.
        layers: the searched ones.
        costs: of the network, layer by layer.
        latency: from a table, where the budget has one.
        fidelity: of the measurement.
        precision: of the measurement.
    """
    choices: Mapping[str, LayerChoice] = {choice.layer: choice for choice in config}
    size_bytes = total(costs.size, layers, choices)
    bits = total(costs.average_bits, layers, choices)
    return Score(
        loss=measured.loss,
        accuracy=measured.accuracy,
        size_bytes=size_bytes,
        average_bits=costs.average_bits.value(bits),
        size_ratio=size_bytes / costs.size.float_bytes,
        bops=total(costs.bops, layers, choices),
        latency=None if latency is None else latency.value(total(latency, layers, choices)),
        samples=measured.samples,
        fidelity=fidelity,
        partial=measured.partial,
        standard_error=measured.standard_error,
        metrics=dict(measured.metrics),
        precision=precision,
    )


def canonical_in(
    layers: Sequence[LayerFacts], config: QuantizationConfig, fidelity: Fidelity
) -> QuantizationConfig:
    """Return the canonical form in execution order; layers not named are kept in float32.

    Raises:
        UnknownNameError: `config` names a layer that is not searched.
    """
    named = {choice.layer: choice for choice in config}
    names = [facts.name for facts in layers]
    for name in named.keys() - set(names):
        raise unknown_name("searched layer", name, names)
    kept = {n: LayerChoice(n, 32, method="float") for n in names if n not in named}
    return QuantizationConfig(tuple((named.get(n) or kept[n]).canonical(fidelity) for n in names))
