"""Codes in as few bytes as their counts allow: an ANS coder behind the counts of every code.

    counts   how often each code occurs, as varints; together they are the number of weights
    words    what the coder of `constriction` wrote, little-endian words of 32 bits

The counts are stored as they are, so that they are the model without any rounding, and a check:
what is decoded must use up all words and have these counts. Source of the coder: Duda et al.
2015, "The use of asymmetric numeral systems as an accurate replacement for Huffman coding".
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rlquant.config import LayerChoice
from rlquant.cost.file_layout import encode_varint
from rlquant.errors import FileFormatError, SettingsError
from rlquant.export.rlq.bit_packing import Bytes
from rlquant.export.rlq.byte_reader import VARINT_BYTES, ByteReader
from rlquant.pasting import install
from rlquant.quantizers.formats import format_of

MOST_CODES = 256
"""More, wider codes are packed plainly: their counts would take as much as they save."""
WORD = np.dtype("<u4")
PIECE = 2**20
"""Codes that the coder is given at a time, as it takes four bytes for each."""

Counts = npt.NDArray[np.int64]


def can_be_coded(choice: LayerChoice) -> bool:
    """Return whether entropy coding is offered for the codes of a layer."""
    return format_of(choice).code_count(choice.bits) <= MOST_CODES


def encode_codes(codes: Bytes, choice: LayerChoice) -> bytes:
    """Return the counts of a layer's codes and their words.

    Args:
        codes: shape `(n,)`.
        choice: the layer's; `can_be_coded` holds.

    Raises:
        SettingsError: constriction is not installed.
    """
    pieces = [codes[start : start + PIECE] for start in range(0, codes.size, PIECE)]
    counts = np.zeros(_code_count(choice), np.int64)
    for piece in pieces:
        counts += np.bincount(piece, minlength=counts.size)
    constriction = _constriction()
    model, coder = _model(constriction, counts), constriction.stream.stack.AnsCoder()
    for piece in reversed(pieces):  # the coder is a stack
        coder.encode_reverse(piece.astype(np.int32), model)
    words = coder.get_compressed().astype(WORD).tobytes()
    return b"".join((*map(encode_varint, counts.tolist()), words))


def decode_codes(data: Bytes, choice: LayerChoice, weights: int) -> Bytes:
    """Undo `encode_codes` with untrusted data.

    Args:
        data: counts and words.
        choice: the layer's; `can_be_coded` holds.
        weights: number of codes, at least one; memory is taken for so many.

    Returns:
        Shape `(weights,)`.

    Raises:
        FileFormatError: `encode_codes` never returned such data.
        SettingsError: constriction is not installed.
    """
    what = f"the entropy-coded codes of layer {choice.layer!r}"
    counts, words = _split(data, _code_count(choice), what)
    if sum(counts) != weights or words.size % WORD.itemsize:
        raise FileFormatError(
            f"{what} have counts for {sum(counts)} of {weights} weights, "
            f"and {words.size} bytes of words, each of {WORD.itemsize}"
        )
    constriction = _constriction()
    model = _model(constriction, np.array(counts))
    try:
        coder = constriction.stream.stack.AnsCoder(words.view(WORD).astype(np.uint32))
    except ValueError as error:
        raise FileFormatError(f"{what} are damaged: {error}") from error
    codes, found = np.empty(weights, np.uint8), np.zeros(len(counts), np.int64)
    for start in range(0, weights, PIECE):
        piece = coder.decode(model, min(PIECE, weights - start))
        codes[start : start + PIECE] = piece
        found += np.bincount(piece, minlength=found.size)
    if not coder.is_empty() or found.tolist() != counts:
        raise FileFormatError(f"{what} are damaged: they have other counts, or words are left")
    return codes


def _code_count(choice: LayerChoice) -> int:
    return format_of(choice).code_count(choice.bits)


def _split(data: Bytes, code_count: int, what: str) -> tuple[list[int], Bytes]:
    """Return the counts and the bytes of the words."""
    reader = ByteReader(data[: code_count * VARINT_BYTES].tobytes(), what)
    counts = [reader.varint() for _ in range(code_count)]
    return counts, data[reader.position :]


def _model(constriction: Any, counts: Counts) -> Any:
    """Return the distribution of the codes; those of count 0 get the least share that there is."""
    return constriction.stream.model.Categorical(counts.astype(np.float64), perfect=False)


def _constriction() -> Any:
    try:
        import constriction
    except ImportError as error:
        command = install("'rlquant[entropy]'")
        raise SettingsError(f"entropy-coded files need constriction: run `{command}`") from error
    return constriction
