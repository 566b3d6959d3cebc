"""The order in which configurations share most of what is computed for them."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence


def sharing_order(rows: Sequence[Sequence[Hashable]]) -> list[int]:
    """Return the order that walks the tree of the rows' prefixes depth first.

    Rows that agree in their first decisions stand together, so that each distinct prefix is
    computed once and released early: the largest subtree of a node comes last. It depends on the
    rows alone.

    Args:
        rows: of equal length, each a configuration's decisions in execution order.
    """
    return list(_walk(rows, list(range(len(rows))), 0)) if rows else []


def _walk(rows: Sequence[Sequence[Hashable]], members: list[int], depth: int) -> Iterator[int]:
    if len(members) == 1 or depth == len(rows[members[0]]):
        yield from members
        return
    groups: dict[Hashable, list[int]] = {}
    for member in members:
        groups.setdefault(rows[member][depth], []).append(member)
    for group in sorted(groups.values(), key=len):
        yield from _walk(rows, group, depth + 1)
