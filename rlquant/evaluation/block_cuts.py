"""Cuts of any network between its blocks: those before a cut answer with what they gave before.

A network that torch.fx cannot trace, such as a transformer of Hugging Face, is cut between the
modules of its `nn.ModuleList` and `nn.Sequential`. From a cut on the whole network's own forward is
run, with its embeddings and masks, but the blocks before the cut return what is recorded of them:
the one before the cut its outputs, the others NaN in the same shapes, which take no memory. That
nothing depends on what is not recorded is verified on real samples, bit for bit.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from rlquant.evaluation.segments import (
    CannotCut,
    Segment,
    Values,
    reference_outputs,
    require_equal,
    tensors_of,
)
from rlquant.forward_pass import own, run
from rlquant.samples import Samples

VERIFIED, POSITIONS = 2, 64
"""Samples that the segments are compared with the whole network on, and tokens of each."""


def cut_blocks(
    network: nn.Module, layers: Sequence[str], calibrated: Iterable[str], batch: Samples
) -> BlockPieces:
    """Cut a network between its blocks.

    Args:
        network: a working copy in eval mode, which is what is run.
        layers: the searched layers in execution order.
        calibrated: modules that calibration changes.
        batch: of its first samples the segments are verified on.

    Raises:
        CannotCut: there are no blocks that each run once, the network is random or changes itself
            when run, or what is run from a cut on gives anything else than the whole.
    """
    without_caches(network)
    few = batch.first(VERIFIED)
    try:
        calls, expected = _reference(network, few.shortened(POSITIONS))
        few = few.shortened(POSITIONS)
    except CannotCut:
        raise
    except Exception:  # it takes samples of one length alone
        calls, expected = _reference(network, few)
    chain = _Chain.of(network, calls, layers, {*layers, *calibrated})
    if not chain.cuts:
        raise CannotCut(
            "it has no blocks (in an nn.ModuleList or nn.Sequential) that run once each"
        )
    try:
        return _verified(_pieces(network, calls, chain, layers, ends=False), few, expected)
    except Exception:  # the network's own code, given other tensors than it is used to
        pieces = _pieces(network, calls, chain, layers, ends=True)
    try:
        return _verified(pieces, few, expected)
    except CannotCut:
        raise
    except Exception as error:  # as above
        reason = (str(error).splitlines() or [""])[0][:150]
        raise CannotCut(
            f"run from a block on, it fails ({type(error).__name__}: {reason})"
        ) from error


def _reference(network: nn.Module, few: Samples) -> tuple[_Calls, Any]:
    """Return what a pass calls, and the network's outputs."""
    expected = reference_outputs(network, few)
    return _Calls.of(network, few), expected


def _pieces(
    network: nn.Module, calls: _Calls, chain: _Chain, layers: Sequence[str], *, ends: bool
) -> BlockPieces:
    return BlockPieces(
        network,
        tuple(_segments(calls, chain, layers)),
        tuple(map(network.get_submodule, chain.steps)),
        tuple(map(network.get_submodule, chain.cuts)),
        chain.needed(calls, ends=ends),
    )


@dataclass(frozen=True, slots=True, eq=False)
class BlockPieces:
    """A network in segments of blocks.

    What crosses a cut is what each step gives that was done before it, in order.

    Attributes:
        network: what is run.
        segments: in order; a segment ends where the block is called that the next begins with.
        steps: modules that answer behind their segment: all blocks but those behind the last cut,
            and modules outside of them that run once.
        starts: the first block behind each cut.
        needed: for each cut, the numbers of the steps before it whose outputs are recorded.
    """

    network: nn.Module
    segments: tuple[Segment, ...]
    steps: tuple[nn.Module, ...]
    starts: tuple[nn.Module, ...]
    needed: tuple[frozenset[int], ...]

    def run(self, first: int, batch: Samples, values: Values, kept: dict[int, Values]) -> Any:
        """Run the network, with what was done before a segment answering; see `Pieces`."""
        recorder = _Recorder(list(values), frozenset().union(*(self.needed[i] for i in kept)))
        with ExitStack() as changed:
            for module, answer in zip(self.steps, values, strict=False):
                changed.enter_context(_answering(module, answer))
            for module in self.steps[len(values) :] if kept else ():
                changed.callback(module.register_forward_hook(recorder.note).remove)
            for place in kept:
                hook = self._keeper(place, recorder, kept)
                changed.callback(self.starts[place].register_forward_pre_hook(hook).remove)
            return run(self.network, batch.inputs)

    def _keeper(self, place: int, recorder: _Recorder, kept: dict[int, Values]) -> Any:
        def hook(module: nn.Module, args: Any) -> None:
            kept[place] = recorder.values(self.needed[place])

        return hook


@dataclass(slots=True, eq=False)
class _Recorder:
    """What the steps gave so far, in order; NaN where nobody needs it."""

    answers: list[Any]
    needed: frozenset[int]

    def note(self, module: nn.Module, args: Any, output: Any) -> None:
        keep = len(self.answers) in self.needed
        self.answers.append(tree_map_only(Tensor, own if keep else _blank, output))

    def values(self, needed: frozenset[int]) -> Values:
        return tuple(
            answer if number in needed else tree_map_only(Tensor, _blank, answer)
            for number, answer in enumerate(self.answers)
        )


def _blank(tensor: Tensor) -> Tensor:
    """Return NaN in the same shape, one number in memory; whole numbers as they are."""
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return own(tensor)
    return tensor.new_full((), torch.nan).expand(tensor.shape)


def _is_blank(tensor: Tensor) -> bool:
    return tensor.numel() > 1 and tensor.untyped_storage().nbytes() == tensor.element_size()


@contextmanager
def _answering(module: nn.Module, answer: Any) -> Iterator[None]:
    """Within the context a module gives a copy of an answer instead of running."""

    def forward(*args: Any, **keywords: Any) -> Any:
        return tree_map_only(Tensor, lambda t: t if _is_blank(t) else own(t), answer)

    with _forward_of(module, forward):
        yield


@contextmanager
def _forward_of(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    own_attributes = vars(module)
    before = {k: v for k, v in own_attributes.items() if k == "forward"}
    own_attributes["forward"] = forward
    try:
        yield
    finally:
        del own_attributes["forward"]
        own_attributes.update(before)


class _Reached(BaseException):
    """A pass has come to a block behind which nothing is asked for; no `except` is to catch it."""


def _stop(*args: Any, **keywords: Any) -> Any:
    raise _Reached


# --- what a pass calls


@dataclass(frozen=True, slots=True, eq=False)
class _Calls:
    """The modules that one forward pass calls.

    Attributes:
        order: their names in the order of the calls, the network's own, "", first.
        times: when each call began, in seconds; and when the last ended.
        first: the place in `order` of each one's first call.
        once: those that are called once.
    """

    order: Sequence[str]
    times: Sequence[float]
    first: Mapping[str, int]
    once: frozenset[str]

    @classmethod
    def of(cls, network: nn.Module, batch: Samples) -> _Calls:
        """Run a network, and note what it calls."""
        order: list[str] = []
        times: list[float] = []

        def noter(name: str) -> Any:
            def hook(module: nn.Module, args: Any) -> None:
                order.append(name)
                times.append(time.perf_counter())

            return hook

        with ExitStack() as watching, torch.no_grad():
            for name, module in network.named_modules():
                watching.callback(module.register_forward_pre_hook(noter(name)).remove)
            run(network, batch.inputs)
        times.append(time.perf_counter())
        counts = Counter(order)
        first = {name: place for place, name in reversed(list(enumerate(order)))}
        return cls(order, times, first, frozenset(n for n, c in counts.items() if c == 1))


# --- the chain of blocks


@dataclass(frozen=True, slots=True, eq=False)
class _Chain:
    """Blocks that run once each, one after the other.

    Attributes:
        blocks: their names, in the order of their calls.
        steps: what may answer behind its segment, in order: all blocks but the last, and other
            searched or calibrated modules that run once before the last.
        cuts: the blocks to cut before; some layers are decided before each, and others behind.
    """

    blocks: Sequence[str]
    steps: Sequence[str]
    cuts: Sequence[str]

    @classmethod
    def of(
        cls, network: nn.Module, calls: _Calls, layers: Sequence[str], special: set[str]
    ) -> _Chain:
        blocks = _finest(network, calls, layers)
        if not blocks:
            return cls((), (), ())
        last = calls.first[blocks[-1]]
        beside = [n for n in special & calls.once if _block_of(n, blocks) is None]
        steps = [name for name in (*blocks, *beside) if calls.first[name] < last]
        steps.sort(key=calls.first.__getitem__)
        return cls(blocks, steps, _deciding(calls, blocks, layers))

    def needed(self, calls: _Calls, *, ends: bool) -> tuple[frozenset[int], ...]:
        """Return for each cut which steps before it are recorded.

        These are the block before the cut and what runs between the two.

        Args:
            calls: of a pass.
            ends: record as well what runs before the first block, and the last block of each list.
        """
        lasting = {one for one, other in pairwise(self.blocks) if _list_of(one) != _list_of(other)}
        lasting |= {n for n in self.steps if calls.first[n] < calls.first[self.blocks[0]]}
        found = []
        for cut in self.cuts:
            before = self.blocks[self.blocks.index(cut) - 1]
            since, until = calls.first[before], calls.first[cut]
            found.append(
                frozenset(
                    number
                    for number, name in enumerate(self.steps)
                    if since <= calls.first[name] < until
                    or (ends and name in lasting and calls.first[name] < until)
                )
            )
        return tuple(found)


def _list_of(block: str) -> str:
    return block.rpartition(".")[0]


def _inside(name: str, block: str) -> bool:
    return name == block or name.startswith(f"{block}.")


def _block_of(name: str, blocks: Iterable[str]) -> str | None:
    return next((block for block in blocks if _inside(name, block)), None)


def _finest(network: nn.Module, calls: _Calls, layers: Sequence[str]) -> list[str]:
    """Return blocks in the order of their calls.

    A block that has blocks in it gives way to them where all layers between the first and the last
    block are still in one.
    """
    found = _blocks_in(network, "", calls, layers)
    waiting = list(found)
    while waiting:
        block = waiting.pop()
        inner = _blocks_in(network, block, calls, layers)
        finer = [*(other for other in found if other != block), *inner]
        finer.sort(key=calls.first.__getitem__)
        if len(inner) > 1 and _holds(finer, calls, layers):
            found = finer
            waiting += inner
    return sorted(found, key=calls.first.__getitem__)


def _blocks_in(network: nn.Module, root: str, calls: _Calls, layers: Sequence[str]) -> list[str]:
    """Return the outermost members of lists and sequences below `root` that run once."""
    found: list[str] = []
    for name, _ in network.get_submodule(root).named_modules(prefix=root):
        if name == root or _block_of(name, found) is not None:
            continue
        parent = network.get_submodule(_list_of(name))
        listed = isinstance(parent, (nn.ModuleList, nn.Sequential)) and name in calls.once
        if listed and any(_inside(layer, name) for layer in layers):
            found.append(name)
    return found


def _holds(blocks: Sequence[str], calls: _Calls, layers: Sequence[str]) -> bool:
    """Return whether every layer called between the first and the last block is in one."""
    start, end = calls.first[blocks[0]], calls.first[blocks[-1]]
    between = set(calls.order[start:end])
    return all(_block_of(name, blocks) is not None for name in layers if name in between)


def _deciding(calls: _Calls, blocks: Sequence[str], layers: Sequence[str]) -> list[str]:
    """Return the blocks before which some layers are decided since the cut before."""
    found: list[str] = []
    decided = 0
    for block in blocks[1:]:
        before = sum(calls.first[layer] < calls.first[block] for layer in layers)
        if decided < before < len(layers):
            found.append(block)
            decided = before
    return found


def _segments(calls: _Calls, chain: _Chain, layers: Sequence[str]) -> Iterator[Segment]:
    """Yield the segments, without what crosses their cuts."""
    bounds = [0, *(calls.first[block] for block in chain.cuts), len(calls.order)]
    held = (*chain.blocks, *chain.steps)
    again = {n for n in layers if _block_of(n, held) is None and n not in calls.once}
    decided: set[str] = set()
    for start, end in pairwise(bounds):
        called = set(calls.order[start:end])
        yield Segment(
            decided=tuple(name for name in layers if name in called - decided),
            layers=tuple(name for name in layers if name in called | again),
            modules=frozenset(called),
            seconds=(calls.times[end] - calls.times[start]) / VERIFIED,
        )
        decided |= called


# --- verification


def _verified(pieces: BlockPieces, few: Samples, expected: Any) -> BlockPieces:
    """Return the pieces with what crosses their cuts; `CannotCut` unless they give the same.

    Each segment is run alone from what crossed the cut before, up to the next cut.
    """
    cuts = range(len(pieces.starts))
    recorded: dict[int, Values] = dict.fromkeys(cuts, ())
    with torch.no_grad():
        require_equal(expected, pieces.run(0, few, (), recorded))
        for place in cuts[:-1]:
            following: dict[int, Values] = {place + 1: ()}
            with suppress(_Reached), _forward_of(pieces.starts[place + 1], _stop):
                pieces.run(place + 1, few, recorded[place], following)
            require_equal(_real(recorded[place + 1]), _real(following[place + 1]))
        require_equal(expected, pieces.run(len(cuts), few, recorded[cuts[-1]], {}))
    held = [dict(_bytes_of(recorded[place], len(few))) for place in cuts]
    segments = zip(pieces.segments, [*held, {}], strict=True)
    return replace(pieces, segments=tuple(replace(s, held=bytes_) for s, bytes_ in segments))


def _real(values: Values) -> list[Any]:
    """Return what crosses a cut, without the tensors that nobody needs."""
    leaves = tree_leaves(values)
    return [leaf for leaf in leaves if not (isinstance(leaf, Tensor) and _is_blank(leaf))]


def _bytes_of(values: Values, samples: int) -> Iterator[tuple[int, float]]:
    """Yield by number of a step the bytes of a sample."""
    for number, answer in enumerate(values):
        tensors = [t for t in tensors_of((answer,)) if not _is_blank(t)]
        if tensors:
            yield number, sum(t.untyped_storage().nbytes() for t in tensors) / samples


def without_caches(network: nn.Module) -> None:
    """Have Hugging Face's networks keep no keys and values for tokens that are not asked for."""
    for module in network.modules():
        config: Any = getattr(module, "config", None)
        if getattr(config, "use_cache", None) is True:
            config.use_cache = False
