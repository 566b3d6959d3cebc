"""The files in the folder of a search: their names, and what they say once it has ended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rlquant import QuantizationConfig, Score
from rlquant.errors import FileFormatError, RlquantError
from rlquant_agents.reporting.measured import Measured, read_evaluations
from rlquant_agents.reporting.problem_facts import ProblemFacts
from rlquant_agents.reporting.quantities import UNITS
from rlquant_agents.reporting.run_text import AGAIN, MOVE_AWAY, read_object, read_text
from rlquant_agents.search.curves import Curve, running_best
from rlquant_agents.search.run_settings import SETTINGS_VERSION, Document

SETTINGS, EVALUATIONS, RESULT = "settings.json", "evaluations.csv", "result.json"
CONFIG, SCORE, MODEL = "config.json", "score.json", "model.rlq"
FACTS, REPORT = "layers.json", "report.html"

NEEDED: dict[str, type] = {
    "problem": str,
    "budget": dict,
    "space": dict,
    "fidelity": str,
    "searcher": str,
    "searcher_settings": dict,
    "seed": int,
    "evaluations": int,
    "versions": dict,
}
"""What a report tells of the settings, and what it must be."""


@dataclass(frozen=True)
class Outcome:
    """How a search ended.

    Attributes:
        score: of the configuration that is delivered.
        float_score: of the float network.
        evaluations: how many distinct configurations it asked for.
        seconds: what it took, over all processes.
        stopped: why it ended, in words.
        notes: what the reader should know.
        model_bytes: size of the packed file, None where there is none.
    """

    score: Score
    float_score: Score
    evaluations: int
    seconds: float
    stopped: str
    notes: tuple[str, ...]
    model_bytes: int | None

    @classmethod
    def from_document(cls, document: Document) -> Outcome:
        """Read a result.json; `KeyError`, `TypeError` or `ValueError` where it is damaged."""
        return cls(
            score=Score.from_json(json.dumps(document["score"])),
            float_score=Score.from_json(json.dumps(document["float_score"])),
            evaluations=int(document["evaluations"]),
            seconds=float(document["seconds"]),
            stopped=str(document["meaning"] or document["stopped"]),
            notes=tuple(map(str, document["notes"])),
            model_bytes=document["model_bytes"],
        )


@dataclass(frozen=True)
class RunFiles:
    """All that the folder of a finished search says.

    Attributes:
        folder: where it lies.
        settings: what was asked.
        outcome: how it ended.
        config: what was chosen.
        evaluations: all that was measured, in order.
        facts: layers, options and costs.
    """

    folder: Path
    settings: Document
    outcome: Outcome
    config: QuantizationConfig
    evaluations: tuple[Measured, ...]
    facts: ProblemFacts

    @property
    def quantity(self) -> Any:
        """What the budget limits."""
        return self.settings["budget"]["quantity"]

    @property
    def limit(self) -> float:
        """The budget."""
        return float(self.settings["budget"]["limit"])

    @property
    def name(self) -> str:
        """What the run is called beside others."""
        return f"{self.settings['searcher']}, seed {self.settings['seed']}"

    @property
    def references(self) -> dict[str, Score]:
        """What the result is compared with, by name: float, and uniform where that fits."""
        scores = {"float": self.outcome.float_score}
        return scores if self.facts.uniform is None else scores | {"uniform": self.facts.uniform[1]}

    @property
    def curve(self) -> Curve:
        """The best loss after each evaluation; NaN before the first within the budget."""
        asked = ((e.candidate, e.loss, e.value) for e in self.evaluations)
        return np.asarray(running_best(asked))

    def measured(self, config: QuantizationConfig) -> float | None:
        """Return the loss that the search measured for a configuration, None if it did not."""
        key = config.key
        found = [e.loss for e in self.evaluations if e.final and e.key == key]
        return found[0] if found else None


def read_run(folder: str | Path) -> RunFiles:
    """Read the folder that a search wrote.

    Raises:
        FileFormatError: the folder holds no search, one that has not ended or was written by
            another version, or a file that is damaged; the message says what to do.
        StorageError: a file cannot be read.
    """
    path = Path(folder)
    settings = _settings(path)
    outcome = _outcome(path)
    evaluations = read_evaluations(path / EVALUATIONS, *_cost_column(settings, outcome.score))
    if len(evaluations) != outcome.evaluations:
        raise FileFormatError(
            f"{path / EVALUATIONS} has {len(evaluations)} evaluations and {RESULT} tells of "
            f"{outcome.evaluations}: the search goes on or was killed; {AGAIN}"
        )
    text = read_text(path / CONFIG)
    with _damaged(path / CONFIG):
        config = QuantizationConfig.from_json(text)
    _require_model(path, outcome)
    return RunFiles(path, settings, outcome, config, evaluations, _facts(path, config))


@contextmanager
def _damaged(path: Path) -> Iterator[None]:
    """Say of every error in a file's content where it is and what to do."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        words = str(error) if isinstance(error, RlquantError) else repr(error)
        raise FileFormatError(f"{path}: it is damaged ({words}); {MOVE_AWAY}") from error


def _settings(path: Path) -> Document:
    if not (path / SETTINGS).exists():
        raise FileFormatError(
            f"{path} holds no search: it has no {SETTINGS}; give the folder that a search wrote"
        )
    settings = read_object(path / SETTINGS)
    version = settings.get("version")
    if version != SETTINGS_VERSION:
        raise FileFormatError(
            f"{path / SETTINGS} is of version {version!r}, this rlquant reads {SETTINGS_VERSION}; "
            f"make the report with the rlquant that searched"
        )
    wrong = [name for name, kind in NEEDED.items() if not isinstance(settings.get(name), kind)]
    budget = {} if "budget" in wrong else settings["budget"]
    if str(budget.get("quantity")) not in UNITS or not isinstance(
        budget.get("limit"), (int, float)
    ):
        wrong.append("budget")
    if wrong:
        raise FileFormatError(
            f"{path / SETTINGS}: it is damaged (in {', '.join(dict.fromkeys(wrong))}); {MOVE_AWAY}"
        )
    return settings


def _cost_column(settings: Document, score: Score) -> tuple[str, float]:
    """Return the table's column of what the budget limits; ratios are made of bytes."""
    quantity = settings["budget"]["quantity"]
    if quantity == "size_ratio":
        return "size_bytes", score.size_bytes / score.size_ratio
    return quantity, 1.0


def _outcome(path: Path) -> Outcome:
    if not (path / RESULT).exists():
        raise FileFormatError(
            f"{path} has no {RESULT}: the search there goes on or was killed; {AGAIN}"
        )
    document = read_object(path / RESULT)
    with _damaged(path / RESULT):
        return Outcome.from_document(document)


def _facts(path: Path, config: QuantizationConfig) -> ProblemFacts:
    if not (path / FACTS).exists():
        raise FileFormatError(
            f"{path} has no {FACTS}: an rlquant that made no reports searched there; {AGAIN}"
        )
    document = read_object(path / FACTS)
    with _damaged(path / FACTS):
        facts = ProblemFacts.from_document(document)
        facts.chosen(config)
    return facts


def _require_model(path: Path, outcome: Outcome) -> None:
    """Raise where the packed file is not the one that the search wrote."""
    model = path / MODEL
    size = model.stat().st_size if model.is_file() else 0
    if outcome.model_bytes is not None and size != outcome.model_bytes:
        raise FileFormatError(
            f"{model} has {size} bytes and {RESULT} says {outcome.model_bytes}; {AGAIN}"
        )
