"""Groups of layers that share a choice: names or patterns, resolved; a group's facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from rlquant.errors import SettingsError, unknown_name
from rlquant.layers import LayerFacts

Groups = Mapping[str, Sequence[str]] | Sequence[str]
"""Group name -> names of its layers, or patterns such as "stage1.*", each of which is a group."""


def resolve_groups(groups: Groups, layers: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the layers of each group, both in execution order.

    Args:
        groups: name -> layers, or patterns. A pattern that matches one layer gives a group of that
            layer's name, any other is named after itself without a ".*" or "*" at its end.
        layers: the searched layers in execution order; each must be in exactly one group.

    Raises:
        SettingsError: no group, an empty one, a pattern without a match, two groups of one name, a
            layer in two groups or in none.
        UnknownNameError: a group names a layer that is not searched.
    """
    if isinstance(groups, str) or not isinstance(groups, (Mapping, Sequence)) or not groups:
        raise SettingsError(
            f"groups={groups!r}, give a mapping of group names to layers, or patterns such as "
            f"('stem', 'stage1.*')"
        )
    named = _by_name(groups, layers) if isinstance(groups, Mapping) else _matched(groups, layers)
    owners = owners_of(named)
    missing = [layer for layer in layers if layer not in owners]
    if missing:
        raise SettingsError(
            f"groups: {', '.join(missing)} in no group; name every searched layer in one, or keep "
            f"these out of the space with SearchSpace(exclude=...)"
        )
    return in_order(owners, layers)


def in_order(owners: Mapping[str, str], layers: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the layers of each group, both in execution order, from the group of each layer."""
    order: dict[str, list[str]] = {}
    for layer in layers:
        order.setdefault(owners[layer], []).append(layer)
    return {name: tuple(members) for name, members in order.items()}


def _by_name(groups: Mapping[str, Sequence[str]], layers: Sequence[str]) -> list[tuple[str, str]]:
    """Return every (group, layer) of a mapping."""
    pairs = []
    for name, members in groups.items():
        if isinstance(members, str) or not members:
            raise SettingsError(f"groups: {name!r} holds {members!r}, give a tuple of layer names")
        for layer in members:
            if layer not in layers:
                raise unknown_name(f"layer in group {name!r}", layer, layers)
            pairs.append((name, layer))
    return pairs


def _matched(patterns: Sequence[str], layers: Sequence[str]) -> list[tuple[str, str]]:
    """Return every (group, layer) of patterns."""
    pairs: list[tuple[str, str]] = []
    for pattern in patterns:
        members = [layer for layer in layers if fnmatchcase(layer, pattern)]
        if not members:
            raise SettingsError(
                f"groups: pattern {pattern!r} matches no layer; the layers: {', '.join(layers)}"
            )
        name = members[0] if len(members) == 1 else without_star(pattern)
        if name in {group for group, _ in pairs}:
            raise SettingsError(f"groups: two patterns give a group {name!r}; give a mapping")
        pairs += [(name, layer) for layer in members]
    return pairs


def without_star(pattern: str) -> str:
    """Return the name of a pattern's group."""
    return pattern.removesuffix("*").removesuffix(".") or pattern


def owners_of(pairs: Sequence[tuple[str, str]], kind: str = "groups") -> dict[str, str]:
    """Return the group of each layer from pairs of both.

    Raises:
        SettingsError: a layer in two groups; it begins with `kind`.
    """
    owners: dict[str, str] = {}
    for name, layer in pairs:
        if layer in owners:
            raise SettingsError(
                f"{kind}: layer {layer!r} is in {owners[layer]!r} and in {name!r}; name it once"
            )
        owners[layer] = name
    return owners


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
