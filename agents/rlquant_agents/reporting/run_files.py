"""The files in the folder of a search: their names, and what they say once it has ended."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, TypedDict

import numpy as np

from rlquant import QuantizationConfig, Score
from rlquant.cost.budget import Quantity
from rlquant.counted import counted
from rlquant.documents import Count, Range, read_as, require_regular
from rlquant.errors import FileFormatError
from rlquant.pareto import pareto_front
from rlquant.paths import PathLike, path_of
from rlquant_agents.reporting.measured import Measured, read_evaluations
from rlquant_agents.reporting.problem_facts import ProblemFacts
from rlquant_agents.reporting.run_summary import BASELINES, SummaryRow, read_summary
from rlquant_agents.reporting.run_text import AGAIN, damaged, read_object
from rlquant_agents.search.curves import Curve, running_best
from rlquant_agents.search.run_settings import SETTINGS_VERSION, Document

SETTINGS, EVALUATIONS, RESULT = "settings.json", "evaluations.csv", "result.json"
CONFIG, SCORE, MODEL = "config.json", "score.json", "model.rlq"
FACTS, REPORT = "layers.json", "report.html"
FIGURES = ("layers", "pareto", "search")
"""Names of the figures, which the folder has as PNG."""
UNREDUCED, UNIFORM = "float", "uniform"
"""Names of the networks that every result is compared with."""


class Limit(TypedDict):
    """A budget as it stands in settings.json."""

    quantity: Quantity
    limit: Annotated[float, Range(0)]


class Settings(TypedDict):
    """What a report tells of a settings.json, which holds more."""

    problem: str
    budget: Limit
    space: dict[str, Any]
    fidelity: str
    searcher: str
    searcher_settings: dict[str, Any]
    seed: int
    evaluations: int
    versions: dict[str, Any]


class Result(TypedDict):
    """What a report tells of a result.json, which holds more."""

    score: Score
    float_score: Score
    evaluations: Count
    seconds: Annotated[float, Range(0)]
    stopped: str
    meaning: str
    notes: list[str]
    model_bytes: Count | None


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
        """Read a result.json; `FileFormatError` where it is damaged."""
        result: dict[str, Any] = dict(read_as(Result, document))
        result |= {
            "stopped": result["meaning"] or result["stopped"],
            "notes": tuple(result["notes"]),
        }
        return cls(**{field.name: result[field.name] for field in fields(cls)})


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
        summary: what the command measured at the end; empty where a call searched.
    """

    folder: Path
    settings: Document
    outcome: Outcome
    config: QuantizationConfig
    evaluations: tuple[Measured, ...]
    facts: ProblemFacts
    summary: tuple[SummaryRow, ...] = ()

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
        scores = {UNREDUCED: self.outcome.float_score}
        if self.facts.uniform is None or self.is_uniform(self.config):
            return scores
        return scores | {UNIFORM: self.facts.uniform[1]}

    def is_uniform(self, config: QuantizationConfig) -> bool:
        """Return whether this is the best uniform configuration."""
        return self.facts.uniform is not None and self.facts.uniform[0] == config

    @property
    def baselines(self) -> list[Path]:
        """The folders of the searches that ran beside it, as far as they are there."""
        names = [row["name"] for row in self.summary]
        folders = [self.folder / BASELINES / name for name in names if Path(name).name == name]
        return [folder for folder in folders if (folder / RESULT).is_file()]

    def tested(self, name: str, score: Score) -> SummaryRow | None:
        """Return what was measured on the test set of the network of that name and score."""
        found = (row for row in self.summary if row["name"] == name and row["score"] == score)
        return next(found, None)

    @property
    def curve(self) -> Curve:
        """The best loss after each evaluation; NaN before the first within the budget."""
        asked = ((e.candidate, e.loss, e.value) for e in self.evaluations)
        return np.asarray(running_best(asked))

    @property
    def front(self) -> list[Measured]:
        """The complete evaluations on the Pareto front of loss and cost, cheapest first."""
        final = [e for e in self.evaluations if e.final]
        front = pareto_front([e.cost for e in final], [e.loss for e in final])
        return [final[i] for i in front.tolist()]

    def measured(self, config: QuantizationConfig) -> float | None:
        """Return the loss that the search measured for a configuration, None if it did not."""
        key = config.key
        found = [e.loss for e in self.evaluations if e.final and e.key == key]
        return found[0] if found else None


def read_run(folder: PathLike) -> RunFiles:
    """Read the folder that a search wrote.

    Raises:
        SettingsError: no path.
        FileFormatError: the folder holds no search, one that has not ended or was written by
            another version, or a file that is damaged; the message says what to do.
        StorageError: a file cannot be read.
    """
    path = path_of("folder", folder)
    settings = _settings(path)
    outcome = _outcome(path)
    evaluations = read_evaluations(path / EVALUATIONS, *_cost_column(settings, outcome.score))
    if len(evaluations) != outcome.evaluations:
        raise FileFormatError(
            f"{path / EVALUATIONS} has {counted(len(evaluations), 'evaluation')} and {RESULT} "
            f"tells of "
            f"{outcome.evaluations}: the search goes on or was killed; {AGAIN}"
        )
    document = read_object(path / CONFIG)
    with damaged(path / CONFIG):
        config = QuantizationConfig.from_document(document)
    _require_model(path, outcome)
    facts, summary = _facts(path, config), read_summary(path)
    return RunFiles(path, settings, outcome, config, evaluations, facts, summary)


def _settings(path: Path) -> Document:
    if not os.path.exists(path / SETTINGS):
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
    with damaged(path / SETTINGS):
        return dict(read_as(Settings, settings))


def _cost_column(settings: Document, score: Score) -> tuple[str, float]:
    """Return the table's column of what the budget limits; ratios are made of bytes."""
    quantity = settings["budget"]["quantity"]
    if quantity == "size_ratio":
        return "size_bytes", score.size_bytes / score.size_ratio
    return quantity, 1.0


def _outcome(path: Path) -> Outcome:
    if not os.path.exists(path / RESULT):
        raise FileFormatError(
            f"{path} has no {RESULT}: the search there goes on or was killed; {AGAIN}"
        )
    document = read_object(path / RESULT)
    with damaged(path / RESULT):
        return Outcome.from_document(document)


def _facts(path: Path, config: QuantizationConfig) -> ProblemFacts:
    if not os.path.exists(path / FACTS):
        raise FileFormatError(
            f"{path} has no {FACTS}: an rlquant that made no reports searched there; {AGAIN}"
        )
    document = read_object(path / FACTS)
    with damaged(path / FACTS):
        facts = ProblemFacts.from_document(document)
        facts.chosen(config)
    return facts


def _require_model(path: Path, outcome: Outcome) -> None:
    """Raise where the packed file is not the one that the search wrote."""
    model = path / MODEL
    with damaged(model):
        size = require_regular(model) or 0
    if outcome.model_bytes is not None and size != outcome.model_bytes:
        raise FileFormatError(
            f"{model} has {size} bytes and {RESULT} says {outcome.model_bytes}; {AGAIN}"
        )
