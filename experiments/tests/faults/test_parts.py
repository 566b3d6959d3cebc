"""Every part holds on what is right, and finds the fault that is planted for it."""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import rlquant
from rlquant.cost.feasible import FeasibleSet
from rlquant.errors import FileFormatError
from rlquant.files import write_file
from rlquant_experiments.faults import kills, toys
from rlquant_experiments.faults.ambient import MODES, Ambient, surroundings
from rlquant_experiments.faults.calls import CALLS, Call
from rlquant_experiments.faults.campaign import Broken, Fault, Part
from rlquant_experiments.faults.crash_points import CrashPoints, Writer, kept_networks
from rlquant_experiments.faults.damaged_files import DamagedFiles, mutate_packed
from rlquant_experiments.faults.episodes import Episodes
from rlquant_experiments.faults.forks import ended, in_fork
from rlquant_experiments.faults.formats import Format
from rlquant_experiments.faults.odd_arguments import ODD, OddArguments
from rlquant_experiments.faults.parts import PARTS


@pytest.fixture(autouse=True)
def _in_a_folder_of_trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "trial").mkdir()
    monkeypatch.chdir(tmp_path / "trial")


def faults(part: Part, seeds: range) -> list[Fault]:
    found = []
    for seed in seeds:
        folder = Path(mkdtemp(dir=Path.cwd().parent))
        found.append(part.trial(seed).run(folder))
    return found


def test_parts_are_told_apart_and_every_seed_names_a_trial() -> None:
    for name, part in PARTS.items():
        assert part.name == name
        assert part.promise
        assert part.share > 0
        assert part.trial(5).name == part.trial(5).name
        assert part.trial(5).seed == 5


# --- damaged files


def write_document(folder: Path) -> None:
    (folder / "x.json").write_text(json.dumps({"bits": [1, 2, 3], "name": "x"}))


def read_strictly(folder: Path) -> None:
    try:
        text = (folder / "x.json").read_text(encoding="utf-8")
        if json.loads(text) != {"bits": [1, 2, 3], "name": "x"}:
            raise FileFormatError("x.json: other content")
    except (OSError, ValueError, RecursionError) as error:
        raise FileFormatError("x.json: damaged") from error


def read_trustingly(folder: Path) -> None:
    sum(json.loads((folder / "x.json").read_text())["bits"])


@pytest.mark.parametrize(("read", "holds"), [(read_strictly, True), (read_trustingly, False)])
def test_a_reader_that_trusts_is_found(read: Any, holds: bool) -> None:
    part = DamagedFiles(formats=(Format("documents", write_document, read),))
    found = faults(part, range(60))
    assert all(fault is None for fault in found) is holds


def test_a_packed_network_is_damaged_behind_a_right_checksum() -> None:
    data = rlquant.pack(toys.quantized())
    messages = []
    for seed in range(20):
        try:
            rlquant.unpack(mutate_packed(data, random.Random(seed)), toys.network())
        except FileFormatError as error:
            messages.append(str(error))
    assert messages
    assert not any("checksum" in message for message in messages)


# --- crash points


def write_carelessly(folder: Path, version: int) -> None:
    with open(folder / "x", "w") as file:
        file.write("old" if version == 0 else "new")
        file.flush()
        (folder / "y").write_text("")
        file.write("more")


def write_well(folder: Path, version: int) -> None:
    write_file(folder / "x", "old" if version == 0 else "new")


def test_a_writer_that_writes_in_place_is_found() -> None:
    found = faults(CrashPoints(writers=(Writer("careless", write_carelessly),)), range(12))
    assert any(fault and "neither the old content nor" in fault for fault in found)


def test_a_writer_of_whole_files_leaves_old_or_new() -> None:
    found = faults(CrashPoints(writers=(Writer("whole", write_well),)), range(12))
    assert not any(fault and "neither" in fault for fault in found)


def test_networks_that_are_kept_are_told_apart_by_their_bits_alone(tmp_path: Path) -> None:
    path, weight = tmp_path / "x.safetensors", torch.ones(3)
    seen = []
    for metadata in ({"key": "k"}, {"key": "k", "hash": "h"}):
        save_file({"weight": weight}, path, metadata)
        seen.append(kept_networks(tmp_path))
    assert seen[0] == seen[1]
    weight[1] = 1 + 2**-23
    save_file({"weight": weight}, path, metadata)
    assert kept_networks(tmp_path) != seen[0]


# --- episodes


def test_episodes_hold_and_a_mask_that_lets_everything_through_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert faults(Episodes(), range(8)) == [None] * 8

    def everything(self: FeasibleSet, layer: int, spent: int) -> Any:
        return np.ones(len(self.options), dtype=np.bool_)

    monkeypatch.setattr(FeasibleSet, "allowed", everything)
    assert any(fault and "allowed options" in fault for fault in faults(Episodes(), range(8, 16)))


# --- calls


def doubled(x: Any) -> Any:
    return torch.tensor([0.1]) * x  # in the default dtype


def reseeded(x: Any) -> Any:
    torch.manual_seed(1)
    return x


def told(x: Any) -> Any:
    if isinstance(x, float):
        return x
    raise FileFormatError("x is no float")


def call(function: Any) -> Call:
    return Call(function.__name__, function, lambda folder: {"x": 2.0})


def test_a_call_that_depends_on_what_is_around_is_found() -> None:
    modes = range(len(MODES))
    assert faults(Ambient(calls=(call(told),)), modes) == [None] * len(MODES)
    assert sum(map(bool, faults(Ambient(calls=(call(doubled),)), modes))) >= 3  # dtypes, device


def test_a_call_that_changes_what_is_around_is_found() -> None:
    before = surroundings()
    (fault, *_) = faults(Ambient(calls=(call(reseeded),)), range(1))
    assert fault is not None
    assert "changes torch's random state" in fault
    assert surroundings()["default dtype"] == before["default dtype"]


def test_every_mode_is_left_as_it_was_found() -> None:
    for mode in MODES.values():
        before = surroundings()
        with mode():
            pass
        after = surroundings()
        kept = {name for name in before if "random state" not in name}
        assert {name: before[name] for name in kept} == {name: after[name] for name in kept}


def test_a_call_with_a_raw_error_is_found() -> None:
    seeds = range(25)
    assert faults(OddArguments(calls=(call(told),)), seeds) == [None] * 25
    assert any(faults(OddArguments(calls=(call(doubled),)), seeds))


def test_odd_values_are_made_again() -> None:
    assert ODD["[]"]() is not ODD["[]"]()
    assert len(ODD) > 40


@pytest.mark.parametrize("name", ["LayerChoice", "quantize", "save", "TabularQuantization"])
def test_calls_take_their_own_arguments(name: str, tmp_path: Path) -> None:
    CALLS[name](tmp_path)


# --- kills


def test_a_row_that_stands_twice_is_found(tmp_path: Path) -> None:
    path = tmp_path / "evaluations.csv"
    path.write_text("key,loss,seconds\na,1,3\nb,2,4\n")
    assert kills.files(tmp_path) == {
        "evaluations.csv": [{"key": "a", "loss": "1"}, {"key": "b", "loss": "2"}]
    }
    path.write_text("key,loss,seconds\na,1,3\na,1,4\n")
    with pytest.raises(Broken, match="a row twice"):
        kills.files(tmp_path)


@pytest.fixture
def _scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "count.py").write_text(
        "import json, pathlib, sys, time\n"
        "def main(argv):\n"
        "    path = pathlib.Path('rows.json')\n"
        "    rows = json.loads(path.read_text()) if path.exists() else []\n"
        "    if argv == ['forget']:\n"
        "        rows = ['begun before'] if rows else []\n"
        "    while len(rows) < 20:\n"
        "        rows.append(len(rows))\n"
        "        time.sleep(0.01)\n"
        "        part = pathlib.Path('rows.next')\n"
        "        part.write_text(json.dumps(rows))\n"
        "        part.replace(path)\n"
        "    return 0\n"
    )
    monkeypatch.setattr(kills, "SCRIPTS", tmp_path)
    kills._script.cache_clear()
    yield
    kills._script.cache_clear()


@pytest.mark.usefixtures("_scripts")
@pytest.mark.parametrize(("arguments", "holds"), [("", True), ("forget", False)])
def test_a_command_that_goes_on_wrongly_is_found(
    arguments: str, holds: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = kills.Command("count.py", arguments, kills.files)
    monkeypatch.setattr(kills, "COMMANDS", {"count": command})
    monkeypatch.setattr(kills, "SIGNALS", (signal.SIGKILL, signal.SIGTERM))
    found = faults(kills.Kills(), range(6))
    assert (found == [None] * 6) is holds


def test_a_child_answers_signals_as_a_fresh_interpreter() -> None:
    assert ended(in_fork(lambda: 5)) == 5
    child = in_fork(lambda: signal.pause() or 0)
    assert ended(child, within=0.05) is None
    os.kill(child, signal.SIGTERM)
    assert ended(child) == -signal.SIGTERM
