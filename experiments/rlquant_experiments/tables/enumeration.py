"""Every configuration of a space, measured once; what was measured survives an interruption."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rlquant.documents import read_file
from rlquant.errors import FileFormatError
from rlquant.files import about, make_folder, reading
from rlquant.problem.live import QuantizationProblem
from rlquant.score import Measurement
from rlquant.tabular.grouped import GroupedProblem
from rlquant.tabular.table import MOST_CONFIGURATIONS, require_count

RECORD = np.dtype([("loss", "<f4"), ("correct", "<u4")])
MOST_BYTES = MOST_CONFIGURATIONS * RECORD.itemsize + 2**22

Scannable = QuantizationProblem | GroupedProblem


@dataclass(frozen=True, eq=False)
class Enumeration:
    """All configurations of a live problem, in C order over option indices.

    Attributes:
        problem: measures them; neighbours share what they agree in.
        partial: file that grows as they are measured, and from which a second run goes on.
    """

    problem: Scannable
    partial: Path

    @property
    def count(self) -> int:
        """How many configurations there are; `SettingsError` where no table holds so many."""
        feasible = self.problem.feasible
        return require_count(len(feasible), len(feasible.options))

    def run(self, progress: Callable[[int], None] = lambda done: None) -> npt.NDArray[np.void]:
        """Measure what has not been measured yet; return all records, see `RECORD`.

        Args:
            progress: told after each configuration how many are done.

        Raises:
            FileFormatError: `partial` was written for another problem.
            StorageError: it cannot be written.
        """
        make_folder(self.partial.parent)
        done = self.records()
        with about(self.partial), open(self.partial, "ab", buffering=0) as stream:
            if not len(done):
                stream.truncate(0)
                stream.write(self._header())
            else:
                stream.truncate(len(self._header()) + done.nbytes)
            self._append(stream, len(done), progress)
        return self.records()

    def records(self) -> npt.NDArray[np.void]:
        """Return the records of the configurations that were measured, the first ones in order.

        Raises:
            FileFormatError: they are of another problem, or damaged.
            StorageError: the file cannot be read.
        """
        header = self._header()
        with reading(self.partial):
            content = read_file(self.partial, MOST_BYTES) if self.partial.exists() else b""
        if content and not content.startswith(header) and not header.startswith(content):
            raise FileFormatError(
                f"{self.partial}: was begun for another problem or space; move it away, or give "
                f"another place"
            )
        body = content[len(header) :]
        if len(body) > self.count * RECORD.itemsize:
            raise FileFormatError(
                f"{self.partial}: holds more than all {self.count} configurations: it is damaged; "
                f"move it away"
            )
        found = np.frombuffer(body[: len(body) // RECORD.itemsize * RECORD.itemsize], RECORD)
        correct = found["correct"] <= self.problem.float_score.samples
        if np.isnan(found["loss"]).any() or not correct.all():
            raise FileFormatError(
                f"{self.partial}: damaged, it holds values that no configuration has; move it away"
            )
        return found

    def _append(self, stream: RawIOBase, done: int, progress: Callable[[int], None]) -> None:
        samples = self.problem.float_score.samples
        progress(done)
        for number, measured in enumerate(self._measured(done), done + 1):
            correct = 0 if np.isnan(measured.accuracy) else round(measured.accuracy * samples)
            record = np.array([(np.float32(measured.loss), correct)], RECORD)
            stream.write(record.tobytes())  # at once: a kill costs what was being measured alone
            progress(number)

    def _measured(self, done: int) -> Iterator[Measurement]:
        feasible = self.problem.feasible
        vectors = itertools.product(range(len(feasible.options)), repeat=len(feasible))
        rest = itertools.islice(vectors, done, None)
        return self.problem.scan(feasible.config(indices) for indices in rest)

    def _header(self) -> bytes:
        problem = self.problem
        said = [
            problem.fingerprint,
            problem.feasible.names,
            list(map(str, problem.feasible.options)),
        ]
        return json.dumps(said).encode() + b"\n"
