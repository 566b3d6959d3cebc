"""Token racing: many configurations looked at on few tokens, the best of them on more.

The stages are those of EvoPress (Sieberling et al. 2024), successive halving over tokens.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from rlquant import Problem
from rlquant.cost.feasible import Indices
from rlquant.errors import SettingsError, whole_number
from rlquant.problem.protocol import Tokenized
from rlquant_agents.search.session import Session


def survivors(
    session: Session, rows: Indices, tokens: Sequence[int], sizes: Sequence[int]
) -> Indices:
    """Return the rows that are left after stages of more and more tokens.

    A stage that would leave less than one evaluation is not run, nor is one that has nothing to
    decide; its first rows go on.

    Args:
        session: pays.
        rows: likeliest first, shape `(n, layers)`.
        tokens: of each stage.
        sizes: how many rows each stage begins with, and how many are left of the last one.

    Returns:
        At most `sizes[-1]` rows, the best first.
    """
    left = list(dict.fromkeys(map(tuple, rows.tolist())))[: sizes[0]]
    for stage, size in zip(tokens, sizes[1:], strict=True):
        if len(left) > size and session.affords_looks(left, stage):
            values = np.array(session.looks.values(left, stage))
            left = [left[i] for i in np.argsort(-values, kind="stable")]
        left = left[:size]
    return np.array(left, dtype=np.int64).reshape(-1, rows.shape[1])


def token_stages(setting: str, tokens: Any) -> tuple[int, ...]:
    """Return the stages of a setting; `SettingsError` for what are no growing whole numbers."""
    if isinstance(tokens, str | bytes) or not isinstance(tokens, Sequence):
        raise SettingsError(f"{setting}={tokens!r}, use whole numbers such as (2048, 16384)")
    found = tuple(whole_number(setting, count, 1) for count in tokens)
    if any(later <= earlier for earlier, later in itertools.pairwise(found)):
        raise SettingsError(f"{setting}={tokens!r}, use numbers that grow, such as (2048, 16384)")
    return found


def require_tokenized(setting: str, tokens: Sequence[int], problem: Problem) -> None:
    """Raise `SettingsError` where stages cannot be run on a problem, or are no smaller than it."""
    if not tokens:
        return
    if not isinstance(problem, Tokenized):
        raise SettingsError(
            f"{setting}={tokens!r}: a {type(problem).__name__} is not evaluated on tokens; leave "
            f"it out, or give a QuantizationProblem"
        )
    if tokens[-1] >= problem.tokens:
        raise SettingsError(
            f"{setting}={tokens!r}: an evaluation has {problem.tokens} tokens, and stages have to "
            f"have fewer; leave out what does not"
        )
    problem.at_tokens(tokens[0])  # refuses what configurations are trained for
