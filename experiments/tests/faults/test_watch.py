"""What a call does beside its result is noticed: time, memory, files, programs."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rlquant.errors import FileFormatError
from rlquant_experiments.faults.campaign import LONGEST_MESSAGE, Broken, fault_of
from rlquant_experiments.faults.mutations import CANARY
from rlquant_experiments.faults.watch import harmless


@pytest.fixture(autouse=True)
def _temporary_files_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests write below the folder of temporary files, where a call may write."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))


def burn(folder: Path) -> None:
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass


def test_reading_is_harmless(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("1")
    with harmless(tmp_path):
        (tmp_path / "x").read_text()
        (tmp_path / "beside").write_text("2")


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (burn, "CPU time"),
        (lambda folder: (folder.parent / "elsewhere").write_text("x"), "more than read: open"),
        (lambda folder: (folder.parent / "new").mkdir(), "more than read: os.mkdir"),
        (lambda folder: subprocess.run([sys.executable, "-c", ""]), "subprocess.Popen"),
        (lambda folder: (folder / CANARY).touch(), "run as code"),
    ],
)
def test_what_is_more_than_reading_is_noticed(
    act: Callable[[Path], object], words: str, tmp_path: Path
) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    with pytest.raises(Broken, match=words), harmless(inside, cpu_seconds=0.2):
        act(inside)


def test_memory_without_bounds_cannot_be_had(tmp_path: Path) -> None:
    with pytest.raises(MemoryError), harmless(tmp_path):
        bytearray(2**32)
    assert len(bytearray(2**28)) == 2**28  # the limit is gone again


def test_faults_of_errors() -> None:
    assert fault_of(FileFormatError("x: damaged")) is None
    assert fault_of(ValueError("x")) == "raw ValueError: x"
    assert fault_of(ValueError("x"), allowed=(ValueError,)) is None
    assert fault_of(Broken("two rows")) == "two rows"
    long = fault_of(FileFormatError(""))
    assert long is not None
    assert "of 0 characters" in long
    assert LONGEST_MESSAGE == 500
