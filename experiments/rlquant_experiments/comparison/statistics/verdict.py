"""In words, computed from the numbers: whom the chosen searcher is below, and whom not."""

from __future__ import annotations

from collections.abc import Sequence

from rlquant_experiments.comparison.statistics.judgement import Judgement, Rival


def verdict(judgement: Judgement, mark: int) -> str:
    """Say how the chosen searcher stands after some evaluations.

    Two are told apart where the interval of their difference leaves out 0.
    """
    chosen, rivals = judgement.chosen, judgement.rivals[mark]
    own = judgement.levels[chosen][mark].mean
    beaten = [rival for rival in rivals if rival.difference.high < 0]
    ahead = [rival for rival in rivals if rival.difference.low > 0]
    level = [rival for rival in rivals if rival not in beaten and rival not in ahead]
    start = f"After {mark} evaluations {chosen} (mean regret {own.words()})"
    if not rivals:
        return f"{start} has no rival."
    if len(beaten) == len(rivals):
        nearest = max(beaten, key=lambda rival: rival.difference.value)
        return f"{start} is below every rival; the nearest is {_words([nearest])}."
    return (
        f"{start} is not below every rival. Below it: {_words(ahead)}. Not told apart from it: "
        f"{_words(level)}. It is below {_words(beaten)}."
    )


def _words(rivals: Sequence[Rival]) -> str:
    words = [f"{r.label} (difference {r.difference.words(signed=True)})" for r in rivals]
    return ", ".join(words) if words else "none"
