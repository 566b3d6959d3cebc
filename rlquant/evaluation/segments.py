"""Segments of a network, and what every way of cutting a network into them has in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from rlquant.forward_pass import run
from rlquant.samples import Samples

Values = tuple[Any, ...]
"""What crosses a cut, for one batch: mostly tensors, sometimes shapes."""


class CannotCut(Exception):
    """The network cannot be cut in this way; the message says why."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Segment:
    """What is run between two cuts.

    Attributes:
        decided: the searched layers that are run in here for the first time.
        layers: the searched layers that are run in here, for the first time or again.
        modules: paths of the modules that are run in here.
        seconds: of one sample, measured; what the segment costs against others.
        held: storages that cross the cut behind: number -> bytes a sample.
    """

    decided: tuple[str, ...]
    layers: tuple[str, ...]
    modules: frozenset[str]
    seconds: float = 0.0
    held: Mapping[int, float] | None = None


class Pieces(Protocol):
    """A network in segments, which is run from any cut on."""

    @property
    def segments(self) -> Sequence[Segment]:
        """The segments in order."""

    def run(self, first: int, batch: Samples, values: Values, kept: dict[int, Values]) -> Any:
        """Run the network from a segment on.

        Args:
            first: the segment's number.
            batch: the samples.
            values: what crossed the cut before it for this batch; nothing before the first one.
            kept: by number of a segment, is given what crosses the cut behind it.

        Returns:
            The network's outputs.
        """


@dataclass(frozen=True, slots=True, eq=False)
class Whole:
    """A network as one segment."""

    network: nn.Module
    layers: tuple[str, ...]

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The one segment."""
        names = frozenset(name for name, _ in self.network.named_modules())
        return (Segment(decided=self.layers, layers=self.layers, modules=names),)

    def run(self, first: int, batch: Samples, values: Values, kept: dict[int, Values]) -> Any:
        """Run the network; there is no cut."""
        return run(self.network, batch.inputs)


def reference_outputs(network: nn.Module, batch: Samples) -> Any:
    """Return the network's outputs; `CannotCut` where it is random or changes itself."""
    state = [*network.parameters(), *network.buffers()]
    versions = [tensor._version for tensor in state]
    with torch.no_grad():
        first = run(network, batch.inputs)
        again = run(network, batch.inputs)
    if versions != [tensor._version for tensor in state]:
        raise CannotCut("it changes its own parameters or buffers when it is run")
    require_equal(first, again, "it gives something else when it is run again")
    return first


def require_equal(
    expected: Any, given: Any, message: str = "its pieces give something else than the whole"
) -> None:
    """Raise `CannotCut` unless two outputs are the same, bit for bit."""
    ours, theirs = tree_leaves(expected), tree_leaves(given)
    same = len(ours) == len(theirs) and type(expected) is type(given)
    if not same or not all(map(_same, ours, theirs)):
        raise CannotCut(message)


def _same(one: Any, other: Any) -> bool:
    if not isinstance(one, Tensor) or not isinstance(other, Tensor):
        return isinstance(one, (int, float, str, type(None))) and one == other
    return one.dtype == other.dtype and one.stride() == other.stride() and torch.equal(one, other)


def tensors_of(values: Any) -> list[Tensor]:
    """Return the tensors among what crosses a cut."""
    leaves = values if all(isinstance(v, Tensor) for v in values) else tree_leaves(values)
    return [value for value in leaves if isinstance(value, Tensor)]
