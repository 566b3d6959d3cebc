"""HTML made of elements: closed and escaped."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from html_page import HtmlPage
from rlquant_agents.reporting.markup import Markup, block, element, join, void


def test_elements_have_names_attributes_and_children() -> None:
    made = element("a", "x", element("b", "y"), class_="c", aria_label="d", href="#e")
    assert made == '<a class="c" aria-label="d" href="#e">x<b>y</b></a>'
    assert void("meta", charset="utf-8") == '<meta charset="utf-8">'


def test_a_block_has_its_children_on_lines_and_no_empty_ones() -> None:
    assert block("ul", element("li", "a"), "", element("li", "b")) == (
        "<ul>\n<li>a</li>\n<li>b</li>\n</ul>"
    )


def test_texts_are_escaped_once_and_markup_never() -> None:
    assert element("p", "1 < 2 & 'x'") == "<p>1 &lt; 2 &amp; &#x27;x&#x27;</p>"
    assert element("p", title='"<') == '<p title="&quot;&lt;"></p>'
    assert join(Markup("<br>"), "<br>") == "<br>&lt;br&gt;"


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_any_text_arrives_as_it_is(text: str) -> None:
    page = HtmlPage(element("p", text, title=text))
    assert "".join(page.words) == text
    assert page.values("title") == [text]
