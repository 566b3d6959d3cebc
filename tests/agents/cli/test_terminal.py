"""A terminal shows names as they are."""

from __future__ import annotations

import io
import logging

import pytest

from rlquant_agents.cli.terminal import PrintableFormatter, rich_table, say, show

HOSTILE = "[/x] [bold]:smile: a\x1b[31mb"


def test_what_is_said_is_neither_markup_nor_colour(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"in {HOSTILE}\nnext line")
    assert capsys.readouterr().out == "in [/x] [bold]:smile: a\\x1b[31mb\nnext line\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_characters_that_a_terminal_does_not_have_are_no_error(encoding: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    say("± 漢 \udcff", stream)
    stream.flush()
    assert stream.buffer.getvalue().endswith(b"\\udcff\n")  # type: ignore[attr-defined]


def test_tables_are_neither_markup_nor_colour(capsys: pytest.CaptureFixture[str]) -> None:
    show(rich_table(HOSTILE, ["[/y]", "b"], [[HOSTILE, "1"], ["x", "2"]], "lr"), width=100)
    out = capsys.readouterr().out
    assert out.count("[/x] [bold]:smile: a\\x1b[31mb") == 2
    assert "[/y]" in out
    assert "\x1b" not in out


def test_log_messages_are_printable() -> None:
    record = logging.LogRecord("rlquant", logging.INFO, "", 0, "layer %s", (HOSTILE,), None)
    assert PrintableFormatter("%(message)s").format(record).endswith(r"a\x1b[31mb")
