"""Options of a search space on the command line: each word implies the axis it belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rlquant import SearchSpace
from rlquant.config import METHODS, POINTS, ROUNDINGS
from rlquant.errors import SettingsError

_WORDS: dict[str, Sequence[str]] = {
    "method": METHODS,
    "rounding": ROUNDINGS,
    "points": POINTS,
    "group_size": ("channel", "tensor"),
}


def with_choices(space: SearchSpace, words: Sequence[str]) -> SearchSpace:
    """Return a space with the options that `words` name; decisions without a word stay.

    Args:
        space: what is changed.
        words: a number is a bit-width, "ternary" a method, "stochastic" a rounding, "kmeans" where
            points lie; "points=learned" and "rounding=learned" tell the two apart; "channel",
            "tensor" and "group_size=64" are group sizes.

    Raises:
        SettingsError: a word that means nothing, or several things.
        ChoiceError: options that no layer can have.
    """
    found: dict[str, Any] = {}
    for word in words:
        head, option = _meaning(word)
        found[head] = (*found.get(head, ()), option)
    return replace(space, **found)


def _meaning(word: str) -> tuple[str, Any]:
    if word.isdecimal():
        return "bits", int(word)
    head, said, option = word.rpartition("=")
    if head == "group_size" and option.isdecimal():
        return head, int(option)
    heads = [h for h, known in _WORDS.items() if option in known and (not said or h == head)]
    if len(heads) == 1:
        return heads[0], option
    if heads:
        raise SettingsError(f"choice {word!r} may be {' or '.join(f'{h}={word}' for h in heads)}")
    known = ", ".join(f"{h}: {' '.join(names)}" for h, names in _WORDS.items())
    raise SettingsError(f"choice {word!r} means nothing; use a bit-width or a word of {known}")
