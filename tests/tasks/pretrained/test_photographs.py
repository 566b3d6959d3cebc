from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
import torch

from image_files import jpeg
from rlquant.errors import DataError
from rlquant.tasks.pretrained import photographs
from rlquant.tasks.pretrained.photographs import load_photographs

NAMES = ("n00000001.jpg", "n00000002_7.JPEG", "deep/n00000003.jpg", "deep/n00000001_2.jpg")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four photographs of three classes, as bright as their number, and other files."""
    monkeypatch.setattr(photographs, "CLASSES", 3)
    monkeypatch.setenv("RLQUANT_DATA", str(tmp_path / "photographs"))
    place = tmp_path / "photographs"
    (place / "deep").mkdir(parents=True)
    (place / "notes.txt").touch()
    for number, name in enumerate(NAMES):
        (place / name).write_bytes(jpeg(60 * number))
    return place


def test_photographs_of_a_folder_and_of_a_tar_are_the_same(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs, targets = load_photographs(28, seed=0)
    assert inputs.shape == (4, 3, 28, 28)
    greys = ((inputs.mean(dim=(1, 2, 3)) + 1) * 127.5 / 60).round().int().tolist()
    assert sorted(greys) == [0, 1, 2, 3]
    assert targets.tolist() == [[0, 1, 2, 0][grey] for grey in greys]
    monkeypatch.setenv("RLQUANT_DATA", str(tmp_path / "photographs.tar"))
    with tarfile.open(tmp_path / "photographs.tar", "w") as archive:
        archive.add(folder, arcname="")
    again = load_photographs(28, seed=0)
    assert torch.equal(again[0], inputs)
    assert torch.equal(again[1], targets)
    monkeypatch.setenv("RLQUANT_DATA", str(tmp_path))
    assert torch.equal(load_photographs(28, seed=0)[0], inputs)
    assert any(load_photographs(28, seed=s)[1].tolist() != targets.tolist() for s in range(1, 6))


def test_what_is_wrong_is_said_with_what_to_give(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remedy = "set RLQUANT_DATA to a folder or .tar of photographs named by WordNet id"
    (folder / NAMES[1]).write_bytes(jpeg(0)[:200])
    with pytest.raises(DataError, match=f"JPEG: an image is damaged, .*{remedy}"):
        load_photographs(28, seed=0)
    (folder / NAMES[1]).unlink()
    with pytest.raises(DataError, match=f"has photographs of 2 classes; {remedy}"):
        load_photographs(28, seed=0)
    foreign = tmp_path / "foreign.tar"
    foreign.write_bytes(b"no archive" * 100)
    monkeypatch.setenv("RLQUANT_DATA", str(foreign))
    with pytest.raises(DataError, match=rf"foreign\.tar cannot be read: .*{remedy}"):
        load_photographs(28, seed=0)
    monkeypatch.setenv("RLQUANT_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match=f"nowhere is no folder and no .tar of images; {remedy}"):
        load_photographs(28, seed=0)
    monkeypatch.delenv("RLQUANT_DATA")
    with pytest.raises(DataError, match=f"the photographs are missing: {remedy}"):
        load_photographs(28, seed=0)
