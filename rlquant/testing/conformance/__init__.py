"""Conformance suites: classes of pytest tests that a test class inherits from."""

from rlquant.testing.rewriting import explain_asserts

explain_asserts(f"{__name__}.problems", f"{__name__}.quantizers")

from rlquant.testing.conformance.problems import ProblemConformance  # noqa: E402
from rlquant.testing.conformance.quantizers import Quantize, QuantizerConformance  # noqa: E402

__all__ = ["ProblemConformance", "Quantize", "QuantizerConformance"]
