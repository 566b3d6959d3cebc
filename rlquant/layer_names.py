"""Names of layers, and shell patterns that stand for several, resolved among those there are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from rlquant.errors import unknown_name


def stands_for(pattern: str, name: str) -> bool:
    """Return whether a name, or a shell pattern such as "*.embed_tokens", means a layer."""
    return pattern == name or fnmatchcase(name, pattern)


def matching(kind: str, patterns: Iterable[str], names: Iterable[str]) -> tuple[str, ...]:
    """Return the names that some of `patterns` means, in the order of `names`.

    Args:
        kind: what the patterns are, for errors.
        patterns: names or shell patterns; a name that is there is never taken for a pattern.
        names: all that there are.

    Raises:
        UnknownNameError: a pattern that means none of them.
    """
    known, found = tuple(names), set[str]()
    for pattern in map(str, patterns):  # they may be of any type
        own = {pattern} if pattern in known else {n for n in known if stands_for(pattern, n)}
        if not own:
            raise unknown_name(kind, pattern, known)
        found |= own
    return tuple(name for name in known if name in found)


def role(name: str) -> str:
    """Return a layer's name without the numbers of its blocks: what it does in each of them.

    Examples:
        >>> role("model.layers.7.self_attn.q_proj")
        'model.layers.*.self_attn.q_proj'
    """
    return ".".join("*" if part.isdecimal() else part for part in name.split("."))


def alike(names: Sequence[str], most: int) -> list[int]:
    """Divide layers into at most `most` groups of alike ones.

    Layers of one role, in consecutive blocks; where there are more roles than groups, consecutive
    layers of any.

    Args:
        names: of the layers in execution order.
        most: at least 1.

    Returns:
        For each layer the number of its group; groups are numbered in execution order.
    """
    roles = [role(name) for name in names]
    members: dict[str, list[int]] = {}
    for i, found in enumerate(roles if len(set(roles)) <= most else [""] * len(names)):
        members.setdefault(found, []).append(i)
    parts = most // len(members)
    group: dict[int, tuple[str, int]] = {}
    for found, layers in members.items():
        count = min(parts, len(layers))
        group |= {i: (found, place * count // len(layers)) for place, i in enumerate(layers)}
    numbers: dict[tuple[str, int], int] = {}
    return [numbers.setdefault(group[i], len(numbers)) for i in range(len(names))]
