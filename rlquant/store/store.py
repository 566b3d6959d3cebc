"""The evaluation store: what was measured, by problem and configuration, for everybody."""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rlquant.arguments import explained
from rlquant.config import QuantizationConfig
from rlquant.documents import parse_json, read_as, shown
from rlquant.errors import FileFormatError, StorageError
from rlquant.evaluation.looks import Look
from rlquant.paths import PathLike
from rlquant.score import Measurement
from rlquant.store.place import place_of

if TYPE_CHECKING:  # SQLAlchemy is loaded on first use
    from rlquant.store.leases import Leases
    from rlquant.store.records import Records

Floats = npt.NDArray[np.float64]
UNSENT = "rlquant-unsent.sqlite"
"""Where what a server does not take any more is kept, in the current folder."""


class EvaluationStore:
    """Measurements by problem fingerprint and canonical configuration, shared by many.

    Opened on first use and dropped when pickled, so that it crosses processes as its place. Several
    processes and threads may use one at the same time.

    Args:
        place: path of an SQLite file, or the URL of a PostgreSQL database,
            `postgresql+psycopg://USER@HOST/DATABASE` (extra `cluster`), for several machines.

    Attributes:
        place: the absolute path, or the URL.
        computed: evaluations recorded through this object, those that were ended early included.
        seconds: time they took.

    Raises:
        SettingsError: neither a path nor such a URL.
    """

    @explained
    def __init__(self, place: PathLike) -> None:
        self.place = place_of(place)
        self.computed, self.seconds = 0, 0.0
        # By process: nothing open is shared with a fork.
        self._opened: dict[int, tuple[Records, Leases]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"place": self.place, "computed": 0, "seconds": 0.0, "_opened": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    @property
    def records(self) -> Records:
        """Its rows, for what looks at a whole store (see `rlquant.store.upkeep`)."""
        return self._in_use[0]

    @property
    def name(self) -> str:
        """Its place as errors show it, without a password."""
        return self.records.database.name

    @explained
    def get(self, problem: str, config: QuantizationConfig) -> Measurement | None:
        """Return what was recorded for a canonical configuration, if anything was.

        Raises:
            FileFormatError: what is recorded is no measurement.
        """
        row = self.records.evaluation(problem, config.key)
        if row is None:
            return None
        loss, accuracy, samples, metrics = row
        if not (_is_number(loss) and _is_number(accuracy) and _is_count(samples)):
            raise self.damaged(
                f"it has an evaluation with loss={shown(loss)}, accuracy={shown(accuracy)}, "
                f"samples={shown(samples)}"
            )
        return Measurement(
            math.inf if loss is None else loss,
            math.nan if accuracy is None else accuracy,
            samples,
            metrics=self._metrics(metrics),
        )

    def _metrics(self, text: Any) -> dict[str, float]:
        try:
            return read_as(dict[str, float], parse_json(text if isinstance(text, str) else ""))
        except FileFormatError as error:
            raise self.damaged(
                f"the metrics of an evaluation are {shown(text)}: {error}"
            ) from error

    def damaged(self, what: str) -> FileFormatError:
        """Return the error for something in it that nobody can have recorded."""
        database = self.records.database
        return FileFormatError(f"{database.name}: damaged, {what}; {database.remedy}")

    def looks(
        self, problem: str, config: QuantizationConfig, sizes: Iterable[int]
    ) -> list[Look] | None:
        """Return the looks at a configuration's evaluation, None where none are recorded.

        Args:
            problem: fingerprint.
            config: canonical.
            sizes: how many numbers the first look has, the second, ...

        Raises:
            FileFormatError: what is recorded is made otherwise.
        """
        row = self.records.looks(problem, config.key)
        return None if row is None else list(self._split(row[0], sizes))

    def _split(self, numbers: Any, sizes: Iterable[int]) -> Iterator[Look]:
        blob = numbers if isinstance(numbers, bytes) else b"?"
        at = 0
        for size in sizes:
            if at == len(blob):
                return
            if at + 8 * size > len(blob):
                break
            yield np.frombuffer(blob, "<f8", size, at).astype(np.float64)
            at += 8 * size
        if at != len(blob):
            raise self.damaged(
                f"the looks at an evaluation are {len(blob)} bytes, of which {at} are whole"
            )

    @explained
    def put(
        self,
        problem: str,
        config: QuantizationConfig,
        measured: Measurement | None,
        seconds: float,
        looks: Sequence[Look] | None = None,
    ) -> None:
        """Record an evaluation; the first whole one of a configuration stays. Ends its lease.

        Args:
            problem: fingerprint.
            config: canonical.
            measured: whole; None where the evaluation was ended early.
            seconds: that it took.
            looks: at the evaluation, None where nobody may end it. More take the place of fewer.

        Raises:
            StorageError: it cannot be recorded. What a server does not take is kept in `UNSENT`.
        """
        key = {"problem": problem, "config_key": config.key}
        rows: dict[str, list[dict[str, Any]]] = {}
        if looks is not None:
            numbers = b"".join(look.astype("<f8").tobytes() for look in looks)
            rows["looks"] = [{**key, "numbers": numbers}]
        if measured is not None:
            rows["evaluations"] = [{**key, **_columns(config, measured), "seconds": seconds}]
        records, leases = self._in_use
        try:
            records.put(rows, *leases.ending(problem, config.key))
        except StorageError as error:
            if isinstance(self.place, Path):
                raise
            raise _kept_here(rows, error) from error
        leases.forget(problem, config.key)
        self.computed += 1
        self.seconds += seconds

    def increases(self, problem: str, plan: str, shape: tuple[int, int]) -> Floats | None:
        """Return the expected increases of a plan, None where none are recorded.

        Args:
            problem: fingerprint.
            plan: key of what was quantized, and of how many gradients.
            shape: `(layers, options)`.

        Raises:
            FileFormatError: what is recorded is made otherwise.
        """
        row = self.records.increases(problem, plan)
        if row is None:
            return None
        blob = row[0]
        whole = isinstance(blob, bytes) and len(blob) == 8 * shape[0] * shape[1]
        found = np.frombuffer(blob if whole else b"", "<f8").astype(np.float64)
        if not whole or not np.isfinite(found).all():
            raise self.damaged(
                f"it has expected increases that are not {shape[0]} x {shape[1]} finite numbers"
            )
        return found.reshape(shape)

    def put_increases(self, problem: str, plan: str, increases: Floats) -> None:
        """Record finished expected increases, shape `(layers, options)`; the first ones stay."""
        row = {"problem": problem, "plan": plan, "numbers": increases.astype("<f8").tobytes()}
        self.records.put({"increases": [row]})

    # --- who measures what

    def claim(
        self, problem: str, configs: Sequence[QuantizationConfig]
    ) -> list[QuantizationConfig]:
        """Return those of canonical configurations that nobody else measures now, for us to do so.

        Others get none of them until `put` or `release`, or until this process has ended.
        """
        mine = self._in_use[1].claim(problem, [config.key for config in configs])
        return [config for config in configs if config.key in mine]

    def release(self, problem: str, config: QuantizationConfig) -> None:
        """Let others measure a configuration that was claimed and not put."""
        records, leases = self._in_use
        ending = leases.ending(problem, config.key)
        if ending:
            leases.forget(problem, config.key)
            records.database.run(*ending)

    @explained
    def count(self, problem: str | None = None) -> int:
        """Return how many whole evaluations are recorded, of one problem or of all."""
        return self.records.count(problem)

    def close(self) -> None:
        """Close the file or connection in this process; the next use opens it again."""
        opened, self._opened = self._opened, {}
        for process, (records, leases) in opened.items():
            if process == os.getpid():
                leases.close()
                records.database.close()
            else:
                self._opened[process] = records, leases  # not ours to close, nor to collect

    @property
    def _in_use(self) -> tuple[Records, Leases]:
        process = os.getpid()
        if process not in self._opened:  # of two threads that get here, one opens it
            self._opened.setdefault(process, _opened(self.place))
        return self._opened[process]

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()


def _opened(place: Path | str) -> tuple[Records, Leases]:
    """Return the rows and leases of a store; nothing is read or made yet."""
    from rlquant.store.leases import Leases
    from rlquant.store.records import Records
    from rlquant.store.sqlite_file import SqliteFile

    if isinstance(place, Path):
        records = Records(SqliteFile(place))
    else:
        from rlquant.store.postgres import PostgresDatabase  # needs psycopg

        records = Records(PostgresDatabase(place))
    return records, Leases(records)


def _columns(config: QuantizationConfig, measured: Measurement) -> dict[str, Any]:
    return {
        "config": config.to_json(),
        "loss": measured.loss if math.isfinite(measured.loss) else None,
        "accuracy": None if math.isnan(measured.accuracy) else measured.accuracy,
        "samples": measured.samples,
        "metrics": json.dumps(dict(measured.metrics)) if measured.metrics else "{}",
        "recorded_at": time.time(),
    }


def _kept_here(rows: Mapping[str, Sequence[Mapping[str, Any]]], error: StorageError) -> Exception:
    """Keep what a server did not take in a file; return the error that says so."""
    with contextlib.closing(EvaluationStore(UNSENT)) as unsent:
        try:
            unsent.records.put(rows)
        except (StorageError, FileFormatError):
            return error
        return StorageError(
            f"{error}. The last evaluation is in {unsent.name}: see `rlquant store merge`"
        )


def _is_number(value: Any) -> bool:
    """Return whether a cell is what `put` writes into a column of numbers."""
    return value is None or (type(value) is float and math.isfinite(value))


def _is_count(value: Any) -> bool:
    return type(value) is int and value > 0


def as_store(store: PathLike | EvaluationStore) -> EvaluationStore:
    """Return a store, opening the one of that path or URL where one is given.

    Raises:
        SettingsError: neither a store nor a path or URL; see `place_of`.
    """
    if isinstance(store, EvaluationStore):
        return store
    return EvaluationStore(store)
