"""The page of the measurements: for each recipe, what encoders and searches make of its bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from rlquant.escaping import markdown_table
from rlquant_experiments.comparison.report_file import Report, made_by
from rlquant_experiments.targets.rows import (
    FLOAT,
    GPTQ,
    NEAREST,
    SEARCHED,
    THEIRS,
    THEIRS_BY_IMPORTANCE,
    Figures,
    Row,
)
from rlquant_experiments.targets.settings import TargetsSettings

Rows = Mapping[Row, Figures]
INTRODUCTION = """# GGUF files beside llama.cpp's recipes

SmolLM2-135M (as in [real networks](real-networks.md): rotated, off the 4-bit grid of its file, with
a head of its own) as GGUF files. Rows of 576 weights are no whole blocks of the K types, so that
llama.cpp's recipes fall back there: Q2_K and Q3_K to Q4_0, Q4_K to Q5_0, Q5_K to Q5_1, Q6_K to
Q8_0. Q4_0 and Q5_0 are for all weights, as `--pure` gives them.

- **llama.cpp**: types by the recipe, weights by the encoders in llama.cpp's own libraries; with
  **imatrix** by the mean squares of inputs on the calibration sequences (none for embedding and
  head, as `llama-imatrix` has it).
- **rlquant, nearest**: the same types, scales searched by ours with the same statistics; **GPTQ**:
  rounded by it.
- **rlquant, searched**: types searched for at the bytes of the recipe's file.

KL (nats, mean and 99.9th percentile), perplexity and top-1 agreement are of the weights as PyTorch
runs them, on test sequences that no search saw. Runtime KL: of llama.cpp's answers from these, on
one sequence; it rounds inputs of layers to 8 bits. Milliseconds a token: llama.cpp, one token at a
time, one thread. Where no file was written, no bytes stand beside those that were promised.
"""


def write_page(settings: TargetsSettings, rows: Rows, command: Sequence[str]) -> str:
    """Write the page into the folder of the rows, and where the settings say; return its text."""
    samples = (
        f"Calibration on {settings.calibration} sequences of 256 tokens, tests on {settings.test}; "
        f"searches ({settings.searcher}) see {settings.validation} and make "
        f"{settings.evaluations} evaluations."
    )
    parts = [INTRODUCTION, made_by(command, settings.threads), samples, _verdicts(settings, rows)]
    parts += [_section(recipe, rows) for recipe in settings.recipes]
    targets = [settings.out / "targets.md", *([settings.report] if settings.report else [])]
    return Report("\n\n".join(part for part in parts if part) + "\n", {}).write(targets)


def _verdicts(settings: TargetsSettings, rows: Rows) -> str:
    """Return, for each recipe, the KL of searches by that of the recipe."""
    lines = []
    for recipe in settings.recipes:
        searched = [f.kl for row, f in rows.items() if row.searched and row.recipe == recipe]
        if not searched:
            continue
        line = [recipe, f"{fmean(searched):.4f}"]
        for way in (THEIRS, THEIRS_BY_IMPORTANCE, NEAREST, GPTQ):
            other = rows.get(Row(recipe, way))
            line.append("" if other is None else f"{fmean(searched) / other.kl:.2f}")
        lines.append([*line, str(len(searched))])
    if not lines:
        return ""
    heads = ["bytes of", "KL, searched", "by llama.cpp", "by it with imatrix"]
    return markdown_table([*heads, "by nearest", "by GPTQ", "seeds"], lines, "lr")


def _section(recipe: str, rows: Rows) -> str:
    own = {row: found for row, found in rows.items() if row.recipe == recipe or row.way == FLOAT}
    if len(own) < 2:
        return ""
    heads = ["weights", "bytes promised", "bytes", "KL", "99.9 %", "perplexity", "top-1"]
    heads += ["runtime KL", "ms a token", "minutes", "types"]
    lines = [_cells(row, found) for row, found in own.items()]
    return f"## {recipe}\n\n{markdown_table(heads, lines, 'lr')}"


def _cells(row: Row, found: Figures) -> list[str]:
    seed = f", seed {row.seed}" if row.way == SEARCHED else ""
    seconds, apart = found.token_seconds, found.runtime_kl
    return [
        row.way + seed,
        f"{found.promised:,}",
        f"{found.bytes:,}" if found.bytes else "",
        f"{found.kl:.4f}",
        f"{found.kl_999:.3f}",
        f"{found.perplexity:.2f}",
        f"{found.agreement:.4f}",
        "" if apart is None else f"{apart:.1e}",
        "" if seconds is None else f"{1e3 * seconds:.1f}",
        f"{found.minutes:.1f}",
        found.types,
    ]
