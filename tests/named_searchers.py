"""Fixtures of searchers that are asked for by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rlquant_agents import Searcher, make_searcher


def these(*names: str) -> Callable[..., Searcher]:
    """A fixture: each of the searchers of these names in turn."""

    @pytest.fixture(params=names)
    def searcher(self: Any, request: pytest.FixtureRequest) -> Searcher:
        return make_searcher(request.param)

    return searcher
