"""Links between pages lead somewhere, and every page is in the index."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(page: Path) -> None:
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target]
    assert [t for t in local if not (page.parent / t).exists()] == []


def test_the_index_has_every_page_but_results() -> None:
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / t).resolve() for t in LINK.findall(index.read_text("utf-8"))}
    pages = {page for page in PAGES[1:] if "results" not in page.parts} - {index}
    assert pages - linked == set()


def test_the_index_of_results_has_every_page() -> None:
    index = ROOT / "docs" / "results" / "index.md"
    linked = set(LINK.findall(index.read_text(encoding="utf-8")))
    pages = {page.name for page in index.parent.glob("*.md")} - {index.name}
    assert pages - linked == set()
