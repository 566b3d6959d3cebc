"""The tables of the page: results, layers with their neighbours, bytes, and how to load it."""

from __future__ import annotations

from collections.abc import Sequence

from rlquant.tasks.registry import names
from rlquant_agents.reporting.file_parts import FileParts
from rlquant_agents.reporting.markup import Markup, block, element, join
from rlquant_agents.reporting.neighbours import Neighbour, neighbours
from rlquant_agents.reporting.run_files import MODEL, RunFiles
from rlquant_agents.reporting.summary import Runs, facts_of, headings, made_by, rows
from rlquant_agents.reporting.words import (
    choice_in_words,
    cost_in_words,
    count,
    fit_in_words,
    loss_in_words,
    share,
    value_in_words,
)


def results(runs: Runs) -> Markup:
    """Return the summary: the table of results, what else is to be known, and the command."""
    run = next(iter(runs.values()))
    lines = [
        _row(row.name, row.cells, numbers=True, class_="ours" if row.ours else "")
        for row in rows(runs)
    ]
    table = _table("On the validation samples", ("network", *headings(run)), lines, numbers=True)
    terms = [join(element("dt", term), element("dd", words)) for term, words in facts_of(run)]
    command = element("pre", element("code", made_by(run)), class_="copy")
    return join(table, "\n", block("dl", *terms), "\n", element("p", "Made by"), "\n", command)


def layers(run: RunFiles) -> Markup:
    """Return the table of layers: what each one is, its choice, and what its neighbours cost."""
    said = (
        "One option up is the nearest more expensive one, down the nearest cheaper one; options "
        "that change bits alone come first. Costs are exact. A loss is the change against what was "
        "chosen, where the search measured exactly that configuration; nothing is estimated."
    )
    chosen, size = run.facts.chosen(run.config), run.facts.size
    lines = []
    for i, (facts, beside) in enumerate(zip(run.facts.layers, neighbours(run), strict=True)):
        cells = [
            _lines(facts.kind, " x ".join(map(str, facts.shape))),
            _lines(count(facts.parameters)),
            _lines(*choice_in_words(run.config[facts.name]).split(", ")),
            *([] if size is None else [_lines(count(size.units[i][chosen[i]]))]),
            *(_beside(run, each) for each in beside),
        ]
        lines.append(_row(facts.name or "network", cells))
    heads = ["layer", "kind and shape", "weights", "choice"]
    heads += [*([] if size is None else ["bytes"]), "one option down", "one option up"]
    return join(element("p", said), "\n", _table("In execution order", heads, lines))


def _beside(run: RunFiles, beside: Neighbour | None) -> Markup:
    if beside is None:
        return element("span", "none", class_="faint")
    return _lines(
        element("strong", choice_in_words(beside.choice)),
        cost_in_words(run, beside),
        value_in_words(run, beside),
        fit_in_words(run, beside),
        loss_in_words(run, beside),
    )


def _lines(*lines: str) -> Markup:
    """Return lines one below the other; empty ones are left out."""
    return join(*(element("span", line) for line in lines if line))


def sizes(run: RunFiles, parts: FileParts) -> Markup:
    """Return what the bytes of the packed file are spent on, in all and by layer."""
    lines = [
        _row(words, (count(size), share(size, parts.total)), numbers=True)
        for words, size in parts.by_part().items()
    ]
    total = _row(MODEL, (count(parts.total), share(parts.total, parts.total)), numbers=True)
    whole = _table("The whole file", ("part", "bytes", "share"), lines, total, numbers=True)
    return join(whole, "\n", _sizes_by_layer(run, parts))


def _sizes_by_layer(run: RunFiles, parts: FileParts) -> Markup:
    """Return the bytes of each searched weight; columns that are 0 everywhere are left out."""
    fields = {
        "codes": "codes",
        "scales, offsets, codebook": "numbers",
        "input grid": "inputs",
        "record": "record",
        "float weight": "floats",
    }
    shown = {head: f for head, f in fields.items() if any(getattr(p, f) for p in parts.layers)}
    lines = []
    for facts, part in zip(run.facts.layers, parts.layers, strict=True):
        cells = [count(getattr(part, field)) for field in shown.values()]
        lines.append(_row(facts.name or "network", [*cells, count(part.total)], numbers=True))
    heads = ("layer", *shown, "all")
    return _table("The searched weights, in bytes", heads, lines, numbers=True)


def loading(run: RunFiles) -> Markup:
    """Return the code that loads the packed file."""
    task, network = run.settings.get("task"), "my_network()"
    if task in names():
        network = f"rlquant.tasks.load({task!r}).network"
    code = "\n".join(
        [
            "import rlquant",
            "",
            f"# The float network, a {run.facts.network}; its weights do not matter.",
            f"network = {network}",
            f'quantized = rlquant.load("{MODEL}", network)',
            "outputs = quantized(inputs)  # as they were scored",
        ]
    )
    return element("pre", element("code", code), class_="copy")


def _table(
    caption: str,
    heads: Sequence[str],
    lines: Sequence[Markup],
    total: Markup | None = None,
    *,
    numbers: bool = False,
) -> Markup:
    """Return a table that scrolls where the page is narrow; the first cell of a line heads it."""
    first, *others = heads
    aligned = {"class_": "number"} if numbers else {}
    cells = [element("th", head, scope="col", **aligned) for head in others]
    head = block("thead", element("tr", element("th", first, scope="col"), *cells))
    foot = "" if total is None else block("tfoot", total)
    table = block("table", element("caption", caption), head, block("tbody", *lines), foot)
    return block("div", table, class_="wide", role="region", aria_label=caption, tabindex="0")


def _row(name: str, cells: Sequence[str], *, numbers: bool = False, class_: str = "") -> Markup:
    """Return a line; cells that hold elements have them one below the other."""
    body = []
    for cell in cells:
        style = "number" if numbers else "lines" if isinstance(cell, Markup) else ""
        body.append(element("td", cell, **({"class_": style} if style else {})))
    attributes = {"class_": class_} if class_ else {}
    return element("tr", element("th", name, scope="row"), *body, **attributes)
