"""Registration of modules whose failed asserts pytest explains, as it does in test files."""

from __future__ import annotations

from rlquant.errors import SettingsError


def explain_asserts(*modules: str) -> None:
    """Have pytest explain the asserts of these modules; called before they are imported.

    Raises:
        SettingsError: pytest is not installed.
    """
    try:
        import pytest
    except ImportError as error:
        raise SettingsError(
            "the conformance suites need pytest; install it with: pip install 'rlquant[testing]'"
        ) from error
    pytest.register_assert_rewrite(*modules)
