"""The errors that users catch: all in one module, and in the reference."""

from __future__ import annotations

import re
from pathlib import Path

import rlquant

REFERENCE = Path(__file__).parents[1] / "docs" / "reference" / "errors.md"


def test_the_reference_lists_every_error_with_the_built_in_it_is() -> None:
    found = {
        name: tuple(base.__name__ for base in error.__bases__ if base is not rlquant.RlquantError)
        for name, error in vars(rlquant.errors).items()
        if isinstance(error, type) and issubclass(error, rlquant.RlquantError)
    }
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", REFERENCE.read_text(), re.MULTILINE)
    assert {name: tuple(re.findall(r"`(\w+)`", bases)) for name, bases in rows} == found
