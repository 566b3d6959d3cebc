"""Ctrl-C in the terminal of a search whose workers are a cluster's, which go on to their end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dask_processes import DaskProcesses

FILES = (
    *("config.json", "evaluations.csv", "layers.json", "layers.png", "model.rlq", "pareto.png"),
    *("recipe.yaml", "report.html", "result.json", "score.json", "search.png", "settings.json"),
    *("events.out.tfevents.search", "summary.json"),
)
SEARCH = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job of a shell ignores it
from rlquant_agents.cli.search import main
sys.exit(main(sys.argv[1:]))
"""
EVALUATIONS = 20_000


def rows(table: Path) -> int:
    return len(table.read_text().splitlines()) - 1 if table.exists() else 0


@pytest.mark.slow  # starts a scheduler, a worker and a search
def test_ctrl_c_writes_every_file_and_leaves_the_cluster_as_it_is(
    processes: DaskProcesses, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    command = ["--task", "digits/mlp", "--searcher", "random", "--out", str(out)]
    command += ["--evaluations", str(EVALUATIONS), "--executor", f"dask:{processes.address}"]
    search = subprocess.Popen(
        [sys.executable, "-c", SEARCH, *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with search:
        deadline = time.monotonic() + 300
        while rows(out / "evaluations.csv") < 8:
            assert search.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        search.send_signal(signal.SIGINT)
        _, complaint = search.communicate(timeout=120)
    assert search.returncode == 130, complaint
    assert "Traceback" not in complaint
    assert {path.name for path in out.iterdir()} == set(FILES)
    result = json.loads((out / "result.json").read_text())
    assert result["stopped"] == "interrupted"
    assert 8 <= result["evaluations"] == rows(out / "evaluations.csv") < EVALUATIONS
    assert [process.poll() for process in processes.started] == [None, None]
