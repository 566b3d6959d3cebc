"""Facts of layers that share a choice, merged into those of one layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rlquant.layers import LayerFacts


def group_facts(name: str, members: Sequence[LayerFacts]) -> LayerFacts:
    """Return several layers as one; a single layer keeps its facts but for the name.

    Weights and multiply-accumulates add up; statistics of the weights are means over all weights,
    the largest weight is the largest of all. Kind and shape are those of the member with most
    weights (the first of such); the group has a bias if some member has one, and is normalized if
    all are.

    Args:
        name: the group's name.
        members: facts of its layers, at least one.
    """
    if len(members) == 1:
        return replace(members[0], name=name)
    weights = sum(facts.parameters for facts in members)

    def mean(values: Sequence[float]) -> float:
        pairs = zip(members, values, strict=True)
        return sum(facts.parameters * value for facts, value in pairs) / weights

    errors = zip(*(facts.relative_error for facts in members), strict=True)
    largest = max(members, key=lambda facts: facts.parameters)
    return LayerFacts(
        name=name,
        kind=largest.kind,
        shape=largest.shape,
        parameters=weights,
        macs=sum(facts.macs for facts in members),
        channel_axis=largest.channel_axis,
        calls=1,
        has_bias=any(facts.has_bias for facts in members),
        normalized=all(facts.normalized for facts in members),
        std=mean([facts.std for facts in members]),
        largest=max(facts.largest for facts in members),
        kurtosis=mean([facts.kurtosis for facts in members]),
        relative_error=tuple(mean(values) for values in errors),
    )
