"""Workers as jobs of SLURM, submitted by `dask-jobqueue` from a machine that has `sbatch`."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, fields
from importlib.util import find_spec
from typing import Any

from rlquant.errors import SettingsError
from rlquant.executors.cluster import ClusterExecutor, ClusterTransport

logger = logging.getLogger(__name__)

FORM = "slurm:partition=NAME,jobs=32,memory=8GB,walltime=02:00:00,account=NAME"
_PATTERNS = {
    "partition": (r"[\w.-]+", "a name"),
    "account": (r"[\w.@-]+", "a name"),
    "jobs": (r"[1-9]\d{0,5}", "a whole number of at least 1"),
    "memory": (r"[1-9]\d*([KMGT]i?B)", "as in 8GB"),
    "walltime": (r"(\d+-)?\d{1,3}:\d\d:\d\d", "as in 02:00:00 or 1-12:00:00"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmJobs:
    """Jobs that each are one worker, on one core.

    Attributes:
        partition: of the cluster; its default where none is given.
        account: that is charged; the user's default where none is given.
        jobs: how many.
        memory: of each.
        walltime: after which SLURM ends one.
    """

    partition: str | None = None
    account: str | None = None
    jobs: int = 1
    memory: str = "8GB"
    walltime: str = "02:00:00"

    @classmethod
    def parsed(cls, text: str) -> SlurmJobs:
        """Return the jobs of a text such as "partition=short,jobs=32".

        Raises:
            SettingsError: another key, one twice, or a value that is none of its kind.
        """
        given: dict[str, Any] = {}
        for part in text.split(",") if text else ():
            key, _, value = part.partition("=")
            if key not in _PATTERNS or key in given:
                raise SettingsError(f"executor='slurm:{text}': {part!r}, use {FORM}")
            pattern, what = _PATTERNS[key]
            if not re.fullmatch(pattern, value, re.ASCII):
                raise SettingsError(f"executor='slurm:{text}': {key}={value!r} is not {what}")
            given[key] = int(value) if key == "jobs" else value
        return cls(**given)

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `dask_jobqueue.SLURMCluster`."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        queue, _ = named.pop("partition"), named.pop("jobs")
        return {**named, "queue": queue, "cores": 1, "processes": 1}


def require_slurm() -> None:
    """Raise `SettingsError` where jobs cannot be submitted from."""
    if find_spec("dask_jobqueue") is None:
        raise SettingsError(
            "executor 'slurm:' needs dask-jobqueue: install the extra, as in "
            "pip install 'rlquant[cluster]'"
        )
    if shutil.which("sbatch") is None:
        raise SettingsError(
            "executor 'slurm:' submits jobs with sbatch, which is not on this machine's PATH: give "
            "the command where you submit jobs, such as a login node"
        )


@contextmanager
def slurm(jobs: SlurmJobs) -> Iterator[Executor]:
    """Submit jobs, wait for the first to begin, and cancel them behind the block."""
    from dask_jobqueue.slurm import SLURMCluster
    from distributed import Client

    with SLURMCluster(**jobs.arguments()) as cluster, Client(cluster) as client:  # type: ignore[no-untyped-call]
        cluster.scale(jobs=jobs.jobs)
        logger.info("%d jobs submitted; waiting for the first to begin", jobs.jobs)
        client.wait_for_workers(1)
        executor = ClusterExecutor(client)
        logger.info("%s", ClusterTransport(executor))
        yield executor
