"""Errors reach a person as one line and an exit code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import tyro

from rlquant.errors import SettingsError
from rlquant_agents.cli.command_line import command_of, run_command


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
    assert run_command(Settings, ended(SettingsError("no\n  such")), [], None) == 2
    assert capsys.readouterr().err == "error: no such\n"


def test_ctrl_c_is_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(Settings, ended(KeyboardInterrupt()), [], None) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_an_unexpected_error_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        run_command(Settings, ended(ZeroDivisionError()), [], None)


def test_the_command_can_be_typed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    script = "/somewhere/scripts/search.py"
    assert command_of(script, ["--seed", "1"]) == ["python", "scripts/search.py", "--seed", "1"]
    monkeypatch.setattr("sys.argv", [script, "--seed", "2"])
    assert command_of(script, None) == ["python", "scripts/search.py", "--seed", "2"]


def test_ctrl_c_while_the_flags_are_read_is_130_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tyro, "cli", interrupted)
    assert run_command(Settings, ended(AssertionError()), [], None) == 130
    assert capsys.readouterr().err == "interrupted\n"
