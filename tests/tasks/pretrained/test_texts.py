from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from rlquant.tasks.pretrained import texts
from rlquant.tasks.pretrained.package_files import PackageFile
from rlquant.tasks.pretrained.texts import load_documents, passages


def write(folder: Path, name: str, text: str) -> PackageFile:
    (folder / name).write_text(text, encoding="utf-8")
    return PackageFile("absent==1", name, hashlib.sha256(text.encode()).hexdigest())


def test_documents_are_articles_and_pages_in_turn_in_disjoint_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLQUANT_DATA", str(tmp_path))
    articles = [f"article {i} " + "a" * 300 for i in range(8)]
    pages = [f"page {i} " + "p" * 3000 for i in range(8)]
    wiki = "".join(f'<doc id="{i}">\n{text}\n\n</doc>\n' for i, text in enumerate(articles))
    wiki = f'<doc id="9">\nshort\n</doc>\n{wiki}'
    monkeypatch.setattr(texts, "WIKI", write(tmp_path, "wiki", wiki))
    monkeypatch.setattr(texts, "C4", write(tmp_path, "c4", "\n".join([pages[0], *pages])))
    parts = load_documents()
    assert {part: len(found) for part, found in parts.items()} == {
        "train": 8,
        "validation": 4,
        "test": 4,
    }
    every = [text for found in parts.values() for text in found]
    assert every[0::2] == articles
    assert every[1::2] == [page[:2000] for page in pages]


def test_passages_have_one_to_five_sentences() -> None:
    first = "The first sentence. The second! The third one? The fourth."
    second = "A title of a page\nOne sentence. Two. Three. Four. Five. Six. Seven. Eight."
    found = list(passages([first, second, first], 2))
    assert found == [
        "The second! The third one?",
        "A title of a page One sentence. Two.",
        "Three. Four. Five. Six.",
        first,
    ]
