"""Small image files of one colour."""

from __future__ import annotations

from io import BytesIO

from PIL import Image


def jpeg(grey: int, width: int = 40, height: int = 32, kind: str = "JPEG") -> bytes:
    """Return an image file."""
    file = BytesIO()
    Image.new("RGB", (width, height), (grey, grey, grey)).save(file, kind)
    return file.getvalue()
