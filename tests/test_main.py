"""The command `rlquant`: what its first word does, and what help and version load."""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
from importlib.metadata import version

import pytest

from rlquant.__main__ import COMMANDS, SHELLS, main
from rlquant.version import NOT_INSTALLED, installed_version
from rlquant_agents.cli.completion import SETTINGS

SLOW_TO_LOAD = ("torch", "numpy", "stable_baselines3", "sb3_contrib", "matplotlib", "optuna")


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name, command in COMMANDS.items():
        assert f"  {name:<17}{command.does}\n" in shown


def test_version(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"rlquant {version('rlquant')}\n"
    monkeypatch.setattr(sys, "path", [])
    assert installed_version() == NOT_INSTALLED


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["serch"], "unknown command 'serch'; did you mean 'search'? known: eval, export"),
        (["--seed", "1"], "unknown command '--seed'"),
        (["--completion"], "--completion needs a shell: bash, zsh, fish"),
        (["--completion", "sh"], "--completion needs a shell: bash, zsh, fish"),
        (["search", "--buget", "3"], "did you mean --budget or --budgets?"),
    ],
)
def test_wrong_words_are_one_line(
    words: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert shown.count("\n") == 1
    assert error in shown


def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert set(COMMANDS) == set(SETTINGS)
    for name in COMMANDS:
        with pytest.raises(SystemExit) as ended:
            main([name, "--help"])
        assert ended.value.code == 0
        assert f"usage: rlquant {name} " in capsys.readouterr().out


@pytest.mark.parametrize("shell", SHELLS)
def test_shells_complete_commands_and_flags(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--completion", shell]) == 0
    shown = capsys.readouterr().out
    for words in ("profile-latency", "latency-table", "onnxruntime-int8"):
        assert words in shown


def loaded(code: str) -> set[str]:
    """Return the packages that a process has loaded after some code."""
    code = f"{code}\nimport sys, json; sys.stderr.write(json.dumps(sorted(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in json.loads(ran.stderr)}


@pytest.mark.parametrize("words", [["--help"], ["--version"]])
def test_help_and_version_load_nothing_that_takes_seconds(words: list[str]) -> None:
    assert not loaded(f"from rlquant.__main__ import main\nmain({words})") & set(SLOW_TO_LOAD)


def seconds(code: str) -> float:
    """Return the processor time of a process that runs some code; other load does not change it."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.slow
def test_the_start_takes_little_more_than_pytorch() -> None:
    for ours in ("from rlquant import *", "import rlquant_agents"):
        ratios = [seconds(ours) / seconds("import torch") for _ in range(5)]
        assert statistics.median(ratios) < 1.5
    assert seconds("from rlquant.__main__ import main; main(['--help'])") < 1
