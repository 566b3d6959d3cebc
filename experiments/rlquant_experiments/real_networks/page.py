"""The page of the measurements: a table and a figure for each task, and what won where."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from rlquant.escaping import markdown_table
from rlquant.files import reading
from rlquant_agents.reporting.figure_files import png
from rlquant_experiments.comparison.report_file import Report, image, made_by
from rlquant_experiments.kept_rows import published
from rlquant_experiments.real_networks.figures import figure_of
from rlquant_experiments.real_networks.rows import (
    AGENT,
    Rows,
    document_of,
    grouped,
    mean_of,
)
from rlquant_experiments.real_networks.settings import REFINED, RealNetworkSettings

MEGA = 1e6
INTRODUCTION = """# Real networks

Pretrained networks, quantized uniformly and by searches. Losses are the objective of the searches
on test data, which no search saw and every row is measured on once: KL to the float network in nats
for the language model, 1 - cosine similarity to the float embeddings for the encoder, cross-entropy
for the classifier. Average bits and bytes count scales. Of several seeds the mean is shown, and in
the first table of a network how far they lie apart. Searches of a network share quantized weights,
evaluations and gradients: minutes are those of what none had measured before.
"""


def write_page(settings: RealNetworkSettings, rows: Rows, command: Sequence[str]) -> str:
    """Write the page into the folder of the rows, and where the settings say; return its text."""
    parts = [INTRODUCTION, made_by(command, settings.threads)]
    if settings.findings is not None:
        with reading(settings.findings):
            parts.append(settings.findings.read_text(encoding="utf-8"))
    figures = {}
    for task in settings.tasks:
        own = {row: found for row, found in rows.items() if row.task == task}
        if own:
            figures[f"-{task}"] = png(figure_of(task, own))
            parts.append(_section(task, own))
    targets = [settings.out / "real-networks.md", *([settings.report] if settings.report else [])]
    text = "\n\n".join(part.strip() for part in parts) + "\n"
    kept = published((row.name, document_of(row, settings, rows[row])) for row in rows)
    return Report(text, figures, rows=kept).write(targets)


def _section(task: str, rows: Rows) -> str:
    verdicts = "\n".join(f"- {line}" for line in _verdicts(rows))
    return "\n\n".join(
        part
        for part in (
            f"## {task}",
            image(f"Test loss against bytes, {task}", f"-{task}"),
            _searched(rows),
            verdicts,
            _table(rows),
        )
        if part
    )


def _searched(rows: Rows) -> str:
    """Return the test losses of searches by budget, and below them the best uniform that fits."""
    found = {row: each for row, each in grouped(rows).items() if row.searcher}
    budgets = sorted({row.bits for row in found})
    if not budgets:
        return ""
    cells: dict[str, dict[float, str]] = {}
    for row, figures in found.items():
        cells.setdefault(row.searcher, {})[row.bits] = _mean_and_range([f.loss for f in figures])
    uniform = {bits: _best_uniform(rows, bits) for bits in budgets}
    if any(uniform.values()):
        cells["best uniform that fits"] = {b: f"{loss:.4f}" for b, loss in uniform.items() if loss}
    lines = [[name, *(own.get(bits, "") for bits in budgets)] for name, own in cells.items()]
    headings = ["loss, test", *(f"{bits:g} bits" for bits in budgets)]
    return markdown_table(headings, lines, "l" + "r" * len(budgets))


def _mean_and_range(losses: Sequence[float]) -> str:
    mean = f"{fmean(losses):.4f}"
    return mean if len(losses) == 1 else f"{mean} ({min(losses):.4f} to {max(losses):.4f})"


def _best_uniform(rows: Rows, bits: float) -> float | None:
    losses = [
        figures.loss
        for row, figures in rows.items()
        if row.quantizer is not None and figures.average_bits <= bits
    ]
    return min(losses, default=None)


def _table(rows: Rows) -> str:
    names = sorted({name for found in rows.values() for name in found.metrics})
    headings = [
        *("quantized", "bits asked", "groups", "average bits", "MB", "loss, searched on"),
        *("loss, test", "accuracy, test", *(f"{name}, test" for name in names)),
        *("seeds", "evaluations", "minutes", "peak GB"),
    ]
    cells = []
    for row, found in grouped(rows).items():
        mean = mean_of(found)
        metrics = [f"{mean.metrics[n]:.4g}" if n in mean.metrics else "" for n in names]
        cells.append(
            [
                row.label,
                f"{row.bits:g}",
                "" if row.quantizer is None else str(row.group_size),
                f"{mean.average_bits:.3f}",
                f"{mean.size_bytes / MEGA:.3f}",
                f"{mean.validation_loss:.4f}",
                f"{mean.loss:.4f}",
                f"{mean.accuracy:.4f}",
                *metrics,
                str(len(found)) if row.searcher else "",
                str(mean.evaluations or ""),
                f"{mean.minutes:.1f}",
                f"{mean.peak_bytes / 1e9:.2f}" if mean.peak_bytes else "",
            ]
        )
    return markdown_table(headings, cells, "lrlr")


def _verdicts(rows: Rows) -> list[str]:
    """Return for every budget how the agent stands against the others and uniform bits."""
    means = {row: mean_of(found) for row, found in grouped(rows).items()}
    lines = []
    for budget in sorted({row.bits for row in means if row.searcher}):
        at_budget = {r.searcher: f for r, f in means.items() if r.searcher and r.bits == budget}
        searched = {name: f for name, f in at_budget.items() if not name.endswith(REFINED)}
        if AGENT not in searched:
            continue
        agent = searched.pop(AGENT)
        uniform = {
            f"{row.label}, {row.bits:g} bits, groups {row.group_size}": found
            for row, found in means.items()
            if row.quantizer is not None and found.average_bits <= budget
        }
        parts = [f"{budget:g} bits: {AGENT} {agent.loss:.4f}"]
        for words, others in (("best other search", searched), ("best uniform", uniform)):
            if others:
                name = min(others, key=lambda n: others[n].loss)
                stands = "ahead of" if agent.loss <= others[name].loss else "**behind**"
                parts.append(f"{stands} the {words}, {name}, {others[name].loss:.4f}")
        lines.append("; ".join(parts))
    foreseen, within = (sum(getattr(f, n) for f in means.values()) for n in ("foreseen", "within"))
    if foreseen:
        lines.append(
            f"the surrogate of {AGENT} predicted {foreseen} evaluations before they were made: "
            f"{within / foreseen:.0%} lay within its 90 % intervals"
        )
    return lines
