"""Executors by name: one clear error for what is none."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from rlquant.errors import SettingsError
from rlquant.executors import cluster
from rlquant.executors.local import LocalExecutor
from rlquant.executors.opening import opened, require_executor, transport_of

USAGE = (
    r"use local \(a worker a core\), local:4, dask:HOST:8786, slurm:partition=NAME,jobs=32, or a "
)


@pytest.mark.parametrize("text", ["", "locl:2", "local:0", "local:two", "local:-1", "dask:", 3, []])
def test_what_is_no_executor_is_refused(text: Any) -> None:
    with pytest.raises(SettingsError, match=USAGE):
        require_executor(text)
    with pytest.raises(SettingsError, match=USAGE), opened(text):
        pass


@pytest.mark.parametrize("given", [None, "local", "local:4", "dask:HOST:8786"])
def test_nothing_is_started_to_look_at_a_name(given: Any) -> None:
    require_executor(given)


def test_local_processes_are_opened_and_closed() -> None:
    with opened("local:3") as executor:
        assert isinstance(executor, LocalExecutor)
        assert transport_of(executor).workers == 3
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(len, ())
    with opened("local") as executor:
        assert executor is not None
        assert transport_of(executor).workers >= 1


def test_an_executor_that_is_given_stays_open() -> None:
    with ThreadPoolExecutor(2) as threads:
        with opened(threads) as executor:
            assert executor is threads
        assert threads.submit(len, "ab").result() == 2
    with opened(None) as executor:
        assert executor is None


@pytest.mark.parametrize("workers", [0, -1, 1.5, True, "2"])
def test_a_wrong_number_of_workers_is_refused(workers: Any) -> None:
    with pytest.raises(SettingsError, match=r"workers=.*whole number of at least 1"):
        LocalExecutor(workers)


def test_a_cluster_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "PATIENCE", 1)
    with (
        pytest.raises(SettingsError, match=r"'dask:127.0.0.1:1': no scheduler answers there"),
        opened("dask:127.0.0.1:1"),
    ):
        pass


def test_a_client_of_dask_is_no_executor() -> None:
    client = type("Client", (), {"__module__": "distributed.client"})()
    with pytest.raises(SettingsError, match=r"Dask's Client; give client.get_executor\(\)"):
        transport_of(client)


def test_without_dask_the_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['distributed'] = None\n"
        "from rlquant.executors.opening import opened\n"
        "with opened('dask:HOST:8786'): pass"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "rlquant[cluster]" in ran.stderr
    assert "SettingsError" in ran.stderr
