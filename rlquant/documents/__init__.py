"""Untrusted input files: regular, within bounds, every field checked.

Whatever is read goes through here, and every fault is a `FileFormatError`:

1. `files.py` returns the bytes of a regular file that is not larger than its kind may be.
2. `json_text.py`, `csv_rows.py`, `tensor_file.py` and `yaml_text.py` (imported where it is used)
   parse them; nothing in them is executed.
3. `schema.py` makes values of what was parsed, by the types of a dataclass's fields.
"""

from __future__ import annotations

from rlquant.documents.csv_rows import csv_rows, named_rows, number, whole
from rlquant.documents.files import MOST_TEXT_BYTES, read_file, read_text, require_regular
from rlquant.documents.json_text import parse_json, read_json
from rlquant.documents.schema import Count, Range, read_as, read_fields, read_given, shown

__all__ = [
    "MOST_TEXT_BYTES",
    "Count",
    "Range",
    "csv_rows",
    "named_rows",
    "number",
    "parse_json",
    "read_as",
    "read_fields",
    "read_file",
    "read_given",
    "read_json",
    "read_text",
    "require_regular",
    "shown",
    "whole",
]
