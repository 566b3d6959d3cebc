"""What a function of one's own returns, "module:function", as a task."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from rlquant.errors import DataError, SettingsError
from rlquant.plain_network import require_network
from rlquant.tasks.task import Task

RETURNS = "a rlquant.tasks.Task, or (network, training data, validation data[, test data])"


def load(model: str, *, text: Sequence[Path], images: Path | None) -> Task:
    """Call a function without arguments; its module may lie in the current folder.

    Args:
        model: "module:function".
        text: none.
        images: none.

    Raises:
        SettingsError: there is no such module or function, or it returns something else.
        DataError: texts or images are given.
    """
    if text or images is not None:
        raise DataError(f"{model} brings its own data: give no texts and no images")
    module, _, name = model.partition(":")
    with _current_folder():
        try:
            function = getattr(import_module(module), name, None)
        except ImportError as error:
            raise SettingsError(f"model {model!r}: {module} cannot be imported: {error}") from error
        if not callable(function):
            raise SettingsError(f"model {model!r}: {module} has no function {name!r}")
        return _task(model, function())


@contextmanager
def _current_folder() -> Iterator[None]:
    """Look for modules in the current folder first, as `python -m` does."""
    place = str(Path.cwd())
    sys.path.insert(0, place)
    try:
        yield
    finally:
        sys.path.remove(place)


def _task(model: str, made: Any) -> Task:
    if isinstance(made, Task):
        return made
    if not isinstance(made, tuple) or len(made) not in (3, 4):
        raise SettingsError(f"model {model!r} returns a {type(made).__name__}; return {RETURNS}")
    network, train, validation, *rest = made
    test = rest[0] if rest else validation
    return Task(model, require_network(network), train, validation, test)
