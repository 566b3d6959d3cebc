"""Closing of resources that does not hide the error behind it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

logger = logging.getLogger(__name__)


@contextmanager
def closed_after(close: Callable[[], None]) -> Iterator[None]:
    """Call `close` after the block; its own error never takes the place of one of the block."""
    try:
        yield
    except BaseException:
        try:
            close()
        except Exception as error:
            logger.warning("closing failed as well: %s", error)
        raise
    close()
