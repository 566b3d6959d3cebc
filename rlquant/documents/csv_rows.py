"""Rows of untrusted CSV files, and the numbers in them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence

from rlquant.documents.schema import shown
from rlquant.errors import FileFormatError

MOST_BYTES = 2**26
"""What a table may have."""
MOST_LINES, MOST_FIELDS = 2**20, 2**24
MOST_FIELD = 2**17
"""Characters of one field; Python's own limit, which other code may have altered."""

Row = list[str]


def csv_rows(text: str, *, skip_spaces: bool = False) -> Iterator[tuple[int, Row]]:
    """Yield the rows of a CSV, each with the number of the line that it ends on.

    Raises:
        FileFormatError: too many lines or fields, or the line that is none, with a field that is
            too long for example.
    """
    if text.count("\n") > MOST_LINES or text.count(",") > MOST_FIELDS:
        raise FileFormatError(f"it has over {MOST_LINES:,} lines or {MOST_FIELDS:,} fields")
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=skip_spaces)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise FileFormatError(f"line {reader.line_num}: {error}") from error
        if max(map(len, row), default=0) > MOST_FIELD:
            raise FileFormatError(f"line {reader.line_num}: a field of over {MOST_FIELD:,} letters")
        yield reader.line_num, row


def named_rows(
    text: str, required: Sequence[str], *, skip_spaces: bool = False
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows of a CSV with a header, by column; empty lines are passed over.

    Args:
        text: the whole file.
        required: columns that the header must name; it may name others.
        skip_spaces: whether spaces after a comma belong to no field.

    Raises:
        FileFormatError: a column is missing or there twice, or a row is longer or shorter than
            the header.
    """
    rows = csv_rows(text, skip_spaces=skip_spaces)
    _, header = next(rows, (0, []))
    missing = [column for column in required if column not in header]
    if missing:
        raise FileFormatError(f"no column {', '.join(missing)}; need {tuple(required)}")
    if len(set(header)) != len(header):
        raise FileFormatError(f"a column is there twice: {shown(header)}")
    for line, row in rows:
        if len(row) == len(header):
            yield line, dict(zip(header, row, strict=True))
        elif row:
            raise FileFormatError(f"line {line}: {len(row)} fields, the header has {len(header)}")


def whole(text: str, name: str, least: int, most: int) -> int:
    """Return a field that is a whole number from `least` to `most`; else `FileFormatError`."""
    if len(text) <= len(str(most)) + 1:
        try:
            value = int(text)
        except ValueError:
            pass
        else:
            if least <= value <= most:
                return value
    raise FileFormatError(f"{name}={shown(text)}, use a whole number from {least} to {most}")


def number(text: str, name: str, least: float = -math.inf, most: float = math.inf) -> float:
    """Return a field that is a number from `least` to `most`, NaN never; else `FileFormatError`."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if least <= value <= most:
        return value
    raise FileFormatError(f"{name}={shown(text)}, use a number from {least:g} to {most:g}")
