"""The errors of rlquant: one family, and each is also the built-in a caller would expect."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from difflib import get_close_matches
from numbers import Integral
from typing import Any

from rlquant.counted import counted

MOST_MESSAGE = 500
"""Characters of an error's message."""
_LEFT_OUT = " [...] "
_END = 160
"""Of a longer message the last characters stay, which say what to do."""


def shortened(message: str) -> str:
    """Return a message of at most `MOST_MESSAGE` characters: its beginning and its end."""
    if len(message) <= MOST_MESSAGE:
        return message
    return message[: MOST_MESSAGE - _END - len(_LEFT_OUT)] + _LEFT_OUT + message[-_END:]


class RlquantError(Exception):
    """Base of everything that rlquant raises on purpose; a message is never long.

    What stands in it may come from a file, and a value there may be as large as it likes.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*(shortened(a) if isinstance(a, str) else a for a in args))


class ChoiceError(RlquantError, ValueError):
    """A layer choice, configuration or search space that cannot exist."""


class QuantizationError(RlquantError, ValueError):
    """A tensor that cannot be quantized as asked (not finite, wrong points, wrong sizes)."""


class NetworkError(RlquantError, ValueError):
    """A network that cannot be searched or quantized as it is."""


class DataError(RlquantError, ValueError):
    """Data that cannot be used: empty, exhausted, out of range, or overlapping."""


class BudgetError(RlquantError, ValueError):
    """A budget that makes no sense or that no configuration can keep."""


class SettingsError(RlquantError, ValueError):
    """A setting outside what is allowed."""


class RenderModeError(SettingsError, TypeError):
    """A mode of rendering was asked for; at a TypeError Stable-Baselines3 tries again without."""


class ArgumentError(RlquantError, TypeError):
    """An argument of a type that a call does not take."""


class UnknownNameError(RlquantError, KeyError):
    """A name that no registry knows."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class FileFormatError(RlquantError, ValueError):
    """A file that is damaged, foreign, or of another version."""


class ConfigFormatError(FileFormatError, ChoiceError):
    """A text that is no configuration."""


class StorageError(RlquantError, OSError):
    """A folder or file that cannot be written or read."""


class FolderInUseError(StorageError):
    """A folder or file that another run writes at this moment, or may be writing."""


class WorkerError(RlquantError, RuntimeError):
    """A process that evaluates for this one and that ended by itself, or failed without words."""


class EvaluationStopped(Exception):
    """A watcher ended the training of an evaluation, which therefore has no score.

    Attributes:
        steps: of training until then.
    """

    def __init__(self, steps: int) -> None:
        super().__init__(f"stopped after {counted(steps, 'step')}")
        self.steps = steps


def require_not_negative(place: str, field: str, value: float) -> None:
    """Raise `SettingsError` unless `value` is finite and 0 or more."""
    require_finite(place, field, value)
    if value < 0:
        raise SettingsError(f"{place}: {field}={value!r}, use 0 or more")


def require_finite(place: str, field: str, value: float, *, above: float | None = None) -> None:
    """Raise `SettingsError` unless `value` is finite and, where given, greater than `above`."""
    finite = value == value and abs(value) != float("inf")
    if not finite or (above is not None and value <= above):
        limit = "" if above is None else f" greater than {above}"
        raise SettingsError(f"{place}: {field}={value!r} must be a finite number{limit}")


LARGEST_SEED = 2**63 - 1
"""What PyTorch's generators take."""


def whole_number(name: str, value: Any, least: int, most: int | None = None) -> int:
    """Return a whole number as an int, NumPy's too; `SettingsError` for anything else."""
    if not isinstance(value, bool) and isinstance(value, Integral):
        number = operator.index(value)
        if number >= least and (most is None or number <= most):
            return number
    limits = f"of at least {least}" if most is None else f"from {least} to {most}"
    raise SettingsError(f"{name}={value!r}, use a whole number {limits}")


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """Build the error for a name that is not registered, with the nearest known one."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return UnknownNameError(f"unknown {kind} {name!r}; {hint}known: {', '.join(names)}")
