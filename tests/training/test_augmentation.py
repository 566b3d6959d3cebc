from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import pad

from rlquant.errors import DataError, SettingsError
from rlquant.training.augmentation import CropAndFlip
from strategies import laid_out, seeded, seeds


def numbered(count: int, channels: int, height: int, width: int) -> Tensor:
    """Images in which no two pixels are equal, and none is 0."""
    size = count * channels * height * width
    return torch.arange(1.0, size + 1).view(count, channels, height, width)


def move_of(image: Tensor, changed: Tensor, padding: int) -> tuple[int, int, bool]:
    """The one offset and flip that makes `changed` of `image`; fails if there is none."""
    height, width = image.shape[-2:]
    padded = pad(image, (padding,) * 4)
    found = [
        (down, right, mirrored)
        for down in range(2 * padding + 1)
        for right in range(2 * padding + 1)
        for mirrored in (False, True)
        if torch.equal(
            changed.flip(-1) if mirrored else changed,
            padded[:, down : down + height, right : right + width],
        )
    ]
    (move,) = found
    return move


@given(
    shape=st.tuples(*(st.integers(1, 3), st.integers(1, 3), st.integers(3, 6), st.integers(3, 6))),
    padding=st.integers(0, 2),
    flip=st.booleans(),
    layout=st.sampled_from(["plain", "channels_last"]),
    seed=seeds,
)
def test_every_image_is_a_crop_of_itself_with_zeros_around_or_its_mirror_image(
    shape: tuple[int, int, int, int], padding: int, flip: bool, layout: str, seed: int
) -> None:
    images = laid_out(numbered(*shape), layout)
    before = images.clone()
    changed = CropAndFlip(padding, flip)(images, seeded(seed))
    assert torch.equal(images, before)
    assert changed.data_ptr() != images.data_ptr()
    for image, new in zip(images, changed, strict=True):
        _, _, mirrored = move_of(image, new, padding)
        assert flip or not mirrored


def test_each_image_has_its_own_offset_and_flip_and_all_are_equally_likely() -> None:
    # 4,000 draws: a share of 1/5 is kept within 0.03, five standard errors of 0.0063.
    images = numbered(1, 1, 5, 5).expand(4000, 1, 5, 5)
    changed = CropAndFlip(padding=2)(images, seeded(0))
    moves = torch.tensor([move_of(images[0], new, 2) for new in changed[:1000]])
    assert len(moves.unique(dim=0)) == 50
    centres = changed[:, 0, 2, 2] - 1
    rows, columns = centres.div(5, rounding_mode="floor").long(), centres.remainder(5).long()
    for drawn in (rows, columns):
        assert (torch.bincount(drawn, minlength=5) / 4000 - 0.2).abs().max() < 0.03
    assert abs(float(moves[:, 2].float().mean()) - 0.5) < 0.08


def test_nothing_to_do_changes_nothing() -> None:
    images = numbered(3, 2, 4, 4)
    assert torch.equal(CropAndFlip(padding=0, flip=False)(images, seeded(0)), images)
    assert CropAndFlip()(images[:0], seeded(0)).shape == (0, 2, 4, 4)


def test_the_generator_alone_decides() -> None:
    images = numbered(50, 1, 8, 8)
    first = CropAndFlip()(images, seeded(1))
    assert torch.equal(first, CropAndFlip()(images, seeded(1)))
    assert not torch.equal(first, CropAndFlip()(images, seeded(2)))


@pytest.mark.parametrize("layout", ["plain", "channels_last"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.uint8])
@pytest.mark.parametrize("channels", [1, 3])
def test_dtype_and_memory_format_are_kept(dtype: torch.dtype, layout: str, channels: int) -> None:
    images = laid_out(torch.ones(4, channels, 6, 8, dtype=dtype), layout)
    changed = CropAndFlip()(images, seeded(0))
    assert (changed.dtype, changed.shape) == (images.dtype, images.shape)
    assert changed.stride() == images.stride()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("layout", ["plain", "channels_last"])
def test_a_device_gives_what_the_cpu_gives(layout: str) -> None:
    images = laid_out(numbered(20, 3, 8, 8), layout)
    changed = CropAndFlip()(images.cuda(), seeded(0))
    assert changed.is_cuda
    assert torch.equal(changed.cpu(), CropAndFlip()(images, seeded(0)))
    there = torch.Generator("cuda").manual_seed(0)
    assert CropAndFlip()(images, there).device == images.device


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("padding", -1, "CropAndFlip: padding=-1, use a whole number of at least 0"),
        ("padding", 1.5, "CropAndFlip: padding=1.5, use a whole number"),
        ("padding", True, "CropAndFlip: padding=True, use a whole number"),
        ("flip", 1, "CropAndFlip: flip=1, use True or False"),
    ],
)
def test_settings_that_make_no_sense_are_refused(field: str, value: object, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        CropAndFlip(**{field: value})  # type: ignore[arg-type]


def test_inputs_that_are_no_images_are_refused() -> None:
    with pytest.raises(DataError, match=r"shape \(5, 7\) are no batch of images.*augmentation=No"):
        CropAndFlip()(torch.zeros(5, 7), seeded(0))
