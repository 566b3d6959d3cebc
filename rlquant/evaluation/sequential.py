"""Sequential requantization: layers are assigned again one after the other, from cut to cut.

The calibration samples run side by side through the float network and through the network that is
quantized so far, so that a layer is assigned by what it really reads, and by what it should have
read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from rlquant.evaluation.incremental import Stage
from rlquant.evaluation.segments import Pieces, Values
from rlquant.network.partial_pass import ended_after
from rlquant.network_inputs import first_input
from rlquant.samples import Samples

Assign = Callable[[Sequence[str], Tensor, Tensor], Mapping[str, Tensor]]
"""Layers that read one tensor, that tensor in the network quantized so far, and in the float
network in; the layers' new weights out."""


@dataclass(slots=True, eq=False)
class _Read:
    """What layers read in one pass: copies, as networks may write to a tensor later on."""

    copies: dict[str, Tensor] = field(default_factory=dict)
    alike: dict[tuple[int, int], list[str]] = field(default_factory=dict)
    _alive: list[Tensor] = field(default_factory=list)

    def note(self, name: str, given: Tensor) -> None:
        key = id(given), given._version
        known = self.alike.setdefault(key, [])
        self.copies[name] = self.copies[known[0]] if known else given.clone()
        known.append(name)
        self._alive.append(given)  # so that no other tensor is given its id

    @property
    def groups(self) -> Sequence[Sequence[str]]:
        """The layers of each tensor, in the order of the calls."""
        return list(self.alike.values())


class SequentialPass:
    """One pass over a network that assigns its layers again.

    Args:
        pieces: of the network, as evaluations run it.
        stages: the same pieces with what calibration does in them.
        samples: of calibration, run as one batch.
        runners: by layer, the module that is run; for all searched layers.
        weights: by layer, the parameter of the network.
    """

    def __init__(
        self,
        pieces: Pieces,
        stages: Sequence[Stage],
        samples: Samples,
        runners: Mapping[str, nn.Module],
        weights: Mapping[str, Tensor],
    ) -> None:
        self._pieces, self._stages, self._samples = pieces, stages, samples
        self._runners, self._weights = runners, weights

    def run(
        self,
        names: Sequence[str],
        floats: Mapping[str, Tensor],
        values: Mapping[str, Tensor],
        assign: Assign,
    ) -> None:
        """Assign layers again in the order in which the network runs them.

        The network is left with what it has at the end; whoever owns it sets its weights again.

        Args:
            names: of the layers; each is run once and reads one tensor.
            floats: float weights of all layers.
            values: quantized weights of all layers, to begin with.
            assign: is asked for new weights.
        """
        current = dict(values)
        wanted_before: Values = ()
        given_before: Values = ()
        with torch.no_grad():
            for place, stage in enumerate(self._stages):
                own = [name for name in stage.segment.decided if name in names]
                self._set(stage, floats)
                wanted, wanted_after = self._pass(place, wanted_before, own, quantized=False)
                self._set(stage, current)
                for group in wanted.groups:
                    given, _ = self._pass(place, given_before, group, onward=False)
                    first = group[0]
                    current |= assign(group, given.copies[first], wanted.copies[first])
                    self._set(stage, current)
                _, given_before = self._pass(place, given_before, ())
                wanted_before = wanted_after
            for stage in self._stages:
                stage.calibrator.restore()

    def _set(self, stage: Stage, values: Mapping[str, Tensor]) -> None:
        for name in stage.segment.layers:
            weight = self._weights[name]
            weight.data = values[name].to(weight.dtype)

    def _pass(
        self,
        place: int,
        before: Values,
        watched: Sequence[str],
        *,
        quantized: bool = True,
        onward: bool = True,
    ) -> tuple[_Read, Values]:
        """Run a segment.

        Args:
            place: its number.
            before: what crosses the cut before it.
            watched: layers in it whose inputs are noted.
            quantized: whether calibration takes back what quantization shifts.
            onward: whether it is run to its end; else until the watched layers have run.

        Returns:
            What was read, and what crosses the cut behind the segment.
        """
        calibrator, read = self._stages[place].calibrator, _Read()
        behind = self._stages[place + 1 : place + 2] if onward else []
        crossing: dict[int, Values] = {place: ()} if behind else {}
        waited_for = {self._runners[name] for name in watched}
        waited_for |= {self._runners[next_.segment.decided[0]] for next_ in behind}
        if not waited_for:
            return read, ()
        calibrator.restore()
        with ExitStack() as watching:
            if quantized:
                watching.enter_context(calibrator.watching())
            for name in watched:
                hook = _noter(name, read)
                handle = self._runners[name].register_forward_pre_hook(hook, with_kwargs=True)
                watching.callback(handle.remove)
            with ended_after(waited_for):
                self._pieces.run(place, self._samples, before, crossing)
        return read, crossing.get(place, ())


def _noter(name: str, read: _Read) -> Any:
    def hook(module: nn.Module, args: Any, keywords: Any) -> None:
        read.note(name, first_input(args, keywords))

    return hook
