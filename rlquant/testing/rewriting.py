"""Registration of modules whose failed asserts pytest explains, as it does in test files."""

from __future__ import annotations

from rlquant.errors import SettingsError
from rlquant.pasting import install


def explain_asserts(*modules: str) -> None:
    """Have pytest explain the asserts of these modules; called before they are imported.

    Raises:
        SettingsError: pytest is not installed.
    """
    try:
        import pytest
    except ImportError as error:
        command = install("'rlquant[testing]'")
        raise SettingsError(f"the conformance suites need pytest: run `{command}`") from error
    pytest.register_assert_rewrite(*modules)
