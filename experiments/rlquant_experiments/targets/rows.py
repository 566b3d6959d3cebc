"""Rows of the page: types by a recipe and an encoder, or a search at the recipe's bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rlquant_experiments.kept_rows import Document, beside, document, find, keep
from rlquant_experiments.targets.settings import TargetsSettings

FLOAT = "float"
THEIRS, THEIRS_BY_IMPORTANCE = "llama.cpp", "llama.cpp, imatrix"
NEAREST, GPTQ, SEARCHED = "rlquant, nearest", "rlquant, GPTQ", "rlquant, searched"
FOLDER = "compressed-tensors"
ONNX, THEIR_ONNX = "onnxruntime", "onnxruntime, its quantizer"
BITS: Mapping[str, tuple[int, ...]] = {
    FOLDER: tuple(range(2, 9)),
    ONNX: (2, 4, 8),
    THEIR_ONNX: (4, 8),
}
"""Widths of all Linear layers but the head, by way."""


@dataclass(frozen=True, slots=True)
class Row:
    """What is measured.

    Attributes:
        recipe: gives the types, or the bytes that a search may use; "4 bits" and the like for the
            ways of `BITS`, "" for the float network.
        way: how weights are encoded, `SEARCHED`, or one of `BITS`.
        seed: of a search.
    """

    recipe: str
    way: str
    seed: int = 0

    @property
    def name(self) -> str:
        """The row's file, without folder and extension."""
        words = [
            *self.recipe.split(),
            *self.way.replace(",", "").split(),
            *([str(self.seed)] * self.searched),
        ]
        return "-".join(word.lower() for word in words if word)

    @property
    def bits(self) -> int:
        """The width of the layers, where the way is one of `BITS`."""
        return int(self.recipe.split()[0])

    @property
    def searched(self) -> bool:
        """Whether a search found it."""
        return self.way == SEARCHED


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured of a row, on test data where nothing else is said.

    Attributes:
        promised: bytes of the file, counted before it was written.
        bytes: of the file; 0 where none was written.
        kl, kl_999: divergence from the float network, in nats: mean, and 99.9th percentile.
        perplexity, agreement: of the next token; how often the likeliest token is the float one's.
        types: how many tensors have which type.
        minutes: of encoding or searching.
        runtime_kl: mean divergence of llama.cpp's answers from ours; None where it was not run.
        float_runtime_kl: the same of a file with the same weights in 32 bits, for which llama.cpp
            does not round inputs.
        token_seconds: that the runtime takes for a token on one thread: llama.cpp behind others,
            the rest with none before it.
        of_float, of_theirs: these by those of the float network, and by those of a file that the
            runtime's own quantizer made, run in turns.
    """

    promised: int
    bytes: int
    kl: float
    kl_999: float
    perplexity: float
    agreement: float
    types: str
    minutes: float
    runtime_kl: float | None = None
    float_runtime_kl: float | None = None
    token_seconds: float | None = None
    of_float: float | None = None
    of_theirs: float | None = None


def rows_of(settings: TargetsSettings) -> Iterator[Row]:
    """Yield every row, what recipes are judged by first."""
    yield Row("", FLOAT)
    theirs = () if settings.llama_cpp is None else (THEIRS, THEIRS_BY_IMPORTANCE)
    seeds = settings.seeds if settings.searcher else 0
    for recipe in settings.recipes:
        yield from (Row(recipe, way) for way in (*theirs, GPTQ))
        yield from (Row(recipe, SEARCHED, seed) for seed in range(min(seeds, 1)))
    yield from (Row(recipe, NEAREST) for recipe in settings.recipes)
    for seed in range(1, seeds):
        yield from (Row(recipe, SEARCHED, seed) for recipe in settings.recipes)
    for bits in settings.bits:  # last, as they have a problem of their own
        yield from (Row(f"{bits} bits", way) for way, known in BITS.items() if bits in known)


def read_row(row: Row, settings: TargetsSettings) -> Figures | None:
    """Return the figures of a row that was measured under the same settings, if it was."""
    places = (settings.out, *beside(settings.report))
    return find(Figures, row.name, _settings(row, settings), places)


def keep_row(row: Row, settings: TargetsSettings, figures: Figures) -> None:
    """Keep the figures of a row."""
    keep(settings.out, row.name, document_of(row, settings, figures))


def document_of(row: Row, settings: TargetsSettings, figures: Figures) -> Document:
    """Return what is kept of a row."""
    return document(_settings(row, settings), asdict(figures))


def _settings(row: Row, settings: TargetsSettings) -> dict[str, Any]:
    """Return the settings that a row's figures depend on."""
    found: dict[str, Any] = {"calibration": settings.calibration, "test": settings.test}
    if row.way in (FOLDER, ONNX):
        found["rounding"] = "gptq"  # rows that were kept before were rounded to nearest
    if row.searched:
        found |= {
            field: getattr(settings, field) for field in ("searcher", "evaluations", "validation")
        }
    return found
