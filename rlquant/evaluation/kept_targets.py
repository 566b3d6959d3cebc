"""Targets that an objective makes: kept in memory up to a limit, offloaded to disk beyond it."""

from __future__ import annotations

import logging

from torch import Tensor

from rlquant.offloaded_tensors import OffloadFile
from rlquant.samples import Targets

logger = logging.getLogger(__name__)

TARGET_BYTES = 2**26
"""Targets of all batches that are kept in memory, at most."""


class KeptTargets:
    """Keeps targets by name in memory up to a limit, and on disk beyond it.

    Those of language models are large: a probability for each token of the vocabulary is half a
    gigabyte for 4,096 tokens. Reading it takes as long as the copy that each evaluation gets, far
    less than its forward pass. What a GPU holds stays there.
    """

    def __init__(self) -> None:
        self._bytes = 0
        self._file: OffloadFile | None = None
        self._full = False

    def keep(self, targets: Targets) -> Targets:
        """Return the targets of a batch as they are kept."""
        if isinstance(targets, Tensor) or self._full:
            return targets
        self._bytes += sum(tensor.nbytes for tensor in targets.values())
        on_cpu = all(tensor.device.type == "cpu" for tensor in targets.values())
        if self._bytes <= TARGET_BYTES or not on_cpu:
            return targets
        try:
            self._file = self._file or OffloadFile()
            return self._file.offload(targets)
        except OSError as error:
            logger.warning("targets stay in memory from here on, see TMPDIR: %s", error)
            self._full = True
            return targets
