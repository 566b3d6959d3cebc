"""Conformance suite for searchers: a class of pytest tests that a test class inherits from."""

from rlquant.testing.rewriting import explain_asserts

explain_asserts(f"{__name__}.searchers")

from rlquant_agents.testing.searchers import SearcherConformance  # noqa: E402

__all__ = ["SearcherConformance"]
