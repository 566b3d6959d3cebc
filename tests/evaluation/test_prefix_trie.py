"""The trie of prefixes: what it finds, what it keeps within its limit, and what goes first."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlquant.evaluation.prefix_trie import PrefixState, PrefixTrie

FLOATS = 4


def state(*sizes: int) -> PrefixState:
    """A state of tensors of so many bytes: the first is for calibration."""
    first, *rest = (torch.zeros(size // FLOATS) for size in sizes)
    return PrefixState((first,), [(tensor,) for tensor in rest])


def keep(
    trie: PrefixTrie, prefix: str, *sizes: int, seconds_per_byte: float = 1.0, pinned: bool = False
) -> bool:
    if not trie.make_room(sum(sizes), seconds_per_byte, pinned=pinned):
        return False
    trie.keep(prefix, state(*sizes), seconds_per_byte, pinned=pinned)
    return True


def kept(trie: PrefixTrie, *prefixes: str) -> list[str]:
    return [p for p in prefixes if trie.longest(p)[0] == len(p) and trie.longest(p)[1] is not None]


def test_the_longest_part_of_a_prefix_is_found() -> None:
    trie = PrefixTrie(1000)
    keep(trie, "ab", 40)
    keep(trie, "abcd", 40, 80)
    assert trie.longest("abcde")[0] == 4
    assert trie.longest("abcx")[0] == 2
    assert trie.longest("ab")[0] == 2
    assert trie.longest("a") == trie.longest("xb") == trie.longest("") == (0, None)
    assert trie.bytes == 160


def test_the_root_may_hold_a_state_of_its_own() -> None:
    trie = PrefixTrie(1000)
    keep(trie, "", 40)
    length, found = trie.longest("abc")
    assert length == 0
    assert found is not None


def test_what_is_worth_least_goes_first() -> None:
    trie = PrefixTrie(120)
    for prefix, seconds_per_byte in (("a", 3.0), ("b", 1.0), ("c", 2.0)):
        assert keep(trie, prefix, 40, seconds_per_byte=seconds_per_byte)
    assert keep(trie, "d", 80, seconds_per_byte=9.0)
    assert kept(trie, "a", "b", "c", "d") == ["a", "d"]


def test_what_is_worth_less_than_all_that_is_there_is_not_kept() -> None:
    trie = PrefixTrie(80)
    keep(trie, "a", 40, seconds_per_byte=3.0)
    keep(trie, "b", 40, seconds_per_byte=2.0)
    assert not keep(trie, "c", 40, seconds_per_byte=1.0)
    assert not keep(trie, "c", 200, seconds_per_byte=99.0)  # could never fit
    assert kept(trie, "a", "b") == ["a", "b"]


def test_what_nobody_asks_for_ages() -> None:
    trie = PrefixTrie(80)
    keep(trie, "a", 40, seconds_per_byte=3.0)
    for prefix in "bcdefgh":
        keep(trie, prefix, 40, seconds_per_byte=2.0)
        trie.longest(prefix)
    assert kept(trie, "a") == []


def test_what_is_asked_for_stays_young() -> None:
    trie = PrefixTrie(80)
    keep(trie, "a", 40, seconds_per_byte=3.0)
    for prefix in "bcdefgh":
        trie.longest("a")
        trie.longest("")  # it is no longer in use
        keep(trie, prefix, 40, seconds_per_byte=2.0)
    assert kept(trie, "a") == ["a"]


def test_pinned_states_go_last_and_only_for_others_that_are_known_to_come() -> None:
    trie = PrefixTrie(80)
    keep(trie, "a", 40, seconds_per_byte=0.1, pinned=True)
    keep(trie, "b", 40, seconds_per_byte=9.0)
    assert keep(trie, "c", 40, seconds_per_byte=10.0)
    assert kept(trie, "a", "b", "c") == ["a", "c"]
    trie.longest("")
    assert not keep(trie, "d", 80, seconds_per_byte=99.0)
    assert keep(trie, "d", 80, seconds_per_byte=0.1, pinned=True)
    assert kept(trie, "a", "c", "d") == ["d"]


def test_a_pin_is_taken_off_by_the_next() -> None:
    trie = PrefixTrie(80)
    keep(trie, "a", 40, seconds_per_byte=0.1, pinned=True)
    trie.pin("bb")
    assert keep(trie, "b", 40, seconds_per_byte=1.0)
    assert keep(trie, "c", 40, seconds_per_byte=1.0)
    assert kept(trie, "a", "b", "c") == ["b", "c"]


def test_a_state_in_use_is_not_let_go_of() -> None:
    trie = PrefixTrie(80)
    keep(trie, "a", 40, seconds_per_byte=0.1)
    keep(trie, "b", 40, seconds_per_byte=0.2)
    trie.longest("ax")
    assert not keep(trie, "c", 80, seconds_per_byte=9.0, pinned=True)
    assert trie.longest("a")[0] == 1


def test_a_storage_that_several_states_hold_counts_once() -> None:
    shared = torch.zeros(10)
    trie = PrefixTrie(1000)
    trie.keep("a", PrefixState((shared,)), 1.0, pinned=False)
    trie.keep("ab", PrefixState((shared.view(2, 5), torch.zeros(5))), 1.0, pinned=False)
    assert trie.bytes == 40 + 20
    assert trie.make_room(1000, 9.0, pinned=False)
    assert trie.bytes == 0
    assert trie.count == 0


def test_a_state_may_be_replaced() -> None:
    trie = PrefixTrie(100)
    keep(trie, "a", 40)
    keep(trie, "a", 20)
    assert (trie.count, trie.bytes) == (1, 20)


moves = st.tuples(
    st.text("ab", max_size=4),
    st.integers(0, 30),
    st.floats(0.01, 10),
    st.booleans(),
    st.sampled_from(("keep", "ask", "pin")),
)


@settings(max_examples=200, deadline=None)
@given(limit=st.integers(0, 400), steps=st.lists(moves, max_size=40))
def test_the_limit_holds_and_the_count_is_right(
    limit: int, steps: list[tuple[str, int, float, bool, str]]
) -> None:
    trie = PrefixTrie(limit)
    for prefix, floats, seconds_per_byte, pinned, what in steps:
        if what == "keep":
            keep(trie, prefix, floats * FLOATS, seconds_per_byte=seconds_per_byte, pinned=pinned)
        elif what == "ask":
            trie.longest(prefix)
        else:
            trie.pin(prefix)
        held: dict[int, int] = {}
        count = 0
        nodes = [trie._root]
        while nodes:
            node = nodes.pop()
            nodes.extend(node.children.values())
            if node.state is not None:
                count += 1
                held |= node.state.storages()
        assert trie.bytes == sum(held.values()) <= limit
        assert trie.count == count
