from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path

import pytest
import torch
from PIL import Image

from image_files import jpeg
from rlquant.errors import DataError
from rlquant.tasks import images
from rlquant.tasks.images import image_source, middle_square, middle_squares


def test_a_large_image_is_made_smaller_and_cut() -> None:
    image = Image.new("RGB", (300, 128), (255, 255, 255))
    image.paste((0, 0, 0), (0, 0, 80, 128))
    file = BytesIO()
    image.save(file, "JPEG", quality=95)
    found = middle_square(file.getvalue(), 56, 64 / 56)
    assert found.shape == (3, 56, 56)
    assert int(found.min()) > 240  # 64 x 150, of which columns 47 to 103 are left
    grey = middle_square(jpeg(51, kind="PNG"), 28, 1.0)
    assert torch.equal(grey, torch.full((3, 28, 28), 51, dtype=torch.uint8))


def test_images_are_untrusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="neither JPEG nor PNG"):
        middle_square(jpeg(0, kind="GIF"), 28, 1.0)
    (tmp_path / "a.jpg").write_bytes(jpeg(0)[:200])
    source = image_source(tmp_path)
    with pytest.raises(DataError, match=r"a\.jpg: an image is damaged"):
        list(middle_squares(source, source.names(), 28, 1.0))
    monkeypatch.setattr(images, "MOST_PIXELS", 1000)
    with pytest.raises(DataError, match="has 40 x 32 pixels"):
        middle_square(jpeg(0), 28, 1.0)
    monkeypatch.setattr(images, "MOST_BYTES", 100)
    with pytest.raises(DataError, match=r"a\.jpg cannot be read: it has"):
        list(source.contents(["a.jpg"]))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_is_no_image(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(DataError, match="a pipe, socket or device"):
        list(image_source(tmp_path).contents(["a.jpg"]))
