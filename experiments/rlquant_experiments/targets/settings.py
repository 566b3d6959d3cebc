"""Settings of the measurements of deployment targets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rlquant.errors import SettingsError, unknown_name, whole_number
from rlquant_experiments.targets.recipes import RECIPES, UNIFORM

BLOCK = 32
"""Weights that share a scale in layers of so many bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetsSettings:
    """Files of SmolLM2-135M for deployment targets, beside the recipes of their runtimes.

    Attributes:
        recipes: of llama.cpp, whose bytes searches may use: Q4_K_M, Q3_K_M, Q2_K, or Q5_0 and Q4_0
            for all weights.
        bits: of Linear layers in blocks of 32 weights, for onnxruntime and compressed-tensors.
        llama_cpp: folder of llama.cpp's libraries (libllama.so and what it needs); without it
            its own encoders and its logits are left out.
        searcher: of the searches; "" for none.
        seeds: searches for each recipe.
        evaluations: of a search.
        calibration: sequences of 256 tokens that weights are rounded by, and importances come of.
        validation: sequences that searches see.
        test: sequences that every row is measured on once.
        threads: of PyTorch.
        out: folder that keeps every finished row, and the files that were written.
        report: Markdown file to write; its figure and its rows (JSON) go beside it, and rows that
            are there are not measured again.
        page_only: write the page of the rows that are kept, and measure nothing.
    """

    recipes: tuple[str, ...] = (*RECIPES, *UNIFORM)
    bits: tuple[int, ...] = (8, 4, 3, 2)
    llama_cpp: Path | None = None
    searcher: str = "auto"
    seeds: int = 3
    evaluations: int = 40
    calibration: int = 64
    validation: int = 8
    test: int = 16
    threads: int = 1
    out: Path = Path("runs/targets")
    report: Path | None = None
    page_only: bool = False

    def check(self) -> None:
        """Raise `UnknownNameError` or `SettingsError` for what cannot be measured."""
        for name in self.recipes:
            if name not in (*RECIPES, *UNIFORM):
                raise unknown_name("recipe", name, (*RECIPES, *UNIFORM))
        for bits in self.bits:
            if not 2 <= bits <= 8:
                raise SettingsError(f"--bits {bits}: use widths from 2 to 8")
        for field in ("seeds", "evaluations", "calibration", "validation", "test", "threads"):
            whole_number(f"--{field}", getattr(self, field), 1)
        if self.llama_cpp is not None and not self.llama_cpp.is_dir():
            raise SettingsError(f"--llama-cpp {self.llama_cpp} is no folder of libraries")
