"""A process that runs trials, so that none of them can end or block the campaign."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path

from rlquant_experiments.faults.campaign import Fault, Part, Trial

READY = ""
"""What a worker sends once it can begin."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker is to do: the trial of a part that a seed decides, in a folder to make."""

    part: str
    seed: int
    folder: Path


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a trial; `fault` is None where the promise held."""

    name: str
    fault: Fault
    seconds: float


def serve(connection: Connection, place: str, scratch: Path) -> None:
    """Run trials until the other side closes: `READY`, then of each its name and its outcome.

    Args:
        connection: gives orders and takes names and outcomes.
        place: module whose PARTS are tried.
        scratch: folder for what all trials share.
    """
    os.setsid()  # Ctrl-C is the campaign's, and what trials start ends with this group
    _quiet_environment(scratch)
    parts: Mapping[str, Part] = import_module(place).PARTS
    connection.send(READY)
    with contextlib.suppress(EOFError):
        while True:
            order: Order = connection.recv()
            trial = parts[order.part].trial(order.seed)
            connection.send(trial.name)
            connection.send(attempt(trial, order.folder))


def attempt(trial: Trial, folder: Path) -> Outcome:
    """Run a trial in its folder, which stays only where it found something."""
    folder.mkdir(parents=True)
    before, started = Path.cwd(), time.perf_counter()
    os.chdir(folder)
    try:
        fault = trial.run(folder)
    except Exception as error:  # the campaign must go on, and a fault of its own is one to be told
        fault = f"the trial itself failed, {error!r:.200}\n{traceback.format_exc()}"
    finally:
        os.chdir(before)
    seconds = time.perf_counter() - started
    if fault is None:
        shutil.rmtree(folder, ignore_errors=True)
    return Outcome(trial.name, fault, seconds)


def _quiet_environment(scratch: Path) -> None:
    """Keep trials off the user's files, to one core each, and off the terminal."""
    import logging
    import warnings

    import torch
    from tqdm import tqdm

    os.environ["RLQUANT_CACHE"] = str(scratch / "cache")
    os.environ["OMP_NUM_THREADS"] = "1"
    tempfile.tempdir = tempfile.mkdtemp(prefix="temporary-", dir=scratch)
    torch.set_num_threads(1)
    tqdm.set_lock(threading.RLock())  # one for processes would be left behind by a kill
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    log = os.open(scratch / f"worker-{os.getpid()}.log", os.O_WRONLY | os.O_CREAT, 0o644)
    for stream in (1, 2):
        os.dup2(log, stream)
