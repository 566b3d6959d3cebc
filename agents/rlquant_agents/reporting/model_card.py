"""README.md beside an exported network: what it is, how it was made, and how good it is."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rlquant import LayerChoice, Score
from rlquant.escaping import markdown_table, printable
from rlquant.version import installed_version

NAME = "README.md"
MARK = "tags: [quantized, rlquant]"
"""A line by which a card of ours is known."""
COLUMNS = {
    "kl": "KL mean",
    "kl_99.9": "KL 99.9 %",
    "top1_agreement": "top-1 agreement",
    "perplexity": "perplexity",
}
"""Metrics that are shown where they were measured: name -> words."""


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What a README.md says of an exported network.

    Attributes:
        base: the network that was quantized, as the command names it.
        file: name of the exported one.
        bytes: of the file.
        types: how many tensors there are of each type.
        choices: of the quantized layers.
        scores: on validation data by the name of the network, the exported one last.
        tested: metrics on data that nothing was chosen on, by the same names; may be empty.
        command: that made it.
        serve: command that serves it, in the folder of the card.
        seed: of the search, None where it is not known.
    """

    base: str
    file: str
    bytes: int
    types: Mapping[str, int]
    choices: tuple[LayerChoice, ...]
    scores: Mapping[str, Score]
    tested: Mapping[str, Mapping[str, float]]
    command: str
    serve: str
    seed: int | None

    def text(self) -> str:
        """Return the page as Markdown; what was not measured is left out."""
        types = ", ".join(f"{count} {name}" for name, count in self.types.items())
        rows = [
            [c.layer, str(c.bits), c.points, str(c.group_size), c.rounding] for c in self.choices
        ]
        seed = "" if self.seed is None else f" with seed {self.seed}"
        parts = [
            f"---\nbase_model: {printable(self.base)}\n{MARK}\n---",
            f"# {self.file}",
            f"{printable(self.base)}, each layer quantized on its own by rlquant "
            f"{installed_version()}: {self.bytes:,} bytes. Tensors by type: {types}.",
            f"Run it:\n\n    {printable(self.serve)}",
            f"It was made{seed} by\n\n    {printable(self.command)}",
            *self._measured(),
            "## Recipe",
            markdown_table(["layer", "bits", "points", "group size", "rounding"], rows),
        ]
        return "\n\n".join(parts) + "\n"

    def _measured(self) -> list[str]:
        validation = {name: score.metrics for name, score in self.scores.items()}
        sizes = {name: f"{score.size_bytes:,}" for name, score in self.scores.items()}
        found = []
        for where, metrics in (("validation", validation), ("test", self.tested)):
            known = [n for n in COLUMNS if any(n in each for each in metrics.values())]
            if known:
                rows = [
                    [name, sizes.get(name, ""), *(_shown(each.get(n)) for n in known)]
                    for name, each in metrics.items()
                ]
                head = ["network", "bytes", *(COLUMNS[n] for n in known)]
                found += [f"On {where} data:", markdown_table(head, rows)]
        return ["## Measured", *found] if found else []


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def card_path(file: Path) -> Path:
    """Return where the card of a file goes: README.md, unless there is one of somebody else."""
    path = file.with_name(NAME)
    with suppress(OSError, UnicodeDecodeError):
        if MARK not in path.read_text(encoding="utf-8"):
            return file.with_suffix(".md")
    return path
