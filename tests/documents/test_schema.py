"""The types of a dataclass are its schema: what is of another type is named and refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypedDict

import pytest

from rlquant.documents import Count, Range, read_as, shown
from rlquant.errors import FileFormatError, SettingsError


@dataclass(frozen=True)
class Inner:
    name: str
    share: float = 0.5


@dataclass(frozen=True)
class Outer:
    kind: Literal["a", "b"]
    count: Count
    width: Annotated[int, Range(1, 8)]
    size: int | Literal["all"] | None
    inner: tuple[Inner, ...]
    pair: tuple[int, str]
    sums: Mapping[str, float]
    anything: Any = None
    flags: list[bool] = field(default_factory=list)


class Open(TypedDict):
    seed: int


class Picky:
    def __init__(self, number: int) -> None:
        self.number = number

    @classmethod
    def from_document(cls, document: Any) -> Picky:
        if document == 13:
            raise SettingsError("13 is unlucky")
        return cls(read_as(int, document))


@dataclass(frozen=True)
class Strict:
    number: int

    def __post_init__(self) -> None:
        if self.number == 13:
            raise SettingsError("13 is unlucky")


GOOD: dict[str, Any] = {
    "kind": "a",
    "count": 0,
    "width": 8,
    "size": None,
    "inner": [{"name": "x"}, {"name": "y", "share": 1}],
    "pair": [3, "z"],
    "sums": {"loss": 2},
}


def test_a_dataclass_is_read_with_its_defaults() -> None:
    found = read_as(Outer, GOOD)
    assert found == Outer(
        "a", 0, 8, None, (Inner("x"), Inner("y", 1.0)), (3, "z"), {"loss": 2.0}, None, []
    )
    assert type(found.inner[1].share) is float
    assert read_as(Outer, GOOD | {"size": "all", "flags": [True], "anything": [1]}).size == "all"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "c"}, "kind is 'c', use one of 'a', 'b'"),
        ({"kind": ["a"]}, r"kind is \['a'\], use one of"),
        ({"count": -1}, "count is -1, use at least 0"),
        ({"count": True}, "count is True, use a whole number"),
        ({"count": 1.0}, "count is 1.0, use a whole number"),
        ({"count": "1"}, "count is '1', use a whole number"),
        ({"width": 9}, "width is 9, use at least 1 and at most 8"),
        ({"size": "some"}, "size is 'some', use one of 'all'"),
        ({"size": 1.5}, "size is 1.5, use"),
        ({"inner": {}}, r"inner is \{\}, use a list"),
        ({"inner": [{"name": 3}]}, r"inner\[0\].name is 3, use text"),
        ({"inner": [{}]}, r"inner\[0\].name is missing"),
        ({"inner": [{"name": "x", "more": 1}]}, r"inner\[0\].more is unknown; known: name, share"),
        ({"inner": [{"name": "x", "share": "1"}]}, r"inner\[0\].share is '1', use a number"),
        ({"inner": [{"name": "x", "share": False}]}, "share is False, use a number"),
        ({"pair": [3]}, r"pair is \[3\], use a list of 2"),
        ({"pair": [3, 4]}, r"pair\[1\] is 4, use text"),
        ({"sums": []}, r"sums is \[\], use an object"),
        ({"sums": {"loss": None}}, "sums.loss is None, use a number"),
        ({"flags": [1]}, r"flags\[0\] is 1, use true or false"),
        ({"w" * 500: 1}, "w is unknown"),
        ({"kind": "c" * 10**6}, "kind is 'c"),
    ],
)
def test_the_field_that_is_wrong_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(FileFormatError, match=message) as caught:
        read_as(Outer, GOOD | change)
    assert len(str(caught.value)) <= 500


def test_no_object_and_a_missing_field_are_refused() -> None:
    with pytest.raises(FileFormatError, match="it is 5, use an object"):
        read_as(Outer, 5)
    with pytest.raises(FileFormatError, match="kind is missing"):
        read_as(Outer, {k: v for k, v in GOOD.items() if k != "kind"})


def test_a_typed_dictionary_may_hold_more() -> None:
    assert read_as(Open, {"seed": 3, "more": "x"}) == {"seed": 3, "more": "x"}
    with pytest.raises(FileFormatError, match="seed is missing"):
        read_as(Open, {})
    with pytest.raises(FileFormatError, match=r"settings\.seed is 'x', use a whole number"):
        read_as(Open, {"seed": "x"}, "settings")


def test_what_a_class_itself_refuses_is_said_with_its_place() -> None:
    assert read_as(Picky, 4).number == 4
    for kind, document in ((Picky, 13), (Strict, {"number": 13})):
        with pytest.raises(FileFormatError, match=r"^a\[0\]: 13 is unlucky$"):
            read_as(list[kind], [document], "a")  # type: ignore[valid-type]
        with pytest.raises(FileFormatError, match=r"^13 is unlucky$"):
            read_as(kind, document)  # type: ignore[type-var]


def test_values_in_messages_are_short() -> None:
    assert shown("abc") == "'abc'"
    assert len(shown("a" * 10**6)) < 100
    assert len(shown([["a" * 100] * 100] * 100)) < 130
