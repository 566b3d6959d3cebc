"""A forward pass that ends where nothing more is asked of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from torch import nn


class _Done(BaseException):
    """All that was asked for has run; no `except` of a network is to catch it."""


@contextmanager
def ended_after(modules: Iterable[nn.Module]) -> Iterator[None]:
    """End what runs in the context once all of these modules have run.

    What a network computes behind them is left out: the logits of a language model would take more
    memory than all the rest. Hooks registered before have run by then.

    Args:
        modules: to wait for; where one never runs, the pass runs to its end.
    """
    waiting = set(modules)

    def done(module: nn.Module, args: Any, output: Any) -> None:
        waiting.discard(module)
        if not waiting:
            raise _Done

    with ExitStack() as watching:
        for module in set(waiting):
            watching.callback(module.register_forward_hook(done).remove)
        with suppress(_Done):
            yield
