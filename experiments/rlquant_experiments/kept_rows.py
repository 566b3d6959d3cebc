"""Rows that a page is made of: a file each while they are measured, one beside the page for all.

Who has the page has its rows: a command that names it as its report measures what is not there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

from rlquant.documents import parse_json, read_as
from rlquant.files import reading, write_file

Document = Mapping[str, Any]
"""Of a row: its "settings", which its figures depend on, and its "figures"."""
Figures = TypeVar("Figures")


@dataclass(frozen=True, slots=True)
class _Published:
    """A row in the file beside a page."""

    name: str
    settings: dict[str, Any]
    figures: dict[str, Any]


def document(settings: Mapping[str, Any], figures: Mapping[str, Any]) -> Document:
    """Return what is kept of a row."""
    return {"settings": settings, "figures": figures}


def keep(folder: Path, name: str, row: Document) -> None:
    """Keep a row in a folder."""
    write_file(folder / f"{name}.json", json.dumps(row) + "\n")


def beside(report: Path | None) -> tuple[Path, ...]:
    """Return the file with a page's rows, or nothing where there is no page."""
    return () if report is None else (report.with_suffix(".json"),)


def published(rows: Iterable[tuple[str, Document]]) -> str:
    """Return the text of the file beside a page: a line for each row, ordered by name.

    Args:
        rows: names and documents; two of one name have other settings.
    """
    lines = (json.dumps({"name": name, **row}) for name, row in sorted(rows, key=itemgetter(0)))
    return "[\n" + ",\n".join(lines) + "\n]\n"


def documents(place: Path, name: str = "*") -> Iterator[tuple[str, Document]]:
    """Yield names and documents of the rows in a folder, or in the file beside a page.

    Args:
        place: a folder, in the order of names, or a file; where there is none nothing is yielded.
        name: of the rows that are wanted, by default of all.

    Raises:
        FileFormatError: a file that holds no rows.
    """
    if place.is_dir():
        for path in sorted(place.glob(f"{name}.json")):
            with reading(path):
                content = parse_json(path.read_text())
                if isinstance(content, dict):  # lists are those of pages
                    yield path.stem, content
    elif place.exists():
        with reading(place):
            for row in read_as(list[_Published], parse_json(place.read_text())):
                if name in ("*", row.name):
                    yield row.name, document(row.settings, row.figures)


def find(
    kind: type[Figures], name: str, settings: Mapping[str, Any], places: Sequence[Path]
) -> Figures | None:
    """Return the figures of a row that was measured under the same settings, if it was.

    Args:
        kind: of figures, a dataclass.
        name: of the row.
        settings: that its figures depend on.
        places: folders, and files beside pages; the first that has the row counts.

    Raises:
        FileFormatError: a file that holds no such figures.
    """
    for place in places:
        with reading(place):
            for _, row in documents(place, name):
                if row.get("settings") == settings:
                    return read_as(kind, row.get("figures"))
    return None
