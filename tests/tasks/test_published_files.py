from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rlquant.errors import DataError
from rlquant.tasks.published_files import DebianPackage, PublishedFiles

CONTENTS = {"a.gz": b"first" * 100, "b.gz": b"second" * 100}
NOWHERE = "http://127.0.0.1:1/"


@pytest.fixture
def files(tmp_path: Path) -> PublishedFiles:
    return PublishedFiles(
        subfolder="mine",
        address=NOWHERE,
        checksums={name: f"md5:{hashlib.md5(data).hexdigest()}" for name, data in CONTENTS.items()},
        package=DebianPackage("dataset-mine", tmp_path / "package"),
    )


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RLQUANT_DATA", raising=False)


def write(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name, content in CONTENTS.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("place", ["data", "data/mine"])
def test_the_variable_names_the_folder_or_the_one_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: PublishedFiles, place: str
) -> None:
    folder = write(tmp_path / place)
    monkeypatch.setenv("RLQUANT_DATA", str(tmp_path / "data"))
    assert files.find_folder(tmp_path) == folder


def test_the_variable_wins_and_a_mistake_in_it_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: PublishedFiles
) -> None:
    write(tmp_path / "package")
    monkeypatch.setenv("RLQUANT_DATA", str(tmp_path / "elsewhere"))
    with pytest.raises(DataError, match=r"a\.gz is missing; set RLQUANT_DATA.*copies of a.gz, b.g"):
        files.find_folder(tmp_path)


def test_an_installed_package_is_used_before_a_download(
    tmp_path: Path, files: PublishedFiles
) -> None:
    folder = write(tmp_path / "package")
    assert files.find_folder(tmp_path) == folder


def test_a_download_lands_in_the_cache_and_is_done_once(
    tmp_path: Path, files: PublishedFiles, serve: Callable[[Path], str]
) -> None:
    published, cache = write(tmp_path / "published"), tmp_path / "cache"
    files = replace(files, address=serve(published))
    folder = files.find_folder(cache)
    assert folder == cache / "mine"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == CONTENTS
    for file in published.iterdir():
        file.unlink()
    assert files.find_folder(cache) == folder


def test_a_cut_off_download_is_an_error_and_leaves_nothing(
    tmp_path: Path, files: PublishedFiles, serve: Callable[[Path], str]
) -> None:
    published = write(tmp_path / "published")
    (published / "a.gz").write_bytes(CONTENTS["a.gz"][:-10])
    files = replace(files, address=serve(published))
    with pytest.raises(DataError, match=r"a\.gz could not be downloaded.*RLQUANT_DATA"):
        files.find_folder(tmp_path / "cache")
    assert [p for p in (tmp_path / "cache").rglob("*") if p.is_file()] == []


def test_no_connection_is_an_error_that_says_what_to_do(
    tmp_path: Path, files: PublishedFiles
) -> None:
    with pytest.raises(DataError, match="on Debian, `apt-get install dataset-mine`; or set RLQ"):
        files.find_folder(tmp_path / "cache")
    with pytest.raises(DataError, match="downloaded: set RLQUANT_DATA to a folder"):
        replace(files, package=None).find_folder(tmp_path / "cache")
