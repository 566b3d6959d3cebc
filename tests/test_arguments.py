"""Arguments of public calls: which values fit an annotation, and what an error then says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import rlquant
from rlquant import Budget, LayerChoice, QuantizationConfig
from rlquant.arguments import explained, fits
from rlquant.errors import ArgumentError, RlquantError
from small_networks import NETWORKS, fresh, samples_of


class Named(Protocol):
    name: str

    def of(self) -> int: ...


class HasName:
    name = "x"

    def of(self) -> int:
        return 1


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (int, [1, np.int64(3), 2**62], [True, 1.0, "1", None, torch.tensor(1)]),
        (float, [1, 0.5, np.float32(1), float("nan")], [True, "1", 1j, None]),
        (bool, [True, np.True_], [1, "yes"]),
        (str, ["", "x"], [b"x", 1, "a\0b", "\ud800"]),
        (str | Path, ["x", Path("x")], [None, ["x"], Path("a\0b")]),
        (int | None, [1, None], ["1"]),
        (Literal["a", "b"], ["a"], ["c", 1, ["a"], np.array(["a", "b"])]),
        (tuple[int, ...], [(), (1, 2), [1, 2]], ["12", {1: 2}, (1, "2"), iter([1])]),
        (
            tuple[Tensor, Tensor],
            [(torch.ones(1), torch.ones(2))],
            [(torch.ones(1),), torch.ones(2)],
        ),
        (Sequence[str], [["a"], ("a",)], [[1], None, "ab", b"ab"]),
        (Iterable[int], [[1], iter([1]), range(3)], [1, None, "12", torch.tensor(1)]),
        (Mapping[str, int], [{}, {"a": 1}], [{1: 1}, {"a": "1"}, [("a", 1)]]),
        (Callable[[int], int], [int, lambda x: x], [1, "f"]),
        (nn.Module, [nn.ReLU()], [nn.ReLU, None]),
        (Named, [HasName()], [object(), "x"]),
        (Any, [None, object()], []),
    ],
)
def test_what_fits_an_annotation(kind: Any, good: list[Any], bad: list[Any]) -> None:
    assert [value for value in good if not fits(kind, value)] == []
    assert [value for value in bad if fits(kind, value)] == []


class Called(Protocol):
    def __call__(self, step: int) -> bool: ...


def test_a_protocol_of_a_function_asks_for_one() -> None:
    assert fits(Called, lambda step: True)
    assert not fits(Called, "x")


def test_a_number_of_more_than_64_bits_fits_nowhere() -> None:
    assert not fits(int, 2**64)
    assert not fits(float, -(10**5000))
    with pytest.raises(ArgumentError, match=r"number=1000.*0000, use float of at most 64 bits"):
        half(10**400)


@explained
def half(number: float, *, name: str = "x", exact: bool = False) -> float:
    if name == "fail":
        raise ZeroDivisionError("of its own")
    return number / 2


def test_a_wrong_type_is_named_with_what_is_taken() -> None:
    assert half(3.0) == 1.5
    with pytest.raises(ArgumentError, match=r"half: number='3', use float") as caught:
        half("3")  # type: ignore[arg-type]
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value.__cause__, TypeError)


def test_errors_that_no_type_explains_are_left_as_they_are() -> None:
    with pytest.raises(ZeroDivisionError, match="of its own"):
        half(1.0, name="fail", exact=True)


def test_an_unknown_argument_is_named_with_the_nearest() -> None:
    said = r"half got an unexpected keyword argument 'nme'; did you mean 'name'\?"
    with pytest.raises(ArgumentError, match=said):
        half(1.0, nme="x")  # type: ignore[call-arg]


def test_errors_of_ours_are_left_as_they_are() -> None:
    @explained
    def refuse(number: int) -> None:
        raise rlquant.RlquantError("refused")

    with pytest.raises(RlquantError, match=r"^refused$"):
        refuse("x")  # type: ignore[arg-type]


def test_of_a_dataclass_the_field_is_named() -> None:
    @dataclass(frozen=True)
    class Limits:
        least: int
        most: float = 1.0

        @explained
        def __post_init__(self) -> None:
            assert abs(self.most) >= 0

    with pytest.raises(ArgumentError, match=r"Limits: most=\[\], use float"):
        Limits(1, [])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: rlquant.save([], "x.rlq"), r"save: quantized=\[\], use nn.Module"),
        (lambda: rlquant.load(["x"], nn.ReLU()), r"path=\['x'\]: give a path"),
        (lambda: rlquant.unpack(3, fresh(NETWORKS["mlp"].build)), "unpack: data=3, use bytes"),
        (lambda: QuantizationConfig(3), "QuantizationConfig: choices=3, use tuple"),
        (lambda: QuantizationConfig.from_json(None), "from_json: text=None, use str"),
        (lambda: LayerChoice("x", 4, rounding=np.array(["a", "b"])), "LayerChoice: rounding="),
        (lambda: Budget.latency(1.0, [3]), "give a path"),
        (lambda: rlquant.measure("x", samples_of("mlp", 4)), "network"),
        (lambda: rlquant.TabularProblem("x", Budget.bops(1)), "TabularProblem: table='x'"),
        (lambda: rlquant.probe(None), "probe: problem is NoneType"),
        (lambda: rlquant.dequantize(10**5000), "dequantize: quantized=a int too long to write"),
    ],
)
def test_public_calls_name_the_argument(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(RlquantError, match=words) as caught:
        call()
    assert len(str(caught.value)) <= 500
