"""The precision in which evaluations compute: the network's own, or bfloat16 by autocast."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, get_args

import torch

from rlquant.errors import SettingsError

Precision = Literal["own", "bfloat16"]
"""The network's own types, or products of matrices in bfloat16 (`torch.autocast`)."""


def computing_in(precision: Precision, device: torch.device) -> AbstractContextManager[Any]:
    """Return a context in which a network on `device` computes in a precision."""
    if precision == "own":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def require_precision(precision: Any) -> None:
    """Raise `SettingsError` for what is no value of `Precision`."""
    if precision not in get_args(Precision):
        allowed = ", ".join(map(repr, get_args(Precision)))
        raise SettingsError(f"precision={precision!r} is not one of {allowed}")
