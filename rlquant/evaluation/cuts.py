"""Cuts of a network before its searched layers, so that unchanged prefixes are not run again.

The network is traced with torch.fx and cut before the first call of every searched layer. A piece
runs the same modules and functions on the same tensors as the whole network does; `cut` checks that
on real samples, bit for bit, and refuses what it cannot verify.

torch.fx makes Python source of a graph and executes it, and writes names into it as they are. So no
name of the network gets there: what a piece runs and reads is numbered.
"""

from __future__ import annotations

import inspect
import keyword
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, fx, nn

from rlquant.evaluation.segments import (
    CannotCut,
    Segment,
    Values,
    reference_outputs,
    require_equal,
    tensors_of,
)
from rlquant.forward_pass import own
from rlquant.samples import Samples

Run = Callable[..., Any]


@dataclass(frozen=True, slots=True, eq=False)
class Traced:
    """A network in segments that torch.fx traced.

    Attributes:
        segments: in order.
        runs: of each segment; what crosses the cut before, in order -> what crosses the cut
            behind, or, from the last segment, the network's outputs.
    """

    segments: tuple[Segment, ...]
    runs: tuple[Run, ...]

    def run(self, first: int, batch: Samples, values: Values, kept: dict[int, Values]) -> Any:
        """Run the segments from one on; see `Pieces`."""
        given: Any = batch.positional if first == 0 else values
        for place in range(first, len(self.runs)):
            given = self.runs[place](*given)
            if place in kept:
                kept[place] = given
        return given


def cut(
    network: nn.Module,
    layers: Sequence[str],
    calibrated: Iterable[str],
    batches: Sequence[Samples],
) -> Traced:
    """Cut a network before the first call of each searched layer.

    Args:
        network: a working copy in eval mode; the segments run its very modules.
        layers: the searched layers in execution order.
        calibrated: modules that calibration changes.
        batches: what the pieces are compared with the whole network on.

    Raises:
        CannotCut: the network cannot be traced, is random or changes itself when run, uses a
            searched weight outside its layer, or its pieces give anything else than the whole.
    """
    special = {*layers, *calibrated}
    if isinstance(batches[0].inputs, dict):
        raise CannotCut("it takes its inputs by name, which torch.fx does not trace")
    graph = _traced(network, special, len(batches[0].inputs))
    for node in graph.nodes:
        if node.op == "call_function" and node.target is getattr and node.args[1] == "data":
            raise CannotCut("its forward uses .data, and what is written there is not always seen")
        if node.op == "get_attr" and node.target.rpartition(".")[0] in special:
            raise CannotCut(f"its forward uses {node.target} outside of the layer's own module")
        for name in node.kwargs:
            if not name.isidentifier() or keyword.iskeyword(name):
                raise CannotCut(f"its forward passes an argument named {name!r}")
    pieces = _pieces(graph, layers)
    runs = [_build(network, piece, ()) for piece in pieces]
    outputs = [reference_outputs(network, batch) for batch in batches]
    copied = _copied_places(runs, batches)
    runs = [
        _build(network, piece, places) if places else run
        for piece, run, places in zip(pieces, runs, copied, strict=True)
    ]
    for batch, expected in zip(batches, outputs, strict=True):
        require_equal(expected, _run_through(runs, batch))
    segments = [_segment(piece, layers) for piece in pieces]
    return Traced(tuple(_measured(segments, runs, batches[0])), tuple(runs))


# --- tracing


class _Tracer(fx.Tracer):
    """Takes searched and calibrated modules as they are, and looks into what contains one."""

    def __init__(self, special: Iterable[str]) -> None:
        super().__init__()
        self._special = frozenset(special)

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        """Return whether a module is one step of the graph."""
        if name in self._special:
            return True
        if any(inner.startswith(f"{name}.") for inner in self._special):
            return False
        return super().is_leaf_module(module, name)


def _traced(network: nn.Module, special: set[str], inputs: int) -> fx.Graph:
    try:
        parameters = list(inspect.signature(network.forward).parameters.values())
        defaults = {p.name: p.default for p in parameters[inputs:] if p.default is not p.empty}
        graph = _Tracer(special).trace(network, concrete_args=defaults or None)
    except Exception as error:  # tracing runs the user's code, which may raise anything
        reason = (str(error).splitlines() or [""])[0]
        raise CannotCut(f"torch.fx cannot trace it ({type(error).__name__}: {reason})") from error
    placeholders = [node for node in graph.nodes if node.op == "placeholder"]
    for extra in placeholders[inputs:]:
        _erase(graph, extra)
    return graph


def _erase(graph: fx.Graph, node: fx.Node) -> None:
    """Erase an argument that keeps its default: nothing uses it but checks that it does."""
    for user in list(node.users):
        _erase(graph, user)
    graph.erase_node(node)


# --- pieces of the graph


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """Some nodes of the graph in order, and what they take and give."""

    nodes: tuple[fx.Node, ...]
    takes: tuple[fx.Node, ...]
    gives: tuple[fx.Node, ...] | fx.Node
    decided: str | None


def _pieces(graph: fx.Graph, layers: Sequence[str]) -> list[_Piece]:
    inputs = tuple(node for node in graph.nodes if node.op == "placeholder")
    output = next(node for node in graph.nodes if node.op == "output")
    parts: list[list[fx.Node]] = [[]]
    decided: list[str | None] = [None]
    for node in graph.nodes:
        if node.op in ("placeholder", "output"):
            continue
        if node.op == "call_module" and node.target in layers and node.target not in decided:
            parts.append([])
            decided.append(str(node.target))
        parts[-1].append(node)
    if decided[1:] != list(layers):
        raise CannotCut(f"traced, it runs the layers {decided[1:]} instead of {list(layers)}")
    if not parts[0]:
        del parts[0], decided[0]
    order = {node: i for i, node in enumerate(graph.nodes)}
    last_use = {n: max((order[user] for user in n.users), default=-1) for n in graph.nodes}
    pieces = []
    takes = inputs
    for number, (nodes, layer) in enumerate(zip(parts, decided, strict=True)):
        if number == len(parts) - 1:
            pieces.append(_Piece(tuple(nodes), takes, output, layer))
            break
        end = order[parts[number + 1][0]]
        gives = tuple(node for node in (*takes, *nodes) if last_use[node] >= end)
        pieces.append(_Piece(tuple(nodes), takes, gives, layer))
        takes = gives
    return pieces


def _build(network: nn.Module, piece: _Piece, copied: Sequence[int]) -> Run:
    """Return what runs a piece; the inputs at the places `copied` are copied first."""
    graph = fx.Graph()
    known = {node: graph.placeholder(f"given_{i}") for i, node in enumerate(piece.takes)}
    for place in copied:
        node = piece.takes[place]
        known[node] = graph.call_method("clone", (known[node],))
    parts: dict[str, Any] = {}
    for node in piece.nodes:
        target = node.target
        if node.op in ("call_module", "get_attr"):
            target = f"part_{len(parts)}"
            parts[target] = attrgetter(str(node.target))(network)
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), known.__getitem__)
        known[node] = graph.create_node(node.op, target, args, kwargs, f"value_{len(known)}")
    if isinstance(piece.gives, fx.Node):
        graph.output(fx.node.map_arg(piece.gives.args[0], known.__getitem__))
    else:
        graph.output(tuple(known[node] for node in piece.gives))
    forward: Run = fx.GraphModule(parts, graph).eval().forward
    return forward


def _segment(piece: _Piece, layers: Sequence[str]) -> Segment:
    """Return what is known of a piece before it is run."""
    called = [str(n.target) for n in piece.nodes if n.op == "call_module"]
    return Segment(
        decided=() if piece.decided is None else (piece.decided,),
        layers=tuple(dict.fromkeys(name for name in called if name in layers)),
        modules=frozenset(called),
    )


# --- what the pieces do


def _run_through(runs: Sequence[Run], batch: Samples) -> Any:
    values: Any = batch.positional
    with torch.no_grad():
        for run in runs:
            values = run(*values)
    return values


def _copied_places(runs: Sequence[Run], batches: Sequence[Samples]) -> list[tuple[int, ...]]:
    """Return of which of its inputs each segment needs copies, by their places.

    What crosses a cut is kept, so a segment must not write to it, and the last one must not hand
    it out: an objective may write to outputs. The first one is given copies anyway.
    """
    found: list[set[int]] = [set() for _ in runs]
    with torch.no_grad():
        for batch in batches:
            values: Any = runs[0](*batch.positional)
            for number, run in enumerate(runs[1:], start=1):
                taken, before = values, [_Before.of(value) for value in values]
                values = run(*taken)
                handed = tensors_of((values,)) if number == len(runs) - 1 else []
                found[number] |= {
                    place
                    for place, old in enumerate(before)
                    if old.was_written() or not _storages(handed).isdisjoint(old.storages)
                }
                _require_apart([before[place] for place in found[number]])
    return [tuple(sorted(places)) for places in found]


@dataclass(frozen=True, slots=True, eq=False)
class _Before:
    """The tensors of a value that crosses a cut, as they are before a segment runs."""

    value: Any
    tensors: Sequence[Tensor]
    versions: Sequence[int]
    contents: Sequence[Tensor]

    @classmethod
    def of(cls, value: Any) -> _Before:
        tensors = tensors_of((value,))
        return cls(value, tensors, [t._version for t in tensors], [own(t) for t in tensors])

    @property
    def storages(self) -> set[int]:
        return _storages(self.tensors)

    def was_written(self) -> bool:
        """Return whether anything was written; versions do not see `.data` and NumPy."""
        pairs = zip(self.tensors, self.contents, strict=True)
        return [t._version for t in self.tensors] != self.versions or not all(
            torch.equal(tensor, content) for tensor, content in pairs
        )


def _require_apart(copied: Sequence[_Before]) -> None:
    """Raise `CannotCut` where copies of what crosses a cut would not be what the originals are."""
    if not all(isinstance(each.value, Tensor) for each in copied):
        raise CannotCut("it writes in place to, or returns, a part of a collection")
    if len(_storages([each.value for each in copied])) < len(copied):
        raise CannotCut("it writes in place to a tensor that it also has a view of")


def _storages(tensors: Iterable[Tensor]) -> set[int]:
    return {tensor.untyped_storage().data_ptr() for tensor in tensors}


def _measured(
    segments: Sequence[Segment], runs: Sequence[Run], batch: Samples
) -> Iterable[Segment]:
    """Yield the segments with their times and with the storages that cross the cuts."""
    numbers: dict[int, int] = {}
    values: Any = batch.positional
    alive = []  # so that no storage takes the place of another
    with torch.no_grad():
        for segment, run in zip(segments, runs, strict=True):
            start = time.perf_counter()
            values = run(*values)
            seconds = (time.perf_counter() - start) / len(batch)
            held = {}
            for tensor in tensors_of(values if isinstance(values, tuple) else (values,)):
                storage = tensor.untyped_storage()
                number = numbers.setdefault(storage.data_ptr(), len(numbers))
                held[number] = storage.nbytes() / len(batch)
            alive.append(values)
            yield replace(segment, seconds=seconds, held=held)
