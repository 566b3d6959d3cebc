"""Random crops and flips of whole batches, where the batches lie."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from rlquant.arguments import explained
from rlquant.errors import DataError, SettingsError, whole_number


@dataclass(frozen=True, slots=True)
class CropAndFlip:
    """Shift every image by its own random offset, and mirror half of them left to right.

    Attributes:
        padding: pixels of zeros on every side, out of which an image of the old size is cut.
        flip: whether to mirror.

    Source: He et al. 2016, "CIFAR-10 and Analysis" (4 pixels on CIFAR). Zero is the mean pixel of
        normalised images.
    """

    padding: int = 4
    flip: bool = True

    @explained
    def __post_init__(self) -> None:
        padding = whole_number("CropAndFlip: padding", self.padding, 0)
        object.__setattr__(self, "padding", padding)
        if not isinstance(self.flip, bool):
            raise SettingsError(f"CropAndFlip: flip={self.flip!r}, use True or False")

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return changed copies of `images`; shape, dtype, device and memory format are kept.

        Args:
            images: shape `(n, channels, height, width)`.
            generator: draws on its own device, so that one on the CPU gives the same images
                wherever `images` lie.

        Raises:
            DataError: `images` has another number of dimensions.
        """
        if images.dim() != 4:
            raise DataError(
                f"CropAndFlip: inputs of shape {tuple(images.shape)} are no batch of images; use "
                f"inputs of shape (n, channels, height, width), or augmentation=None"
            )
        count, _, height, width = images.shape
        home = generator.device
        highest = 2 * self.padding + 1
        offsets = torch.randint(highest, (2, count, 1), generator=generator, device=home)
        mirrored = torch.randint(2, (count, 1), generator=generator, device=home).bool() & self.flip
        down, right = offsets.to(images.device)
        rows = down + torch.arange(height, device=images.device)
        columns = torch.arange(width, device=images.device)
        columns = right + torch.where(mirrored.to(images.device), columns.flip(0), columns)
        sample = torch.arange(count, device=images.device)
        padded = pad(images, (self.padding,) * 4)
        changed = padded[sample[:, None, None], :, rows[:, :, None], columns[:, None, :]]
        return torch.empty_like(images).copy_(changed.permute(0, 3, 1, 2))
