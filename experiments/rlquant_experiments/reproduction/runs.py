"""Runs: what is to be measured, what was measured, and the file that keeps each of them."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypedDict

import numpy as np

from rlquant.documents import Range, read_as, read_json
from rlquant.errors import DataError, FileFormatError, SettingsError
from rlquant.files import reading, write_file
from rlquant_experiments.reproduction.statistics import Values

Measured = Mapping[str, float | Sequence[float]]
"""What a run measured, by name: numbers, or curves."""
Progress = Callable[[int], None]
"""Told how many more steps of a run are done."""
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run to do. Its numbers depend on experiment, variant, seed and settings alone.

    Attributes:
        experiment: runs of one experiment are compared with each other, e.g. "cnn".
        variant: what is varied within it, e.g. "stochastic <4,12>".
        seed: runs of different variants with one seed are a pair.
        settings: everything else that decides the numbers, as JSON takes it; a run is found again
            by its hash. Add a number to it that is raised when the code measures otherwise.
        measure: does the run.
        steps: how many steps it will tell of.
    """

    experiment: str
    variant: str
    seed: int
    settings: Mapping[str, Any]
    measure: Callable[[Progress], Measured]
    steps: int = 1

    def __post_init__(self) -> None:
        try:
            json.dumps(self.settings)
        except TypeError as error:
            raise SettingsError(
                f"Job {self.name}: settings cannot be written as JSON ({error}); use numbers, "
                f"strings, lists and dictionaries"
            ) from error

    @property
    def name(self) -> str:
        """Experiment, variant and seed in words."""
        return f"{self.experiment}, {self.variant}, seed {self.seed}"

    @property
    def key(self) -> str:
        """Hash of all that decides the numbers."""
        document = [self.experiment, self.variant, self.seed, self.settings]
        text = json.dumps(document, sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    @property
    def file_name(self) -> str:
        """Name of the file that keeps the run."""
        words = re.sub(r"[^a-z0-9]+", "-", f"{self.experiment} {self.variant}".lower())
        return f"{words.strip('-')}-seed{self.seed}-{self.key}.json"


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        experiment: see `Job`.
        variant: see `Job`.
        seed: see `Job`.
        figures: what was measured.
        seconds: wall-clock time.
        processor_seconds: time of the processor alone, whatever else the machine did.
    """

    experiment: str
    variant: str
    seed: int
    figures: Measured
    seconds: float
    processor_seconds: float = 0.0

    def write(self, folder: Path, job: Job) -> None:
        """Write the file of the run, whole or not at all."""
        document = {
            "format": FORMAT,
            "experiment": self.experiment,
            "variant": self.variant,
            "seed": self.seed,
            "settings": job.settings,
            "figures": {name: _to_json(value) for name, value in self.figures.items()},
            "seconds": round(self.seconds, 3),
            "processor_seconds": round(self.processor_seconds, 3),
        }
        text = json.dumps(document, indent=1, allow_nan=False)
        write_file(folder / job.file_name, text + "\n")

    @classmethod
    def read(cls, folder: Path, job: Job) -> Run | None:
        """Return the run of a job where it is finished.

        Raises:
            FileFormatError: its file is damaged.
        """
        path = folder / job.file_name
        if not path.exists():
            return None
        with reading(path):
            try:
                kept = read_as(_Kept, read_json(path))
            except FileFormatError as error:
                raise FileFormatError(
                    f"not a finished run ({error}); delete it, and the run is done again"
                ) from error
        figures = {name: _from_json(value) for name, value in kept["figures"].items()}
        times = kept["seconds"], kept["processor_seconds"]
        return cls(job.experiment, job.variant, job.seed, figures, *times)


class _Kept(TypedDict):
    """What is read of the file of a run."""

    format: Annotated[int, Range(FORMAT, FORMAT)]
    figures: dict[str, list[float | None] | float | None]
    seconds: float
    processor_seconds: float


class Results:
    """All runs of a reproduction, asked by experiment and variant."""

    def __init__(self, runs: Iterable[Run]) -> None:
        self.runs = tuple(runs)

    def values(self, experiment: str, variant: str, figure: str) -> Values:
        """Return one number per seed, in the order of the seeds.

        Raises:
            DataError: there is no such run, or it did not measure this.
        """
        return np.array([self._figure(r, figure) for r in self.of(experiment, variant)], np.float64)

    def curves(self, experiment: str, variant: str, figure: str) -> list[list[float]]:
        """Return one curve per seed, in the order of the seeds; `DataError` as `values`."""
        return [list(self._figure(run, figure)) for run in self.of(experiment, variant)]

    def of(self, experiment: str, variant: str) -> list[Run]:
        """Return the runs of a variant in the order of their seeds; `DataError` for none."""
        found = [r for r in self.runs if (r.experiment, r.variant) == (experiment, variant)]
        if not found:
            raise DataError(f"no run of {experiment!r} with the variant {variant!r}")
        return sorted(found, key=lambda run: run.seed)

    @property
    def seconds(self) -> float:
        """Wall-clock time of all runs together."""
        return sum(run.seconds for run in self.runs)

    @property
    def processor_seconds(self) -> float:
        """Processor time of all runs together."""
        return sum(run.processor_seconds for run in self.runs)

    def _figure(self, run: Run, figure: str) -> Any:
        if figure not in run.figures:
            known = ", ".join(sorted(run.figures))
            raise DataError(f"a run of {run.experiment!r} has no {figure!r}; it measured {known}")
        return run.figures[figure]


def _to_json(value: float | Sequence[float]) -> Any:
    """Write what is not finite as null."""
    if isinstance(value, Sequence):
        return [_to_json(number) for number in value]
    return float(value) if math.isfinite(value) else None


def _from_json(value: Any) -> float | list[float]:
    if isinstance(value, list):
        return [float(_from_json(number)) for number in value]  # type: ignore[arg-type]
    return math.nan if value is None else float(value)
