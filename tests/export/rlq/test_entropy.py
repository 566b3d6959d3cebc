"""Entropy-coded codes: fewer bytes or none of it, the same codes, and damage that is found."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from torch import nn

import rlquant
from rlquant import LayerChoice, QuantizationConfig
from rlquant.cost.file_layout import PROLOGUE, encode_varint
from rlquant.cost.size import code_bytes
from rlquant.errors import FileFormatError, SettingsError
from rlquant.export.rlq import entropy
from rlquant.export.rlq.contents import ContentsReader, Entry, LayerRecord
from rlquant.export.rlq.entropy import can_be_coded, decode_codes, encode_codes
from rlquant.export.rlq.packed import pack, read_config, unpack
from small_networks import fresh

Seal = Callable[..., bytes]
ANY_WIDTH = st.integers(1, 8).map(lambda bits: LayerChoice("a", bits))
CHOICES = ANY_WIDTH | st.just(LayerChoice("a", 2, method="ternary"))
KNOWN = bytes([3] * 20 + [1] * 4 + [0, 2, 7, 3])
KNOWN_CODED = bytes.fromhex("0104011500000001bbc1b4870e3fd300")
fuzz = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def array(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.uint8)


@st.composite
def coded(draw: st.DrawFn) -> tuple[LayerChoice, np.ndarray]:
    """A choice and codes that follow a distribution of any skew."""
    choice = draw(CHOICES)
    options = 3 if choice.method == "ternary" else 2**choice.bits
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    share = random.dirichlet(np.full(options, draw(st.sampled_from((0.01, 0.3, 100.0)))))
    return choice, random.choice(options, draw(st.integers(1, 3000)), p=share).astype(np.uint8)


@pytest.mark.parametrize("piece", [1, 7, 2**20])
@settings(max_examples=60, deadline=None)
@given(drawn=coded())
@example(drawn=(LayerChoice("a", 1), np.zeros(9, np.uint8)))
@example(drawn=(LayerChoice("a", 8), np.full(9, 255, np.uint8)))
def test_codes_come_back(piece: int, drawn: tuple[LayerChoice, np.ndarray]) -> None:
    choice, codes = drawn
    with pytest.MonkeyPatch.context() as patch:
        whole = encode_codes(codes, choice)
        patch.setattr(entropy, "PIECE", piece if codes.size < 300 else 2**10)
        assert encode_codes(codes, choice) == whole
        decoded = decode_codes(array(whole), choice, codes.size)
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, codes)


def test_the_bytes_are_fixed() -> None:
    # Of constriction 0.4 and 0.5: another release that reads them otherwise must not be allowed.
    choice = LayerChoice("a", 3)
    assert encode_codes(array(KNOWN), choice) == KNOWN_CODED
    assert decode_codes(array(KNOWN_CODED), choice, len(KNOWN)).tobytes() == KNOWN


def test_it_is_as_small_as_the_entropy() -> None:
    codes = np.random.default_rng(0).choice(4, 100_000, p=(0.7, 0.1, 0.1, 0.1)).astype(np.uint8)
    share = np.bincount(codes) / codes.size
    bits = -float(share @ np.log2(share)) * codes.size
    assert len(encode_codes(codes, LayerChoice("a", 2))) <= bits / 8 + 24


def test_wide_codes_are_not_offered() -> None:
    assert can_be_coded(LayerChoice("a", 8))
    assert not can_be_coded(LayerChoice("a", 9))
    assert can_be_coded(LayerChoice("a", 16, method="ternary"))


# --- files


def skewed() -> nn.Module:
    """Layers whose weights are nearly all small beside their largest."""
    network = fresh(lambda: nn.Sequential(nn.Linear(60, 60), nn.ReLU(), nn.Linear(60, 60)))
    for layer in (network[0], network[2]):
        layer.weight.data **= 7
    return network.eval()


def config_of(*choices: LayerChoice) -> QuantizationConfig:
    return QuantizationConfig(choices)


def quantized(first: LayerChoice) -> nn.Module:
    return rlquant.quantize(skewed(), config_of(first, LayerChoice("2", 12)))


def records(packed: bytes) -> dict[str, LayerRecord]:
    contents = PROLOGUE.unpack(packed[: PROLOGUE.size])[2]
    entries: list[Entry] = list(ContentsReader(packed[PROLOGUE.size :][:contents]).entries())
    return {e.layer: e.kind for e in entries if isinstance(e.kind, LayerRecord)}


@settings(max_examples=40, deadline=None)
@given(
    bits=st.integers(1, 8),
    points=st.sampled_from(("symmetric", "clipped", "fixed_point", "affine", "linear", "quantile")),
    method=st.sampled_from(("post_training", "post_training", "ternary")),
    group_size=st.sampled_from(("channel", 64, "tensor")),
)
def test_files_get_smaller_or_stay(bits: int, points: str, method: str, group_size: object) -> None:
    choice = LayerChoice("0", bits, points=points, method=method, group_size=group_size)
    network = quantized(choice)
    plain, coded = pack(network), pack(network, entropy_coding=True)
    if records(coded)["0"].coded_bytes is None:
        assert coded == plain
    else:
        assert len(coded) < len(plain)
    loaded = unpack(coded, skewed())
    assert pack(loaded) == plain
    assert pack(loaded, entropy_coding=True) == coded
    inputs = torch.randn(5, 60)
    assert torch.equal(loaded(inputs), network(inputs))


@pytest.mark.parametrize(
    "first", [LayerChoice("0", 4), LayerChoice("0", 8), LayerChoice("0", 2, method="ternary")]
)
def test_skewed_layers_get_smaller(first: LayerChoice, tmp_path: Path) -> None:
    network = quantized(first)
    path = tmp_path / "x.rlq"
    plain = rlquant.save(network, path)
    coded = rlquant.save(network, path, entropy_coding=True)
    assert coded == path.stat().st_size
    found = records(path.read_bytes())
    assert found["2"].coded_bytes is None  # of 12 bits
    size = found["0"].coded_bytes
    assert size is not None
    assert size < 0.85 * code_bytes(first, 3600)
    assert plain - coded == code_bytes(first, 3600) - size - 2  # the varint of its length
    assert sorted(read_config(path), key=str) == sorted([first, LayerChoice("2", 12)], key=str)
    inputs = torch.randn(5, 60)
    assert torch.equal(rlquant.load(path, skewed())(inputs), network(inputs))


def test_incompressible_layers_stay_plain() -> None:
    choice = LayerChoice("", 1, points="linear")  # both codes about as often
    network = rlquant.quantize(fresh(lambda: nn.Linear(100, 50)), config_of(choice))
    assert pack(network, entropy_coding=True) == pack(network)


def test_the_extra_bytes_are_counted() -> None:
    """One code more often than the others: from some share on it pays, and never before."""
    network, sizes = fresh(lambda: nn.Linear(64, 1, bias=False)), set()
    for zeros in range(65):
        network.weight.data[:] = torch.arange(64) % 2 + 1.0
        network.weight.data[0, :zeros] = 0
        made = rlquant.quantize(network, config_of(LayerChoice("", 4, points="fixed_point")))
        plain, coded = pack(made), pack(made, entropy_coding=True)
        sizes.add(len(coded) - len(plain))
        assert len(coded) < len(plain) or coded == plain
    assert max(sizes) == 0
    assert min(sizes) < 0


# --- damage


@pytest.fixture(scope="module")
def coded_file() -> bytes:
    return pack(quantized(LayerChoice("0", 4, activation_bits=None)), entropy_coding=True)


@pytest.fixture(scope="module")
def parts(coded_file: bytes) -> tuple[bytes, bytes]:
    contents = PROLOGUE.unpack(coded_file[: PROLOGUE.size])[2]
    rest = coded_file[PROLOGUE.size :]
    return rest[:contents], rest[contents:]


def test_every_truncation_is_found(coded_file: bytes) -> None:
    network = skewed()
    for length in (*range(200), *range(200, len(coded_file), 97)):
        with pytest.raises(FileFormatError):
            unpack(coded_file[:length], network)


@fuzz
@given(data=st.data())
def test_damage_behind_a_right_checksum_is_found_or_harmless(
    data: st.DataObject, parts: tuple[bytes, bytes], seal: Seal
) -> None:
    contents, body = map(bytearray, parts)
    part = data.draw(st.sampled_from((contents, body)))
    for _ in range(data.draw(st.integers(1, 3))):
        part[data.draw(st.integers(0, len(part) - 1))] = data.draw(st.integers(0, 255))
    with suppress(FileFormatError):
        unpack(seal(bytes(contents), bytes(body)), skewed())(torch.randn(2, 60))


@fuzz
@given(data=st.data())
def test_damaged_codes_are_found_or_are_other_codes(data: st.DataObject) -> None:
    choice, codes = data.draw(coded())
    damaged = bytearray(encode_codes(codes, choice))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(damaged)))
        damaged[place : place + data.draw(st.integers(0, 5))] = data.draw(st.binary(max_size=5))
    with suppress(FileFormatError):
        found = decode_codes(array(bytes(damaged)), choice, codes.size)
        options = 3 if choice.method == "ternary" else 2**choice.bits
        assert found.size == codes.size
        assert found.max() < options


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        (b"", "end in the middle"),
        (KNOWN_CODED[:7] + b"\x80", "end in the middle"),
        (b"\xff" * 80, "a number in the entropy-coded codes of layer 'a' is too large"),
        (b"\x02" + KNOWN_CODED[1:], "counts for 29 of 28 weights"),
        (KNOWN_CODED[:-1], "7 bytes of words, each of 4"),
        (KNOWN_CODED + bytes(4), "damaged: Invalid compressed data"),
        (KNOWN_CODED + b"\1\0\0\0", "they have other counts, or words are left"),
        (KNOWN_CODED[:-4], "they have other counts, or words are left"),
        (b"\x04\x01" + KNOWN_CODED[2:], "they have other counts, or words are left"),
    ],
)
def test_wrong_codes(damaged: bytes, message: str) -> None:
    with pytest.raises(FileFormatError, match=message) as caught:
        decode_codes(array(damaged), LayerChoice("a", 3), len(KNOWN))
    assert "codes of layer 'a'" in str(caught.value)


def test_sizes_that_are_claimed_take_no_memory(parts: tuple[bytes, bytes], seal: Seal) -> None:
    contents, body = parts
    record = next(r for r in records(seal(*parts)).values() if r.coded_bytes)
    larger = record.encode()[:8] + encode_varint(2**62)
    network = skewed()
    tracemalloc.start()
    with pytest.raises(FileFormatError, match=r"its tensors take \d{19} bytes, but it has"):
        unpack(seal(contents.replace(record.encode(), larger), body), network)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_wide_codes_cannot_be_coded(parts: tuple[bytes, bytes], seal: Seal) -> None:
    contents, body = parts
    wide = next(r for r in records(seal(*parts)).values() if r.choice.bits == 12)
    wrong = contents.replace(wide.encode(), wide.encode()[:7] + b"\x01" + encode_varint(9))
    with pytest.raises(FileFormatError, match=r"layer '2' is wrong: .* 12 bits, .* last byte 1"):
        unpack(seal(wrong, body), skewed())


def test_without_constriction_one_clear_error(
    coded_file: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = quantized(LayerChoice("0", 4))
    monkeypatch.setitem(sys.modules, "constriction", None)
    wanted = r"need constriction: run `.*-m pip install 'rlquant\[entropy\]'"
    with pytest.raises(SettingsError, match=wanted):
        rlquant.save(network, tmp_path / "x.rlq", entropy_coding=True)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SettingsError, match=wanted):
        unpack(coded_file, skewed())
    assert unpack(pack(network), skewed()) is not None
