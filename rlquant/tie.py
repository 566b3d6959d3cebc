"""Ties: layers that share one decision, such as q, k and v, which runtimes fuse.

What `SearchSpace(tie=...)` takes: a shell pattern, a mapping of names to patterns, a function of
the layers such as `fused`, or a sequence of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlquant.errors import ChoiceError, SettingsError, whole_number
from rlquant.layer_groups import in_order, owners_of, without_star
from rlquant.layer_names import alike, matching
from rlquant.layers import LayerFacts

LayerTies = Mapping[str, Sequence[str]] | Iterable[Sequence[str]]
"""Names of tied layers: by the decision's name, or without names for the decisions."""
TieFunction = Callable[[Sequence[LayerFacts]], LayerTies]
"""Says which of the searched layers share decisions; every other layer is decided alone."""
OneTie = str | TieFunction | tuple[str, tuple[str, ...]]
Ties = tuple[OneTie, ...]
"""Ties in the form in which a space holds them."""
Tie = str | TieFunction | Mapping[str, str | Sequence[str]] | Sequence[OneTie]
"""What `SearchSpace(tie=...)` takes."""

FUSED = (
    ("q_proj", "k_proj", "v_proj"),
    ("query", "key", "value"),
    ("q", "k", "v"),
    ("wq", "wk", "wv"),
    ("to_q", "to_k", "to_v"),
    ("q_lin", "k_lin", "v_lin"),
    ("gate_proj", "up_proj"),
    ("w1", "w3"),
    ("wi_0", "wi_1"),
)
"""Names of linear layers that read the same input and that runtimes compute as one."""


def fused(layers: Sequence[LayerFacts]) -> dict[str, tuple[str, ...]]:
    """Return the layers that runtimes fuse: q, k and v of an attention; gate and up of an MLP.

    Linear layers of one module that have as many inputs and names of one row of `FUSED`.

    Examples:
        >>> from rlquant import LayerFacts
        >>> names = ("attn.q_proj", "attn.k_proj", "attn.v_proj", "attn.o_proj")
        >>> fused([LayerFacts(name, "linear", (4, 4), 16, 16) for name in names])
        {'attn.q_proj+k_proj+v_proj': ('attn.q_proj', 'attn.k_proj', 'attn.v_proj')}
    """
    siblings: dict[tuple[str, int, int], list[str]] = {}
    for facts in layers:
        module, _, name = facts.name.rpartition(".")
        for row, names in enumerate(FUSED):
            if facts.kind == "linear" and name in names:
                inputs = facts.parameters // facts.shape[facts.channel_axis]
                siblings.setdefault((module, inputs, row), []).append(facts.name)
    return {joint_name(found): tuple(found) for found in siblings.values() if len(found) > 1}


@dataclass(frozen=True)
class Alike:
    """Ties layers of one role in consecutive blocks, so that `decisions` are left at most.

    For networks too deep to be searched layer by layer.
    """

    decisions: int

    def __post_init__(self) -> None:
        whole_number("Alike: decisions", self.decisions, 1)

    def __call__(self, layers: Sequence[LayerFacts]) -> list[list[str]]:
        """Return the names of the layers that share decisions."""
        names = [facts.name for facts in layers]
        groups: dict[int, list[str]] = {}
        for name, number in zip(names, alike(names, self.decisions), strict=True):
            groups.setdefault(number, []).append(name)
        return list(groups.values())


def as_ties(given: Any) -> Ties:
    """Return ties in one form, however they were given; `ChoiceError` for what are none."""
    if isinstance(given, str) or callable(given):
        return (given,)
    if isinstance(given, Mapping):
        return tuple((name, _patterns(name, patterns)) for name, patterns in given.items())
    if not isinstance(given, Sequence):
        raise ChoiceError(f"SearchSpace: tie={given!r}, {_EXPECTED}")
    found: list[OneTie] = []
    for each in given:
        if isinstance(each, str) or callable(each):
            found.append(each)
        elif isinstance(each, Sequence) and len(each) == 2 and not isinstance(each[1], str):
            found.append((each[0], _patterns(each[0], each[1])))
        else:
            raise ChoiceError(f"SearchSpace: tie has {each!r}, {_EXPECTED}")
    return tuple(found)


_EXPECTED = (
    "give a pattern such as '*.down_proj', a mapping of names to patterns, a function such as "
    "rlquant.tie.fused, or a sequence of these"
)


def _patterns(name: Any, given: Any) -> tuple[str, ...]:
    patterns = (given,) if isinstance(given, str) else given
    if not isinstance(name, str) or not isinstance(patterns, Sequence) or not patterns:
        raise ChoiceError(f"SearchSpace: tie has {name!r}: {given!r}, {_EXPECTED}")
    return tuple(patterns)


def resolve_ties(ties: Ties, layers: Sequence[LayerFacts]) -> dict[str, tuple[str, ...]]:
    """Return the layers of each decision, both in execution order.

    Args:
        ties: of a space.
        layers: the searched ones in execution order.

    Returns:
        Decision -> its layers; one that is decided alone has the layer's name.

    Raises:
        SettingsError: a layer in two ties, a tie of no layer, or one named as another layer.
        UnknownNameError: a tie names a layer that is not searched.
    """
    names = [facts.name for facts in layers]
    pairs: list[tuple[str, str]] = []
    for tie in ties:
        pairs += _pairs(tie, layers, names)
    owners = owners_of(pairs, "tie")
    alone = {name: name for name in names if name not in owners}
    clashing = sorted(set(owners.values()) & alone.keys())
    if clashing:
        raise SettingsError(f"tie: {clashing[0]!r} is the name of a layer outside of it")
    return in_order({**owners, **alone}, names)


def _pairs(tie: OneTie, layers: Sequence[LayerFacts], names: list[str]) -> list[tuple[str, str]]:
    """Return every (decision, layer) of a tie."""
    if isinstance(tie, str):
        members = matching("layer in tie", (tie,), names)
        decision = members[0] if len(members) == 1 else without_star(tie)
        return [(decision, layer) for layer in members]
    if isinstance(tie, tuple):
        decision, patterns = tie
        members = matching(f"layer in tie {decision!r}", patterns, names)
        return [(decision, layer) for layer in members]
    found = tie(layers)
    groups = found if isinstance(found, Mapping) else {joint_name(tuple(m)): m for m in found}
    return [
        (name, layer)
        for name, each in groups.items()
        for layer in matching("layer in tie", each, names)
    ]


def joint_name(layers: Sequence[str]) -> str:
    """Return a name for several layers: what all begin with, and what each adds.

    Examples:
        >>> joint_name(["0.attn.q", "0.attn.k"])
        '0.attn.q+k'
    """
    parts = [name.split(".") for name in layers]
    shared = 0
    while all(len(p) > shared + 1 and p[: shared + 1] == parts[0][: shared + 1] for p in parts):
        shared += 1
    head = "".join(f"{part}." for part in parts[0][:shared])
    return head + "+".join(".".join(p[shared:]) for p in parts)
