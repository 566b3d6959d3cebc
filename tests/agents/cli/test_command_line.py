"""Errors reach a person as one line and an exit code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
import tyro

from rlquant.errors import SettingsError
from rlquant_agents.cli.command_line import command_of, in_one_line, recorded, run_command
from rlquant_agents.cli.config_file import CommandSettings


@dataclass(frozen=True)
class Settings:
    """Some settings.

    Attributes:
        number: how many.
    """

    number: int = 3


def ended(error: BaseException) -> Callable[[Settings], int]:
    def command(_: Settings) -> int:
        raise error

    return command


def test_settings_come_from_the_flags() -> None:
    seen = []

    def command(settings: Settings) -> int:
        seen.append(settings.number)
        return 7

    assert run_command(Settings, command, ["--number", "5"], None) == 7
    assert run_command(Settings, command, [], None) == 7
    assert seen == [5, 3]


def test_help_explains_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        run_command(Settings, ended(AssertionError()), ["--help"], "What it does.")
    assert exit_.value.code == 0
    shown = capsys.readouterr().out
    assert "What it does." in shown
    assert "how many" in shown


def test_an_expected_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(Settings, ended(SettingsError("no\n  such")), [], None) == 1
    assert capsys.readouterr().err == "error: no such\n"


def test_ctrl_c_is_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(Settings, ended(KeyboardInterrupt()), [], None) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_an_unexpected_error_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        run_command(Settings, ended(ZeroDivisionError()), [], None)


def test_a_command_is_recorded_as_it_is_given_again(monkeypatch: pytest.MonkeyPatch) -> None:
    script = "/somewhere/scripts/compare.py"
    assert command_of(script, ["--seed", "1"]) == ["python", "scripts/compare.py", "--seed", "1"]
    assert recorded("search", ["--seed", "1"]) == ["rlquant", "search", "--seed", "1"]
    monkeypatch.setattr("sys.argv", [script, "--seed", "2"])
    assert command_of(script, None) == ["python", "scripts/compare.py", "--seed", "2"]
    assert recorded("search", None) == ["rlquant", "search", "--seed", "2"]


@dataclass(frozen=True, kw_only=True)
class Named(CommandSettings):
    """Settings with choices, and one that has to be given.

    Attributes:
        name: of something.
        budget: a limit, explained at such a length that it does not fit one line of the help.
        kind: one of two.
    """

    name: Annotated[str, tyro.conf.Positional]
    budget: float = 1.0
    kind: Literal["one", "two"] = "one"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["x", "--buget", "3"], "Unrecognized options: --buget, 3; did you mean --budget?"),
        (["x", "--nothing"], "--nothing; see --help"),
        (["x", "--budget", "much"], "--budget: could not convert string to float: 'much'; see"),
        (["x", "--kind", "oen"], "'oen' for argument '--kind'. Expected one of ('one', 'two')"),
        ([], "Missing"),
        (["--config"], "--config needs a YAML file"),
    ],
)
def test_wrong_flags_are_one_line_too(
    argv: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(_: Named) -> int:
        raise AssertionError

    assert run_command(Named, command, argv, None, prog="rlquant name") == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert words in error
    assert not set(error) & set("│─╭╰")


def test_wrong_flags_are_one_line_on_a_plain_terminal_too() -> None:
    box = """
 Unrecognized options
 ----------------------------------
  Unrecognized options: --buget, 3
  ----------------------------------
  Perhaps you meant:
      --budget FLOAT
          (default: 1.0)
  ----------------------------------
  For full helptext, run x --help
"""
    assert in_one_line(box) == "Unrecognized options: --buget, 3; did you mean --budget?"
    assert in_one_line("something else") == "something else; see --help"


def test_ctrl_c_while_the_flags_are_read_is_130_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tyro, "cli", interrupted)
    assert run_command(Settings, ended(AssertionError()), [], None) == 130
    assert capsys.readouterr().err == "interrupted\n"
