"""A trie of prefix activations with a limit on the memory of what it keeps."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rlquant.evaluation.segments import Values, tensors_of


@dataclass(slots=True, eq=False)
class PrefixState:
    """What crosses one cut, for the calibration samples and for every validation batch."""

    calibration: Values
    batches: list[Values] = field(default_factory=list)

    def storages(self) -> dict[int, int]:
        """Return the bytes of each storage that is held, by its address."""
        found = {}
        for values in (self.calibration, *self.batches):
            for tensor in tensors_of(values):
                storage = tensor.untyped_storage()
                found[storage.data_ptr()] = storage.nbytes()
        return found


@dataclass(slots=True, eq=False)
class _Node:
    parent: _Node | None
    key: Hashable
    children: dict[Hashable, _Node] = field(default_factory=dict)
    state: PrefixState | None = None
    storages: Mapping[int, int] = field(default_factory=dict)
    seconds_per_byte: float = 0.0
    priority: float = 0.0


class PrefixTrie:
    """Keeps the states of prefixes within a limit of bytes; the least valuable go first.

    The value of a state is the time that it saves over its bytes, and a state that has not been
    asked for while others went loses against newer ones (GreedyDual-Size, Cao and Irani 1997). A
    pinned state is one that is known to be asked for again: it goes last.

    Args:
        max_bytes: of all states together; a storage that several hold counts once.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self._root = _Node(None, None)
        self.count = 0
        self._ranking: list[tuple[float, int, _Node]] = []  # a heap; outdated entries stay in it
        self._serial = itertools.count()
        self._pinned: set[_Node] = set()
        self._in_use: _Node | None = None
        self._users: dict[int, int] = {}
        self._age = 0.0

    def longest(self, prefix: Sequence[Hashable]) -> tuple[int, PrefixState | None]:
        """Return the longest part of `prefix` whose state is kept: its length, and the state.

        The state stays until the next question: its memory is in use.
        """
        found, length = None, 0
        for depth, node in enumerate(self._along(prefix)):
            if node.state is not None:
                found, length = node, depth
        self._in_use = found
        if found is None:
            return 0, None
        self._value(found)
        return length, found.state

    def pin(self, prefix: Sequence[Hashable]) -> None:
        """Pin what is kept of `prefix` and of its own prefixes, and nothing else."""
        self._pinned = {node for node in self._along(prefix) if node.state is not None}

    def make_room(self, needed: int, seconds_per_byte: float, *, pinned: bool) -> bool:
        """Drop less valuable states until `needed` bytes are free; return whether they are.

        Args:
            needed: bytes.
            seconds_per_byte: of what is to be kept, in seconds a byte.
            pinned: whether it is known to be asked for again, which states pinned before give
                way to as well.
        """
        if needed > self.max_bytes:
            return False
        while self.bytes + needed > self.max_bytes:
            weakest = self._weakest()
            if weakest is None or not (pinned or weakest.priority <= self._age + seconds_per_byte):
                break
            self._age = weakest.priority
            self._drop(weakest)
        for node in self._pinned - {self._in_use} if pinned else ():
            if self.bytes + needed <= self.max_bytes:
                break
            self._drop(node)
            self._pinned.discard(node)
        return self.bytes + needed <= self.max_bytes

    def keep(
        self,
        prefix: Sequence[Hashable],
        state: PrefixState,
        seconds_per_byte: float,
        *,
        pinned: bool,
    ) -> None:
        """Keep the state of a prefix; room for it has been made."""
        node = self._root
        for key in prefix:
            if key not in node.children:
                node.children[key] = _Node(node, key)
            node = node.children[key]
        if node.state is not None:
            self._release(node)
        node.state, node.seconds_per_byte = state, seconds_per_byte
        node.storages = state.storages()
        for address, nbytes in node.storages.items():
            users = self._users.get(address, 0)
            self._users[address] = users + 1
            self.bytes += 0 if users else nbytes
        self.count += 1
        self._value(node)
        if pinned:
            self._pinned.add(node)

    def _value(self, node: _Node) -> None:
        """Renew the priority of a state that was asked for."""
        node.priority = self._age + node.seconds_per_byte
        heapq.heappush(self._ranking, (node.priority, next(self._serial), node))

    def _weakest(self) -> _Node | None:
        """Return the state of least priority that is neither pinned nor in use."""
        passed = []
        while self._ranking:
            entry = self._ranking[0]
            priority, _, node = entry
            if node.state is not None and node.priority == priority:
                if node not in self._pinned and node is not self._in_use:
                    break
                passed.append(entry)
            heapq.heappop(self._ranking)
        weakest = self._ranking[0][2] if self._ranking else None
        for entry in passed:
            heapq.heappush(self._ranking, entry)
        return weakest

    def _along(self, prefix: Sequence[Hashable]) -> Iterator[_Node]:
        """Yield the nodes on the way of `prefix`, from the root, as far as there are any."""
        node = self._root
        yield node
        for key in prefix:
            if key not in node.children:
                return
            node = node.children[key]
            yield node

    def _drop(self, node: _Node) -> None:
        self._release(node)
        while node.parent is not None and node.state is None and not node.children:
            del node.parent.children[node.key]
            node = node.parent

    def _release(self, node: _Node) -> None:
        for address, nbytes in node.storages.items():
            self._users[address] -= 1
            if not self._users[address]:
                del self._users[address]
                self.bytes -= nbytes
        node.state, node.storages = None, {}
        self.count -= 1
