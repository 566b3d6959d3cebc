"""Incremental evaluation: configurations that share a prefix run it once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import nn

from rlquant.evaluation.block_cuts import BlockPieces, cut_blocks
from rlquant.evaluation.cuts import Traced, cut
from rlquant.evaluation.prefix_trie import PrefixState, PrefixTrie
from rlquant.evaluation.process_memory import Gaps
from rlquant.evaluation.segments import CannotCut, Pieces, Segment, Values, Whole
from rlquant.network.calibrate import Calibrator, FloatReference
from rlquant.network.partial_pass import ended_after
from rlquant.precision import Precision, computing_in
from rlquant.samples import Samples
from rlquant.weight_sites import site_of

logger = logging.getLogger(__name__)

LEFT_FOR_GAPS = 1 / 8
"""Share of the memory that is lost between blocks of different sizes before gaps are closed."""

Cut = TypeVar("Cut", Traced, BlockPieces)
Decisions = Sequence[Hashable]
"""What was decided for the searched layers, in execution order."""


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """A segment with what calibration does in it; stages follow one another.

    Attributes:
        segment: what is run.
        calibrator: of the modules in here.
        decisions: how many layers are decided before its end.
        later_layers: searched layers that run in here or later.
    """

    segment: Segment
    calibrator: Calibrator
    decisions: int
    later_layers: tuple[str, ...]


class IncrementalNetwork:
    """Calibrates a network and runs it, from the longest prefix that is known of its decisions.

    Configurations that agree in the first layers share all that is computed up to the first layer
    in which they differ. What is kept of a run are the tensors that cross the cuts before layers,
    for calibration and for every validation batch, never above `max_bytes`. Outputs are those of
    the whole network bit for bit; a network that cannot be cut is run as a whole, which is said
    once.

    Args:
        network: a working copy in eval mode; whoever asks for a run installs its weights.
        layers: the searched layers in execution order.
        reference: what calibration needs of the float network.
        calibration: run as one batch.
        batches: the validation batches.
        max_bytes: for what is kept; 0 keeps nothing, None does not even cut the network.
        precision: in which validation batches run; calibration runs in the network's own.
    """

    def __init__(
        self,
        network: nn.Module,
        layers: Sequence[str],
        reference: FloatReference,
        calibration: Samples,
        batches: Sequence[Samples],
        max_bytes: int | None,
        precision: Precision = "own",
    ) -> None:
        self._calibration, self._batches = calibration, batches
        self._precision = precision
        samples = len(calibration) + sum(len(batch) for batch in batches)
        self.pieces: Pieces = Whole(network, tuple(layers))
        if max_bytes is not None:
            self.pieces = _cut_or_whole(network, layers, reference, batches)
        segments = self.pieces.segments
        self.stages = _stages(network, segments, reference)
        # by stage: storages that are held at its end, and their bytes for all samples
        self._held = [{k: int(b * samples) for k, b in (s.held or {}).items()} for s in segments]
        limit = max_bytes or 0
        self._gaps = Gaps(limit)
        self.trie = PrefixTrie(int(limit * (1 - LEFT_FOR_GAPS)))

    def run(
        self,
        decisions: Decisions,
        install: Callable[[Sequence[str]], None],
        following: Decisions | None = None,
    ) -> Iterator[Any]:
        """Calibrate, then yield the outputs of one validation batch after the other.

        Args:
            decisions: of all searched layers.
            install: given the layers that are going to run, sets their weights.
            following: of the configuration that is asked for next, where that is known: only what
                the two share is kept then.
        """
        length, state = self.trie.longest(decisions)
        first = next(i for i, s in enumerate(self.stages) if s.decisions > length)
        if state is None:
            first = 0
        install(self.stages[first].later_layers)
        shared = None if following is None else _agreed(decisions, following)
        kept = self._seconds_per_byte_keeping(first, decisions, shared)
        self._calibrate(first, state, kept)
        for number in range(len(self._batches)):
            outputs = self._outputs(first, state, number, kept)
            if number == len(self._batches) - 1:  # whoever asks may stop at the last ones
                self._keep(kept, first, decisions, pinned=shared is not None)
            yield outputs
            del outputs
            self._gaps.close(self.trie.bytes)

    def _keep(
        self,
        kept: Mapping[int, PrefixState],
        first: int,
        decisions: Decisions,
        *,
        pinned: bool,
    ) -> None:
        for place, state in kept.items():
            prefix = decisions[: self.stages[place].decisions]
            self.trie.keep(prefix, state, self._seconds_per_byte(first, place), pinned=pinned)

    @torch.inference_mode()
    def _calibrate(
        self, first: int, state: PrefixState | None, kept: Mapping[int, PrefixState]
    ) -> None:
        left = [stage.calibrator for stage in self.stages[first:] if stage.calibrator.modules]
        if not left:
            return
        crossing: dict[int, Values] = dict.fromkeys(kept, ())
        values = () if state is None else state.calibration
        with ExitStack() as watching:
            for calibrator in left:
                calibrator.restore()
                watching.enter_context(calibrator.watching())
            with ended_after(module for each in left for module in each.modules):
                self.pieces.run(first, self._calibration, values, crossing)
        for place, crossed in crossing.items():
            kept[place].calibration = crossed

    @torch.inference_mode()
    def _outputs(
        self, first: int, state: PrefixState | None, number: int, kept: Mapping[int, PrefixState]
    ) -> Any:
        crossing: dict[int, Values] = dict.fromkeys(kept, ())
        values = () if state is None else state.batches[number]
        batch = self._batches[number]
        with computing_in(self._precision, batch.device):
            outputs = self.pieces.run(first, batch, values, crossing)
        for place, crossed in crossing.items():
            kept[place].batches.append(crossed)
        return outputs

    def _seconds_per_byte_keeping(
        self, first: int, decisions: Decisions, shared: int | None
    ) -> dict[int, PrefixState]:
        """Return, for each stage whose end is to be kept, an empty state; there is room.

        Args:
            first: the stage to begin with.
            decisions: of all layers.
            shared: how many of them the next configuration shares, where that is known.
        """
        self.trie.pin(decisions[: shared or 0])
        there = set(self._held[first - 1]) if first else set()
        kept: dict[int, PrefixState] = {}
        needed = 0
        for place in range(len(self.stages) - 2, first - 1, -1):
            known = shared is not None and self.stages[place].decisions <= shared
            if shared is not None and not known:
                continue
            more = sum(b for k, b in self._held[place].items() if k not in there)
            if self.trie.make_room(
                needed + more, self._seconds_per_byte(first, place), pinned=known
            ):
                kept[place] = PrefixState(())
                needed += more
                there |= set(self._held[place])
        return dict(sorted(kept.items()))

    def _seconds_per_byte(self, first: int, place: int) -> float:
        """Return the seconds that a state saves, for each of its bytes."""
        seconds = sum(stage.segment.seconds for stage in self.stages[first : place + 1])
        return seconds / max(1, sum(self._held[place].values()))


def _agreed(decisions: Decisions, following: Decisions) -> int:
    """Return in how many layers from the first on two configurations agree."""
    pairs = enumerate(zip(decisions, following, strict=True))
    return next((i for i, (a, b) in pairs if a != b), len(decisions))


def _cut_or_whole(
    network: nn.Module,
    layers: Sequence[str],
    reference: FloatReference,
    batches: Sequence[Samples],
) -> Pieces:
    shapes = {len(batch): batch for batch in reversed(batches)}
    calibrated = [*reference.batch_norms, *reference.output_means]
    parts: dict[str, list[str]] = {}
    for name in layers:
        parts.setdefault(site_of(network, name).runner, []).append(name)
    modules = list(parts)
    try:
        return _of_layers(cut(network, modules, calibrated, list(shapes.values())), parts)
    except CannotCut as reason:
        not_at_layers = reason
    try:
        return _of_layers(cut_blocks(network, modules, calibrated, batches[0]), parts)
    except CannotCut as reason:
        logger.warning(
            "evaluations run the whole network each time, as it can be cut neither at its layers "
            "(%s) nor between its blocks (%s)",
            not_at_layers,
            reason,
        )
        return Whole(network, tuple(layers))


def _of_layers(pieces: Cut, parts: Mapping[str, Sequence[str]]) -> Cut:
    """Return pieces whose segments name layers in place of the modules that compute with them.

    Args:
        pieces: cut at modules.
        parts: the layers of each module.
    """

    def named(modules: Sequence[str]) -> tuple[str, ...]:
        return tuple(layer for module in modules for layer in parts[module])

    segments = tuple(
        replace(segment, decided=named(segment.decided), layers=named(segment.layers))
        for segment in pieces.segments
    )
    return replace(pieces, segments=segments)


def _stages(
    network: nn.Module, segments: Sequence[Segment], reference: FloatReference
) -> list[Stage]:
    later: dict[str, None] = {}
    stages: list[Stage] = []
    decisions = sum(len(segment.decided) for segment in segments)
    for segment in reversed(segments):
        calibrator = Calibrator(network, reference, segment.modules)
        later = dict.fromkeys((*segment.layers, *later))
        stages.append(Stage(segment, calibrator, decisions, tuple(later)))
        decisions -= len(segment.decided)
    return stages[::-1]
