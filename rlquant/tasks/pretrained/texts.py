"""English texts in three disjoint parts: articles of Wikipedia and pages of the C4 corpus.

They are those that the package exllamav3 ships for calibration.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import cycle, islice

from rlquant.tasks.pretrained.package_files import PackageFile

PACKAGE = "exllamav3==1.6.5"
FOLDER = "exllamav3/conversion/standard_cal_data"
WIKI = PackageFile(
    PACKAGE,
    f"{FOLDER}/wiki.utf8",
    "d53fe0aeadf3355eb5d32b48bf8691575244c31caccae88ed46be8e1b40209c7",
)
C4 = PackageFile(
    PACKAGE,
    f"{FOLDER}/c4.utf8",
    "2daf1ef16e02dbd337f86296acd4c3f2eb703800ad21fd1f48b40280c699cd41",
)
SHORTEST, LONGEST = 200, 2000
"""Characters that a document has at least, and of which no more are taken, for more documents."""

SHORTEST_PASSAGE = 20


def load_documents() -> dict[str, tuple[str, ...]]:
    """Return documents, an article and a page in turn, by part: train, validation, test.

    Half of them train; a quarter is what searches see, and a quarter is tested on.

    Raises:
        DataError: a file is missing, cannot be read, or is another one.
    """
    articles = WIKI.find().read_text(encoding="utf-8").split("</doc>\n")
    pages = C4.find().read_text(encoding="utf-8").split("\n")
    heading = re.compile(r"\A<doc [^\n]*>\n")
    pairs = zip(_long(heading.sub("", text) for text in articles), _long(pages), strict=False)
    documents = tuple(text for pair in pairs for text in pair)
    half, quarter = len(documents) // 2, len(documents) // 4
    return {
        "train": documents[:half],
        "validation": documents[half:-quarter],
        "test": documents[-quarter:],
    }


def _long(texts: Iterable[str]) -> Iterator[str]:
    """Yield the beginnings of texts that are long enough, each once."""
    for text in dict.fromkeys(text.strip() for text in texts):
        if len(text) >= SHORTEST:
            yield text[:LONGEST]


def passages(documents: Iterable[str], a_document: int = 2) -> Iterator[str]:
    """Yield passages of one to five sentences, so many of each document."""
    lengths = cycle((1, 2, 3, 4, 5))
    for document in documents:
        sentences = iter(re.split(r"(?<=[.!?])\s+|\n+", document))
        for length in islice(lengths, a_document):
            passage = " ".join(islice(sentences, length))
            if len(passage) >= SHORTEST_PASSAGE:
                yield passage
