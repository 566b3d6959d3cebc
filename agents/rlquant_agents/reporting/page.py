"""The page of a report: one file that needs nothing else, no network, no script, no picture."""

from __future__ import annotations

from collections.abc import Iterator

from rlquant_agents.reporting.charts import CURVE_TITLE, PARETO_TITLE, curve_chart, pareto_chart
from rlquant_agents.reporting.layer_chart import layer_chart
from rlquant_agents.reporting.markup import Markup, block, element, join, void
from rlquant_agents.reporting.run_files import MODEL
from rlquant_agents.reporting.sections import layers, loading, results, sizes
from rlquant_agents.reporting.style import STYLE
from rlquant_agents.reporting.summary import Runs, title


def page(runs: Runs) -> str:
    """Return the report as HTML.

    Args:
        runs: the run that is reported, then those it is compared with.
    """
    run = next(iter(runs.values()))
    heading = f"Quantization of {title(run)}"
    head = block(
        "head",
        void("meta", charset="utf-8"),
        void("meta", name="viewport", content="width=device-width, initial-scale=1"),
        void("meta", name="color-scheme", content="light dark"),
        element("title", heading),
        element("style", Markup(STYLE)),
    )
    sections = list(_sections(runs))
    links = [element("li", element("a", name, href=f"#{anchor}")) for anchor, name, _ in sections]
    body = block(
        "body",
        element("h1", heading),
        block("nav", block("ul", *links), aria_label="Sections"),
        block("main", *(_section(*section) for section in sections)),
    )
    return join(Markup("<!DOCTYPE html>\n"), block("html", head, body, lang="en")) + "\n"


def _sections(runs: Runs) -> Iterator[tuple[str, str, Markup]]:
    """Yield anchor, heading and content of each part that this run has."""
    run = next(iter(runs.values()))
    yield "summary", "Result", results(runs)
    yield "bits", "Bits of each layer", layer_chart(run)
    yield "front", PARETO_TITLE, pareto_chart(run)
    yield "search", CURVE_TITLE, curve_chart(runs)
    yield "layers", "Layers, and one option up or down", layers(run)
    if run.facts.parts is not None:
        yield "size", f"What the bytes of {MODEL} are", sizes(run, run.facts.parts)
        yield "load", "How to load it", loading(run)


def _section(anchor: str, heading: str, content: Markup) -> Markup:
    return block("section", element("h2", heading, id=anchor), content)
