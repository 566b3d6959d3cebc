"""Jobs of SLURM as workers; a program that stands for `sbatch` runs them on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rlquant.errors import SettingsError
from rlquant.executors import slurm
from rlquant.executors.opening import opened, require_executor
from rlquant.executors.slurm import SlurmJobs


def test_a_text_says_which_jobs() -> None:
    assert SlurmJobs.parsed("") == SlurmJobs()
    found = SlurmJobs.parsed("partition=short,jobs=32,memory=16GB,walltime=1-12:00:00,account=me")
    assert found.jobs == 32
    assert found.arguments() == {
        "queue": "short",
        "account": "me",
        "memory": "16GB",
        "walltime": "1-12:00:00",
        "cores": 1,
        "processes": 1,
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("short", r"'short', use slurm:partition=NAME,jobs=32"),
        ("queue=short", r"'queue=short', use slurm:partition=NAME"),
        ("jobs=2,jobs=3", r"'jobs=3', use slurm:partition=NAME"),
        ("jobs=0", r"jobs='0' is not a whole number of at least 1"),
        ("partition=a b", r"partition='a b' is not a name"),
        ("partition=x\n#SBATCH", r"partition='x\\n#SBATCH' is not a name"),
        ("memory=8", r"memory='8' is not as in 8GB"),
        ("walltime=2h", r"walltime='2h' is not as in 02:00:00"),
    ],
)
def test_other_texts_are_refused(text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        require_executor(f"slurm:{text}")


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(slurm, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"pip install 'rlquant\[cluster\]'"):
        require_executor("slurm:partition=short")
    monkeypatch.setattr(slurm, "find_spec", lambda name: name)
    with pytest.raises(SettingsError, match="sbatch, which is not on this machine's PATH"):
        require_executor("slurm:partition=short")


@pytest.mark.slow
def test_jobs_are_submitted_with_what_was_asked_for_and_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("dask_jobqueue")
    programs = {
        "sbatch": f'cp "$1" {tmp_path}/job; setsid sh {tmp_path}/job >{tmp_path}/log 2>&1 &\n'
        'echo "Submitted batch job $!"',
        "scancel": f'echo "$@" >>{tmp_path}/cancelled; kill -- -"$1"',
    }
    for name, lines in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{lines}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with opened("slurm:partition=short,jobs=1,memory=1GB,walltime=00:10:00") as executor:
        assert executor is not None
        assert executor.submit(os.getppid).result() != os.getpid()
    job = (tmp_path / "job").read_text()
    assert [line for line in job.splitlines() if line.startswith("#SBATCH")][1:] == [
        "#SBATCH -p short",
        "#SBATCH -n 1",
        "#SBATCH --cpus-per-task=1",
        "#SBATCH --mem=954M",
        "#SBATCH -t 00:10:00",
    ]
    assert (tmp_path / "cancelled").read_text().strip().isdecimal()
