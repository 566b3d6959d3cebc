"""llms.txt names every page with its heading and first sentence."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).resolve().parents[2]
HOOK = runpy.run_path(str(ROOT / "docs" / "llms_txt.py"))


def test_a_page_begins_with_its_heading_and_first_sentence() -> None:
    page = "# A *page*\n\n- a list\n\nSee [the map](map.md),\nfirst. Then more.\n"
    assert HOOK["beginning"](page) == ("A *page*", "See the map, first.")
    assert HOOK["beginning"]("# Links alone\n\n- one\n") == ("Links alone", "")


def test_pages_stand_below_their_sections() -> None:
    file = SimpleNamespace(content_string="# Install\n\nTwo commands:\n")
    sections = [("How-to", [SimpleNamespace(file=file, url="install/")])]
    assert list(HOOK["lines"]("rlquant", "Bits.", sections)) == [
        *("# rlquant", "", "> Bits.", "", "## How-to", ""),
        "- [Install](install/): Two commands",
    ]
