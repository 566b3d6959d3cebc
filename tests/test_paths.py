"""What names a file or folder, and what does not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from rlquant.errors import SettingsError
from rlquant.paths import path_of


def test_a_path_is_absolute_from_the_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    found = path_of("out", "runs/x/")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert found == tmp_path / "runs" / "x"


@pytest.mark.parametrize("value", ["~/runs", b"~/runs", Path("~/runs")])
def test_a_tilde_is_the_home(monkeypatch: pytest.MonkeyPatch, value: Any) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert path_of("out", value) == Path("/home/somebody/runs")


def test_names_that_are_no_unicode_are_names() -> None:
    assert os.fsencode(path_of("out", b"/runs/\xff")) == b"/runs/\xff"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (3, "out=3: give a path"),
        (None, "out=None: give a path"),
        (["a"], r"out=\['a'\]: give a path"),
        (True, "out=True: give a path"),
        ("", "out='': an empty path"),
        (b"", "out=b'': an empty path"),
        ("a\0b", "NUL"),
        ("~nobody-of-this-name/x", "use ./~ for a file"),
        ("a/" + "n" * 256, "a name of 256 bytes, use at most 255"),
        ("a/" + "ü" * 128, "a name of 256 bytes"),
        (["x"] * 1000, r"\.\.\.: give a path"),
    ],
)
def test_what_is_no_path_is_named(value: Any, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        path_of("out", value)
    assert len(str(caught.value)) < 300


def test_a_relative_path_needs_a_folder_to_be_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(SettingsError, match="the current folder is gone"):
        path_of("out", "runs")
    assert path_of("out", tmp_path) == tmp_path
