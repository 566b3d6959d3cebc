"""`rlquant report`, and the page in a browser where there is one."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from reported_runs import live_problem, searched
from rlquant_agents.cli import report

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next((found for name in BROWSERS if (found := shutil.which(name))), None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "mine"
    searched(out, live_problem())
    searched(out / "baselines" / "random", live_problem(), searcher="random")
    return out


def test_it_makes_the_page_that_the_search_made(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # tests/project/test_wheel.py has another process make one.
    page = folder / "report.html"
    at_the_end = page.read_bytes()
    page.unlink()
    assert report.main([str(folder)]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert page.read_bytes() == at_the_end
    for words in ("ConvNet: 4 layers", "budget: at most 8", "uniform", "local-swap, seed 1"):
        assert words in said.out
    assert f"report: {page}" in said.out


def test_incumbents_and_another_place(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "both.html"
    arguments = [str(folder), "--against", str(folder / "baselines/random"), "--out", str(out)]
    assert report.main(arguments) == 0
    assert "random, seed 1" in capsys.readouterr().out
    assert "random, seed 1" in out.read_text()


def test_a_folder_without_a_search_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report.main([str(tmp_path)]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith(f"error: {tmp_path} holds no search")
    assert shown.count("\n") == 1


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no browser is installed")
def test_a_browser_shows_it(folder: Path, tmp_path: Path) -> None:
    assert BROWSER is not None
    picture = tmp_path / "page.png"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'me'}"]
    page = (folder / "report.html").resolve().as_uri()
    subprocess.run(
        [BROWSER, *flags, "--window-size=900,1200", f"--screenshot={picture}", page],
        capture_output=True,
        timeout=120,
        check=True,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    assert picture.stat().st_size > 30_000
