"""Costs against numbers computed by hand, and budgets that mean what scores show."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from rlquant.config import LayerChoice
from rlquant.cost.budget import (
    AverageBitsCost,
    BopsCost,
    Budget,
    Cost,
    LatencyTable,
    NetworkCosts,
    SizeCost,
    total,
)
from rlquant.cost.file_layout import fixed_bytes, stored_tensors
from rlquant.cost.size import ACTIVATION_BYTES, LAYER_RECORD_BYTES, LayerStorage
from rlquant.errors import BudgetError, FileFormatError, StorageError
from rlquant.layers import LayerFacts, count_macs, find_layers
from rlquant.tasks import networks
from small_networks import FEATURES, Mlp, SharedLayerNet, fresh, samples_of

FC = LayerFacts("fc", "linear", (4, 6), parameters=24, macs=24)
# 24 weights in 4 channels, of ordinary size: scales are float16.
STORAGE = {"fc": LayerStorage(torch.full((4, 6), 0.5))}


def fc(bits: int = 3, **other: Any) -> LayerChoice:
    return LayerChoice("fc", bits, **other)


def costs_of(network: nn.Module, example: torch.Tensor) -> tuple[NetworkCosts, Any]:
    layers = find_layers(network, example)
    return NetworkCosts.of(network, layers), layers


# --- average bits


@pytest.mark.parametrize(
    ("choice", "bits"),
    [
        (fc(), 24 * 3 + 4 * 16),  # a scale per channel
        (fc(points="clipped"), 24 * 3 + 4 * 16),
        (fc(group_size=3), 24 * 3 + 8 * 16),
        (fc(group_size=4), 24 * 3 + 8 * 16),  # the last group of a channel is shorter
        (fc(group_size=64), 24 * 3 + 4 * 16),
        (fc(group_size="tensor"), 24 * 3 + 16),
        (fc(group_size=3, points="affine"), 24 * 3 + 2 * 8 * 16),
        (fc(points="fixed_point"), 24 * 3 + 16),  # one scale
        (fc(points="affine"), 24 * 3 + 2 * 4 * 16),  # scale and offset
        (fc(points="quantile"), 24 * 3 + 2 * 4 * 16 + 8 * 16),  # and 2^3 points
        (fc(points="kmeans"), 24 * 3 + 2 * 4 * 16 + 8 * 16),
        (fc(method="ternary"), 5 * 8 + 2 * 16),  # five codes to a byte, Wp and Wn
        (fc(method="float"), 24 * 32),
        (fc(activation_bits=8), 24 * 3 + 4 * 16),  # weights alone are counted
    ],
    ids=str,
)
def test_bits_of_a_layer(choice: LayerChoice, bits: int) -> None:
    cost = AverageBitsCost(STORAGE)
    assert cost.of_layer(FC, choice) == bits
    assert cost.value(bits) == bits / 24


def test_scales_that_float16_cannot_hold_cost_32_bits() -> None:
    for one in (1e-6, 1e5):
        weight = torch.full((4, 6), 0.5)
        weight[0] = one
        cost = AverageBitsCost({"fc": LayerStorage(weight)})
        assert cost.of_layer(FC, fc()) == 24 * 3 + 4 * 32


@pytest.mark.parametrize(("bits", "number"), [(10, 16), (11, 32), (16, 32)])
def test_offsets_of_wide_codes_are_float32(bits: int, number: int) -> None:
    cost = AverageBitsCost(STORAGE)
    assert cost.of_layer(FC, fc(bits, points="affine")) == 24 * bits + 2 * 4 * number
    assert cost.of_layer(FC, fc(bits)) == 24 * bits + 4 * 16  # no offset


def test_average_bits_of_a_small_network() -> None:
    # 48 + 64 + 24 weights; 8 + 8 + 3 output channels with a float16 scale each
    costs, layers = costs_of(fresh(Mlp), torch.zeros(2, FEATURES))
    choices = {"first": LayerChoice("first", 2), "second": LayerChoice("second", 4)}
    choices["last"] = LayerChoice("last", 8, points="affine")
    bits = total(costs.average_bits, layers, choices)
    assert costs.average_bits.weights == 136
    assert bits == (48 * 2 + 8 * 16) + (64 * 4 + 8 * 16) + (24 * 8 + 2 * 3 * 16)
    assert costs.average_bits.value(bits) == bits / 136


def test_scales_add_0_146_bits_to_a_small_residual_network() -> None:
    network = networks.build("resnet8", (1, 28, 28), 10)
    costs, layers = costs_of(network, torch.zeros(2, 1, 28, 28))
    bits = total(costs.average_bits, layers, {f.name: LayerChoice(f.name, 3) for f in layers})
    assert len(layers) == 10
    assert costs.average_bits.weights == 19_464
    assert costs.average_bits.value(bits) == pytest.approx(3.146, abs=5e-4)


# --- bytes


@pytest.mark.parametrize(
    ("choice", "body"),
    [
        (fc(), 9 + 4 * 2),  # 72 bits of codes, four scales
        (fc(points="fixed_point"), 9 + 2),
        (fc(group_size=4), 9 + 8 * 2 + 1),  # the size itself is a byte more, from 128 on two
        (fc(group_size=128), 9 + 4 * 2 + 2),
        (fc(group_size="tensor"), 9 + 2),
        (fc(points="affine"), 9 + 8 * 2),
        (fc(points="kmeans"), 9 + 8 * 2 + 8 * 2),
        (fc(method="ternary"), 5 + 2 * 2),
        (fc(activation_bits=8), 9 + 4 * 2 + ACTIVATION_BYTES),
    ],
    ids=str,
)
def test_bytes_of_a_layer(choice: LayerChoice, body: int) -> None:
    assert SizeCost(STORAGE, 100, 1000).of_layer(FC, choice) == LAYER_RECORD_BYTES + body


def test_a_kept_layer_is_stored_as_it_is() -> None:
    assert SizeCost(STORAGE, 100, 1000).of_layer(FC, fc(method="float")) == 24 * 4
    half = {"fc": LayerStorage(torch.ones(4, 6).half())}
    assert SizeCost(half, 100, 1000).of_layer(FC, fc(method="float")) == 24 * 2
    assert AverageBitsCost(half).of_layer(FC, fc(method="float")) == 24 * 16


def test_the_fixed_part_is_the_file_without_the_searched_weights() -> None:
    network = fresh(Mlp)
    costs, _ = costs_of(network, torch.zeros(2, FEATURES))
    tensors = stored_tensors(network)
    assert costs.size.fixed == fixed_bytes(tensors, {f"{n}.weight" for n in costs.size.storage})
    assert costs.size.float_bytes == 4 * (136 + 8 + 8 + 3)
    assert costs.size.fixed > 4 * (8 + 8 + 3)  # the biases, and what the contents take


def test_a_shared_layer_of_two_names_is_stored_once() -> None:
    costs, layers = costs_of(fresh(SharedLayerNet), samples_of("shared", 4)[0])
    assert [facts.name for facts in layers] == ["twice", "classifier"]
    assert costs.average_bits.weights == 36 + 18
    # two weights, two biases and the four vectors of the BatchNorm
    assert costs.size.float_bytes == 4 * (36 + 18 + 6 + 3 + 4 * 6)


# --- bit-operations


@pytest.mark.parametrize(
    ("choice", "operations"),
    [
        (fc(), 24 * 3 * 32),
        (fc(activation_bits=8), 24 * 3 * 8),
        (fc(method="ternary", activation_bits=4), 24 * 2 * 4),
        (fc(method="float"), 24 * 32 * 32),
    ],
    ids=str,
)
def test_bit_operations_of_a_layer(choice: LayerChoice, operations: int) -> None:
    assert BopsCost().of_layer(FC, choice) == operations


def test_layers_that_are_not_searched_count_as_float() -> None:
    network = fresh(Mlp)
    layers = find_layers(network, torch.zeros(2, FEATURES), exclude=("second",))
    kept_macs = count_macs(network, torch.zeros(2, FEATURES), ("second",))
    costs = NetworkCosts.of(network, layers, kept_macs)
    choices = {f.name: LayerChoice(f.name, 2, activation_bits=4) for f in layers}
    assert total(costs.bops, layers, choices) == 64 * 32 * 32 + (48 + 24) * 2 * 4


# --- latency

TABLE = """kind,shape,bits,activation_bits,macs,seconds
linear,4x6,3,,,0.001
linear,4x6,3,8,,0.0005
linear,4x6,32,,,0.004
linear,4x6,2,,24,1e-9
linear,4x6,2,,,7
"""


@pytest.fixture
def table(tmp_path: Path) -> LatencyTable:
    path = tmp_path / "latency.csv"
    path.write_text(TABLE, encoding="utf-8")
    return LatencyTable.read(path)


def test_latencies_are_whole_nanoseconds(table: LatencyTable) -> None:
    assert table.of_layer(FC, fc()) == 1_000_000  # 0.001 in binary is a little more
    assert table.of_layer(FC, fc(activation_bits=8)) == 500_000
    assert table.of_layer(FC, fc(method="float")) == 4_000_000
    assert table.value(1_500_000) == 0.0015


def test_a_row_with_macs_comes_before_one_without(table: LatencyTable) -> None:
    assert table.of_layer(FC, fc(2)) == 1
    assert table.of_layer(FC, fc(method="ternary")) == 1  # ternary arithmetic has two bits
    other_image = LayerFacts("fc", "linear", (4, 6), parameters=24, macs=48)
    assert table.of_layer(other_image, fc(2)) == 7_000_000_000


def test_a_fraction_of_a_nanosecond_is_rounded_up() -> None:
    table = LatencyTable({("linear", "4x6", None, 3, None): 1.5e-9})
    assert table.of_layer(FC, fc()) == 2


def test_a_missing_row_is_named(table: LatencyTable) -> None:
    words = (
        r"latency.csv has no row for layer 'fc': kind=linear, shape=4x6, bits=5, "
        r"activation_bits=4; measure it"
    )
    with pytest.raises(BudgetError, match=words):
        table.of_layer(FC, fc(5, activation_bits=4))


KEPT_TABLE = """kind,shape,bits,macs,seconds
linear,8x6,2,,0.001
linear,3x8,2,,0.002
linear,8x8,32,64,0.5
linear,8x8,32,,9
"""


def test_layers_that_are_not_searched_take_their_float_latency(tmp_path: Path) -> None:
    path = tmp_path / "latency.csv"
    path.write_text(KEPT_TABLE, encoding="utf-8")
    network, example = fresh(Mlp), torch.zeros(2, FEATURES)
    layers = find_layers(network, example, exclude=("second",))
    kept_macs = count_macs(network, example, ("second",))
    costs = NetworkCosts.of(network, layers, kept_macs)
    cost = costs.under(Budget.latency(1, path))
    assert cost.fixed == 500_000_000
    choices = {f.name: LayerChoice(f.name, 2) for f in layers}
    assert cost.value(total(cost, layers, choices)) == 0.503
    path.write_text("".join(KEPT_TABLE.splitlines(keepends=True)[:3]), encoding="utf-8")
    with pytest.raises(BudgetError, match=r"no row for layer 'second': .*shape=8x8, bits=32"):
        costs.under(Budget.latency(1, path))


def test_a_table_may_have_a_byte_order_mark_and_spaces(tmp_path: Path) -> None:
    path = tmp_path / "excel.csv"
    text = "kind, shape, bits, activation_bits, seconds\nlinear, 4x6, 3, , 0.25\n"
    path.write_text(text, encoding="utf-8-sig")
    assert LatencyTable.read(path).of_layer(FC, fc()) == 250_000_000


def test_a_row_that_comes_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.csv"
    path.write_text(TABLE + "linear,4x6,3,8,,0.7\n", encoding="utf-8")
    words = r"twice.csv: line 7: a second row for kind=linear, shape=4x6, macs=None, bits=3, act"
    with pytest.raises(FileFormatError, match=words):
        LatencyTable.read(path)


def test_a_table_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"missing.csv: cannot be read: No such file"):
        Budget.latency(1, tmp_path / "missing.csv")


def test_a_table_without_optional_columns_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "short.csv"
    path.write_text("seconds,bits,shape,kind\n0.25,3,4x6,linear\n", encoding="utf-8")
    assert LatencyTable.read(path).of_layer(FC, fc()) == 250_000_000


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind,shape,seconds\n", r"bad.csv: no column bits; need \('kind', 'shape', 'bits'"),
        ("", "bad.csv: no column kind, shape, bits, seconds"),
        (
            "kind,shape,bits,seconds\nlinear,4x6,three,1\n",
            "bad.csv: line 2: bits='three', use",
        ),
        (
            "kind,shape,bits,seconds\nlinear,4x6,3,fast\n",
            "bad.csv: line 2: seconds='fast', use",
        ),
        ("kind,shape,bits,seconds\nlinear,4x6\n", "bad.csv: line 2: 2 fields, the header has 4"),
        ("kind,shape,bits,seconds,macs\nlinear,4x6,3,1,\nlinear,4x6,3,1,x\n", "line 3: .*'x'"),
        ("kind,shape,bits,seconds\nlinear,4x6,3,-1\n", "line 2: seconds='-1', use a number"),
        ("kind,shape,bits,seconds\nlinear,4x6,3,nan\n", "line 2: seconds='nan', use a number"),
        ("kind,shape,bits,seconds\nlinear,4x6,3,inf\n", "line 2: seconds='inf', use a number"),
        ("kind,shape,bits,seconds\nlinear,4x6,3,1e308\n", "line 2: seconds='1e308', use a n"),
        ("kind,shape,bits,seconds\nlinear,4x6,3000000000,1\n", "bits='3000000000', use a whole"),
        pytest.param(
            "kind,shape,bits,seconds\n" + "x" * 200_000 + "\n",
            "line 2: field larger than field",
            id="a long field",
        ),
        pytest.param(
            "kind,shape,bits,seconds,macs\nlinear,4x6,3,1," + "9" * 5000,
            "line 2: macs='999",
            id="a long number",
        ),
        ("kind,shape,bits,bits,seconds\n", "a column is there twice"),
    ],
)
def test_a_damaged_table_names_its_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FileFormatError, match=words):
        LatencyTable.read(path)


def test_a_table_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(b"kind,shape\xff\xfe\x00")
    with pytest.raises(FileFormatError, match=r"bad.csv: it is no text in UTF-8"):
        LatencyTable.read(path)


# --- budgets


@pytest.mark.parametrize(
    "limit", [0, -1, 0.0, float("nan"), float("inf"), "3", None, True, 10**400]
)
def test_a_budget_is_a_positive_number(limit: Any) -> None:
    for make in (Budget.average_bits, Budget.size_bytes, Budget.size_ratio, Budget.bops):
        with pytest.raises(BudgetError, match=r"budget \w+=.* must be a positive number"):
            make(limit)


def test_a_budget_takes_the_numbers_of_numpy() -> None:
    assert type(Budget.size_bytes(np.int64(300)).limit) is int  # type: ignore[arg-type]
    assert type(Budget.average_bits(np.float32(3)).limit) is float  # type: ignore[arg-type]
    assert Budget.average_bits(np.float32(3)) == Budget.average_bits(3.0)  # type: ignore[arg-type]


def test_an_unknown_quantity_is_refused() -> None:
    with pytest.raises(BudgetError, match=r"quantity='watts', use one of \('average_bits', "):
        Budget("watts", 3.0)  # type: ignore[arg-type]


def test_latency_and_table_belong_together(table: LatencyTable) -> None:
    words = "a latency budget needs a LatencyTable, and only it has one"
    with pytest.raises(BudgetError, match=words):
        Budget("latency", 1.0)
    with pytest.raises(BudgetError, match=words):
        Budget("bops", 1.0, table)


def test_a_latency_budget_takes_a_table_or_its_file(tmp_path: Path, table: LatencyTable) -> None:
    assert Budget.latency(0.5, table) == Budget.latency(0.5, tmp_path / "latency.csv")


def test_budgets_read_as_text(table: LatencyTable) -> None:
    assert str(Budget.average_bits(3.0)) == "average bits 3"
    assert str(Budget.latency(0.25, table)) == "latency 0.25 s"


def test_a_budget_limits_its_own_cost(table: LatencyTable) -> None:
    costs, _ = costs_of(fresh(Mlp), torch.zeros(2, FEATURES))
    assert costs.under(Budget.average_bits(3)) is costs.average_bits
    assert costs.under(Budget.size_bytes(300)) is costs.size
    assert costs.under(Budget.bops(3e6)) is costs.bops
    assert costs.under(Budget.latency(3, table)) == table
    ratio = costs.under(Budget.size_ratio(0.5))
    assert ratio.units(0.5) == costs.size.float_bytes // 2
    assert ratio.value(costs.size.float_bytes) == 1.0


def every_cost(weights: int) -> list[Cost]:
    storage = {"fc": LayerStorage(torch.empty(weights, device="meta"))}
    size = SizeCost(storage, 100, 4 * weights)
    ratio = SizeCost(storage, 100, 4 * weights, as_ratio=True)
    return [AverageBitsCost(storage), size, ratio, BopsCost(), LatencyTable({})]


@given(weights=st.integers(1, 10**7), units=st.integers(1, 10**9))
def test_the_value_of_some_units_is_a_budget_of_exactly_those(weights: int, units: int) -> None:
    # So whoever asks for the average bits that a score shows gets that configuration.
    for cost in every_cost(weights):
        assert cost.units(cost.value(units)) == units


@given(weights=st.integers(1, 10**7), limit=st.floats(1e-3, 1e3))
def test_units_are_the_most_within_the_limit(weights: int, limit: float) -> None:
    for cost in every_cost(weights):
        units = cost.units(limit)
        assert cost.value(units) <= limit < cost.value(units + 1)


def test_a_decimal_limit_means_the_decimal() -> None:
    # The float 2.3 lies below 23/10; a configuration of 23 bits in ten weights still keeps it.
    cost = AverageBitsCost({"fc": LayerStorage(torch.ones(10))})
    assert Fraction(2.3) < Fraction(23, 10)
    assert cost.units(2.3) == 23


def test_what_the_times_are_of_is_read(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    head = "kind,shape,bits,seconds,batch,threads\n"
    path.write_text(f"{head}linear,4x6,3,0.25,64,2\nlinear,4x6,4,0.25,64,2\n")
    table = LatencyTable.read(path)
    assert (table.batch, table.threads) == (64, 2)
    path.write_text(f"{head}linear,4x6,3,0.25,64,2\nlinear,4x6,4,0.25,1,2\n")
    with pytest.raises(FileFormatError, match=r"different runs.*\(1, 2\), \(64, 2\)"):
        LatencyTable.read(path)
    path.write_text(f"{head}linear,4x6,3,0.25,-3,1\n")
    with pytest.raises(FileFormatError, match="line 2: batch='-3', use a whole number from 1"):
        LatencyTable.read(path)


@pytest.mark.parametrize(
    ("size", "limit"),
    [("75MB", 75_000_000), ("1.5 GiB", 1_610_612_736), ("700kb", 700_000), ("12", 12), (12, 12)],
)
def test_file_sizes_as_people_write_them(size: str | int, limit: int) -> None:
    assert Budget.file_size(size) == Budget.size_bytes(limit)


@pytest.mark.parametrize("size", ["", "MB", "-3MB", "1e3", "5 TB", "٣MB", None])
def test_what_is_no_file_size_is_refused(size: Any) -> None:
    with pytest.raises(BudgetError, match="give a number of bytes, or one with a unit of"):
        Budget.file_size(size)
