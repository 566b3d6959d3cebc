"""A hook of mkdocs: llms.txt, every page of the site in one line, for tools that read text alone.

The form is that of the llms.txt proposal: name, summary, then a list of links for each section.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

FILE = "llms.txt"


def on_nav(nav: Any, config: Any, files: Any) -> None:
    """Add the file to those of the site, once its navigation is known."""
    from mkdocs.structure.files import File

    pages = [item for item in nav.items if item.is_page]
    sections = [("Pages", pages), *((i.title, i.children) for i in nav.items if i.is_section)]
    text = "\n".join(lines(config.site_name, config.site_description, sections)) + "\n"
    files.append(File.generated(config, FILE, content=text))


def lines(name: str, summary: str, sections: Iterable[tuple[str, Iterable[Any]]]) -> Iterator[str]:
    """Yield the lines of the file."""
    yield from (f"# {name}", "", f"> {summary}")
    for title, pages in sections:
        yield from ("", f"## {title}", "")
        for page in pages:
            heading, sentence = beginning(page.file.content_string)
            link = f"- [{heading}]({page.url or 'index.html'})"
            yield f"{link}: {sentence}" if sentence else link


def beginning(markdown: str) -> tuple[str, str]:
    """Return the heading of a page, and the first sentence of its first paragraph."""
    heading = re.search(r"^# (.+)$", markdown, re.M)
    blocks = re.split(r"\n\s*\n", markdown)
    paragraph = next((b for b in blocks if re.match(r"[\w`*\[]", b.strip())), "")
    plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(paragraph.split())).replace("*", "")
    sentence = re.match(r".*?[.:!?](?= |$)|.*", plain)
    assert sentence is not None
    return heading[1] if heading else "", sentence[0].rstrip(":")
