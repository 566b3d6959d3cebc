"""Names of layers, and shell patterns that stand for several, resolved among those there are."""

from __future__ import annotations

from collections.abc import Iterable
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
