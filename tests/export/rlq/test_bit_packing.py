"""Codes to bits and back: exact, of the promised size, and laid out as the format says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlquant.errors import FileFormatError, SettingsError
from rlquant.export.rlq.bit_packing import pack_codes, pack_ternary, unpack_codes, unpack_ternary

WIDTHS = range(1, 17)


def random_codes(count: int, options: int, seed: int = 0) -> np.ndarray:
    codes = np.random.default_rng(seed).integers(0, options, count)
    return codes.astype(np.uint8 if options <= 256 else np.uint16)


@pytest.mark.parametrize("bits", WIDTHS)
def test_every_short_length_comes_back(bits: int) -> None:
    for count in range(1, 41):
        codes = random_codes(count, 2**bits, seed=count)
        codes[0] = 2**bits - 1
        packed = pack_codes(codes, bits)
        assert packed.nbytes == -(-count // 8) * bits
        unpacked = unpack_codes(packed, bits, count)
        assert unpacked.dtype == codes.dtype
        np.testing.assert_array_equal(unpacked, codes)


def test_every_short_ternary_length_comes_back() -> None:
    for count in range(1, 41):
        codes = random_codes(count, 3, seed=count)
        packed = pack_ternary(codes)
        assert packed.nbytes == -(-count // 5)
        np.testing.assert_array_equal(unpack_ternary(packed, count), codes)


@settings(max_examples=40, deadline=None)
@given(bits=st.sampled_from(WIDTHS), count=st.integers(0, 5000), seed=st.integers(0, 99))
def test_random_codes_come_back(bits: int, count: int, seed: int) -> None:
    codes = random_codes(count, 2**bits, seed)
    np.testing.assert_array_equal(unpack_codes(pack_codes(codes, bits), bits, count), codes)
    ternary = random_codes(count, 3, seed)
    np.testing.assert_array_equal(unpack_ternary(pack_ternary(ternary), count), ternary)


@pytest.mark.parametrize("bits", [1, 3, 8, 11])
def test_words_join_the_blocks_lowest_first(bits: int) -> None:
    codes = random_codes(24, 2**bits)  # eight blocks of three
    planes = pack_codes(codes, bits).reshape(bits, 3)
    for j in range(3):
        word = int.from_bytes(planes[:, j].tobytes(), "little")
        assert word == sum(int(codes[3 * block + j]) << (bits * block) for block in range(8))


def test_ternary_bytes_are_in_base_three() -> None:
    assert pack_ternary(np.array([1, 0, 2, 0, 1], np.uint8)).tolist() == [1 + 2 * 9 + 81]


def test_codes_are_left_as_they_are() -> None:
    codes, ternary = random_codes(40, 8), random_codes(40, 3)
    before = codes.copy(), ternary.copy()
    pack_codes(codes, 3)
    pack_ternary(ternary)
    np.testing.assert_array_equal((codes, ternary), before)


def test_a_byte_that_no_ternary_codes_make_is_an_error() -> None:
    with pytest.raises(FileFormatError, match="byte 243; at most 242"):
        unpack_ternary(np.array([0, 243], np.uint8), 10)


@settings(max_examples=60, deadline=None)
@given(bits=st.sampled_from(WIDTHS), count=st.integers(0, 3000), seed=st.integers(0, 99))
def test_outputs_that_are_given_are_filled_alike(bits: int, count: int, seed: int) -> None:
    codes, ternary = random_codes(count, 2**bits, seed), random_codes(count, 3, seed)
    packed, bytes_of_five = pack_codes(codes, bits), pack_ternary(ternary)
    out, five = np.full_like(packed, 255), np.full_like(bytes_of_five, 255)
    assert pack_codes(codes, bits, out=out) is out
    assert pack_ternary(ternary, out=five) is five
    np.testing.assert_array_equal(out, packed)
    np.testing.assert_array_equal(five, bytes_of_five)
    back, three = np.full_like(codes, 255), np.full_like(ternary, 255)
    assert unpack_codes(packed, bits, count, out=back) is back
    assert unpack_ternary(five, count, out=three) is three
    np.testing.assert_array_equal(back, codes)
    np.testing.assert_array_equal(three, ternary)


@pytest.mark.parametrize(
    "out",
    [np.empty(5, np.uint8), np.empty((2, 3), np.uint8), np.empty(6, np.int8)],
    ids=["size", "shape", "type"],
)
def test_wrong_outputs_are_refused(out: np.ndarray) -> None:
    with pytest.raises(SettingsError, match=r"out has .*; give a contiguous array of 6 uint8"):
        pack_codes(random_codes(16, 8), 3, out=out)
    with pytest.raises(SettingsError, match="give a contiguous array of 6 uint8"):
        unpack_ternary(np.zeros(2, np.uint8), 6, out=out)


def test_outputs_with_gaps_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"strides \(4,\); give a contiguous array of 8 uint16"):
        unpack_codes(np.zeros(9, np.uint8), 9, 8, out=np.empty(16, np.uint16)[::2])
    with pytest.raises(SettingsError, match="give a contiguous array of 2 uint8"):
        pack_ternary(random_codes(10, 3), out=np.empty(4, np.uint8)[::2])
