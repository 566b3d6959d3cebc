"""The page of a report: one file that needs nothing else, no network, no script, no picture."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from rlquant.counted import counted
from rlquant.escaping import printable
from rlquant.tasks.registry import names
from rlquant_agents.reporting.figure_files import svg
from rlquant_agents.reporting.figures import Figures
from rlquant_agents.reporting.file_parts import PARTS
from rlquant_agents.reporting.neighbours import neighbours
from rlquant_agents.reporting.quantities import QUANTITIES
from rlquant_agents.reporting.run_files import MODEL, RunFiles
from rlquant_agents.reporting.summary import Runs, facts_of, headings, made_by, rows, title
from rlquant_agents.reporting.words import (
    count,
    decimal,
    neighbour_in_words,
    share,
)


def page(runs: Runs, figures: Figures) -> str:
    """Return the report as HTML.

    Args:
        runs: the run that is reported, then those it is compared with.
        figures: of `run_figures`.
    """
    run = next(iter(runs.values()))
    parts = run.facts.parts
    return (
        _environment()
        .get_template("page.html.jinja")
        .render(
            heading=f"Quantization of {title(run)}",
            model=MODEL,
            run=run,
            headings=headings(run),
            rows=rows(runs),
            facts=facts_of(runs),
            command=made_by(run),
            bits=svg(figures["layers"], "bits", _layers_told(run)),
            front=svg(figures["pareto"], "front", _front_told(run)),
            search=svg(figures["search"], "search", _search_told(runs)),
            layers=_layers(run),
            parts=parts,
            part_columns={} if parts is None else {PARTS[f]: f for f in parts.of_weights()},
            code=_loading(run),
        )
    )


def _environment() -> Environment:
    """Return Jinja2 set so that whatever a template is given is text, escaped once."""
    made = Environment(
        loader=PackageLoader("rlquant_agents.reporting", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=lambda value: (
            value if isinstance(value, Markup) else printable(str(value), lines=True)
        ),
    )
    made.filters |= {"count": count, "layer": lambda name: name or "network"}
    made.globals["share"] = share
    return made


def _layers(run: RunFiles) -> list[dict[str, Any]]:
    """Return what the table says of each layer: facts, choice, bytes, and its neighbours."""
    chosen, size = run.facts.chosen(run.config), run.facts.size
    return [
        {
            "facts": facts,
            "choice": run.config[facts.name].in_words.split(", "),
            "bytes": None if size is None else size.units[i][chosen[i]],
            "beside": [each and neighbour_in_words(run, each) for each in beside],
        }
        for i, (facts, beside) in enumerate(zip(run.facts.layers, neighbours(run), strict=True))
    ]


def _loading(run: RunFiles) -> str:
    """Return the code that loads the packed file."""
    task = run.settings.get("task")
    network = f"rlquant.tasks.load({task!r}).network" if task in names() else "my_network()"
    if isinstance(task, str) and ":" in task:
        data = {name: run.settings[name] for name in ("text", "images") if name in run.settings}
        given = "".join(f", {name}={value!r}" for name, value in data.items())
        network = f"rlquant.tasks.load_model({task!r}{given}).network"
    return (
        "import rlquant\n\n"
        f"# The float network, a {run.facts.network}; its weights do not matter.\n"
        f"network = {network}\n"
        f'quantized = rlquant.load("{MODEL}", network)\n'
        "outputs = quantized(inputs)  # as they were scored"
    )


def _layers_told(run: RunFiles) -> str:
    return "; ".join(f"{c.layer or 'network'}: {c.in_words}" for c in run.config)


def _front_told(run: RunFiles) -> str:
    return (
        f"{counted(len(run.evaluations), 'evaluation')}, {len(run.front)} of them on the front of "
        f"loss and "
        f"{QUANTITIES[run.quantity][0]}. Delivered: loss {decimal(run.outcome.score.loss)}."
    )


def _search_told(runs: Runs) -> str:
    return "; ".join(
        f"{name}: loss {decimal(run.outcome.score.loss)} after "
        f"{counted(len(run.evaluations), 'evaluation')}"
        for name, run in runs.items()
    )
