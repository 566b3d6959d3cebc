"""Rows are kept in folders while they are measured, and in one file beside their page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from rlquant.errors import FileFormatError
from rlquant_experiments.kept_rows import (
    beside,
    document,
    documents,
    find,
    keep,
    published,
)


@dataclass(frozen=True)
class Loss:
    loss: float


def test_a_row_is_found_in_a_folder_and_beside_its_page(tmp_path: Path) -> None:
    """The same name stands for several settings beside a page; the first place counts."""
    few, many = document({"samples": 8}, {"loss": 0.5}), document({"samples": 64}, {"loss": 0.25})
    (page,) = beside(tmp_path / "page.md")
    page.write_text(published([("b", many), ("a", few), ("a", many)]))
    assert list(documents(page)) == [("a", few), ("a", many), ("b", many)]
    assert find(Loss, "a", {"samples": 64}, [tmp_path / "nothing", page]) == Loss(0.25)
    assert find(Loss, "b", {"samples": 8}, [page]) is None
    assert find(Loss, "c", {"samples": 64}, [page]) is None
    folder = tmp_path / "rows"
    folder.mkdir()
    keep(folder, "a", document({"samples": 64}, {"loss": 0.125}))
    assert find(Loss, "a", {"samples": 64}, [folder, page]) == Loss(0.125)
    assert list(documents(folder)) == [("a", document({"samples": 64}, {"loss": 0.125}))]


def test_without_a_page_there_is_nothing_beside_it() -> None:
    assert beside(None) == ()


@pytest.mark.parametrize("text", ["{}", "[1]", '[{"settings": {}}]', "[{"])
def test_what_holds_no_rows_is_refused_by_its_place(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.json"
    page.write_text(text)
    with pytest.raises(FileFormatError, match=r"page\.json"):
        list(documents(page))


def test_figures_of_another_kind_are_refused_by_their_place(tmp_path: Path) -> None:
    page = tmp_path / "page.json"
    page.write_text(published([("a", document({}, {"loss": "small"}))]))
    with pytest.raises(FileFormatError, match=r"page\.json"):
        find(Loss, "a", {}, [page])
